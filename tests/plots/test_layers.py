"""Figures of the chapter on layers: both themes, and everything they are given is drawn."""

import re

import numpy as np
import pytest

from icl_lib import plots

ALT = "A figure of the chapter on layers, drawn with made-up numbers for a test."
RISE = np.array([0.1, 0.2, 0.3])
LINE = (RISE, RISE / 10)


def count(figure, what: str) -> int:
    assert figure.mime == "image/svg+xml"
    assert figure.light != figure.dark
    return len(re.findall(rf'<g id="{what}_\d+">'.encode(), figure.light))


def test_information_flow_writes_every_entry_and_shows_zero_as_white():
    flow = np.array([[0.0, 0.2, 0.4], [0.0, 0.0, 0.3]])
    drawn = plots.information_flow({"a": flow, "b": flow}, ["block 0", "readout"], alt=ALT)
    assert count(drawn, "axes") == 2
    one = plots.information_flow({"a": flow}, ["block 0", "readout"], alt=ALT)
    # a second panel brings six entries, three ticks, a title and a label
    assert count(drawn, "text") - count(one, "text") == 6 + 3 + 2


def test_similarity_by_layer_has_a_panel_a_metric_and_names_every_line():
    ways = {"plain": LINE, "layer-causal": LINE}
    one = plots.similarity_by_layer({"raw": ways}, {"raw": {"noise": RISE}}, alt=ALT)
    bare = plots.similarity_by_layer({"raw": ways}, alt=ALT)
    two = plots.similarity_by_layer({"raw": ways, "published": ways}, alt=ALT)
    assert (count(one, "axes"), count(two, "axes")) == (1, 2)
    assert count(one, "text") > count(bare, "text")


def test_similarity_by_task_names_every_task():
    ways = {"plain": LINE}
    drawn = [
        plots.similarity_by_task({"raw": ways}, names, alt=ALT)
        for names in (["one", "two", "three"], ["one", "two", ""])
    ]
    assert drawn[0].light != drawn[1].light
    nulls = plots.similarity_by_task({"raw": ways}, list("abc"), {"raw": {"noise": RISE}}, alt=ALT)
    assert count(nulls, "text") == count(drawn[0], "text") + 1


def test_head_cosines_has_a_panel_a_layer_and_a_row_a_partner():
    dots = np.linspace(-0.5, 0.5, 24).reshape(3, 8)
    options = {"spread": 0.06, "xlabel": "cosine", "alt": ALT}
    two = plots.head_cosines({"own": dots, "rotated": dots / 5}, **options)
    assert count(two, "axes") == 3
    for words in (b"own", b"rotated", b"cosine", b"layer 2"):
        assert two.light.count(b"<!-- " + words + b" -->") == 1


def test_update_shapes_writes_the_rank_of_every_update():
    spectrum = np.array([[1.0, 0.1, 0.01]] * 2)
    given = {"in context": spectrum, "finetuned": spectrum / 2}
    ranks = {name: [1.5, 2.5] for name in given}
    other = {name: [1.5, 3.5] for name in given}
    drawn = [plots.update_shapes(given, ranks=r, alt=ALT).light for r in (ranks, other)]
    assert drawn[0] != drawn[1]


def test_similarity_in_training_has_a_panel_for_each_share_and_metric():
    panels = {"raw": {"measured": LINE, "another query": LINE}}
    shares = {"accuracy": {"zero-shot": RISE}, "mass": {"in-context": RISE}}
    drawn = plots.similarity_in_training([0, 500, 4000], shares, panels, alt=ALT)
    # three panels, and a place in the grid that stays empty
    titles = [b"accuracy", b"mass", b"raw", b"another query", b"zero-shot"]
    assert [drawn.light.count(b"<!-- " + t + b" -->") for t in titles] == [1] * 5
    assert drawn.light.count(b"<!-- 4,000 -->") == 3


def test_figures_want_a_sentence():
    with pytest.raises(ValueError, match="alt must be a sentence"):
        plots.similarity_by_layer({"raw": {"plain": LINE}}, alt="plot")
