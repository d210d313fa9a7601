"""Every live figure in Chromium: over http and from disk, wide and narrow, light and dark."""

import shutil
import subprocess

import pytest
from axe_playwright_python.sync_playwright import Axe
from live.harness import NARROW, WIDE, Visit, assert_equal_numbers, cases, served, write_page

from icl_lib.live import FIGURES, bundle

CASES = cases()
each_case = pytest.mark.parametrize("name", CASES, scope="module")


@pytest.fixture(scope="module")
def figure(name):
    return CASES[name].make()


@pytest.fixture(scope="module")
def site(name, figure, tmp_path_factory):
    folder = tmp_path_factory.mktemp(name)
    write_page(folder, figure)
    return folder


@pytest.fixture(scope="module")
def opened(browser, site):
    """The figure opened straight from disk, shared by the tests that look at it."""
    visit = Visit(browser, (site / "index.html").as_uri()).ready()
    yield visit
    visit.close()


def violations(page) -> list[str]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [f"{v['id']}: {node['html'][:200]}" for v in found for node in v["nodes"]]


def move_and_compare(visit: Visit, case) -> None:
    assert_equal_numbers(visit.numbers(), case.reference(visit.state()))
    for move in case.moves:
        before = visit.state()
        visit.press(move)
        assert visit.state() != before, f"{move} changed nothing"
    assert visit.foreign == []
    assert visit.errors == []
    assert_equal_numbers(visit.numbers(), case.reference(visit.state()))


def test_every_figure_has_a_module_and_a_case():
    tested = {case.make()._module for case in CASES.values()}
    assert set(bundle.names()) == set(FIGURES.values()) == tested


@each_case
@pytest.mark.browser
class TestInBrowser:
    def test_from_disk_numbers_equal_torch_after_keyboard_moves(self, opened, name, figure):
        assert opened.state() == figure.state()
        move_and_compare(opened, CASES[name])

    def test_over_http_at_phone_width_numbers_equal_torch(self, browser, site, name):
        with served(site) as address:
            visit = Visit(browser, address + "index.html", viewport=NARROW, has_touch=True).ready()
            move_and_compare(visit, CASES[name])
            visit.close()

    @pytest.mark.parametrize("theme", ["light", "dark"])
    @pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
    def test_no_accessibility_violation_and_no_overflow(self, opened, theme, viewport):
        page = opened.page
        page.set_viewport_size(viewport)
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        assert violations(page) == []
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(overflow) <= 0
        for control in page.locator("icl-figure :is(input, select, button)").all():
            box = control.bounding_box()
            assert box is not None, "a control is hidden"
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= viewport["width"]

    def test_dark_mode_changes_the_ground_and_the_text(self, opened):
        look = (
            "() => { const s = getComputedStyle(document.querySelector('.icl-live'));"
            " return [s.backgroundColor, s.color]; }"
        )
        seen = []
        for theme in ("light", "dark"):
            opened.page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
            seen.append(opened.page.evaluate(look))
        assert seen == [
            ["rgb(255, 255, 255)", "rgb(31, 35, 40)"],
            ["rgb(20, 24, 30)", "rgb(230, 233, 237)"],
        ]

    def test_controls_are_named_and_large_enough_for_a_finger(self, opened):
        opened.page.set_viewport_size(NARROW)
        for control in opened.page.locator(
            "icl-figure :is(input[type=range], select, button)"
        ).all():
            assert control.bounding_box()["height"] >= 44

    def test_nothing_moves_by_itself_under_reduced_motion(self, browser, site):
        address = (site / "index.html").as_uri()
        visit = Visit(browser, address, reduced_motion="reduce").ready()
        for button in visit.page.get_by_role("button", name="Play", exact=True).all():
            button.press("Enter")
        # the spoken status follows half a second later by design; all else must stand still
        still = (
            "() => { const copy = document.querySelector('icl-figure').cloneNode(true);"
            " copy.querySelectorAll('[role=status]').forEach(n => n.remove());"
            " return copy.innerHTML }"
        )
        after = visit.page.evaluate(still)
        visit.page.wait_for_timeout(400)
        assert visit.page.evaluate(still) == after
        assert visit.page.evaluate("document.getAnimations().length") == 0
        visit.close()

    def test_without_javascript_a_picture_and_a_sentence_stand_in_its_place(
        self, browser, site, figure
    ):
        visit = Visit(browser, (site / "index.html").as_uri(), java_script_enabled=False)
        picture = visit.page.locator("icl-figure figure > svg[role=img]")
        box = picture.bounding_box()
        assert box["width"] > 200
        assert box["height"] > 50
        assert len(picture.get_attribute("aria-label").split()) >= 5
        assert figure.sentence() in visit.page.inner_text("icl-figure figcaption")
        visit.close()


NOTEBOOK = """async ([source, state]) => {
  const listeners = [];
  const model = {
    get: (name) => state[name],
    set: (name, value) => {
      state = {...state, [name]: value};
      for (const [event, f] of listeners) if (event === `change:${name}`) f();
      for (const [event, f] of listeners) if (event === 'change') f();
    },
    save_changes: () => { window.saved = state; },
    on: (event, f) => listeners.push([event, f]),
    off: () => {},
  };
  const url = URL.createObjectURL(new Blob([source], {type: 'text/javascript'}));
  const made = (await import(url)).default;
  const el = document.createElement('icl-notebook-output');
  await made.render({model, el, experimental: {}});  // a notebook gives no signal before 0.10
  document.querySelector('main').replaceChildren(el);
}"""


@each_case
class TestInNotebook:
    @pytest.mark.browser
    def test_the_widget_module_shows_the_same_numbers_and_saves_its_state(
        self, browser, site, name, figure
    ):
        visit = Visit(browser, (site / "index.html").as_uri()).ready()
        numbers = visit.numbers()
        visit.page.evaluate(NOTEBOOK, [figure._esm, figure.state()])
        assert visit.numbers("icl-notebook-output") == numbers
        for move in CASES[name].moves:
            visit.press(move)
        saved = visit.page.evaluate("window.saved")
        assert_equal_numbers(visit.numbers("icl-notebook-output"), CASES[name].reference(saved))
        assert visit.errors == []
        visit.close()

    def test_module_has_no_imports_and_a_default_export_with_render(self, figure, tmp_path):
        esm = figure._esm
        assert bundle.ANY_IMPORT.search(esm) is None
        node = shutil.which("node")
        if node is None:
            assert "export default { render }" in esm
            return
        module = tmp_path / "figure.mjs"
        module.write_text(
            esm.replace("export default", "const made =")
            + "\nif (typeof made.render !== 'function') throw new Error('no render');\n",
            "utf-8",
        )
        done = subprocess.run([node, str(module)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def test_display_carries_widget_view_page_element_and_words(self, figure):
        data, _ = figure._repr_mimebundle_()
        assert "application/vnd.jupyter.widget-view+json" in data
        assert data["text/html"].startswith(f'<icl-figure module="{figure._module}" state="')
        assert figure.sentence() in data["text/plain"]

    def test_state_is_small(self, figure):
        assert len(figure.html()) < 100_000
