"""Repairs of finished pages: pictures as files, accessibility, description for search engines."""

import base64
import hashlib
import html
import re
from pathlib import Path
from typing import Any

from docutils import nodes

WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
SUFFIX = {"image/svg+xml": ".svg", "image/png": ".png"}
DATA_IMAGE = re.compile(
    r'<img\b(?P<before>[^>]*?)\bsrc="data:(?P<mime>image/(?:svg\+xml|png));base64,(?P<data>[^"]*)"'
)
PANEL_NOTE = re.compile(r'(<p class="icl-panel-note"[^>]*>.*?)</p>', re.DOTALL)
DESCRIPTION_LENGTH = 155
FALLBACK = (
    "An executable book on why GPT can learn from its prompt, and the tested library behind it."
)
# Roles that docutils writes and that the accessibility checker rejects.
ROLES = (
    ('<div role="list" class="citation-list">', '<div class="citation-list">'),
    (' role="doc-biblioentry"', ""),
    (' role="doc-backlink"', ""),
)


def extract_images(body: str, folder: Path, prefix: str) -> str:
    """Write the pictures that ``body`` holds as data into ``folder`` and link them.

    A file is named after its content, so the same picture is stored once. The browser fetches a
    picture when it comes near the window, and the one for the other theme not at all.
    """

    def replace(match: re.Match) -> str:
        content = base64.b64decode(match["data"])
        name = f"fig-{hashlib.sha256(content).hexdigest()[:16]}{SUFFIX[match['mime']]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        return f'<img{match["before"]}loading="lazy" decoding="async" src="{prefix}{name}"'

    return DATA_IMAGE.sub(replace, body)


def link_panel_notes(body: str, up: str) -> str:
    """Let the note below a control panel lead to the page that says how to run the book."""
    return PANEL_NOTE.sub(rf'\1 <a href="{up}book/setup.html">How to run it.</a></p>', body)


def description(doctree: nodes.document | None) -> str:
    """Return the page's first paragraphs as one line of at most ``DESCRIPTION_LENGTH`` signs."""
    words = ""
    for paragraph in doctree.findall(nodes.paragraph) if doctree is not None else ():
        words = f"{words} {paragraph.astext()}".strip()
        if len(words) > 60:
            break
    words = re.sub(r"\s+", " ", words)
    if len(words) < 30:
        return FALLBACK
    if len(words) <= DESCRIPTION_LENGTH:
        return words
    return words[:DESCRIPTION_LENGTH].rsplit(" ", 1)[0].rstrip(" ,;:") + " …"


def repair_page(app: Any, page: str, template: str, context: dict, doctree: Any) -> None:
    """Apply all repairs to one page before it is written."""
    body = context.get("body")
    if body:
        up = "../" * page.count("/")
        folder = app.builder.imagedir
        body = extract_images(body, Path(app.outdir) / folder, f"{up}{folder}/")
        body = link_panel_notes(body, up)
        for old, new in ROLES:
            body = body.replace(old, new)
        context["body"] = body
    # The state of widgets carries their JavaScript once more, and nothing on the page reads it.
    context["script_files"] = [
        file
        for file in context.get("script_files", [])
        if getattr(file, "attributes", {}).get("type") != WIDGET_STATE
    ]
    if 'name="description"' not in context.get("metatags", ""):
        text = html.escape(description(doctree), quote=True)
        context["metatags"] = (
            f'{context.get("metatags", "")}\n<meta name="description" content="{text}" />'
        )


def share_html_handlers(app: Any) -> None:
    """Give the one-page builder what extensions registered for ``html`` alone."""
    table = app.registry.translation_handlers
    if "singlehtml" in table:
        table["singlehtml"] = {**table.get("html", {}), **table["singlehtml"]}


def setup(app: Any) -> None:
    """Connect the hooks."""
    app.connect("builder-inited", share_html_handlers)
    app.connect("html-page-context", repair_page, priority=900)
