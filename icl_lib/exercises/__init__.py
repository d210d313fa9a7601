"""Checkers for the exercises of the book, one module per chapter.

``check("ch05-momentum", my_function)`` tells how far a solution gets.
"""

import importlib
import pkgutil
from collections.abc import Callable

from icl_lib.exercises.core import Exercise, Report, StepFailed, run

__all__ = ["Exercise", "Report", "StepFailed", "catalogue", "check", "find"]


def catalogue() -> dict[str, Exercise]:
    """Return every exercise of the book by name.

    Raises
    ------
    ValueError
        If two chapters use the same name.
    """
    found: dict[str, Exercise] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name != "core"):
        for exercise in importlib.import_module(f"{__name__}.{module}").EXERCISES:
            if exercise.name in found:
                raise ValueError(f"two exercises are called {exercise.name!r}")
            found[exercise.name] = exercise
    return found


def find(name: str) -> Exercise:
    """Return the exercise called ``name``, loading only its own chapter's checkers.

    Raises
    ------
    KeyError
        If there is none; the message lists the names of that chapter, or of the book.
    """
    chapter = name.split("-")[0]
    modules = {m.name for m in pkgutil.iter_modules(__path__)} - {"core"}
    if chapter in modules:
        exercises = importlib.import_module(f"{__name__}.{chapter}").EXERCISES
    else:
        exercises = tuple(catalogue().values())
    by_name = {exercise.name: exercise for exercise in exercises}
    if name not in by_name:
        raise KeyError(f"no exercise is called {name!r}; there are {', '.join(sorted(by_name))}")
    return by_name[name]


def check(name: str, candidate: Callable) -> Report:
    """Check a reader's solution and return the report of its steps.

    Parameters
    ----------
    name
        Name of the exercise as the chapter gives it.
    candidate
        The function that the reader wrote. Raising ``NotImplementedError`` means "not yet".

    Raises
    ------
    StepFailed
        At the first step that does not hold; shown without a stack trace in a notebook.
    """
    report = run(find(name), candidate)
    if report.passed is False:
        raise StepFailed(repr(report))
    return report
