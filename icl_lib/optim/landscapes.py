"""Small losses to walk on: quadratic bowls and valleys, and how fast a rule gets down."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Gradient = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Quadratic:
    r"""A quadratic loss with its minimum at ``minimum``.

    .. math:: L(w) = \tfrac12 (w − w^*)^\top H\,(w − w^*) + c

    Attributes
    ----------
    hessian
        H, symmetric; a leading dimension holds several losses at once.
    minimum
        w*.
    floor
        c, the loss at the minimum.

    Explained in: 04_gradient_descent
    """

    hessian: Float[Tensor, "*batch d d"]
    minimum: Float[Tensor, "*batch d"]
    floor: float = 0.0

    @classmethod
    def of_examples(cls, x: Float[Tensor, "N d"], y: Float[Tensor, " N"]) -> "Quadratic":
        r"""Return the loss :math:`\frac{1}{2N} \sum_i (w·x_i − y_i)^2` of N examples.

        Parameters
        ----------
        x
            Inputs; of full column rank, so that there is one minimum.
        y
            Targets.
        """
        minimum = torch.linalg.lstsq(x, y[:, None]).solution[:, 0]
        floor = ((x @ minimum - y) ** 2).mean().item() / 2
        return cls(x.T @ x / len(x), minimum, floor)

    @classmethod
    def valley(
        cls, curvatures: Sequence[float], *, angle: float = 0.0, dtype: torch.dtype = torch.float64
    ) -> "Quadratic":
        """Return a loss with these two curvatures, its axes turned by ``angle`` degrees."""
        turn = math.radians(angle)
        cos, sin = math.cos(turn), math.sin(turn)
        axes = torch.tensor([[cos, -sin], [sin, cos]], dtype=dtype)
        return cls(
            axes @ torch.diag(torch.tensor(curvatures, dtype=dtype)) @ axes.T,
            torch.zeros(2, dtype=dtype),
        )

    @classmethod
    def random(cls, curvatures: Sequence[float], *, losses: int, seed: int = 0) -> "Quadratic":
        """Return several losses with these curvatures, each with random axes, in float64."""
        generator = torch.Generator().manual_seed(seed)
        d = len(curvatures)
        gaussian = torch.randn(losses, d, d, generator=generator, dtype=torch.float64)
        axes = torch.linalg.qr(gaussian).Q
        hessian = axes @ torch.diag(torch.tensor(curvatures, dtype=torch.float64)) @ axes.mT
        return cls((hessian + hessian.mT) / 2, torch.zeros(losses, d, dtype=torch.float64))

    def loss(self, w: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """Return L(w)."""
        return ((w - self.minimum) * self.gradient(w)).sum(-1) / 2 + self.floor

    def gradient(self, w: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """Return H (w − w*)."""
        return (self.hessian @ (w - self.minimum)[..., None])[..., 0]

    @property
    def curvatures(self) -> Float[Tensor, "*batch d"]:
        """The eigenvalues of the Hessian, smallest first."""
        return torch.linalg.eigvalsh(self.hessian)

    @property
    def critical_step(self) -> Float[Tensor, "*batch"]:
        """2/λ_max: gradient descent converges below this step size and diverges above it."""
        return 2 / self.curvatures[..., -1]

    @property
    def condition(self) -> Float[Tensor, "*batch"]:
        """κ = λ_max/λ_min."""
        return self.curvatures[..., -1] / self.curvatures[..., 0]


def best_step(smallest: float, largest: float) -> tuple[float, float]:
    r"""Return the best constant step size of gradient descent on a quadratic, and its rate.

    .. math:: η = \frac{2}{λ_\min + λ_\max}, \qquad ρ = \frac{κ − 1}{κ + 1}

    Parameters
    ----------
    smallest, largest
        Curvatures λ_min, λ_max.

    Returns
    -------
    tuple
        η and ρ, the factor by which the distance to the minimum shrinks per step.

    Source: Polyak 1964; derived in the chapter.
    Explained in: 04_gradient_descent
    """
    ratio = largest / smallest
    return 2 / (smallest + largest), (ratio - 1) / (ratio + 1)


def best_heavy_ball(smallest: float, largest: float) -> tuple[float, float, float]:
    r"""Return the best constant step size and momentum on a quadratic, and their rate.

    .. math::
        η = \frac{4}{(\sqrt{λ_\max} + \sqrt{λ_\min})^2}, \qquad
        μ = ρ^2, \qquad ρ = \frac{\sqrt κ − 1}{\sqrt κ + 1}

    Parameters
    ----------
    smallest, largest
        Curvatures λ_min, λ_max.

    Returns
    -------
    tuple
        η, μ and ρ.

    Source: Polyak 1964.
    Explained in: 04_gradient_descent
    """
    low, high = math.sqrt(smallest), math.sqrt(largest)
    rate = (high - low) / (high + low)
    return 4 / (high + low) ** 2, rate**2, rate


def finite_difference(
    f: Callable[[Tensor], Tensor], w: Float[Tensor, " d"], width: float = 1e-5
) -> Float[Tensor, " d"]:
    r"""Return the gradient of ``f`` by central differences.

    .. math:: g_j ≈ \frac{f(w + h\,u_j) − f(w − h\,u_j)}{2h}

    with :math:`u_j` the unit vectors. The error falls as h², until rounding takes over.

    Parameters
    ----------
    f
        A function of ``w`` that returns one number.
    w
        Where.
    width
        h.

    Raises
    ------
    ValueError
        If ``width`` is not positive.

    Explained in: 04_gradient_descent
    """
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}")
    units = torch.eye(len(w), dtype=w.dtype, device=w.device)
    sides = [(f(w + width * u) - f(w - width * u)) / (2 * width) for u in units]
    return torch.stack(sides).reshape(w.shape)


def descend(
    gradient: Gradient,
    start: Float[Tensor, "*batch d"],
    make_rule: Callable[[list[Tensor]], torch.optim.Optimizer],
    steps: int,
    *,
    noise: float = 0.0,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "T1 *batch d"]:
    """Walk from ``start`` by a rule and return every point on the way, the start included.

    Parameters
    ----------
    gradient
        Of the loss, at a point.
    start
        Where to begin; leading dimensions walk side by side, each on its own.
    make_rule
        Makes the rule from a list of parameters, as ``lambda w: optim.SGD(w, 0.1)``.
    steps
        How many.
    noise
        Standard deviation of Gaussian noise added to each gradient, as minibatches do.
    generator
        Draws the noise; needed if there is any.

    Raises
    ------
    ValueError
        If there is noise and no generator.

    Explained in: 04_gradient_descent
    """
    if noise and generator is None:
        raise ValueError("noise needs a generator, got None")
    w = start.clone()
    rule = make_rule([w])
    path = torch.empty(steps + 1, *start.shape, dtype=start.dtype, device=start.device)
    path[0] = w
    for step in range(1, steps + 1):
        w.grad = gradient(w.clone())
        if noise:
            w.grad = w.grad + noise * torch.randn(
                w.shape, generator=generator, dtype=w.dtype, device=w.device
            )
        rule.step()
        path[step] = w
    return path


def measured_critical_step(
    landscape: Quadratic,
    make_rule: Callable[[list[Tensor], Tensor], torch.optim.Optimizer],
    start: Float[Tensor, "*batch d"],
    *,
    bracket: tuple[float, float],
    steps: int = 200,
    halvings: int = 40,
) -> Float[Tensor, "*batch"]:
    """Find by bisection the step size at which a walk stops coming closer to the minimum.

    A step size counts as too large if the last quarter of a walk takes it further from the minimum
    than the quarter before.

    Parameters
    ----------
    landscape
        One loss, or several side by side.
    make_rule
        ``make_rule(parameters, lr)`` with ``lr`` of shape ``[*batch, 1]``.
    start
        Starting points.
    bracket
        A step size that converges and one that diverges.
    steps
        Length of each trial walk.
    halvings
        How often the bracket is halved.

    Raises
    ------
    ValueError
        If the bracket does not hold the critical step.

    Explained in: 04_gradient_descent
    """

    def too_large(lr: Tensor) -> Tensor:
        path = descend(landscape.gradient, start, lambda w: make_rule(w, lr[..., None]), steps)
        away = (path - landscape.minimum).norm(dim=-1)
        before, after = away[steps // 2 : -(steps // 4)], away[-(steps // 4) :]
        return ~(after.amax(0) < before.amax(0))

    ones = torch.ones(start.shape[:-1], dtype=start.dtype, device=start.device)
    low, high = bracket[0] * ones, bracket[1] * ones
    if too_large(low).any() or not too_large(high).all():
        raise ValueError(f"the bracket {bracket} must hold a step that converges and one that not")
    for _ in range(halvings):
        middle = (low + high) / 2
        big = too_large(middle)
        low, high = torch.where(big, low, middle), torch.where(big, middle, high)
    return (low + high) / 2


def measured_rate(path: Float[Tensor, "T1 *batch d"]) -> Float[Tensor, "*batch"]:
    """Return the mean factor per step by which a walk to the origin shrinks, in its second half.

    Parameters
    ----------
    path
        From :func:`descend`, on a loss with its minimum at 0.

    Explained in: 04_gradient_descent
    """
    steps = len(path) - 1
    # the largest entry, because squares of tiny numbers underflow
    first, last = path[steps // 2].abs().amax(-1), path[-1].abs().amax(-1)
    return (last / first) ** (1 / (steps - steps // 2))


def steps_to_reach(losses: Float[Tensor, "T1 *batch"], share: float) -> Float[Tensor, "*batch"]:
    """Return after how many steps the loss stays below ``share`` of the first, else infinity.

    Parameters
    ----------
    losses
        Losses along a walk, above a floor of 0.
    share
        Such as 1e-3.

    Explained in: 04_gradient_descent
    """
    above = ~(losses <= share * losses[0])
    last = torch.arange(len(losses), device=losses.device).reshape(-1, *[1] * (losses.ndim - 1))
    needed = torch.where(above, last + 1, 0).amax(0).to(losses.dtype)
    return torch.where(needed == len(losses), torch.inf, needed)
