"""What the figures teach, in the browser, and what a page does when a figure cannot start."""

import pytest
import torch
from live.harness import Move, Visit, write_html, write_page

from icl_lib.live import AttentionTemperature, Descent

pytestmark = pytest.mark.browser


@pytest.fixture
def show(browser, tmp_path):
    visits = []

    def opened(figure, **context) -> Visit:
        address = write_page(tmp_path, figure).as_uri()
        visits.append(Visit(browser, address, **context).ready())
        return visits[-1]

    yield opened
    for visit in visits:
        visit.close()


def said(visit: Visit) -> str:
    return visit.page.inner_text(".icl-sentence")


def test_low_temperature_is_a_lookup_and_high_temperature_an_average(show):
    q, k = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    visit = show(AttentionTemperature("abcdef", q, k, query=5))
    best = int((k @ q[5]).argmax())
    visit.press(Move("slider", "Temperature τ", "Home"))
    assert visit.state()["temperature"] == 0.05
    assert visit.numbers()[f"weight_{best}"] > 0.99
    assert "almost a look-up" in said(visit)
    visit.press(Move("slider", "Temperature τ", "End"))
    assert visit.numbers()["effective"] == pytest.approx(6, rel=0.01)
    assert "almost a plain average" in said(visit)


def test_query_token_is_chosen_by_pointer_and_marked_as_pressed(show):
    x = torch.eye(3)
    visit = show(AttentionTemperature(["one", "two", "three"], x, x, query=0, causal=True))
    assert "sees nothing but itself" in said(visit)
    button = visit.page.get_by_role("button", name="Query token 2: two")
    button.click()
    assert visit.state()["query"] == 1
    assert button.get_attribute("aria-pressed") == "true"
    assert visit.numbers()["weight_2"] == 0


@pytest.mark.parametrize(
    ("step_size", "words"),
    [(40.0, "It converges"), (100.0, "exactly at the limit"), (104.0, "it diverges")],
)
def test_descent_says_whether_it_converges_and_the_loss_agrees(show, step_size, words):
    visit = show(Descent.cake(120.0, 40.0, curvature=0.02, step_size=step_size))
    assert words in said(visit)
    first = 0.5 * 0.02 * 80.0**2
    change = visit.numbers()["loss"] / first
    sign = (change > 1 + 1e-9) - (change < 1 - 1e-9)
    assert sign == {"It converges": -1, "exactly at the limit": 0, "it diverges": 1}[words]


def test_momentum_moves_the_limit_and_its_mark(show):
    visit = show(Descent.valley(curvature=2.0, step_size=0.5))
    assert visit.page.inner_text(".icl-mark") == "limit 1"
    visit.press(Move("slider", "Momentum β", "End"))
    assert visit.page.inner_text(".icl-mark") == "limit 1.95"


def test_play_walks_to_the_end_and_pause_stops_it(show):
    visit = show(Descent.cake(120.0, 40.0, curvature=0.02, step_size=30.0, steps=6))
    visit.page.get_by_role("button", name="Play", exact=True).press("Enter")
    visit.page.get_by_role("button", name="Pause", exact=True).press("Enter")
    assert visit.state()["taken"] < 6
    visit.page.get_by_role("button", name="Play", exact=True).press("Enter")
    visit.page.wait_for_function("document.querySelector('icl-figure').state.taken === 6")
    visit.page.get_by_role("button", name="Play", exact=True).wait_for()


def test_play_goes_to_the_end_at_once_under_reduced_motion(show):
    figure = Descent.cake(120.0, 40.0, curvature=0.02, step_size=30.0, steps=6)
    visit = show(figure, reduced_motion="reduce")
    visit.press(Move("button", "Restart", "Enter"))
    assert visit.state()["taken"] == 0
    visit.press(Move("button", "Play", "Enter"))
    assert visit.state()["taken"] == 6


def test_a_figure_that_cannot_start_keeps_its_picture_and_says_why(browser, tmp_path):
    broken = '<icl-figure module="nothing" state="{}"><p>the picture</p></icl-figure>'
    visit = Visit(browser, write_html(tmp_path, broken).as_uri())
    visit.page.wait_for_selector('icl-figure[data-ready="error"]')
    assert visit.page.inner_text("icl-figure") == "the picture"
    assert 'there is no live figure named "nothing"' in visit.errors[0]
    visit.close()


def test_two_figures_on_one_page_do_not_disturb_each_other(browser, tmp_path):
    cake = Descent.cake(120.0, 40.0, curvature=0.02, step_size=30.0)
    valley = Descent.valley()
    visit = Visit(browser, write_html(tmp_path, cake.html() + valley.html()).as_uri())
    visit.page.wait_for_function(
        "document.querySelectorAll('icl-figure[data-ready=true]').length === 2"
    )
    visit.page.get_by_role("slider", name="Momentum β").first.press("ArrowRight")
    momenta = "[...document.querySelectorAll('icl-figure')].map(f => f.state.momentum)"
    assert visit.page.evaluate(momenta) == [0.05, 0]
    duplicates = "[...document.querySelectorAll('[id]')].map(n => n.id)"
    ids = visit.page.evaluate(duplicates)
    assert len(ids) == len(set(ids))
    visit.close()
