"""Demonstrations in, ΔW out: a relaxed head as attention and as a matrix, next to softmax."""

import math

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure, plain


class MetaOptimizer(BookFigure):
    """The update that demonstrations make to a head of width 2, and how far it is from softmax.

    With q = scale · (cos angle, sin angle), N demonstrations (k'_i, v'_i) and the query text
    (k_j, v_j)::

        ΔW_ICL  = Σ_i v'_i ⊗ k'_i          W_ZSL = Σ_j v_j ⊗ k_j
        relaxed = (W_ZSL + ΔW_ICL) q       = Σ over all tokens of v (k · q)
        softmax = Σ over all tokens of v exp(k · q) / Z
        λ       = the softmax mass on the demonstrations

    The scores are k · q without 1/√2: the scale of the query stands for any factor.

    Parameters
    ----------
    demo_keys, demo_values
        Tensors or nested lists, one row of two numbers for each demonstration; the slider takes
        the first N of them.
    text_keys, text_values
        The same for the query text, at least one row.
    count
        N at the start; all demonstrations when left out.
    scale
        Length of the query, between 0.05 and 3.
    angle
        Direction of the query in degrees, between −180 and 180.

    Raises
    ------
    ValueError
        If shapes do not fit or a number is out of its range.

    Explained in: 06_meta_optimizer
    """

    _module = "meta_optimizer"
    demo_keys = t.List().tag(sync=True)
    demo_values = t.List().tag(sync=True)
    text_keys = t.List().tag(sync=True)
    text_values = t.List().tag(sync=True)
    count = t.Int(0).tag(sync=True)
    scale = t.Float(1.0).tag(sync=True)
    angle = t.Float(0.0).tag(sync=True)

    def __init__(
        self,
        demo_keys,
        demo_values,
        text_keys,
        text_values,
        *,
        count: int | None = None,
        scale: float = 1.0,
        angle: float = 45.0,
    ):
        given = {
            "demo_keys": demo_keys,
            "demo_values": demo_values,
            "text_keys": text_keys,
            "text_values": text_values,
        }
        rows = {name: plain(value, name) for name, value in given.items()}
        count = len(rows["demo_keys"]) if count is None else count
        _check(rows, count, scale, angle)
        super().__init__(**rows, count=count, scale=float(scale), angle=float(angle))

    def numbers(self) -> dict:
        """Return ΔW, the relaxed and the softmax output and λ of the present state."""
        turn = math.radians(self.angle)
        q = (self.scale * math.cos(turn), self.scale * math.sin(turn))
        keys = [*self.demo_keys[: self.count], *self.text_keys]
        values = [*self.demo_values[: self.count], *self.text_values]
        scores = [k[0] * q[0] + k[1] * q[1] for k in keys]
        top = max(scores)
        grown = [math.exp(x - top) for x in scores]
        softmax = _mix([g / sum(grown) for g in grown], values)
        relaxed = _mix(scores, values)
        return {
            "update": [[_column(values, a, keys, b, self.count) for b in (0, 1)] for a in (0, 1)],
            "relaxed": relaxed,
            "softmax": softmax,
            "mass": sum(grown[: self.count]) / sum(grown),
            "error": math.dist(relaxed, softmax) / math.hypot(*softmax),
        }

    def sentence(self) -> str:
        """Return what the arrows show, in words."""
        found = self.numbers()
        (a, b), (c, d) = found["relaxed"], found["softmax"]
        return (
            f"With {self.count} demonstrations the relaxed head returns ({a:.2f}, {b:.2f}), "
            f"softmax attention ({c:.2f}, {d:.2f}); λ = {found['mass']:.2f} of the softmax mass "
            "is on the demonstrations, and the relaxed output is off by "
            f"{found['error']:.2f} times the length of the true one."
        )

    def picture(self) -> str:
        """Return the two arrows and the matrix."""
        found = self.numbers()
        reach = 1.15 * max(1.2, *map(abs, [*found["relaxed"], *found["softmax"]]))
        unit = 110 / reach
        parts = [
            svg.line(20, 130, 260, 130, "grid"),
            svg.line(140, 10, 140, 250, "grid"),
        ]
        for name, role in (("relaxed", "predicted"), ("softmax", "gold")):
            x, y = 140 + unit * found[name][0], 130 - unit * found[name][1]
            parts += [svg.line(140, 130, x, y, role, width=3), svg.circle(x, y, 5, role)]
        parts += [
            svg.text(290, 40, "relaxed", role="predicted"),
            svg.text(290, 60, "softmax", role="gold"),
            svg.text(290, 100, "ΔW ="),
        ]
        for row, (left, right) in enumerate(found["update"]):
            parts.append(svg.text(290, 124 + 22 * row, f"{left:.2f}   {right:.2f}"))
        return svg.svg(420, 260, self.sentence(), parts)


def _mix(weights, values) -> list[float]:
    return [sum(w * v[a] for w, v in zip(weights, values, strict=True)) for a in (0, 1)]


def _column(values, a, keys, b, count) -> float:
    return sum(values[i][a] * keys[i][b] for i in range(count))


def _is_pair(row) -> bool:
    return isinstance(row, list) and len(row) == 2


def _check(rows: dict, count: int, scale: float, angle: float) -> None:
    for name, value in rows.items():
        if not isinstance(value, list) or any(
            not isinstance(r, list) or len(r) != 2 for r in value
        ):
            raise ValueError(f"{name} must have rows of two numbers, got {value}")
    for side in ("demo", "text"):
        keys, values = len(rows[f"{side}_keys"]), len(rows[f"{side}_values"])
        if keys != values or keys == 0:
            raise ValueError(
                f"expected as many {side} keys as values and at least one, got {keys} and {values}"
            )
    if not 0 <= count <= len(rows["demo_keys"]):
        raise ValueError(f"count must be between 0 and {len(rows['demo_keys'])}, got {count}")
    if not 0.05 <= scale <= 3:
        raise ValueError(f"scale must be between 0.05 and 3, got {scale}")
    if not -180 <= angle <= 180:
        raise ValueError(f"angle must be between -180 and 180 degrees, got {angle}")
