"""Ability and similarity in training: what the figure refuses, and what it teaches."""

import importlib.util
from pathlib import Path

import pytest
from live.harness import Move, Visit, assert_equal_numbers, write_page

from icl_lib.live import SimilarityInTraining

SPEC = importlib.util.spec_from_file_location(
    "in_training_case", Path(__file__).parent / "cases" / "similarity_in_training.py"
)
case = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(case)

STEPS = [0, 10, 20]
RIGHT = {"plain": [[0.4, 0.4, 0.4], [0.4, 0.5, 0.4], [0.4, 0.9, 0.6]]}
THERE_AT_ONCE = {"plain": [[0.3, 0.3]] * 3}
GROWS = {"plain": [[0.0, 0.0], [0.1, 0.3], [0.4, 0.4]]}
NULL = {"independent": {"plain": [[0.1, 0.3]] * 3}}


def figure(**changed):
    given = {
        "steps": STEPS, "accuracies": RIGHT, "metrics": {"at once": THERE_AT_ONCE, "grows": GROWS},
        "nulls": {"at once": NULL, "grows": NULL},
    }  # fmt: skip
    return SimilarityInTraining(**given | changed)


def test_similarity_and_control_are_means_over_layers():
    found = figure(metric=1, moment=1)
    assert found.now() == pytest.approx((0.2, 0.2))
    assert "After 10 training steps" in found.sentence()
    assert "50 % in context" in found.sentence()
    assert "grows is 0.20, its largest control 0.20" in found.sentence()
    assert "at once is 0.30" in figure().sentence()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": [0, 20, 10]}, "steps must be at least two and increase"),
        ({"accuracies": {"plain": [[0.4, 0.4]] * 3}}, r"accuracies of plain must be \[3, 3\]"),
        ({"metrics": {}}, "0 similarities"),
        ({"nulls": {"at once": NULL}}, "grows needs 1 to 3 nulls"),
        ({"nulls": {"at once": NULL, "grows": {"x": {"plain": [[0.1]] * 3}}}}, r"x must be \[3, 2"),
        ({"metric": 2}, "metric must be below 2, got 2"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        figure(**changed)


@pytest.mark.browser
@pytest.mark.parametrize(("metric", "first"), [(0, 0), (1, 10)])
def test_says_which_came_first(browser, tmp_path, metric, first):
    visit = Visit(browser, write_page(tmp_path, figure(metric=metric)).as_uri()).ready()
    shown = visit.numbers()
    assert (shown["half_similarity"], shown["half_ability"]) == (first, 20)
    said = visit.page.inner_text(".icl-sentence")
    assert f"Half of this similarity is there by step {first}, half of the gain only" in said
    visit.close()


@pytest.mark.browser
def test_every_moment_and_choice_shows_the_numbers_of_torch(browser, tmp_path):
    visit = Visit(browser, write_page(tmp_path, case.made()).as_uri()).ready()
    for key in ("ArrowDown", "ArrowUp"):
        for _ in range(len(case.STEPS) - 1):
            visit.press(Move("slider", "Training step", "ArrowLeft"))
            assert_equal_numbers(visit.numbers(), case.reference(visit.state()))
        visit.press(Move("slider", "Training step", "End"))
        visit.press(Move("combobox", "Similarity", key))
        visit.press(Move("combobox", "Finetuning", key))
    assert visit.errors == []
    visit.close()
