"""Every exercise: its reference passes, its wrong solutions fail, a stub is no failure."""

import pytest

from icl_lib import exercises
from icl_lib.exercises.core import Exercise, Step, expect_close, run

CATALOGUE = exercises.catalogue()
WRONG = [(name, label) for name, e in CATALOGUE.items() for label in e.wrong]


def stub(*args, **kwargs):
    raise NotImplementedError


@pytest.mark.parametrize("name", CATALOGUE)
def test_reference_solution_passes(name):
    report = exercises.check(name, CATALOGUE[name].reference)
    assert report.passed is True
    assert len(report.lines) == len(CATALOGUE[name].steps) + 2


@pytest.mark.parametrize(("name", "label"), WRONG)
def test_wrong_solution_fails_at_a_named_step(name, label):
    with pytest.raises(exercises.StepFailed, match="✗ step"):
        exercises.check(name, CATALOGUE[name].wrong[label])


@pytest.mark.parametrize("name", CATALOGUE)
def test_stub_is_reported_as_not_attempted(name):
    report = exercises.check(name, stub)
    assert report.passed is None
    assert "not attempted yet" in repr(report)


@pytest.mark.parametrize("name", CATALOGUE)
def test_exercise_has_two_wrong_solutions_and_graded_steps(name):
    exercise = CATALOGUE[name]
    assert len(exercise.wrong) >= 2
    assert len(exercise.steps) >= 2


def test_wrong_solutions_fail_at_more_than_one_step_overall():
    first = {name: set() for name in CATALOGUE}
    for name, label in WRONG:
        first[name].add(len(run(CATALOGUE[name], CATALOGUE[name].wrong[label]).lines))
    assert any(len(places) > 1 for places in first.values())


def test_unknown_exercise_lists_the_known_ones():
    with pytest.raises(KeyError, match="no exercise is called 'ch99-none'"):
        exercises.check("ch99-none", stub)


def test_error_inside_the_solution_is_told_with_its_line():
    def broken(x):
        return x.no_such_attribute

    exercise = Exercise("ch00-x", "g", (Step("s", lambda f: f(1)),), stub, {})
    assert "no_such_attribute" in repr(run(exercise, broken))


def test_expect_close_names_shapes_and_gap():
    import torch

    with pytest.raises(AssertionError, match=r"expected shape \(2,\), got \(3,\)"):
        expect_close(torch.zeros(3), torch.zeros(2), what="w")
    with pytest.raises(AssertionError, match=r"largest difference 0\.5"):
        expect_close(torch.tensor([0.5]), torch.zeros(1), what="w")
    with pytest.raises(AssertionError, match="largest difference nan"):
        expect_close(torch.tensor([float("nan")]), torch.zeros(1), what="w")
