"""Figures of the alignment chapter draw the numbers that they were given."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from icl_lib import plots

ALT = "True reward against the distance from the reference."


def drawn(function, *args, **options):
    fig = Figure(layout="constrained")
    function.__wrapped__(fig, "light", *args, **options)
    return fig


def test_scores_are_bars_of_the_means_with_a_dot_for_each_seed():
    shares = {
        "before": {"topic": [0.1, 0.2], "register": [0.5, 0.5]},
        "after": {"topic": [0.9, 1.0], "register": [0.8, 0.6]},
    }
    (axes,) = drawn(plots.instruction_scores, shares, [0.125, 0.5]).axes
    heights = sorted(bar.get_height() for bar in axes.patches)
    assert heights == pytest.approx([0.15, 0.5, 0.7, 0.95])
    dots = [y for line in axes.lines if line.get_marker() == "o" for y in line.get_ydata()]
    assert sorted(dots) == [0.1, 0.2, 0.5, 0.5, 0.6, 0.8, 0.9, 1.0]
    guesses = [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"]
    assert guesses == [0.125, 0.5]


def test_truth_and_proxy_has_a_dot_for_each_text_and_the_medians():
    true, proxy = [0.0, 0.0, 0.0, 1.0], [0.1, 0.3, 0.2, 2.0]
    (axes,) = drawn(plots.proxy_and_truth, true, proxy).axes
    dots, median = axes.lines
    assert dots.get_ydata().tolist() == proxy
    assert np.abs(dots.get_xdata() - true).max() < 0.2
    assert median.get_xydata().tolist() == [[0.0, 0.2], [1.0, 2.0]]


def test_leash_curves_are_means_of_steps_against_kl_for_both_rewards():
    run = {"kl": [0, 2, 4, 6], "reward": [1, 3, 5, 7], "true": [1, 1, 0, 0]}
    runs = {0.0: [run, run], 0.5: [run]}
    left, right = drawn(plots.leash_curves, runs, smooth=2).axes
    lines = [line for line in left.lines if len(line.get_xdata()) > 1]
    assert len(lines) == 3
    assert lines[0].get_xydata().tolist() == [[1, 2], [5, 6]]
    assert right.lines[0].get_xydata().tolist() == [[1, 1], [5, 0]]
    assert [line.get_label() for line in lines if line.get_label()[0] != "_"] == [
        "no leash",
        "β = 0.5",
    ]


def test_change_over_steps_begins_at_zero():
    run = {"reward": [1.0, 1.0, 3.0, 5.0], "true": [2.0, 2.0, 1.0, 0.0]}
    (axes,) = drawn(plots.reward_over_steps, [run], smooth=2).axes
    assert axes.lines[0].get_ydata().tolist() == [0.0, 3.0]
    assert axes.lines[1].get_ydata().tolist() == [0.0, -1.5]


def test_methods_stand_at_their_distance():
    (axes,) = drawn(plots.methods_by_distance, {"DPO": [(1.0, 2.0), (3.0, 4.0)]}).axes
    assert axes.lines[0].get_xydata().tolist() == [[1, 2], [3, 4]]
    assert axes.lines[0].get_label() == "DPO"


def test_both_themes_carry_the_alternative_text():
    figure = plots.methods_by_distance({"DPO": [(1.0, 2.0)]}, alt=ALT)
    assert figure.light != figure.dark
    assert ALT in figure._repr_mimebundle_()["text/html"]
