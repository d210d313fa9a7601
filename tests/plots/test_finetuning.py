"""Figures of the fine-tuning chapter draw the numbers that they were given."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from icl_lib import plots

ALT = "Accuracy on the task against perplexity on old text."


def drawn(function, *args, **options):
    fig = Figure(layout="constrained")
    function.__wrapped__(fig, "light", *args, **options)
    return fig


def test_tradeoff_joins_the_means_of_the_seeds_and_marks_where_it_began():
    curves = {"full": ([[0.5, 0.7], [0.9, 1.0]], [[4.0, 9.0], [16.0, 16.0]])}
    (axes,) = drawn(plots.forgetting_tradeoff, curves, base=(0.4, 4.0), chance=0.5).axes
    line = next(a for a in axes.lines if a.get_label() == "full")
    assert line.get_xdata().tolist() == pytest.approx([0.6, 0.95])
    assert line.get_ydata().tolist() == pytest.approx([6.0, 16.0])  # geometric means
    before = next(a for a in axes.lines if a.get_label() == "before fine-tuning")
    assert before.get_xydata().tolist() == [[0.4, 4.0]]
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[0] < 4.0 < 16.0 < axes.get_ylim()[1]


def test_change_is_drawn_against_perplexity_for_every_run():
    points = {"full": ([0.01, 0.1], [4.0, 8.0]), "LoRA": ([0.02], [5.0])}
    (axes,) = drawn(plots.change_and_forgetting, points, base=3.5).axes
    found = {a.get_label(): a.get_xydata().tolist() for a in axes.lines}
    assert found["full"] == [[0.01, 4.0], [0.1, 8.0]]
    assert found["LoRA"] == [[0.02, 5.0]]


def test_rows_show_seeds_and_mean_and_say_when_a_gain_was_not_reached():
    rows = {"plain": [3.0, 5.0], "never": [math.nan, math.nan]}
    (axes,) = drawn(plots.seeds_by_row, rows, xlabel="perplexity", mark=(2.0, "before")).axes
    assert axes.lines[0].get_xdata().tolist() == [3.0, 5.0]
    assert axes.lines[1].get_xdata().tolist() == [4.0]
    assert "not reached" in [t.get_text() for t in axes.texts]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["plain", "never"]
    assert axes.lines[-1].get_xdata()[0] == 2.0


def test_a_row_with_a_seed_that_did_not_get_there_says_so_and_has_no_mean():
    rows = {"some": [3.0, math.nan, 5.0]}
    (axes,) = drawn(plots.seeds_by_row, rows, xlabel="perplexity").axes
    assert "1 of 3 not reached" in [t.get_text() for t in axes.texts]
    assert [line.get_marker() for line in axes.lines] == ["o"]


def test_the_mean_on_a_logarithmic_axis_is_the_geometric_one():
    (axes,) = drawn(plots.seeds_by_row, {"a": [1.0, 4.0]}, xlabel="x", log=True).axes
    assert axes.lines[1].get_xdata().tolist() == pytest.approx([2.0])


@pytest.mark.parametrize(
    ("function", "most", "options"),
    [
        (plots.forgetting_tradeoff, 7, {"base": (0.4, 4.0), "chance": 0.5}),
        (plots.change_and_forgetting, 7, {"base": 4.0}),
    ],
)
def test_no_series_is_left_out_unsaid(function, most, options):
    many = {str(i): ([[0.5]], [[4.0]]) for i in range(most + 1)}
    with pytest.raises(ValueError, match=f"expected 1 to {most} series, got {most + 1}: 0, 1"):
        drawn(function, many, **options)
    with pytest.raises(ValueError, match="expected 1 to 14 series, got 15"):
        drawn(plots.seeds_by_row, {str(i): [1.0] for i in range(15)}, xlabel="x")


def test_figures_need_alt_text():
    with pytest.raises(TypeError, match="alt"):
        plots.seeds_by_row({"a": [1.0]}, xlabel="x")
    figure = plots.change_and_forgetting({"a": (np.ones(2), np.ones(2) * 2)}, base=1.5, alt=ALT)
    assert (figure.alt, figure.mime) == (ALT, "image/svg+xml")
