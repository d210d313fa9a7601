"""RewardLeash: what it teaches in the browser, and what it refuses."""

import pytest
from live.harness import Move, Visit, write_page

from icl_lib.live import RewardLeash

ANSWERS = ["calm", "bright", "bright bright"]
NUMBERS = ([0.6, 0.39, 0.01], [0.0, 1.0, 3.0], [0.0, 1.0, -1.0])


@pytest.mark.browser
def test_a_tight_leash_keeps_the_reference_and_a_loose_one_follows_the_proxy(browser, tmp_path):
    figure = RewardLeash(ANSWERS, *NUMBERS, beta=1.0)
    visit = Visit(browser, write_page(tmp_path, figure).as_uri()).ready()
    slider = "Leash β"
    visit.press(Move("slider", slider, "End"))
    tight = visit.numbers()
    assert tight["kl"] < 0.01
    assert tight["policy_0"] == pytest.approx(0.6, abs=0.05)
    visit.press(Move("slider", slider, "Home"))
    loose = visit.numbers()
    assert loose["policy_2"] > 0.999
    assert loose["proxy"] > tight["proxy"]
    assert loose["true"] < tight["true"]
    assert "The leash is too loose" in visit.page.inner_text(".icl-sentence")
    visit.press(Move("checkbox", "Maximise the true reward", "Space"))
    assert visit.numbers()["policy_1"] > 0.999
    visit.close()


def test_reference_weights_are_scaled_to_probabilities():
    figure = RewardLeash(ANSWERS, [6, 3, 1], *NUMBERS[1:])
    assert figure.reference == pytest.approx([0.6, 0.3, 0.1])
    assert sum(figure.numbers()["policy"]) == pytest.approx(1.0)


def test_bad_inputs_are_refused():
    with pytest.raises(ValueError, match="2 to 12 answers"):
        RewardLeash(["one"], [1.0], [1.0], [1.0])
    with pytest.raises(ValueError, match="as many numbers each"):
        RewardLeash(ANSWERS, [0.5, 0.5], *NUMBERS[1:])
    with pytest.raises(ValueError, match="must be positive"):
        RewardLeash(ANSWERS, [0.5, 0.5, 0.0], *NUMBERS[1:])
    with pytest.raises(ValueError, match=r"beta must be between 0\.02 and 20"):
        RewardLeash(ANSWERS, *NUMBERS, beta=0.001)
