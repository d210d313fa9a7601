"""Figures of the gradient-descent chapter draw the numbers that they were given."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from icl_lib import plots

ALT = "A walk down a valley with a few points."


def drawn(function, *args, **options):
    fig = Figure(layout="constrained")
    function.__wrapped__(fig, "light", *args, **options)
    return fig


def test_tangent_has_the_slope_and_touches_the_curve():
    grid = np.linspace(0, 4, 9)
    (axes,) = drawn(plots.taste_curve, grid, (grid - 2) ** 2, {"low": (1.0, 1.0, -2.0)}).axes
    tangent = axes.lines[1]
    slope = np.diff(tangent.get_ydata()) / np.diff(tangent.get_xdata())
    assert slope == pytest.approx([-2.0])
    assert np.interp(1.0, tangent.get_xdata(), tangent.get_ydata()) == pytest.approx(1.0)


def test_a_zero_error_is_drawn_at_the_smallest_one_and_not_left_out():
    (axes,) = drawn(plots.difference_error, [0.1, 0.2, 0.3], {"c": [0.0, 1e-9, 1e-3]}).axes
    assert axes.lines[0].get_ydata().tolist() == [1e-9, 1e-9, 1e-3]


def test_race_marks_the_median_of_each_rule():
    results = {"bowl": {"plain": [1.0, 5.0, 100.0], "Adam": [3.0, 4.0, 4.5]}}
    (axes,) = drawn(plots.rule_race, results).axes
    assert [line.get_xdata()[0] for line in axes.lines[1::2]] == [5.0, 4.0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["bowl"]


def test_each_walk_has_its_panel_and_the_minimum_is_marked():
    x, y = np.meshgrid(np.linspace(0, 2, 9), np.linspace(0, 3, 9))
    walk = np.array([[0.0, 0.0], [1.0, 1.5]])
    fig = drawn(
        plots.valley_walks, (x, y, (x - 1) ** 2 + (y - 1) ** 2), {"a": walk, "b": walk}, [1, 1]
    )
    assert [axes.get_title() for axes in fig.axes] == ["a", "b"]
    for axes in fig.axes:
        assert axes.lines[0].get_xydata().tolist() == walk.tolist()
        assert axes.lines[1].get_xydata().tolist() == [[1.0, 1.0]]
        assert (axes.get_xlim(), axes.get_ylim()) == ((0, 2), (0, 3))


def test_every_step_size_worth_a_line_gets_one():
    etas = np.linspace(0, 1, 5)
    marks = {"best": 0.4, "limit": 0.6}
    (axes,) = drawn(plots.shrink_factors, etas, {"flat": 1 - etas}, marks).axes
    assert [line.get_xdata()[0] for line in axes.lines[-2:]] == [0.4, 0.6]
    assert {t.get_text().strip() for t in axes.texts} == set(marks)


def test_figures_of_walks_and_losses_need_alt_text():
    with pytest.raises(TypeError, match="alt"):
        plots.descent_losses({"a": [1.0, 0.1]})
    with pytest.raises(ValueError, match="alt must be a sentence"):
        plots.bowl_walks(([0, 1], [0, 1]), {"a": ([0], [0])}, alt="walks")
    figure = plots.descent_losses({"a": [1.0, 0.1]}, alt=ALT)
    assert (figure.alt, figure.mime) == (ALT, "image/svg+xml")
