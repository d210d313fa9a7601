"""A trained transformer that reads (x, y) pairs, beside ridge, least squares and descent."""

import base64
import zlib
from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure, plain

RULES = ("ridge", "least squares", "gradient descent")
WIDE, HIGH = 2.5, 5.0
CURVE = [(i - 25) / 10 for i in range(51)]


@runtime_checkable
class Network(Protocol):
    """What the figure needs of a model: its tensors, and its answers for the still picture."""

    def export(self) -> dict:
        """Return ``layers``, ``heads``, ``width``, ``layout`` and ``data`` (base64, float32)."""

    def answers(self, pairs: Sequence[Sequence[float]], questions: Sequence[float]):
        """Return the guess at each question after the pairs."""


class InContextRegression(BookFigure):
    """A transformer runs in the browser and guesses y from the (x, y) pairs in its prompt.

    Beside it, on the same pairs, with lines a·x + b::

        ridge             (Σ u uᵀ + penalty·I)⁻¹ Σ y u                u = (x, 1)
        least squares     the same with penalty 0; the shortest solution if there are many
        gradient descent  (a, b) ← (a, b) − step_size · (1/k) Σ ((a, b)·u − y) u, from (0, 0)

    The weights of the network are part of the figure. Their CRC-32 is computed again at every
    change, and stays.

    Parameters
    ----------
    network
        An ``InContextRegressor`` trained on straight lines, with 32-bit weights.
    pairs
        The demonstrations, k × 2, each with |x| ≤ 2.5 and |y| ≤ 5.
    shown
        How many of them stand in the prompt at the start; all when left out.
    question
        The x to be answered.
    rule
        ``"ridge"``, ``"least squares"`` or ``"gradient descent"``.
    steps, step_size
        Of gradient descent.
    penalty
        Of ridge; noise² makes it the best possible rule.
    together
        Show all of them at once, with every step of gradient descent, in place of ``rule``.

    Raises
    ------
    ValueError
        If a pair is no pair or lies outside of the plane, or a number is out of its range.

    Explained in: 01_learning_without_learning, 13_function_classes
    """

    _module = "in_context_regression"
    network = t.Dict().tag(sync=True)
    pairs = t.List().tag(sync=True)
    shown = t.Int(1).tag(sync=True)
    question = t.Float(0.0).tag(sync=True)
    rule = t.Enum(RULES, "ridge").tag(sync=True)
    steps = t.Int(5).tag(sync=True)
    step_size = t.Float(0.25).tag(sync=True)
    penalty = t.Float(0.04).tag(sync=True)
    together = t.Bool(False).tag(sync=True)

    def __init__(
        self,
        network: Network,
        pairs,
        *,
        shown: int | None = None,
        question: float = 1.0,
        rule: Literal["ridge", "least squares", "gradient descent"] = "ridge",
        steps: int = 5,
        step_size: float = 0.25,
        penalty: float = 0.04,
        together: bool = False,
    ):
        pairs = plain(pairs, "pairs")
        shown = len(pairs) if shown is None else shown
        _check(pairs, shown, question, steps, penalty)
        used = pairs[:shown]
        self._answers = plain(network.answers(used, [question, *CURVE]), "answers")
        super().__init__(
            network=network.export(), pairs=pairs, shown=shown, question=question, rule=rule,
            steps=steps, step_size=step_size, penalty=penalty, together=together,
        )  # fmt: skip

    def checksum(self) -> int:
        """Return the CRC-32 of the weights."""
        return zlib.crc32(base64.b64decode(self.network["data"]))

    def sentence(self) -> str:
        """Return what the network guesses, in words; with all readers together theirs too."""
        if self.together:
            walk, squares = self._lines()
            told = [line[0] * self.question + line[1] for line in (walk[-1], squares)]
            return (
                f"After {self.shown} demonstrations the network guesses {self._answers[0]:.2f} at "
                f"x = {self.question:g}; {self.steps} steps of gradient descent say "
                f"{told[0]:.2f}, least squares {told[1]:.2f}."
            )
        return (
            f"After {self.shown} demonstrations the network guesses {self._answers[0]:.2f} at "
            f"x = {self.question:g}; the checksum of its weights is {self.checksum():08x}, "
            "with and without them."
        )

    def picture(self) -> str:
        """Return the pairs and the curve of the network; the lines of the others if together."""

        def place(x: float, y: float) -> tuple[float, float]:
            return 220 + 180 * x / WIDE, 150 - 130 * y / HIGH

        curve = [
            place(x, y) for x, y in zip(CURVE, self._answers[1:], strict=True) if abs(y) <= HIGH
        ]
        dots = [svg.circle(*place(x, y), 6.0, "gold") for x, y in self.pairs[: self.shown]]
        asked, _ = place(self.question, 0)
        parts = [
            svg.line(40, 150, 400, 150), svg.line(220, 20, 220, 280),
            svg.text(404, 154, "x"), svg.text(226, 20, "y"),
            svg.line(asked, 20, asked, 280, "query", dash="4 4"),
            *self._straight(place),
            svg.polyline(curve, "predicted", width=3), *dots,
            svg.circle(*place(self.question, self._answers[0]), 6.0, "predicted"),
        ]  # fmt: skip
        return svg.svg(440, 300, self.sentence(), parts)

    def _lines(self) -> tuple[list[tuple[float, float]], tuple[float, float]]:
        """Return slope and intercept after each step of descent, and of least squares."""
        used = self.pairs[: self.shown]
        return descend(used, self.steps, self.step_size), fit_line(used)

    def _straight(self, place) -> list[str]:
        if not self.together:
            return []
        walk, squares = self._lines()
        looks = [("key", 1, None)] * self.steps + [("key", 2.5, "2 4"), ("gold", 2.5, "9 5")]
        return [
            svg.polyline(
                [place(x, a * x + b) for x in CURVE if abs(a * x + b) <= HIGH],
                role, width=width, dash=dash,
            )
            for (a, b), (role, width, dash) in zip([*walk, squares], looks, strict=True)
        ]  # fmt: skip


def descend(
    pairs: Sequence[Sequence[float]], steps: int, step_size: float
) -> list[tuple[float, float]]:
    r"""Return slope and intercept after 0, 1, … steps of gradient descent from 0.

    .. math:: (a, b) \leftarrow (a, b) - \frac{\eta}{k} \sum_i (a x_i + b - y_i)\,(x_i, 1)

    Explained in: 13_function_classes
    """
    walk, count = [(0.0, 0.0)], max(1, len(pairs))
    for _ in range(steps):
        a, b = walk[-1]
        misses = [a * x + b - y for x, y in pairs]
        slope = sum(miss * x for miss, (x, _) in zip(misses, pairs, strict=True))
        walk.append((a - step_size * slope / count, b - step_size * sum(misses) / count))
    return walk


def fit_line(pairs: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return slope and intercept of least squares; of equally good lines the one nearest to 0.

    Explained in: 13_function_classes
    """
    n, x, y = len(pairs), sum(p[0] for p in pairs), sum(p[1] for p in pairs)
    xx, xy = sum(p[0] ** 2 for p in pairs), sum(p[0] * p[1] for p in pairs)
    if n == 0:
        return 0.0, 0.0
    determinant = xx * n - x * x
    if determinant <= 1e-12 * (xx + n) ** 2:
        return xy / (xx + n), y / (xx + n)
    return (n * xy - x * y) / determinant, (xx * y - x * xy) / determinant


def _check(pairs, shown, question, steps, penalty) -> None:
    for i, pair in enumerate(pairs):
        if len(pair) != 2 or abs(pair[0]) > WIDE or abs(pair[1]) > HIGH:
            raise ValueError(f"pairs[{i}] must be (x, y) with |x| ≤ 2.5 and |y| ≤ 5, got {pair}")
    if not 0 <= shown <= len(pairs):
        raise ValueError(f"shown must be between 0 and {len(pairs)} (the pairs), got {shown}")
    if not abs(question) <= WIDE:
        raise ValueError(f"question must be between −2.5 and 2.5, got {question}")
    if not 0 <= steps <= 50:
        raise ValueError(f"steps must be between 0 and 50, got {steps}")
    if not penalty > 0:
        raise ValueError(f"penalty must be positive, got {penalty}")
