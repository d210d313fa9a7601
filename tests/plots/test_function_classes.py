"""Figures on function classes: both themes, what is drawn, and what is refused."""

import re

import numpy as np
import pytest

from icl_lib import plots

ALT = "A figure of the chapter on function classes, drawn with made-up numbers for a test."


def count(figure, pattern: bytes) -> int:
    assert figure.mime == "image/svg+xml"
    assert figure.light != figure.dark
    return len(re.findall(pattern, figure.light))


def curves(seeds: int = 3):
    return {"GPT": np.ones((seeds, 6)), "least squares": np.linspace(1, 0.1, 6)}


def test_errors_have_a_panel_for_each_class():
    figure = plots.class_errors({"linear": curves(), "trees": curves(1)}, alt=ALT)
    assert count(figure, rb"id=\"axes_\d+\"") == 2


def test_a_closed_form_and_a_mark_add_lines():
    plain = plots.class_errors({"linear": curves()}, alt=ALT, log=True, limits=(0.01, 3))
    more = plots.class_errors(
        {"linear": curves()}, exact={"linear": np.linspace(1.2, 0.2, 6)}, dimension=5, log=True,
        limits=(0.01, 3), alt=ALT,
    )  # fmt: skip
    lines = rb"<g id=\"line2d_\d+\">"
    assert count(more, lines) >= count(plain, lines) + 2


def test_an_unknown_learner_is_refused():
    with pytest.raises(KeyError, match="oracle"):
        plots.class_errors({"linear": {"oracle": np.ones(4)}}, alt=ALT)


def test_every_distance_is_written_and_every_row_has_one_frame():
    rows = {"1 layer": [0.5, 0.25, 0.125], "2 layers": [0.4, 0.01, 0.02]}
    figure = plots.algorithm_distances(["one", "two", "three"], rows, alt=ALT)
    assert count(figure, rb"<g id=\"text_\d+\">") == 3 + 2 + 6
    fewer = plots.algorithm_distances(["one"], {"1 layer": [0.5]}, alt=ALT)
    patches = rb"<g id=\"patch_\d+\">"
    assert count(figure, patches) == count(fewer, patches) + 1


@pytest.mark.parametrize("row", [[0.5, 0.2], [0.5, 0.2, 0.0], [0.5, 0.2, -1.0]])
def test_a_distance_too_few_or_not_positive_is_refused(row):
    with pytest.raises(ValueError, match="expected 3 positive distances in each of 1 rows"):
        plots.algorithm_distances(["one", "two", "three"], {"1 layer": row}, alt=ALT)


def test_valleys_take_marks_and_at_most_three_networks():
    penalties = np.geomspace(0.01, 1, 5)
    one = {"a": np.array([3.0, 2.0, 1.0, 2.0, 3.0])}
    plain = plots.penalty_valleys(penalties, one, alt=ALT)
    marked = plots.penalty_valleys(penalties, one, marks={"σ²/τ²": 0.25}, alt=ALT)
    texts = rb"<g id=\"text_\d+\">"
    assert count(marked, texts) == count(plain, texts) + 1
    many = dict.fromkeys("abcd", one["a"])
    with pytest.raises(ValueError, match="at most 3 networks, got 4"):
        plots.penalty_valleys(penalties, many, alt=ALT)
