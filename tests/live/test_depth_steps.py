"""Depth against steps: the Python half, and what the figure teaches in the browser."""

import importlib.util
from pathlib import Path

import pytest
from live.harness import Move, Visit, assert_equal_numbers, write_page

from icl_lib.live import DepthSteps

SPEC = importlib.util.spec_from_file_location(
    "depth_case", Path(__file__).parent / "cases" / "depth_steps.py"
)
case = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(case)


@pytest.mark.parametrize("learner", case.LEARNERS)
@pytest.mark.parametrize("all_prompts", [False, True])
def test_errors_in_python_are_those_of_the_library(learner, all_prompts):
    figure = case.make()
    figure.all_prompts = all_prompts
    for steps in range(figure.last + 1):
        ours, theirs = figure.error(learner, steps), case.error(figure.state(), learner, steps)
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_no_learner_has_done_anything_before_the_first_step_but_newton():
    figure = case.make()
    assert {figure.error(name, 0) for name in case.LEARNERS if name != "Newton"} == {1.0}
    assert figure.error("Newton", 0) < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spectra": [[1.0, 0.0]]}, "all positive"),
        ({"constants": {"momentum": [[1.0, 0.0]]}}, "as many pairs for each"),
        ({"learner": "guessing"}, "learner must be one of"),
        ({"condition": 0.5}, "condition must be between"),
        ({"taken": 9}, "taken must be between 0 and 1"),
    ],
)
def test_bad_input_is_refused(change, message):
    pairs = {name: [[1.0, 0.0]] for name in case.LEARNERS[:3]}
    good = {"spectra": [[1.0, 2.0]], "constants": pairs, "taken": 1}
    DepthSteps(**good)
    with pytest.raises(ValueError, match=message):
        DepthSteps(**{**good, **change})


@pytest.mark.browser
@pytest.mark.parametrize("learner", case.LEARNERS)
def test_every_learner_shows_the_numbers_of_the_library(browser, tmp_path, learner):
    figure = case.make()
    figure.learner = learner
    visit = Visit(browser, write_page(tmp_path, figure).as_uri()).ready()
    for _ in range(2):
        assert_equal_numbers(visit.numbers(), case.reference(visit.state()))
        visit.press(Move("checkbox", "All prompts of the chapter, one set of constants", "Space"))
    assert visit.errors == []
    visit.close()


@pytest.mark.browser
def test_a_hundredfold_condition_costs_descent_many_steps_and_newton_few(browser, tmp_path):
    needed = {}
    for learner in ("gradient descent", "Newton"):
        figure = case.make()
        figure.learner, figure.condition = learner, 10.0
        visit = Visit(browser, write_page(tmp_path, figure).as_uri()).ready()
        before = visit.numbers()["to_percent"]
        visit.press(Move("slider", "Condition number κ", "ArrowRight", 40))
        assert visit.state()["condition"] == pytest.approx(1000)
        needed[learner] = before, visit.numbers()["to_percent"]
        visit.close()
    assert needed["gradient descent"][1] > 50 * needed["gradient descent"][0]
    # halving log κ per step is a constant number of steps per factor of 100: 2 log2(100) = 13.3
    assert needed["Newton"][1] - needed["Newton"][0] in (12, 13, 14, 15)
