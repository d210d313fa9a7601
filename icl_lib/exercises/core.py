"""Checking what a reader wrote, one term at a time.

An exercise is a list of steps. Each step switches on one more term of the task, so the first
step that fails names what is missing.
"""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


class StepFailed(AssertionError):
    """A step of an exercise did not hold; the message says what was expected and what came."""

    def _render_traceback_(self) -> list[str]:  # IPython shows this instead of a stack trace
        return [str(self)]


@dataclass(frozen=True)
class Step:
    """One requirement: a sentence and a function that raises :class:`AssertionError` if unmet."""

    requirement: str
    test: Callable[[Callable], None]


@dataclass(frozen=True)
class Exercise:
    """An exercise with its checker, a solution that passes and solutions that must not.

    Attributes
    ----------
    name
        ``chNN-word``, the name that the chapter passes to :func:`check`.
    goal
        One sentence.
    steps
        In the order in which a reader's solution grows.
    reference
        A correct solution.
    wrong
        Typical mistakes: a label and the solution that makes it.
    """

    name: str
    goal: str
    steps: tuple[Step, ...]
    reference: Callable
    wrong: Mapping[str, Callable]


@dataclass(frozen=True)
class Report:
    """What :func:`check` found; ``passed`` is ``None`` when nothing was attempted yet."""

    name: str
    lines: tuple[str, ...]
    passed: bool | None

    def __repr__(self) -> str:
        return "\n".join(self.lines)


def expect_close(actual: object, expected: Tensor, *, tolerance: float = 1e-9, what: str) -> None:
    """Raise :class:`AssertionError` unless ``actual`` equals ``expected`` to ``tolerance``.

    The comparison is relative to the largest entry of ``expected`` (at least 1), in float64.
    """
    if not isinstance(actual, Tensor):
        try:
            actual = torch.as_tensor(actual)
        except (TypeError, ValueError, RuntimeError):
            raise AssertionError(
                f"{what}: expected a tensor, got {type(actual).__name__}"
            ) from None
    if actual.shape != expected.shape:
        raise AssertionError(
            f"{what}: expected shape {tuple(expected.shape)}, got {tuple(actual.shape)}"
        )
    a, b = actual.detach().double(), expected.detach().double()
    gap = (a - b).abs().max().item() if b.numel() else 0.0
    scale = max(1.0, b.abs().max().item()) if b.numel() else 1.0
    if not gap <= tolerance * scale:
        raise AssertionError(
            f"{what}: largest difference {gap:.3g}, allowed {tolerance * scale:.1g}"
        )


def run(exercise: Exercise, candidate: Callable) -> Report:
    """Try ``candidate`` on every step; stop at the first that fails, without raising."""
    lines = [f"{exercise.name}: {exercise.goal}"]
    for number, step in enumerate(exercise.steps, start=1):
        place = f"step {number} of {len(exercise.steps)}, {step.requirement}"
        try:
            step.test(candidate)
        except NotImplementedError:
            state = "not attempted yet" if number == 1 else "not finished yet"
            return Report(exercise.name, (*lines, f"  … {place}: {state}"), None)
        except AssertionError as problem:
            return Report(exercise.name, (*lines, f"  ✗ {place}\n    {problem}"), False)
        except Exception as problem:
            where = traceback.extract_tb(problem.__traceback__)[-1]
            told = f"{type(problem).__name__}: {problem} (line {where.lineno} of {where.name})"
            return Report(exercise.name, (*lines, f"  ✗ {place}\n    raised {told}"), False)
        lines.append(f"  ✓ {step.requirement}")
    return Report(exercise.name, (*lines, "  All steps hold."), True)
