"""From a trained layer of linear attention to the constructed one, with the loss on the way."""

import math

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure, plain

RANGES = {"way": (0.0, 1.0), "step_size": (0.06, 12.06), "input_scale": (0.5, 2.0)}


class OneHead(BookFigure):
    """A layer between a trained one and one that takes a step of gradient descent.

    On the way t both matrices are mixed, (1 − t) trained + t constructed. A prompt with tokens
    e_i = (α x_i, α w·x_i) makes the layer apply these weights to the query::

        u = −Mᵀ Σ_i e_i (e_i · v)            M: key_query, v: last row of value_out
        half squared error = α² var/2 · mean ‖u − w‖²

    The mean runs over the prompts of the figure, the mean over queries is exact.

    Parameters
    ----------
    key_query, value_out
        Of the trained layer, ``[D, D]`` each.
    inputs, weights, queries
        Prompts without noise: ``[P, N, d]``, ``[P, d]`` and one query each, ``[P, d]``. They are
        rounded to three decimals, to keep the page small.
    variance, fourth
        Second and fourth moment of one input, for the closed form.
    way, step_size, input_scale, rescale
        What the controls show at first.

    Raises
    ------
    ValueError
        If shapes do not fit or a number is out of its range.

    Explained in: 11_one_step
    """

    _module = "one_head"
    key_query = t.List().tag(sync=True)
    value = t.List().tag(sync=True)
    inputs = t.List().tag(sync=True)
    weights = t.List().tag(sync=True)
    queries = t.List().tag(sync=True)
    variance = t.Float(1.0).tag(sync=True)
    fourth = t.Float(3.0).tag(sync=True)
    way = t.Float(0.0).tag(sync=True)
    step_size = t.Float(6.06).tag(sync=True)
    input_scale = t.Float(1.0).tag(sync=True)
    rescale = t.Bool(True).tag(sync=True)

    def __init__(
        self, key_query, value_out, inputs, weights, queries, *, variance: float, fourth: float,
        way: float = 0.0, step_size: float = 6.06, input_scale: float = 1.0, rescale: bool = True,
    ):  # fmt: skip
        matrices = plain(key_query, "key_query"), plain(value_out, "value_out")
        prompts = {"inputs": inputs, "weights": weights, "queries": queries}
        prompts = {name: _rounded(plain(rows, name)) for name, rows in prompts.items()}
        _check(*matrices, **prompts)
        numbers = {"way": way, "step_size": step_size, "input_scale": input_scale}
        for name, (low, high) in RANGES.items():
            if not low <= numbers[name] <= high:
                raise ValueError(f"{name} must be between {low} and {high}, got {numbers[name]}")
        super().__init__(
            key_query=[row[:-1] for row in matrices[0]], value=matrices[1][-1], **prompts,
            variance=float(variance), fourth=float(fourth), rescale=bool(rescale),
            **{name: float(number) for name, number in numbers.items()},
        )  # fmt: skip

    def loss(self, way: float) -> float:
        """Return the half squared error of the layer at this place of the way."""
        matrix, value = self._mixed(way)
        square, total = self.input_scale**2, 0.0
        for xs, w in zip(self.inputs, self.weights, strict=True):
            total += math.fsum(
                (square * u - truth) ** 2
                for u, truth in zip(_used(xs, w, matrix, value), w, strict=True)
            )
        return square * self.variance / 2 * total / len(self.inputs)

    def _mixed(self, way: float) -> tuple[list[list[float]], list[float]]:
        examples, d = len(self.inputs[0]), len(self.weights[0])
        c = 1.0
        if self.rescale:
            c = sum(self.key_query[i][i] for i in range(d)) / d
        matrix = [
            [(1 - way) * x / c + way * (i == j) for j, x in enumerate(row)]
            for i, row in enumerate(self.key_query)
        ]
        value = [(1 - way) * c * x for x in self.value]
        value[-1] -= way * self.step_size / examples
        return matrix, value

    def sentence(self) -> str:
        """Return the losses at both ends and where the figure stands."""
        return (
            f"Half squared error on {len(self.inputs)} prompts: {self.loss(0):.3g} for the trained "
            f"layer, {self.loss(1):.3g} for the constructed one, {self.loss(self.way):.3g} at "
            f"{self.way:.0%} of the way between them."
        )

    def picture(self) -> str:
        """Return the loss along the way."""
        losses = [self.loss(i / 10) for i in range(11)]
        top = 1.3 * max(losses)
        points = [(40 + 34.0 * i, 200 - 170 * value / top) for i, value in enumerate(losses)]
        here = (40 + 340.0 * self.way, 200 - 170 * self.loss(self.way) / top)
        rows = [svg.line(40, 200, 380, 200), svg.polyline(points, "predicted")]
        rows.append(svg.circle(*here, 6, "predicted"))
        rows += [svg.text(40, 220, "trained"), svg.text(380, 220, "constructed", anchor="end")]
        rows.append(svg.text(40, 22, "half squared error"))
        rows.append(svg.text(44, points[0][1] - 12, f"{losses[0]:.3g}", role="predicted"))
        rows.append(
            svg.text(376, points[-1][1] - 12, f"{losses[-1]:.3g}", anchor="end", role="predicted")
        )
        return svg.svg(420, 232, self.sentence(), rows)


def _used(xs: list, w: list, matrix: list, value: list) -> list[float]:
    """Return the weights that the layer puts on a query after one prompt."""
    summed = [0.0] * len(value)
    for x in xs:
        token = [*x, sum(a * b for a, b in zip(x, w, strict=True))]
        score = sum(a * b for a, b in zip(token, value, strict=True))
        summed = [a + score * b for a, b in zip(summed, token, strict=True)]
    return [-sum(a * row[j] for a, row in zip(summed, matrix, strict=True)) for j in range(len(w))]


def _rounded(values):
    if isinstance(values, list):
        return [_rounded(item) for item in values]
    return round(values, 3)


def _check(key_query: list, value_out: list, inputs: list, weights: list, queries: list) -> None:
    width = len(key_query)
    for name, matrix in (("key_query", key_query), ("value_out", value_out)):
        if len(matrix) != width or any(
            not isinstance(row, list) or len(row) != width for row in matrix
        ):
            raise ValueError(f"{name} must be a square matrix of width {width}")
    if not inputs or not len(inputs) == len(weights) == len(queries):
        raise ValueError(
            f"expected as many weights and queries as prompts, got {len(inputs)} prompts, "
            f"{len(weights)} weights and {len(queries)} queries"
        )
    rows = [*weights, *queries, *(x for xs in inputs for x in xs)]
    if any(len(row) != width - 1 for row in rows) or len({len(xs) for xs in inputs}) != 1:
        raise ValueError(
            f"every input, weight and query must have {width - 1} numbers, and every prompt as "
            "many examples"
        )
