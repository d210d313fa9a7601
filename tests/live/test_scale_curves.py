"""The figure of sizes in training refuses what does not fit together."""

import pytest

from icl_lib.live import ScaleCurves

SIZES = {"small": 100, "large": 1000}
LOSSES = [[[4.0, 4.0, 4.0, 4.0], [4.0, 3.0, 2.0, 1.0]]] * 2
RIGHT = [[[0.25], [0.75]]] * 2


def test_score_is_the_last_two_groups_minus_the_first_two():
    figure = ScaleCurves(SIZES, [0, 10], LOSSES, RIGHT, [4])
    assert figure.score(1, 1) == pytest.approx(1.5 - 3.5)
    assert "After 10 training steps" in figure.sentence()
    assert "-2.00 nats" in figure.sentence()
    assert "75 %" in figure.sentence()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": [10, 0]}, "steps must be at least two and increase"),
        ({"losses": LOSSES[:1]}, r"losses must be \[2 sizes, 2 steps"),
        ({"losses": [[[1.0, 2.0, 3.0]] * 2] * 2}, "4 or more groups"),
        (
            {"accuracies": [[[0.25, 0.3]] * 2] * 2},
            r"accuracies must be \[2 sizes, 2 steps, 1 shots",
        ),
        ({"size": 2}, "size must be below 2, got 2"),
        ({"sizes": {}}, "sizes must be 1 to 6, got 0"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changed, message):
    given = {"sizes": SIZES, "steps": [0, 10], "losses": LOSSES, "accuracies": RIGHT, "shots": [4]}
    with pytest.raises(ValueError, match=message):
        ScaleCurves(**{**given, **changed})
