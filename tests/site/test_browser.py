"""Every page in Chromium with the network cut: silent, light, accessible, in both themes."""

import gzip
from functools import cache
from pathlib import Path

import pytest
from live.harness import NARROW, WIDE, Visit

pytestmark = [pytest.mark.site, pytest.mark.browser]

SITE = Path(__file__).resolve().parents[2] / "_build" / "html"
PAGES = sorted(
    p.relative_to(SITE).as_posix() for p in SITE.rglob("*.html") if "_static" not in p.parts
)
CHAPTERS = [page for page in PAGES if page.startswith("notebooks/")]
WEIGHT_LIMIT = 700_000
SETTLED = """async () => {
  if (window.MathJax?.startup?.promise) await window.MathJax.startup.promise;
  await document.fonts.ready;
  const figures = [...document.querySelectorAll("icl-figure")];
  for (let i = 0; i < 100 && figures.some(f => !f.dataset.ready); i++)
    await new Promise(r => setTimeout(r, 50));
}"""

# A contrast follows from colour, size and weight of the letters and from the grounds behind them.
# axe needs a millisecond for every coloured word of a program, so of all words that agree in these
# and in tag and class, their parents' too, it judges the first ALIKE that are visible.
ALIKE = 3
MARK_THE_SAME = """alike => {
  const grounds = new Map(), seen = new Map(), clear = "rgba(0, 0, 0, 0);none;1;none;normal;none";
  const kind = e => e ? e.tagName + "." + e.getAttribute("class") : "";
  for (const e of document.querySelectorAll("*")) {  // parents come before their children
    e.removeAttribute("data-same-look");
    const s = getComputedStyle(e);
    const own = [s.backgroundColor, s.backgroundImage, s.opacity, s.filter, s.mixBlendMode,
      s.clipPath].join(";");
    const below = (grounds.get(e.parentElement) ?? "") + (own === clear ? "" : own + "/");
    grounds.set(e, below);
    const speaks = [...e.childNodes].some(n => n.nodeType === 3 && n.nodeValue.trim());
    const box = e.getBoundingClientRect();
    if (!speaks || !box.width || !box.height || !e.checkVisibility({visibilityProperty: true}))
      continue;
    const look = [below, kind(e), kind(e.parentElement), s.color, s.fontSize, s.fontWeight,
      s.textShadow, s.position, s.overflow].join("|");
    const before = seen.get(look) ?? 0;
    seen.set(look, before + 1);
    if (before >= alike) e.setAttribute("data-same-look", "");
  }
  axe.configure({rules: [{id: "color-contrast", selector: "*:not([data-same-look])"}]});
  return [seen.size, [...seen.values()].reduce((a, b) => a + b, 0)];
}"""


@cache
def packed(content: bytes) -> int:
    """Return the packed bytes of a file; most files are those of every page."""
    return len(gzip.compress(content, 6))


class Recorded(Visit):
    """A visit that keeps status and size of every answer."""

    def __init__(self, browser, address, **context):
        self.answers = []
        super().__init__(browser, "about:blank", **context)
        self.context.unroute("**/*")
        home = address.split("/notebooks/")[0].split("/book/")[0].rsplit("/", 1)[0]
        home = home if address.startswith("http") else "file://"

        def guard(route):
            if route.request.url.startswith((home, "data:", "blob:")):
                return route.continue_()
            self.foreign.append(route.request.url)
            return route.abort()

        self.context.route("**/*", guard)
        self.page.on("response", lambda answer: self.answers.append(answer))
        self.page.set_default_timeout(30_000)
        self.page.goto(address)
        self.page.evaluate(SETTLED)

    def missing(self) -> list[str]:
        """Return the addresses that were not found."""
        return [a.url for a in self.answers if a.status >= 400]

    def weight(self) -> dict[str, int]:
        """Return the packed bytes of everything the page asked for, images aside."""
        return {
            a.url: packed(a.body())
            for a in self.answers
            if a.request.resource_type != "image" and a.status == 200
        }


@pytest.fixture(scope="module", params=PAGES)
def visit(request, browser, address):
    """One page over http, opened once for all tests of this module."""
    opened = Recorded(browser, address + request.param)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """Source of the accessibility checker."""
    package = pytest.importorskip("axe_playwright_python")
    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def violations(page, axe: str) -> list[str]:
    """Run axe-core with all its rules and return what it finds, one line per element."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    page.evaluate(MARK_THE_SAME, ALIKE)
    result = page.evaluate(
        "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
    )
    return [f"{v['id']}: {node['html'][:160]}" for v in result for node in v["nodes"]]


def test_there_are_pages(site):
    assert "index.html" in PAGES
    assert len(CHAPTERS) >= 6


def test_nothing_leaves_the_page_and_nothing_is_missing(visit):
    assert visit.foreign == []
    assert visit.missing() == []
    assert visit.errors == []


def test_page_is_light_over_the_wire(visit):
    sizes = visit.weight()
    heaviest = sorted(sizes.items(), key=lambda item: -item[1])[:6]
    assert sum(sizes.values()) <= WEIGHT_LIMIT, heaviest


def test_every_live_figure_is_alive(visit):
    states = visit.page.eval_on_selector_all("icl-figure", "all => all.map(f => f.dataset.ready)")
    assert set(states) <= {"true"}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(visit, axe, theme):
    visit.page.emulate_media(color_scheme=theme)
    visit.page.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")
    visit.page.wait_for_timeout(300)  # colours fade in
    assert violations(visit.page, axe) == []


def test_one_pale_word_after_many_alike_is_found(address, browser, axe):
    opened = Recorded(browser, address + "book/how_to_read.html")
    marked = opened.page.evaluate(MARK_THE_SAME, ALIKE) if violations(opened.page, axe) == [] else 0
    passed_over = opened.page.locator("main [data-same-look]").last
    passed_over.evaluate("e => { e.style.color = '#bbb' }")
    found = violations(opened.page, axe)
    opened.close()
    assert marked[1] > marked[0] > ALIKE  # some words are passed over
    assert len(found) == 1
    assert found[0].startswith("color-contrast: <")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figures_show_the_picture_of_the_theme(visit, theme):
    visit.page.emulate_media(color_scheme=theme)
    visit.page.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")
    shown = visit.page.eval_on_selector_all(
        ".icl-figure img",
        "all => all.map(i => [i.className, getComputedStyle(i).display !== 'none'])",
    )
    for name, visible in shown:
        assert visible == (f"icl-{theme}" in name.split())


def test_phone_scrolls_down_and_not_sideways(visit):
    visit.page.emulate_media(color_scheme="light")
    visit.page.set_viewport_size(NARROW)
    visit.page.wait_for_timeout(200)
    wide = visit.page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
        [...document.querySelectorAll("main *")]
          .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
          .slice(0, 8).map(e => e.tagName + "." + e.className)"""
    )
    visit.page.set_viewport_size(WIDE)
    assert wide == []


@pytest.mark.parametrize("page", PAGES)
def test_page_works_from_disk(site, browser, page):
    opened = Recorded(browser, (site / page).as_uri())
    states = opened.page.eval_on_selector_all("icl-figure", "all => all.map(f => f.dataset.ready)")
    formulas = opened.page.eval_on_selector_all(".math", "all => all.map(m => m.innerHTML)")
    opened.close()
    assert opened.foreign == []
    assert opened.errors == []
    assert set(states) <= {"true"}
    assert all("mjx-container" in formula for formula in formulas)


@pytest.mark.parametrize("place", ["http", "disk"])
@pytest.mark.parametrize("word", ["attention", "glossary"])
def test_search_finds_pages_without_a_network(site, address, browser, place, word):
    home = address if place == "http" else site.as_uri() + "/"
    opened = Recorded(browser, f"{home}search.html?q={word}")
    opened.page.wait_for_selector("#search-results li a")
    opened.page.wait_for_function(
        "word => [...document.querySelectorAll('#search-results li a')]"
        ".some(link => link.href.includes(word))",
        arg=word,
    )
    opened.close()
    assert opened.foreign == []


def test_typing_in_the_search_dialog_leads_to_results(address, browser):
    opened = Recorded(browser, address + "index.html")
    opened.page.locator(".search-button__button:visible").first.click()
    opened.page.keyboard.type("momentum")
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_selector("#search-results li a")
    opened.close()
    assert opened.errors == []


def test_japanese_text_is_there(address, browser):
    opened = Recorded(browser, address + "index.html")
    assert opened.page.get_by_text("「今日は」").first.is_visible()
    opened.close()


@pytest.mark.parametrize("page", PAGES)
def test_without_javascript_the_text_is_there(site, address, browser, page):
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(address + page)
    words = opened.inner_text("main")
    dark = opened.locator(".icl-figure img.icl-dark:visible").count()
    context.close()
    assert len(words) > 40
    assert dark == 0
