"""Figures on limits: both themes, a panel for each measure, and what they refuse."""

import re

import numpy as np
import pytest

from icl_lib import plots

ALT = "A figure of the chapter on limits, drawn with made-up numbers for a test."
XS = (0.5, 1.0, 2.0)


def count(figure, pattern: bytes) -> int:
    assert figure.mime == "image/svg+xml"
    assert figure.light != figure.dark
    return len(re.findall(pattern, figure.light))


def panel(**options):
    lines = {"GPT": np.ones((3, 3)), "ridge": np.full(3, 0.5)}
    return plots.Curves("input scale α", XS, lines, **options)


def test_curves_have_a_panel_each_and_a_line_more_for_a_closed_form():
    both = plots.shift_curves([panel(), panel(log=True, limits=(0.1, 10))], alt=ALT)
    assert count(both, rb"id=\"axes_\d+\"") == 2
    fine = {"exact": {"ridge": np.full(5, 0.5)}, "fine": [0.5, 0.7, 1.0, 1.4, 2.0]}
    exact = plots.shift_curves([panel(**fine)], alt=ALT)
    plain = plots.shift_curves([panel()], alt=ALT)
    texts = rb"<g id=\"text_\d+\">"
    assert count(exact, texts) == count(plain, texts) + 1


def test_marks_are_written():
    marked = plots.shift_curves([panel(marks={"as trained": 1.0})], alt=ALT)
    texts = rb"<g id=\"text_\d+\">"
    assert count(marked, texts) == count(plots.shift_curves([panel()], alt=ALT), texts) + 1


def test_rows_have_a_panel_for_each_measure():
    panels = {"error": {"GPT": np.ones((3, 2))}, "distance": {"ridge": [1.0, np.nan]}}
    figure = plots.measure_rows(["a", "b"], panels, log=["error"], alt=ALT)
    assert count(figure, rb"id=\"axes_\d+\"") == 2


def test_a_row_without_a_value_is_refused():
    with pytest.raises(ValueError, match="error, GPT: 2 values for 3 rows"):
        plots.measure_rows(["a", "b", "c"], {"error": {"GPT": [1.0, 2.0]}}, alt=ALT)
