"""A layer trained on a few examples, as a matrix and as attention over those examples."""

import math
from collections.abc import Sequence

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure, plain


class DualForm(BookFigure):
    """A layer with two inputs and two outputs, trained on N examples, one step each.

    From W = 0, with the loss ½‖W x − y‖²::

        e_i = η (y_i − W x_i)            error signal, before the step
        W  ← W + e_i ⊗ x_i               the step
        by the matrix:  W x
        by attention:   Σ_i e_i (x_i · x)

    Parameters
    ----------
    inputs, targets
        Tensors or nested lists, one row of two numbers for each example; the slider takes the
        first N of them, nine at most.
    count
        N at the start; all examples when left out.
    step_size
        η, between 0.05 and 1.5.
    query
        The input that is asked about, both numbers between −2 and 2.

    Raises
    ------
    ValueError
        If shapes do not fit or a number is out of its range.

    Explained in: 05_dual_form
    """

    _module = "dual_form"
    inputs = t.List().tag(sync=True)
    targets = t.List().tag(sync=True)
    count = t.Int(0).tag(sync=True)
    step_size = t.Float(0.3).tag(sync=True)
    query_1 = t.Float(1.0).tag(sync=True)
    query_2 = t.Float(0.5).tag(sync=True)

    def __init__(
        self,
        inputs,
        targets,
        *,
        count: int | None = None,
        step_size: float = 0.3,
        query: Sequence[float] = (1.0, 0.5),
    ):
        rows = {"inputs": plain(inputs, "inputs"), "targets": plain(targets, "targets")}
        query = plain(query, "query")
        count = len(rows["inputs"]) if count is None else count
        _check(rows, count, step_size, query)
        first, second = map(float, query)
        super().__init__(
            **rows, count=count, step_size=float(step_size), query_1=first, query_2=second
        )

    def parts(self) -> list[list[float]]:
        """Return what each of the first N examples contributes to the answer."""
        weight, found = [[0.0, 0.0], [0.0, 0.0]], []
        rows = zip(self.inputs[: self.count], self.targets[: self.count], strict=True)
        for x, y in rows:
            out = [row[0] * x[0] + row[1] * x[1] for row in weight]
            error = [self.step_size * (b - a) for a, b in zip(out, y, strict=True)]
            weight = [
                [w[0] + e * x[0], w[1] + e * x[1]] for w, e in zip(weight, error, strict=True)
            ]
            score = x[0] * self.query_1 + x[1] * self.query_2
            found.append([e * score for e in error])
        return found

    def answer(self) -> list[float]:
        """Return the answer to the query, the sum of all contributions."""
        return [math.fsum(part[a] for part in self.parts()) for a in (0, 1)]

    def sentence(self) -> str:
        """Return what the arrows show, in words."""
        a, b = self.answer()
        return (
            f"A layer trained on {self.count} examples answers the query "
            f"({self.query_1:g}, {self.query_2:g}) with ({a:.2f}, {b:.2f}): the contributions of "
            "the examples, laid end to end, lead to the same point as the trained matrix."
        )

    def picture(self) -> str:
        """Return the contributions end to end, and the ring at the matrix's answer."""
        at, corners = (0.0, 0.0), [(0.0, 0.0)]
        for part in self.parts():
            at = (at[0] + part[0], at[1] + part[1])
            corners.append(at)
        reach = 1.15 * max(1.0, *(abs(c) for corner in corners for c in corner))
        shown = [(210 + 110 * a / reach, 130 - 110 * b / reach) for a, b in corners]
        rows = [svg.line(20, 130, 400, 130, "grid"), svg.line(210, 10, 210, 250, "grid")]
        rows.append(svg.polyline(shown, "error"))
        for i, (x, y) in enumerate(shown[1:], start=1):
            rows += [svg.circle(x, y, 3, "error"), svg.text(x + 6, y - 6, i, role="error")]
        rows.append(svg.circle(*shown[-1], 8, "predicted", opacity=0.5))
        rows.append(svg.text(24, 24, "contributions", role="error"))
        rows.append(svg.text(24, 42, "trained matrix", role="predicted"))
        return svg.svg(420, 260, self.sentence(), rows)


def _check(rows: dict, count: int, step_size: float, query: list) -> None:
    for name, value in rows.items():
        if any(not isinstance(row, list) or len(row) != 2 for row in value):
            raise ValueError(f"{name} must have rows of two numbers, got {value}")
    inputs, targets = len(rows["inputs"]), len(rows["targets"])
    if inputs != targets or not 1 <= inputs <= 9:
        raise ValueError(
            f"expected one to nine inputs and as many targets, got {inputs}, {targets}"
        )
    if not 0 <= count <= inputs:
        raise ValueError(f"count must be between 0 and {inputs}, got {count}")
    if not 0.05 <= step_size <= 1.5:
        raise ValueError(f"step_size must be between 0.05 and 1.5, got {step_size}")
    if len(query) != 2 or any(not -2 <= x <= 2 for x in query):
        raise ValueError(f"query must be two numbers between -2 and 2, got {query}")
