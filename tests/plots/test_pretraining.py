"""Figures of the pre-training chapter draw the numbers that they were given."""

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure

from icl_lib import plots
from icl_lib.palette import color


def drawn(function, *args, **options) -> Figure:
    """Draw the light variant and return the matplotlib figure."""
    fig = Figure(layout="constrained")
    function.__wrapped__(fig, "light", *args, **options)
    return fig


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_tokens_per_character_marks_every_vocabulary_and_one_token_each():
    fig = drawn(plots.tokens_per_character, [256, 512], {"English": [1, 0.5], "Japanese": [3, 1]})
    (axes,) = fig.axes
    assert [t.get_text() for t in axes.get_xticklabels()] == ["256", "512"]
    assert [line.get_ydata().tolist() for line in axes.lines[:2]] == [[1, 0.5], [3, 1]]
    assert axes.lines[2].get_ydata() == [1.0, 1.0]
    assert axes.get_ylim()[0] == 0


def test_the_two_rulers_have_scales_of_their_own_and_write_their_numbers():
    left, right = drawn(plots.two_rulers, ["a", "b"], [4.0, 40.0], [2.0, 1.0]).axes
    assert [bar.get_height() for bar in left.patches] == [4.0, 40.0]
    assert texts(left) == ["4", "40"]
    assert texts(right) == ["2", "1"]
    assert right.get_ylim()[1] < 3


def test_a_run_has_a_line_for_every_seed_and_its_step_size_underneath():
    above, below = drawn(
        plots.pretraining_run,
        [[3.0, 2.0], [3.1, 2.1]],
        [{0: 3.0, 2: 1.9}, {0: 3.1, 2: 2.0}],
        {"bigram": 2.5},
        [0.1, 0.2],
    ).axes
    assert [line.get_ydata()[-1] for line in above.lines] == [2.0, 1.9, 2.1, 2.0, 2.5]
    assert texts(above) == ["bigram"]
    assert [t.get_text() for t in above.get_legend().get_texts()] == ["training", "held out"]
    assert below.lines[0].get_ydata().tolist() == [0.1, 0.2]
    assert above.get_ylim() == pytest.approx((0, 1.1 * 3.1))


def test_runs_and_held_out_losses_must_be_as_many():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        drawn(plots.pretraining_run, [[1.0], [1.0]], [{0: 1.0}], {"a": 1.0}, [1.0])


def test_each_rule_has_a_panel_with_its_nulls():
    fig = drawn(
        plots.learned_when,
        [0, 10],
        {"topic": [[0.0, 0.9], [0.1, 0.8]], "register": [[0.2, 1.0]]},
        {"counts": {"topic": 0.3, "register": 0.5}, "shuffled": {"topic": 0.4, "register": 0.6}},
    )
    assert [axes.get_title() for axes in fig.axes] == ["topic", "register"]
    first, second = fig.axes
    assert [line.get_ydata()[-1] for line in first.lines] == [0.9, 0.8, 0.3, 0.4]
    assert [line.get_ydata()[-1] for line in second.lines] == [1.0, 0.5, 0.6]
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["counts", "shuffled"]


def test_continuations_of_one_kind_lie_side_by_side_and_do_not_overlap():
    fig = drawn(
        plots.continuations,
        ["weather", "food"],
        {"corpus": [0.5, 0.5], "model": [0.6, 0.4]},
        {"model": [0.02, 0.02]},
    )
    (axes,) = fig.axes
    bars = sorted((bar.get_y(), bar.get_height(), bar.get_width()) for bar in axes.patches)
    assert [width for *_, width in bars] == [0.5, 0.6, 0.5, 0.4]
    for (y, height, _), (following, *_) in itertools.pairwise(bars):
        assert y + height < following
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_candidates_stand_top_to_bottom_on_a_logarithmic_ruler():
    fig = drawn(plots.candidate_probabilities, ["x", "y"], {"m": [0.1, 1e-9], "n": [0.2, 1e-3]})
    (axes,) = fig.axes
    assert axes.get_xscale() == "log"
    assert [line.get_xdata().tolist() for line in axes.lines] == [[0.1, 1e-9], [0.2, 1e-3]]
    assert axes.get_ylim() == (1.5, -0.5)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_rules_take_the_palette_of_the_theme(theme):
    fig = Figure()
    plots.learned_when.__wrapped__(fig, theme, [0, 1], {"topic": [0, 1]}, {"n": {"topic": 0.5}})
    assert fig.axes[0].lines[0].get_color() == color("query", theme)
    assert fig.axes[0].lines[1].get_color() == color("neutral", theme)


def test_figures_of_this_chapter_need_alt_text():
    with pytest.raises(ValueError, match="alt must be a sentence"):
        plots.two_rulers(["a"], [1.0], [1.0], alt="bars")
    assert np.isfinite(plots.two_rulers(["a"], [1.0], [1.0], alt="One bar on each ruler.").width)
