"""The index of the search is loaded by the page that searches, and by no other.

The theme loads it on every page, for results while one types. The book does not show these: its
search box leads to the search page. The index grows with the book, and would be read everywhere.
"""

import re
from pathlib import Path
from typing import Any

SCRIPTS = re.compile(
    r'[ \t]*<script src="(?:\.\./)*(?:_static/searchtools\.js|_static/language_data\.js'
    r'|searchindex\.js)(?:\?[^"]*)?"></script>\n?'
)
PAGE = "search.html"


def drop_search_scripts(text: str) -> str:
    """Return a page without the scripts of the search."""
    return SCRIPTS.sub("", text)


def search_on_its_page_only(app: Any, error: Exception | None) -> None:
    """Take the scripts out of all pages of the finished site but the one that searches."""
    if error is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    for page in site.rglob("*.html"):
        if page != site / PAGE and "_static" not in page.parts:
            text = page.read_text(encoding="utf-8")
            page.write_text(drop_search_scripts(text), encoding="utf-8")


def setup(app: Any) -> None:
    """Connect the hook, before pages are weighed."""
    app.connect("build-finished", search_on_its_page_only, priority=350)
