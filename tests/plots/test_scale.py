"""Figures on scale: both themes, what they show, and what they refuse."""

import re

import numpy as np
import pytest

from icl_lib import plots

ALT = "A figure of the chapter on scale, drawn with made-up numbers for a test."
SIZES = np.array([1e3, 1e4, 1e5])


def texts(figure) -> int:
    assert figure.mime == "image/svg+xml"
    assert figure.light != figure.dark
    return len(re.findall(rb"<g id=\"text_\d+\">", figure.light))


def drawn(**marks):
    losses = 2 + np.array([[0.9, 0.5, 0.2], [1.0, 0.5, 0.25]])
    laws = {"floor known": (SIZES, losses.mean(0)), "no floor": (SIZES, losses.mean(0) + 0.1)}
    return plots.scaling_law(SIZES, losses, 2.0, laws, alt=ALT, **marks)


def test_scaling_law_names_every_law_and_mark():
    assert texts(drawn(marks={"one word": 2.6})) == texts(drawn()) + 1


def test_few_shot_has_a_line_for_each_size_and_null():
    accuracies = {name: np.full((3, 4), 0.5) for name in ("s", "m", "l")}
    best, shots = [0.25, 0.5, 0.7, 1.0], [0, 1, 2, 4]
    plain = plots.few_shot(shots, accuracies, best, 0.25, alt=ALT)
    both = plots.few_shot(shots, accuracies, best, 0.25, nulls={"random": [0.25] * 4}, alt=ALT)
    assert texts(both) == texts(plain) + 1


def test_appearance_and_metrics_have_a_panel_for_each_quantity():
    steps = [0, 100, 200]
    curves = {"s": np.ones((3, 3)), "l": np.zeros((3, 3))}
    figure = plots.appearance(steps, {"loss": curves, "score": curves}, alt=ALT)
    assert len(re.findall(rb"id=\"axes_\d+\"", figure.light)) == 2
    panels = {"a": np.ones((3, 3)), "b": np.ones((3, 3)), "c": np.ones((3, 3))}
    figure = plots.two_metrics(SIZES, panels, chance={"a": 0.5}, alt=ALT)
    assert len(re.findall(rb"id=\"axes_\d+\"", figure.light)) == 3


def test_figures_want_a_sentence():
    with pytest.raises(ValueError, match="alt must be a sentence"):
        plots.appearance([0, 1], {"loss": {"s": [1, 2]}}, alt="plot")
