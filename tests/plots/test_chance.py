"""Figures on chance: both themes, a mark for each number, words for each verdict."""

import re

import pytest

from icl_lib import plots

ALT = "A figure of the chapter on chance, drawn with made-up numbers for a test."
TEXTS = rb"<g id=\"text_\d+\">"


def count(figure, pattern: bytes) -> int:
    assert figure.mime == "image/svg+xml"
    assert figure.light != figure.dark
    return len(re.findall(pattern, figure.light))


def panel(**options):
    return plots.NullPanel("t", "x", [1, 2, 3], [0.1, 0.2, 0.3], [1, 2], [0.1, 0.2], **options)


def test_each_null_has_a_panel_and_published_levels_a_line_in_the_legend():
    levels = {"1.3B": ([1, 2], [0.1, 0.2]), "2.7B": ([1], [0.3])}
    plain = plots.null_curves([panel(), panel(log=True, ticks=(1, 3))], alt=ALT)
    assert count(plain, rb"id=\"axes_\d+\"") == 2
    marked = plots.null_curves([panel(ticks=(1, 3), levels=levels)], alt=ALT)
    bare = plots.null_curves([panel(ticks=(1, 3))], alt=ALT)
    assert count(marked, TEXTS) == count(bare, TEXTS) + 2


def test_retreat_names_every_length():
    one = plots.retreat([1.0], alt=ALT)
    two = plots.retreat([0.5, 1.0], alt=ALT)
    assert count(two, TEXTS) == count(one, TEXTS) + 1


def test_base_rates_have_a_panel_for_each_model():
    row = plots.RateRow("sst2", 0.9, (0.8, 1.0), (0.7, 1.0), 0.85)
    figure = plots.base_rates({"1.3B": [row], "2.7B": [row, row]}, alt=ALT)
    assert count(figure, rb"id=\"axes_\d+\"") == 2
    with pytest.raises(KeyError, match=r"9B"):
        plots.base_rates({"9B": [row]}, alt=ALT)


def test_controls_have_a_dot_for_each_task_and_a_stroke_for_their_mean():
    rows = {"itself": ([0.4, 0.5, 0.6], None), "noise": ([0.0, 0.1, 0.05], "survives")}
    few = {"itself": ([0.4, 0.6], None), "noise": ([0.0, 0.1], "survives")}
    uses = rb"<use xlink:href"
    three = plots.control_rows({"a": rows}, alt=ALT)
    two = plots.control_rows({"a": few}, alt=ALT)
    assert count(three, uses) == count(two, uses) + 2
    with pytest.raises(KeyError, match="perhaps"):
        plots.control_rows({"a": {"x": ([1.0], "perhaps")}}, alt=ALT)


def test_grid_has_words_in_each_cell_and_a_dash_where_nothing_is():
    cells = {("a", "x"): ("not shown", "90 %"), ("b", "y"): ("in part", "60 %")}
    figure = plots.survival_grid(["a", "b"], ["x", "y"], cells, alt=ALT)
    more = cells | {("a", "y"): ("survives", "1 %")}
    assert count(figure, TEXTS) == 4 + 2 * 2 + 2
    assert count(plots.survival_grid(["a", "b"], ["x", "y"], more, alt=ALT), TEXTS) == 4 + 3 * 2 + 1


def test_bars_have_two_parts_in_each_panel():
    one = plots.split_bars(["a"], {"raw": ([0.1], [0.2])}, alt=ALT)
    two = plots.split_bars(["a", "b"], {"raw": ([0.1, 0.2], [0.2, -0.1])}, alt=ALT)
    patches = rb"id=\"patch_\d+\""
    assert count(two, patches) == count(one, patches) + 2
    panels = {"raw": ([0.1], [0.2]), "published": ([0.3], [0.1])}
    assert count(plots.split_bars(["a"], panels, alt=ALT), rb"id=\"axes_\d+\"") == 2
