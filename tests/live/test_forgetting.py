"""The Python half of ForgettingTradeOff: its prices are the library's, and bad input is named."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.finetune import cost_at_gain
from icl_lib.live import ForgettingTradeOff

CURVE = {
    "name": "full",
    "step_size": [0.001, 0.01],
    "accuracy": [0.6, 0.9],
    "perplexity": [5.0, 8.0],
    "change": [0.01, 0.1],
    "completion": ["a", "b"],
}


def make(**options):
    methods = [CURVE, {**CURVE, "name": "LoRA", "perplexity": [4.5, 6.0]}]
    return ForgettingTradeOff(methods, **{"base": (0.5, 4.0), **options})


@given(
    gains=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6),
    target=st.floats(0.5, 1.0),
    first=st.floats(1.0, 9.0),
)
def test_price_is_that_of_the_library(gains, target, first):
    n = len(gains)
    costs = [first + i for i in range(n)]
    lists = {"step_size": [1.0] * n, "change": [0.1] * n, "completion": [""] * n}
    curve = {"name": "a", "accuracy": gains, "perplexity": costs, **lists}
    ours = ForgettingTradeOff([curve], base=(0.5, 4.0), target=target).price(curve)
    theirs = cost_at_gain(gains, costs, target)
    assert (ours is None and math.isnan(theirs)) or ours == pytest.approx(theirs, abs=1e-12)


def test_sentence_and_picture_tell_where_the_chosen_run_stands():
    shown = make(setting=1)
    assert "full with step size 0.01 raises the accuracy on the task from 0.5 to 0.9" in (
        shown.sentence()
    )
    assert "from 4 to 8" in shown.sentence()
    assert "LoRA" in shown.picture()


def test_a_base_that_is_no_accuracy_or_no_perplexity_is_refused():
    with pytest.raises(ValueError, match="finite number and at least 1, got inf"):
        make(base=(0.5, math.inf))
    with pytest.raises(ValueError, match=r"accuracy is between 0 and 1, got -0\.1"):
        make(base=(-0.1, 4.0))


@pytest.mark.parametrize(
    ("methods", "options", "message"),
    [
        ([], {}, "expected 1 to 6 methods, got 0"),
        ([{"name": "a"}], {}, "each method needs step_size, accuracy, perplexity"),
        ([{**CURVE, "change": [0.1]}], {}, r"same length, at least 1, got \[1, 2\]"),
        ([{**CURVE, "perplexity": [5.0, 0.5]}], {}, "finite number and at least 1, got 0.5"),
        ([{**CURVE, "accuracy": [0.6, 90.0]}], {}, "accuracy is between 0 and 1, got 90"),
        ([CURVE], {"method": 1}, "no method 1 with setting 0"),
        ([CURVE], {"setting": 2}, "no method 0 with setting 2"),
        ([CURVE], {"target": 0.3}, "between 0.5 and 1, got 0.3"),
    ],
)
def test_bad_input_is_refused_with_what_was_expected(methods, options, message):
    with pytest.raises(ValueError, match=message):
        ForgettingTradeOff(methods, base=(0.5, 4.0), **options)
