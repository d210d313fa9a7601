"""Figures on real models: both themes, what they show, and what they refuse."""

import re

import pandas as pd
import pytest

from icl_lib import plots
from icl_lib.meta.gathered import beside_paper

ALT = "A figure of the chapter on real models, drawn with made-up numbers for a test."


def texts(figure) -> int:
    assert figure.mime == "image/svg+xml"
    assert figure.light != figure.dark
    return len(re.findall(rb"<g id=\"text_\d+\">", figure.light))


def test_prompt_room_marks_every_context():
    tokens = {"sst2": (900, 60), "cb": (2700, 270)}
    one, two = (plots.prompt_room(tokens, c, alt=ALT) for c in ([1024], [1024, 2048]))
    assert texts(two) == texts(one) + 1


def test_cost_lines_name_every_data_set():
    table = pd.DataFrame({"sst2": [1.0, 7.0], "cb": [2.0, 3.0]}, index=["gpt2", "gpt2-xl"])
    few = plots.cost_lines(table[["sst2"]], label="hours", alt=ALT)
    more = plots.cost_lines(table, label="hours", alt=ALT)
    assert texts(more) == texts(few) + 1


def test_beside_paper_names_both_models_and_knows_its_quantities():
    table = beside_paper(None)
    three = table.assign(mine=table["paper, 1.3B"] + 1)
    drawn = [plots.beside_paper(t, "in-context, %", alt=ALT) for t in (table, three)]
    assert texts(drawn[1]) == texts(drawn[0]) + 1
    with pytest.raises(KeyError, match="the table has no 'speed'; it has zero-shot"):
        plots.beside_paper(table, "speed", alt=ALT)
