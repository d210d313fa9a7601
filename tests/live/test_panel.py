"""Control panels run the real function, show its errors, and leave no dead control on the page."""

import re
from urllib.parse import quote

import ipywidgets as widgets
import pytest
from axe_playwright_python.sync_playwright import Axe
from live.harness import NARROW, Visit, write_html

from icl_lib.live import panel
from icl_lib.live.panels import NOTE, render


class Picture:
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": "<b>picture</b>", "text/plain": "picture"}


def test_moving_a_control_runs_the_function_with_the_new_values():
    calls = []

    def fn(**values):
        calls.append(values)
        return str(values)

    shown = panel(
        fn, temperature=(0.1, 2.0, 0.1, 1.0), layers=(1, 8, 1, 2), kind=["a", "b"], on=True
    )
    assert calls == [{"temperature": 1.0, "layers": 2, "kind": "a", "on": True}]
    shown.controls["temperature"].value = 0.5
    shown.controls["kind"].value = "b"
    shown.controls["on"].value = False
    assert calls[-1] == {"temperature": 0.5, "layers": 2, "kind": "b", "on": False}
    assert len(calls) == 4


def test_controls_have_the_kind_that_their_description_asks_for():
    shown = panel(lambda **v: "", a_b=(0, 3, 1, 1), c=(0, 3, 1, 1.0), d=[1, 2], e=False)
    kinds = [widgets.IntSlider, widgets.FloatSlider, widgets.Dropdown, widgets.Checkbox]
    assert [type(c) for c in shown.controls.values()] == kinds
    assert shown.controls["a_b"].description == "a b"
    assert not shown.controls["a_b"].continuous_update


def test_ready_widgets_are_taken_as_they_are_but_run_only_when_let_go():
    ready = widgets.FloatLogSlider(value=1.0)
    shown = panel(lambda rate: f"{rate}", rate=ready)
    assert shown.controls["rate"] is ready
    assert ready.description == "rate"
    assert not ready.continuous_update


def test_an_error_in_the_first_run_is_raised():
    with pytest.raises(ZeroDivisionError):
        panel(lambda x: str(1 / x), x=(0, 3, 1, 0))


def test_a_later_error_is_shown_and_the_next_good_run_replaces_it():
    shown = panel(lambda x: str(6 // x), x=(0, 3, 1, 3))
    shown.controls["x"].value = 0
    assert "ZeroDivisionError" in shown.frame.value
    assert 'role="alert"' in shown.frame.value
    shown.controls["x"].value = 2
    assert shown.frame.value == '<pre class="icl-panel-text">3</pre>'


def test_results_text_is_escaped_and_figures_and_tuples_are_joined():
    assert render("<a>") == '<pre class="icl-panel-text">&lt;a&gt;</pre>'
    assert render(("x", Picture())) == '<pre class="icl-panel-text">x</pre><b>picture</b>'


def test_static_page_shows_values_frame_and_note_but_no_dead_control():
    shown = panel(lambda eta: f"loss {eta}", title="Step <size>", eta=(0.0, 1.0, 0.1, 0.3))
    data, _ = shown._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    page = data["text/html"]
    assert not re.search(r"<(input|select|button)", page)
    assert "<dt>eta</dt><dd>0.3</dd>" in page
    assert "Step &lt;size&gt;" in page
    assert "loss 0.3" in page
    assert NOTE in page


def test_making_a_panel_writes_nothing(capsys):
    panel(lambda x: "ok", x=True)._repr_mimebundle_()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((0, 1, 0.1), TypeError, r"x: expected \(min, max, step, value\)"),
        ((0, 1, 0.1, 2), ValueError, r"x: value 2 lies outside \[0, 1\]"),
        ([], ValueError, "x: expected at least one choice"),
        (widgets.VBox(), TypeError, "x: expected a widget with a value, got VBox"),
    ],
)
def test_wrong_controls_are_named(given, error, message):
    with pytest.raises(error, match=message):
        panel(lambda x: "", x=given)


def test_a_result_that_cannot_be_shown_is_named():
    with pytest.raises(
        TypeError, match="a panel shows a string, a figure or a tuple of them, got dict"
    ):
        panel(lambda x: {}, x=True)


def picture(colour: str) -> str:
    drawn = f'<rect width="300" height="100" fill="{colour}"/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="300" height="100">{drawn}</svg>'
    return "data:image/svg+xml," + quote(svg)


class Themed:
    def _repr_mimebundle_(self, include=None, exclude=None):
        light = f'<img class="icl-light" alt="A light rectangle" src="{picture("white")}">'
        dark = f'<img class="icl-dark" alt="A dark rectangle" src="{picture("black")}"'
        return {"text/html": f'<div class="icl-figure">{light}{dark} style="display:none"></div>'}


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("attribute", [True, False], ids=["chosen", "system"])
def test_first_frame_is_accessible_and_follows_the_theme(browser, tmp_path, scheme, attribute):
    shown = panel(lambda eta: ("loss 0.25", Themed()), title="Step size", eta=(0.0, 1.0, 0.1, 0.3))
    address = write_html(tmp_path, shown.html()).as_uri()
    other = {"light": "dark", "dark": "light"}[scheme]
    system = other if attribute else scheme  # the reader's choice on the page beats the system's
    visit = Visit(browser, address, viewport=NARROW, color_scheme=system)
    change = (
        f"document.documentElement.dataset.theme = '{scheme}'"
        if attribute
        else "document.documentElement.removeAttribute('data-theme');"
        f"document.body.style.background = '{'#14181e' if scheme == 'dark' else '#fff'}';"
        f"document.body.style.color = '{'#e6e9ed' if scheme == 'dark' else '#000'}'"
    )
    visit.page.evaluate(change)
    assert visit.page.locator(f".icl-{scheme}").is_visible()
    assert not visit.page.locator(f".icl-{other}").is_visible()
    ground = visit.page.evaluate(
        "getComputedStyle(document.querySelector('.icl-panel')).backgroundColor"
    )
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 30)"}[scheme]
    assert Axe().run(visit.page).response["violations"] == []
    visit.close()
