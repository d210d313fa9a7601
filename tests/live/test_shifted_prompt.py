"""ShiftedPrompt: what it teaches in the browser, and what it refuses."""

import pytest
from live.harness import Move, Visit, write_page

from icl_lib.live import ShiftedPrompt


@pytest.mark.browser
def test_floor_stays_with_length_vanishes_at_one_scale_and_noise_beats_least_squares(
    browser, tmp_path
):
    visit = Visit(browser, write_page(tmp_path, ShiftedPrompt(10, 10)).as_uri()).ready()
    visit.press(Move("slider", "Examples in the prompt, M", "End"))
    long = visit.numbers()
    assert long["fixed"] > long["floor"] > 0.25
    assert long["least"] == 0
    assert "However long the prompt" in visit.page.inner_text(".icl-sentence")
    visit.press(Move("slider", "Input scale α", "End"))
    assert visit.numbers()["fixed"] > 10
    assert "worse than guessing 0" in visit.page.inner_text(".icl-sentence")
    visit.press(Move("slider", "Examples in the prompt, M", "Home"))
    visit.press(Move("slider", "Examples in the prompt, M", "ArrowRight", 11))
    visit.press(Move("slider", "Input scale α", "Home"))
    visit.press(Move("slider", "Input scale α", "ArrowRight", 40))
    visit.press(Move("slider", "Noise on the targets σ", "ArrowRight", 10))
    noisy = visit.numbers()
    assert noisy["fixed"] < noisy["least"]
    assert "beats least squares" in visit.page.inner_text(".icl-sentence")
    visit.close()


def test_picture_and_sentence_survive_an_infinite_error():
    figure = ShiftedPrompt(10, 10, examples=10, noise=1.0)
    assert "least squares infinite" in figure.sentence()
    assert "inf" not in figure.picture().split("aria-label")[0]
    assert "nan" not in figure.picture()


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="dimension must be at least 1"):
        ShiftedPrompt(0)
    with pytest.raises(ValueError, match="examples must be between 1 and 200, got 500"):
        ShiftedPrompt(examples=500)
    with pytest.raises(ValueError, match=r"scale must be between 0\.25 and 4"):
        ShiftedPrompt(scale=9.0)
