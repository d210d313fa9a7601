"""Figures on task diversity: both themes, what they show, and what they refuse."""

import re

import numpy as np
import pytest

from icl_lib import plots
from icl_lib.plots import task_diversity

ALT = "A figure of the chapter on task diversity, drawn with made-up numbers for a test."
SIZES = (4, 16, 64, None)
SEEDS = np.array([[0.6, 0.2, 0.05, 0.01], [0.5, 0.3, 0.04, 0.01], [0.7, 0.2, 0.06, 0.02]])
GAPS = np.array([[0.1, 0.3, 0.2, np.nan]] * 3)


def texts(figure) -> int:
    assert figure.mime == "image/svg+xml"
    assert figure.light != figure.dark
    return len(re.findall(rb"<g id=\"text_\d+\">", figure.light))


def test_rule_errors_show_a_table_when_there_is_one():
    errors = {"ridge": [0.4] * 3, "pool rule": [1.3, 1.1, 0.9]}
    given = ([4, 16, 64], errors, errors)
    plain = plots.rule_errors(*given, noise=0.03, alt=ALT)
    table = {"new": [1.3, 1.1, 0.9], "pool": [0.1, 0.2, 0.2]}
    assert texts(plots.rule_errors(*given, noise=0.03, table=table, alt=ALT)) == texts(plain) + 1


def test_distances_of_an_unlimited_pool_leave_a_gap_and_no_line_is_lost():
    curves = {"to ridge": SEEDS, "to the pool rule": GAPS}
    figure = plots.pool_distances(SIZES, {"new tasks": curves}, alt=ALT)
    with_null = plots.pool_distances(
        SIZES, {"new tasks": curves}, untrained={"new tasks": 0.9}, alt=ALT
    )
    assert texts(with_null) == texts(figure) + 1


def test_the_line_is_the_mean_of_the_seeds_that_there_are():
    values = np.array([[1.0, np.nan, np.nan], [3.0, 4.0, np.nan]])
    assert task_diversity._mean(values).tolist()[:2] == [2.0, 4.0]
    assert np.isnan(task_diversity._mean(values)[2])


def test_one_panel_for_each_pool_and_for_each_kind():
    run = {"to ridge": SEEDS[:, :3], "to the pool rule": SEEDS[:, 1:]}
    figure = plots.distances_in_training([0, 100, 1000], {"4": run, "16": run, "64": run}, alt=ALT)
    assert len(re.findall(rb"id=\"axes_\d+\"", figure.light)) == 3
    errors = {"network": SEEDS, "ridge": SEEDS + 0.1, "pool rule": GAPS}
    figure = plots.price_and_gain(SIZES, {"new tasks": errors, "pool": errors}, alt=ALT)
    assert len(re.findall(rb"id=\"axes_\d+\"", figure.light)) == 2


def test_unknown_distance_and_missing_sentence_are_refused():
    with pytest.raises(KeyError, match="to nothing"):
        plots.pool_distances(SIZES, {"new tasks": {"to nothing": SEEDS}}, alt=ALT)
    with pytest.raises(ValueError, match="alt must be a sentence"):
        plots.pool_distances(SIZES, {"new tasks": {"to ridge": SEEDS}}, alt="plot")
