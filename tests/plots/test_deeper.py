"""Figures on depth: both themes, what they show, and what they refuse."""

import re

import numpy as np
import pytest

from icl_lib import plots

ALT = "A figure of the chapter on depth, drawn with made-up numbers for a test."


def texts(figure) -> int:
    assert figure.mime == "image/svg+xml"
    assert figure.light != figure.dark
    return len(re.findall(rb"<g id=\"text_\d+\">", figure.light))


def test_missing_shares_has_a_panel_for_each_learner():
    x = np.linspace(0, 1, 20)
    panels = {name: {"1 step": 1 - x, "2 steps": (1 - x) ** 2} for name in ("GD++", "Newton")}
    figure = plots.missing_shares(x, panels, alt=ALT)
    assert len(re.findall(rb"id=\"axes_\d+\"", figure.light)) == 2


def test_decay_names_every_learner():
    one = {"Newton": ([1, 2, 3], [0.5, 0.1, 1e-3])}
    two = {**one, "gradient descent": ([1, 2, 3], [0.5, 0.4, 0.3])}
    assert texts(plots.decay(two, alt=ALT)) == texts(plots.decay(one, alt=ALT)) + 1


def test_errors_by_depth_has_a_line_for_each_reference():
    trained = np.array([[0.9, 0.6], [0.95, 0.62]])
    one = {"GD++": [0.9, 0.6]}
    two = {**one, "momentum": [1.1, 0.9]}
    drawn = [plots.errors_by_depth([2, 3], r, trained, zero=3.3, alt=ALT) for r in (one, two)]
    assert texts(drawn[1]) == texts(drawn[0]) + 1


def test_gains_names_every_curve():
    curves = {"optimum": ([0.2, 1.0], [2.0, 0.8]), "identity": ([0.2, 1.0], [1.0, 1.0])}
    learned = np.array([[2.0, 0.8], [1.9, 0.8]])
    few = dict(list(curves.items())[:1])
    drawn = [plots.gains([0.2, 1.0], learned, c, alt=ALT) for c in (few, curves)]
    assert texts(drawn[1]) == texts(drawn[0]) + 1


def test_layer_heat_has_a_panel_for_each_learner_and_a_bar():
    panels = {"Newton": np.eye(3), "gradient descent": np.eye(3)}
    figure = plots.layer_heat(
        panels, [[0, 1, 2], [1, 4, 16]], ["a", "b", "c"], best=[[0, 1, 2]] * 2, alt=ALT
    )
    assert len(re.findall(rb"id=\"axes_\d+\"", figure.light)) == 3


def test_figures_want_a_sentence():
    with pytest.raises(ValueError, match="alt must be a sentence"):
        plots.decay({"Newton": ([1], [0.5])}, alt="plot")
