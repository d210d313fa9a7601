"""The built pages as files: links, pictures, descriptions, outputs."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from icl_lib import claims
from icl_lib.live.bundle import names
from icl_lib.sphinxext.weights import weigh

pytestmark = pytest.mark.site

IMAGE_NAME = re.compile(r"^\S+\.(png|svg|jpe?g|gif|webp)$", re.IGNORECASE)


class Page(HTMLParser):
    """What a page holds: addresses it offers, addresses it asks for, pictures, description."""

    def __init__(self, file: Path):
        super().__init__()
        self.ids: set[str] = set()
        self.asked: list[str] = []
        self.pictures: list[dict] = []
        self.metas: dict[str, str] = {}
        self.language = ""
        self.titles = 0
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if "id" in found:
            self.ids.add(found["id"])
        if tag == "a" and "name" in found:
            self.ids.add(found["name"])
        address = found.get("href") if tag in {"a", "link"} else found.get("src")
        if address:
            self.asked.append(address)
        if tag == "img":
            self.pictures.append(found)
        if tag == "meta" and "name" in found:
            self.metas[found["name"]] = found.get("content", "")
        if tag == "html":
            self.language = found.get("lang", "")
        self.titles += tag == "title"


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    files = (p for p in site.rglob("*.html") if "_static" not in p.parts)
    return {file.resolve(): Page(file) for file in sorted(files)}


def test_every_internal_link_and_anchor_resolves(pages):
    broken = []
    for file, page in pages.items():
        for address in page.asked:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            goal = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            goal = goal / "index.html" if goal.is_dir() else goal
            if not goal.exists():
                broken.append(f"{file.name}: {address}")
            elif goal in pages and unquote(parts.fragment) not in pages[goal].ids | {""}:
                broken.append(f"{file.name}: no such place: {address}")
    assert broken == []


def test_every_picture_has_a_description(pages):
    poor = [
        f"{file.name}: {picture.get('src', '')[-60:]} alt={picture.get('alt')!r}"
        for file, page in pages.items()
        for picture in page.pictures
        if not (picture.get("alt") or "").strip() or IMAGE_NAME.match(picture["alt"].strip())
    ]
    assert poor == []


def test_no_picture_stands_inside_the_page_as_data(pages):
    inside = [
        file.name
        for file, page in pages.items()
        for picture in page.pictures
        if picture.get("src", "").startswith("data:")
    ]
    assert inside == []


def test_every_page_says_its_language_and_what_it_is_about(pages):
    for file, page in pages.items():
        assert page.language == "en", file.name
        assert 30 <= len(page.metas.get("description", "")) <= 200, file.name
        assert "viewport" in page.metas, file.name


def test_no_page_shows_an_error_stream_or_a_traceback(pages):
    for file in pages:
        text = file.read_text(encoding="utf-8")
        assert "output stderr" not in text, file.name
        assert "output traceback" not in text, file.name


def test_no_script_for_widgets_is_asked_for(pages):
    for file, page in pages.items():
        assert not [a for a in page.asked if "require" in a or "html-manager" in a], file.name


def test_a_page_carries_the_figures_that_it_shows_and_no_others(site):
    shown = set()
    for file in site.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        figures = set(re.findall(r'<icl-figure module="(\w+)"', text))
        scripts = re.findall(r'src="[^"]*?(icl-live[^"?]*\.js)', text)
        assert len(scripts) == bool(figures), file
        for script in scripts:
            sources = (site / "_static" / script).read_text(encoding="utf-8")
            assert {name for name in names() if f'"{name}": "' in sources} == figures
        shown |= figures
    assert len(shown) >= 11


def test_scoreboard_lists_every_claim_once(site):
    text = (site / "book" / "scoreboard.html").read_text(encoding="utf-8")
    rows = re.findall(r'class="icl-verdict-(holds|fails|open)"', text)
    assert len(rows) == len(claims.ledger())


def test_differs_page_has_every_block(site):
    there = sum(
        len(
            re.findall(r'class="differs admonition|class="admonition differs', p.read_text("utf-8"))
        )
        for p in (site / "notebooks").glob("*.html")
    )
    text = (site / "book" / "differs.html").read_text(encoding="utf-8")
    assert text.count("Read it in its place") == there > 0


def test_build_report_shows_seconds_and_bytes(site):
    text = (site / "book" / "how_built.html").read_text(encoding="utf-8")
    assert "<!-- page weights" not in text
    for notebook in (site / "notebooks").glob("*.html"):
        assert text.count(notebook.stem) >= 2


def test_the_index_of_the_search_is_loaded_where_one_searches(pages):
    loading = {f.name for f, page in pages.items() if any("searchindex" in a for a in page.asked)}
    assert loading == {"search.html"}


def test_weights_are_counted_for_every_page_and_below_the_limit(site, pages):
    sizes = weigh(site)
    assert {(site / name).resolve() for name in sizes} == set(pages)
    assert max(sizes.values()) <= 700_000
