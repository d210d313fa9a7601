"""A pool of known tasks in the plane: the posterior over them, beside ridge, on one prompt."""

import math
from collections.abc import Sequence

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure, plain

REACH = 3.0


class TaskPool(BookFigure):
    """What a reader who knows M tasks by heart makes of a prompt, and what ridge makes of it.

    ::

        pool rule   p_m ∝ exp(−Σ (y − w_m·x)² / 2σ²),   ŵ = Σ p_m w_m      over the first M tasks
        ridge       ŵ = (Σ x xᵀ + σ² I)⁻¹ Σ y x

    The hidden task can be dragged. Distances and errors are |ŵ − w|²/2: the mean squared difference
    of two predictions over standard normal inputs, divided by the number of inputs. Beside the
    plane stand trained networks: how far they are from either rule on new tasks.

    Parameters
    ----------
    pool
        Tasks, ``[M, 2]``; M is a power of two, and each smaller pool is its beginning.
    inputs
        Points of the demonstrations, ``[N, 2]``.
    errors
        Standard normal draws, one a demonstration: y = w·x + σ·error.
    noise
        σ, positive.
    sizes, to_ridge, to_pool
        Pool sizes of trained networks, and their distances on new tasks, positive.
    exponent, shown, task
        At the start: the pool holds 2^exponent tasks, so many demonstrations are shown, and the
        hidden task.

    Raises
    ------
    ValueError
        If the shapes do not fit each other or a number is out of its range.

    Explained in: 14_task_diversity
    """

    _module = "task_pool"
    pool = t.List().tag(sync=True)
    inputs = t.List().tag(sync=True)
    errors = t.List(t.Float()).tag(sync=True)
    noise = t.Float(0.5).tag(sync=True)
    sizes = t.List(t.Int()).tag(sync=True)
    to_ridge = t.List(t.Float()).tag(sync=True)
    to_pool = t.List(t.Float()).tag(sync=True)
    exponent = t.Int(0).tag(sync=True)
    shown = t.Int(0).tag(sync=True)
    task_1 = t.Float(0.0).tag(sync=True)
    task_2 = t.Float(0.0).tag(sync=True)

    def __init__(
        self,
        pool,
        inputs,
        errors,
        *,
        noise: float = 0.5,
        sizes: Sequence[int],
        to_ridge: Sequence[float],
        to_pool: Sequence[float],
        exponent: int = 4,
        shown: int = 4,
        task: Sequence[float] = (1.0, 1.0),
    ):
        pool, inputs, errors = plain(pool, "pool"), plain(inputs, "inputs"), plain(errors, "errors")
        task = plain(list(task), "task")
        _check_pool(pool, exponent)
        _check_prompt(inputs, errors, noise, shown, task)
        _check_measured(sizes, to_ridge, to_pool)
        super().__init__(
            pool=pool, inputs=inputs, errors=errors, noise=noise, sizes=list(sizes),
            to_ridge=list(to_ridge), to_pool=list(to_pool), exponent=exponent, shown=shown,
            task_1=task[0], task_2=task[1],
        )  # fmt: skip

    def rules(self) -> tuple[list[float], list[float], list[float]]:
        """Return the probabilities of the tasks, and the weights of the pool rule and of ridge."""
        task, pool = (self.task_1, self.task_2), self.pool[: 2**self.exponent]
        told = [
            (x, _dot(task, x) + self.noise * e)
            for x, e in zip(self.inputs[: self.shown], self.errors, strict=False)
        ]
        misfits = [sum((y - _dot(w, x)) ** 2 for x, y in told) for w in pool]
        masses = [math.exp((min(misfits) - e) / (2 * self.noise**2)) for e in misfits]
        chances = [m / sum(masses) for m in masses]
        known = [sum(p * w[i] for p, w in zip(chances, pool, strict=True)) for i in (0, 1)]
        return chances, known, _ridge(told, self.noise**2)

    def sentence(self) -> str:
        """Return how far the two rules are from the hidden task, in words."""
        _, known, fitted = self.rules()
        errors = [
            ((w[0] - self.task_1) ** 2 + (w[1] - self.task_2) ** 2) / 2 for w in (known, fitted)
        ]
        return (
            f"With {2**self.exponent} tasks in the pool and {self.shown} demonstrations the pool "
            f"rule is {errors[0]:.2f} away from the hidden task, ridge {errors[1]:.2f}."
        )

    def picture(self) -> str:
        """Return the plane of weights with pool, posterior, both answers and the hidden task."""

        def place(w) -> tuple[float, float]:
            return 210 + 150 * w[0] / REACH, 170 - 150 * w[1] / REACH

        def inside(w) -> bool:
            return max(map(abs, w)) <= REACH

        chances, known, fitted = self.rules()
        pool = zip(self.pool, chances, strict=False)
        parts = [svg.line(60, 170, 360, 170), svg.line(210, 20, 210, 320)]
        for w, p in filter(lambda pair: inside(pair[0]), pool):
            parts.append(svg.circle(*place(w), 1.5, "neutral"))
            if p > 1e-3:
                parts.append(svg.circle(*place(w), 20 * math.sqrt(p), "key", opacity=0.45))
        for w, role, word in (
            (known, "value", "pool rule"), (fitted, "query", "ridge"),
            ((self.task_1, self.task_2), "gold", "hidden task"),
        ):  # fmt: skip
            if inside(w):
                x, y = place(w)
                parts += [svg.circle(x, y, 6.0, role), svg.text(x + 9, y + 4, word, role=role)]
        return svg.svg(420, 340, self.sentence(), parts)


def _dot(a, b) -> float:
    return a[0] * b[0] + a[1] * b[1]


def _ridge(told, penalty: float) -> list[float]:
    a, b, c, u, v = penalty, 0.0, penalty, 0.0, 0.0
    for x, y in told:
        a, b, c = a + x[0] * x[0], b + x[0] * x[1], c + x[1] * x[1]
        u, v = u + y * x[0], v + y * x[1]
    return [(c * u - b * v) / (a * c - b * b), (a * v - b * u) / (a * c - b * b)]


def _check_pool(pool, exponent) -> None:
    size = len(pool)
    if not 1 <= size <= 1024 or size & (size - 1) or any(len(w) != 2 for w in pool):
        raise ValueError(f"pool must be [M, 2] with M a power of two up to 1024, got {size} tasks")
    if not 0 <= exponent <= size.bit_length() - 1:
        raise ValueError(
            f"exponent must be between 0 and {size.bit_length() - 1} (the pool), got {exponent}"
        )


def _check_prompt(inputs, errors, noise, shown, task) -> None:
    if not inputs or any(len(x) != 2 for x in inputs) or len(errors) != len(inputs):
        raise ValueError(
            f"inputs must be [N, 2] and errors [N], got {len(inputs)} inputs, {len(errors)} errors"
        )
    if not 0 <= shown <= len(inputs):
        raise ValueError(f"shown must be between 0 and {len(inputs)} (the inputs), got {shown}")
    if not noise > 0:
        raise ValueError(f"noise must be positive, got {noise}")
    if len(task) != 2 or max(map(abs, task)) > REACH:
        raise ValueError(f"task must be two weights between −3 and 3, got {task}")


def _check_measured(sizes, to_ridge, to_pool) -> None:
    if not 1 <= len(sizes) == len(to_ridge) == len(to_pool):
        raise ValueError(
            f"expected one distance to each rule for each size, got {len(sizes)} sizes, "
            f"{len(to_ridge)} and {len(to_pool)} distances"
        )
    if min(sizes) < 1 or min([*to_ridge, *to_pool]) <= 0:
        raise ValueError("sizes and distances must be positive")
