"""Gradient descent with momentum on the cake and on a valley."""

import math

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure, plain


class Descent(BookFigure):
    """Gradient descent with momentum on a quadratic of one or two dimensions.

    ::

        L(x) = ½ Σ_i λ_i (x_i − m_i)²
        v ← β v + ∇L(x),   x ← x − η v                     (as torch.optim.SGD does)
        stable for 0 < η < 2 (1 + β) / λ_max

    Use :meth:`cake` for one dimension and :meth:`valley` for two. The figure shows the path, the
    loss, the limit of the step size, the factor by which the error shrinks in one step (the
    largest modulus among the roots of z² − (1 + β − ηλ) z + β) and the number of steps to 1 % of
    the first loss.

    Parameters
    ----------
    minimum
        m, one or two numbers.
    start
        The first position, as many numbers; within ``reach`` of the minimum.
    curvature
        λ_max, the steepest second derivative.
    condition
        κ = λ_max / λ_min, from 1 to 100; only for two dimensions.
    step_size, momentum
        η and β at the start; η at most 4.2 / λ_max, β at most 0.95.
    steps
        How many steps a full path has, at most 200.
    reach
        How far from the minimum the start may be moved; 1.25 times the first distance when left
        out. The second coordinate reaches 0.6 times as far.
    labels
        Name of each coordinate, with its unit.
    title
        What stands above the figure.

    Raises
    ------
    ValueError
        If a number lies outside its range or the dimensions differ.

    Explained in: 04_gradient_descent
    """

    _module = "descent"
    title = t.Unicode().tag(sync=True)
    labels = t.List(t.Unicode()).tag(sync=True)
    minimum = t.List(t.Float()).tag(sync=True)
    curvature = t.Float(1.0).tag(sync=True)
    condition = t.Float(1.0).tag(sync=True)
    start_x = t.Float(0.0).tag(sync=True)
    start_y = t.Float(0.0).tag(sync=True)
    reach = t.Float(1.0).tag(sync=True)
    step_size = t.Float(0.1).tag(sync=True)
    momentum = t.Float(0.0).tag(sync=True)
    steps = t.Int(30).tag(sync=True)
    taken = t.Int(0).tag(sync=True)

    def __init__(
        self,
        minimum,
        start,
        *,
        curvature: float,
        condition: float = 1.0,
        step_size: float,
        momentum: float = 0.0,
        steps: int = 30,
        reach: float | None = None,
        labels=("x", "y"),
        title: str = "Gradient descent",
    ):
        minimum, start = plain(minimum, "minimum"), plain(start, "start")
        _check(minimum, start, curvature, condition, step_size, momentum, steps)
        distance = math.dist(minimum, start)
        super().__init__(
            minimum=minimum, start_x=start[0], start_y=start[1] if len(start) == 2 else 0.0,
            curvature=curvature, condition=condition, step_size=step_size, momentum=momentum,
            steps=steps, taken=steps, reach=reach or 1.25 * distance or 1.0,
            labels=list(labels)[: len(minimum)], title=title,
        )  # fmt: skip

    @classmethod
    def cake(
        cls, best: float, start: float, *, curvature: float, step_size: float, **options
    ) -> "Descent":
        """Return the cake: sugar x, squared taste error ½ λ (x − best)².

        A taster who tells a difference of a per gram makes λ = 2 a².
        """
        options = {"labels": ["sugar, g"], "title": "Sweetening the cake", "steps": 20, **options}
        return cls([best], [start], curvature=curvature, step_size=step_size, **options)

    @classmethod
    def valley(
        cls,
        *,
        condition: float = 10.0,
        curvature: float = 1.0,
        step_size: float = 1.0,
        start=(-8.0, 3.0),
        **options,
    ) -> "Descent":
        """Return a valley, κ times steeper across than along."""
        options = {
            "labels": ["along the valley", "across the valley"],
            "title": "Down a long valley", "steps": 60, "reach": 10.0, **options,
        }  # fmt: skip
        return cls(
            [0.0, 0.0], start, curvature=curvature, condition=condition, step_size=step_size,
            **options,
        )  # fmt: skip

    @property
    def curvatures(self) -> list[float]:
        """λ_i: one for the cake; the flat and the steep one for the valley."""
        if len(self.minimum) == 1:
            return [self.curvature]
        return [self.curvature / self.condition, self.curvature]

    def loss(self, x) -> float:
        """Return L(x)."""
        parts = zip(self.curvatures, x, self.minimum, strict=True)
        return sum(0.5 * c * (a - m) ** 2 for c, a, m in parts)

    def path(self) -> list[list[float]]:
        """Return the positions x_0 … x_taken."""
        x = [self.start_x, self.start_y][: len(self.minimum)]
        v, found = [0.0] * len(x), [x]
        for _ in range(self.taken):
            slope = [c * (a - m) for c, a, m in zip(self.curvatures, x, self.minimum, strict=True)]
            v = [self.momentum * old + new for old, new in zip(v, slope, strict=True)]
            x = [a - self.step_size * b for a, b in zip(x, v, strict=True)]
            found.append(x)
        return found

    def sentence(self) -> str:
        """Return where the path starts and ends, in words."""
        path = self.path()
        limit = 2 * (1 + self.momentum) / self.curvature
        return (
            f"With step size {self.step_size:g} and momentum {self.momentum:g}, {self.taken} steps "
            f"of gradient descent take the loss from {self.loss(path[0]):.3g} to "
            f"{self.loss(path[-1]):.3g}; step sizes above {limit:.3g} diverge."
        )

    def picture(self) -> str:
        """Return the path on the parabola or on the valley's contours."""
        drawn = _on_parabola(self) if len(self.minimum) == 1 else _on_contours(self)
        return svg.svg(420, 240, self.sentence(), drawn)


def _trail(points) -> list[str]:
    outside = (i for i, (x, y) in enumerate(points) if not (-400 < x < 820 and -400 < y < 640))
    shown = points[: next(outside, len(points))]
    dots = [svg.circle(x, y, 3) for x, y in shown[:-1]]
    last = [svg.circle(x, y, 6, "error") for x, y in shown[-1:]]
    return [svg.polyline(shown, width=1.5), *dots, *last]


def _on_parabola(figure: Descent) -> list[str]:
    middle, edge = figure.minimum[0], 1.15 * figure.reach
    top = figure.loss([middle + edge])

    def place(x: float) -> tuple[float, float]:
        return 210 + 200 * (x - middle) / edge, 210 - 200 * figure.loss([x]) / top

    bowl = [place(middle + edge * i / 50) for i in range(-50, 51)]
    return [
        svg.line(10, 210, 410, 210),
        svg.text(210, 230, figure.labels[0], anchor="middle"),
        svg.polyline(bowl, "neutral"),
        *_trail([place(x) for (x,) in figure.path()]),
    ]


def _on_contours(figure: Descent) -> list[str]:
    unit = 200 / (1.2 * figure.reach)
    flat, steep = figure.curvatures
    (m, n), rings = figure.minimum, []
    outer = figure.loss([m + 1.2 * figure.reach, n]) + figure.loss([m, n + 0.6 * figure.reach])
    for share in (1, 0.5, 0.25, 0.1, 0.03):
        radius = [unit * math.sqrt(2 * share * outer / c) for c in (flat, steep)]
        look = {"fill": "none", "stroke": svg.paint("neutral"), "stroke_opacity": 0.6}
        rings.append(svg.node("ellipse", cx=210, cy=110, rx=radius[0], ry=radius[1], **look))
    points = [(210 + unit * (x - m), 110 - unit * (y - n)) for x, y in figure.path()]
    inside = "".join([*rings, *_trail(points)])
    return [
        svg.node("svg", inside, x=10, y=0, width=400, height=218, viewBox="10 0 400 218"),
        svg.text(210, 236, figure.labels[0], anchor="middle"),
    ]


def _check(minimum, start, curvature, condition, step_size, momentum, steps) -> None:
    if len(minimum) not in {1, 2} or len(start) != len(minimum):
        raise ValueError(
            "minimum and start must both have one number or both two, "
            f"got {len(minimum)} and {len(start)}"
        )
    if curvature <= 0 or step_size <= 0:
        raise ValueError(
            f"curvature and step_size must be positive, got {curvature} and {step_size}"
        )
    if not 1 <= condition <= 100:
        raise ValueError(f"condition must be between 1 and 100, got {condition}")
    if not 0 <= momentum <= 0.95:
        raise ValueError(f"momentum must be between 0 and 0.95, got {momentum}")
    if step_size > 4.2 / curvature:
        raise ValueError(
            f"step_size must be at most 4.2 / curvature = {4.2 / curvature:g}, got {step_size}"
        )
    if not 1 <= steps <= 200:
        raise ValueError(f"steps must be between 1 and 200, got {steps}")
