"""Schedules: the factor on the step size as a pure function of the step.

A schedule holds no state, so the place in it is the number of the step and nothing else; stopping
and resuming cannot lose it. Steps count from 0.

Explained in: 04_gradient_descent
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[int], float]
"""Anything that maps the number of the step to a factor on the step size."""


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


@dataclass(frozen=True)
class Constant:
    """The same step size throughout: factor ``value``."""

    value: float = 1.0

    def __call__(self, step: int) -> float:
        return self.value


@dataclass(frozen=True)
class Warmup:
    r"""Linear warm-up: factor :math:`(t + 1)/T` for the first ``steps`` steps, then ``then``.

    The schedule that follows starts its own count at 0.

    Attributes
    ----------
    steps
        T.
    then
        The schedule afterwards.
    """

    steps: int
    then: Schedule = Constant()

    def __post_init__(self):
        _at_least_one("steps", self.steps)

    def __call__(self, step: int) -> float:
        if step < self.steps:
            return (step + 1) / self.steps * self.then(0)
        return self.then(step - self.steps)


@dataclass(frozen=True)
class Cosine:
    r"""Half a cosine from 1 down to ``final``, which it keeps.

    .. math:: f + (1 − f)\,\tfrac12\,(1 + \cos(π\,t/T))

    Attributes
    ----------
    steps
        T, the step at which ``final`` is reached.
    final
        f, the factor at the end.

    Source: Loshchilov and Hutter 2017 (SGDR), eq. 5, without restarts.
    """

    steps: int
    final: float = 0.0

    def __post_init__(self):
        _at_least_one("steps", self.steps)

    def __call__(self, step: int) -> float:
        done = min(step / self.steps, 1.0)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class Polynomial:
    r"""From 1 down to ``final`` along a power; linear for power 1.

    .. math:: f + (1 − f)\,(1 − t/T)^p

    Attributes
    ----------
    steps
        T.
    power
        p.
    final
        f.
    """

    steps: int
    power: float = 1.0
    final: float = 0.0

    def __post_init__(self):
        _at_least_one("steps", self.steps)

    def __call__(self, step: int) -> float:
        left = 1 - min(step / self.steps, 1.0)
        return self.final + (1 - self.final) * left**self.power


@dataclass(frozen=True)
class Staircase:
    """Multiply by ``factor`` after every ``every`` steps."""

    every: int
    factor: float = 0.1

    def __post_init__(self):
        _at_least_one("every", self.every)

    def __call__(self, step: int) -> float:
        return self.factor ** (step // self.every)
