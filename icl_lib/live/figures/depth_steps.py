"""Depth against steps: five learners on one spectrum, and what trained networks reach."""

import math
from collections.abc import Mapping, Sequence

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure, plain

LEARNERS = ("gradient descent", "momentum", "GD++", "Newton", "conjugate gradient")
TUNED = LEARNERS[:3]
INKS = {
    "gradient descent": "key",
    "momentum": "value",
    "GD++": "query",
    "Newton": "error",
    "conjugate gradient": "gold",
}
SCALE = 1.9
FLOOR = 1e-8


class DepthSteps(BookFigure):
    """Error against steps for five learners, and what each step leaves of every direction.

    ::

        error(t) = mean over prompts and directions of r_t(λ)²,   1 before the first step

    Two kinds of inputs can be chosen. *One prompt*: d eigenvalues, evenly spaced in their
    logarithm between 1/κ and 1, and every learner has the best constants for this prompt.
    *All prompts*: a sample of spectra, and constants that are the same for all of them, as those in
    a network's weights must be. Newton and conjugate gradient measure each prompt and need none.
    Conjugate gradient is asked about a weight vector with equal shares of all directions.

    Parameters
    ----------
    spectra
        Eigenvalues of (1/N) XᵀX for a sample of prompts, ``[prompts, d]``, positive.
    constants
        For gradient descent, momentum and GD++: (η, μ or Nγ) shared by t steps, for t = 1, 2, …
    trained
        Depth and measured error of trained networks, relative to the zero guess; several may share
        one depth.
    condition
        κ at the start, from 1 to 1,000.
    learner, taken
        What is picked out at the start, and after how many steps.
    all_prompts
        Start with all prompts.

    Raises
    ------
    ValueError
        If shapes do not fit or a number is out of range.

    Explained in: 12_deeper
    """

    _module = "depth_steps"
    spectra = t.List().tag(sync=True)
    constants = t.Dict().tag(sync=True)
    trained = t.List().tag(sync=True)
    condition = t.Float(10.0).tag(sync=True)
    learner = t.Unicode("GD++").tag(sync=True)
    taken = t.Int(3).tag(sync=True)
    all_prompts = t.Bool(False).tag(sync=True)

    def __init__(
        self,
        spectra,
        constants: Mapping[str, Sequence[Sequence[float]]],
        trained: Sequence[Sequence[float]] = (),
        *,
        condition: float = 10.0,
        learner: str = "GD++",
        taken: int = 3,
        all_prompts: bool = False,
    ):
        spectra, constants = plain(spectra, "spectra"), plain(dict(constants), "constants")
        _check(spectra, constants, condition, learner, taken)
        super().__init__(
            spectra=spectra, constants=constants, trained=plain(list(trained), "trained"),
            condition=float(condition), learner=learner, taken=taken, all_prompts=all_prompts,
        )  # fmt: skip

    @property
    def last(self) -> int:
        """The largest number of steps that is shown."""
        return len(self.constants[TUNED[0]])

    def rows(self) -> list[list[float]]:
        """Return the spectra that the learners meet."""
        if self.all_prompts:
            return self.spectra
        d = len(self.spectra[0])
        return [[self.condition ** (i / (d - 1) - 1) for i in range(d)]]

    def error(self, learner: str, steps: int) -> float:
        """Return the error of a learner after some steps, relative to the zero guess."""
        rows = self.rows()
        left = [x for row in rows for x in self._missing(learner, row, steps)]
        return sum(x * x for x in left) / len(left)

    def _missing(self, learner: str, row: list[float], steps: int) -> list[float]:
        low, high = min(row), max(row)
        if learner == "Newton":
            return [(1 - SCALE * (x / high) ** 2) ** (2**steps) for x in row]
        if learner == "conjugate gradient":
            return _conjugate(row, steps)
        if self.all_prompts:
            pair = self.constants[learner][steps - 1] if steps else [0.0, 0.0]
            if learner == "GD++":
                return _reshaping(row, [pair] * steps)
            return _descent(row, steps, *pair)
        if learner == "GD++":
            return _reshaping(row, greedy(row, steps))
        if learner == "momentum":
            root = [math.sqrt(low), math.sqrt(high)]
            rate, kept = 4 / sum(root) ** 2, ((root[1] - root[0]) / sum(root)) ** 2
            return _descent(row, steps, rate, kept)
        return _descent(row, steps, 2 / (low + high), 0.0)

    def sentence(self) -> str:
        """Return the errors of the chosen learner and of gradient descent, in words."""
        where = (
            "On the chapter's prompts"
            if self.all_prompts
            else f"On inputs of condition number {self.condition:g}"
        )
        return (
            f"{where}, {self.taken} step{'s' * (self.taken != 1)} of {self.learner} leave an error "
            f"of {self.error(self.learner, self.taken):.2g} of the zero guess, as many of plain "
            f"gradient descent {self.error('gradient descent', self.taken):.2g}."
        )

    def picture(self) -> str:
        """Return error against steps for every learner."""
        curves = {name: [self.error(name, i) for i in range(self.last + 1)] for name in LEARNERS}
        bottom = max(FLOOR, min(v for run in curves.values() for v in run))
        depth = math.log10(bottom) or -1.0
        parts = [svg.line(46, 210, 410, 210), svg.line(46, 30, 46, 210)]
        parts += [
            svg.text(42, 34, "1", anchor="end"),
            svg.text(42, 214, f"{bottom:.0e}", anchor="end"),
        ]
        for i, (name, run) in enumerate(curves.items()):
            points = [
                (46 + 364 * j / self.last, 30 + 180 * math.log10(max(bottom, v)) / depth)
                for j, v in enumerate(run)
            ]
            parts.append(svg.polyline(points, INKS[name], width=3 if name == self.learner else 1.5))
            place = (46 + 125 * (i % 3), 12 + 14 * (i // 3))
            parts.append(svg.text(*place, name, role=INKS[name], size=11))
        parts.append(svg.text(228, 232, f"steps, 0 to {self.last}", anchor="middle"))
        return svg.svg(420, 240, self.sentence(), parts)


def greedy(row: list[float], steps: int) -> list[list[float]]:
    """Return (η, Nγ) of each GD++ layer for one spectrum.

    Each layer shrinks so that the next one meets the smallest condition number, found among 100
    values of γ; its own step is the best for what it meets.
    """
    pairs, seen = [], list(row)
    for _ in range(steps):
        high = max(seen)
        tried = [(u / 100, [x * (1 - u / 100 * x / high) ** 2 for x in seen]) for u in range(100)]
        share, after = min(tried, key=lambda one: max(one[1]) / min(one[1]))
        pairs.append([2 / (min(seen) + high), share / high])
        seen = after
    return pairs


def _reshaping(row: list[float], pairs: Sequence[Sequence[float]]) -> list[float]:
    left, seen = [1.0] * len(row), list(row)
    for rate, shrink in pairs:
        left = [a * (1 - rate * x) for a, x in zip(left, seen, strict=True)]
        seen = [x * (1 - shrink * x) ** 2 for x in seen]
    return left


def _descent(row: list[float], steps: int, rate: float, kept: float) -> list[float]:
    left, speed = [1.0] * len(row), [0.0] * len(row)
    for _ in range(steps):
        speed = [kept * v - x * a for v, x, a in zip(speed, row, left, strict=True)]
        left = [a + rate * v for a, v in zip(left, speed, strict=True)]
    return left


def _conjugate(row: list[float], steps: int) -> list[float]:
    left = [1.0] * len(row)
    residual = list(row)
    direction, size = residual, sum(x * x for x in residual)
    start = size
    for _ in range(steps):
        curvature = sum(x * p * p for x, p in zip(row, direction, strict=True))
        if size <= 1e-30 * start or curvature <= 0:
            break
        rate = size / curvature
        left = [a - rate * p for a, p in zip(left, direction, strict=True)]
        residual = [r - rate * x * p for r, x, p in zip(residual, row, direction, strict=True)]
        before, size = size, sum(x * x for x in residual)
        direction = [r + size / before * p for r, p in zip(residual, direction, strict=True)]
    return left


def _check(spectra, constants, condition, learner, taken) -> None:
    widths = {len(row) for row in spectra}
    if len(widths) != 1 or min(widths) < 2 or not all(x > 0 for row in spectra for x in row):
        raise ValueError("spectra must be [prompts, d] with d at least 2, all positive")
    lengths = {len(constants.get(name, ())) for name in TUNED}
    if set(constants) != set(TUNED) or len(lengths) != 1 or not min(lengths):
        raise ValueError(f"constants must hold as many pairs for each of {', '.join(TUNED)}")
    if learner not in LEARNERS:
        raise ValueError(f"learner must be one of {', '.join(LEARNERS)}, got {learner!r}")
    if not 1 <= condition <= 1000:
        raise ValueError(f"condition must be between 1 and 1000, got {condition}")
    if not 0 <= taken <= min(lengths):
        raise ValueError(f"taken must be between 0 and {min(lengths)}, got {taken}")
