"""Figures of a comparison, by name: what they draw, what their sentence says, what they refuse."""

import re

import numpy as np
import pandas as pd
import pytest

from icl_lib.meta.result import Result, make_table
from icl_lib.plots import results

METRICS = (
    "accuracy_zero_shot", "accuracy_finetuned", "accuracy_in_context", "rec2ftp",
    "rec2ftp_base_rate", "simaou", "simaou_raw", "simam_before", "simam", "simam_change",
    "simam_centred_before", "simam_centred", "simam_change_centred", "kendall_published",
    "kendall_a_query", "kendall_a_input", "kendall_a_error",
)  # fmt: skip
TASKS = ("lab-sst2", "lab-cb")


def rows(metric, value, *, control="none", position="prediction", tasks=TASKS, lr=0.1):
    for t, task in enumerate(tasks):
        for seed in (0, 1):
            for layer in (None, 0, 1, 2):
                yield {
                    "model": "m", "task": task, "seed": seed, "lr": lr, "position": position,
                    "descent": "plain", "control": control, "metric": metric, "layer": layer,
                    "value": value + 0.1 * t + 0.02 * seed + 0.01 * (layer or 0), "n": 8,
                }  # fmt: skip


@pytest.fixture(scope="module")
def result():
    table = [row for i, m in enumerate(METRICS) for row in rows(m, 0.02 * i)]
    table += [*rows("simaou", 0.5, control="uniform"), *rows("kendall_b_query", 0, control="noise")]
    table += [*rows("simaou", 0.7, position="published"), *rows("simaou", 0.4, control="untrained")]
    return Result(make_table(table), pd.DataFrame(), {})


def texts(figure) -> int:
    assert figure.light != figure.dark
    return len(re.findall(rb"<g id=\"text_\d+\">", figure.light))


@pytest.mark.parametrize("name", [n for n in results.NAMES if n != "paper"])
def test_every_figure_is_drawn_with_its_numbers_in_words(result, name):
    figure = results.plot(result, name)
    assert len(re.findall(r"-?\d+\.\d\d", figure.alt)) >= 3
    assert figure.alt.endswith(".")
    assert results.plot(result, name, alt="A sentence of four words.").alt.startswith("A sentence")


def test_numbers_are_by_seed_and_task_at_the_position_asked_for(result):
    table = results.by_task(result, "simaou")
    assert list(table.columns) == list(TASKS)
    first = 0.02 * METRICS.index("simaou")
    np.testing.assert_allclose(table, [[first, first + 0.1], [first + 0.02, first + 0.12]])
    late = results.by_task(result, "simaou", position="published")
    assert late.loc[0, "lab-sst2"] == pytest.approx(0.7)
    assert "published sst2 0.11, cb 0.21" in results.plot(result, "simaou").alt
    assert "itself 0.76, 0.77, 0.78" in results.plot(result, "by_layer", position="published").alt


def test_layers_and_controls_have_their_own_lines(result):
    one = results.plot(result, "by_layer", metric="simaou")
    two = results.plot(result, "by_layer", metric="simaou", controls=("none", "untrained"))
    assert texts(two) == texts(one) + 1
    assert "untrained" in two.alt
    words = results.plot(result, "controls", metric="simaou").alt
    for part in ("itself 0.16", "uniform 0.56", "untrained 0.46"):
        assert part in words
    assert "noise" not in words


def test_the_paper_stands_beside_ours(result):
    figure = results.plot(result, "paper", quantity="in-context")
    assert "1.3B sst2 92.70, cb 57.10" in figure.alt
    assert "ours sst2 5.00, cb 15.00" in figure.alt
    assert results.ours(result, "simaou-random").loc[1, "cb"] == pytest.approx(0.62)


def test_a_result_without_a_part_of_the_paper_is_refused():
    table = make_table(rows("simaou", 0.1, tasks=("sick",)))
    with pytest.raises(KeyError, match="plays a part"):
        results.plot(Result(table, pd.DataFrame(), {}), "paper", quantity="simaou")


def test_what_is_not_there_is_told(result):
    with pytest.raises(KeyError, match="there is no figure 'x'; there are accuracy"):
        results.plot(result, "x")
    with pytest.raises(KeyError, match="the paper has no 'x'"):
        results.ours(result, "x")
    with pytest.raises(KeyError, match="there is prediction, published"):
        results.by_task(result, "simaou", position="first")
    alone = Result(make_table(rows("simaou", 0.1)), pd.DataFrame(), {})
    with pytest.raises(KeyError, match="nothing for the figure 'kendall'"):
        results.plot(alone, "kendall")
    both = Result(
        make_table([*rows("simaou", 0.1), *rows("simaou", 0.1, lr=0.2)]), alone.examples, {}
    )
    with pytest.raises(ValueError, match=r"step sizes \[0.1, 0.2\]"):
        results.by_task(both, "simaou")


def test_a_figure_is_written_with_its_own_ending(result, tmp_path):
    path = results.write(result, "simaou", tmp_path / "sub" / "figure.parquet")
    assert path.name == "figure.svg"
    assert path.read_bytes() == results.plot(result, "simaou").light


def test_curves_of_shots_and_step_sizes():
    curves = {"model": np.array([[0.4, 0.8], [0.5, 0.9]]), "best reader": np.ones((2, 2))}
    alt = "A figure of this test, with made-up numbers."
    assert texts(results.shots((0, 4), curves, chance=0.4, alt=alt)) >= 7
    found = {0.01: 0.5, 0.1: 0.6}
    drawn = results.step_sizes(found, {"sst2": found, "cb": found}, chosen=0.1, alt=alt)
    fewer = results.step_sizes(found, {"sst2": found}, chosen=0.1, alt=alt)
    assert texts(drawn) == texts(fewer) + 1
