"""How much an old gradient still counts: one number per step, for every linear update rule.

SGD with momentum and weight decay maps the pair (weight, velocity) and the new gradient linearly
to the next pair, with the same four numbers for every entry of the matrix. Unrolled, the final
weight is a sum of all gradients, each times one number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """The settings of one step of gradient descent, as in ``torch.optim.SGD``.

    Attributes
    ----------
    lr, momentum, dampening, nesterov, weight_decay, maximize
        η, μ, τ, which form of momentum, δ, and the sign of the gradient.
    first
        Whether the velocity starts in this step; then it is the gradient itself.

    Notes
    -----
    Source: the update rule in the documentation of ``torch.optim.SGD``.
    Explained in: 05_dual_form.
    """

    lr: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    maximize: bool = False
    first: bool = False

    def transition(self) -> tuple[float, float, float, float]:
        """Return (a, b, c, d) of (W, v) → (a W + b v, c W + d v), the part without gradient."""
        if self.momentum == 0:
            return 1 - self.lr * self.weight_decay, 0.0, 0.0, 1.0
        kept, new = (0.0, 1.0) if self.first else (self.momentum, 1 - self.dampening)
        c, d = new * self.weight_decay, kept
        if self.nesterov:
            pull = self.weight_decay + self.momentum * c
            return 1 - self.lr * pull, -self.lr * self.momentum * d, c, d
        return 1 - self.lr * c, -self.lr * d, c, d

    def gain(self) -> tuple[float, float]:
        """Return what the gradient G adds: (g, h) of (W, v) → (… + g G, … + h G)."""
        sign = -1.0 if self.maximize else 1.0
        if self.momentum == 0:
            return -sign * self.lr, 0.0
        new = sign * (1.0 if self.first else 1 - self.dampening)
        return -self.lr * (sign + self.momentum * new if self.nesterov else new), new


FROZEN = Step(lr=0.0)
"""A step that changes nothing."""


def unroll(steps: Sequence[Step]) -> tuple[Float[Tensor, "T"], float, float]:
    """Return how much each step's gradient, the first weight and the first velocity count.

    The weight after T steps is W_T = Σ_t c_t G_t + α W_0 + β v_0.

    Parameters
    ----------
    steps
        The settings of the T steps, in order.

    Returns
    -------
    c, α, β
        In float64.

    Notes
    -----
    Explained in: 05_dual_form.
    """
    alpha, beta, counts = 1.0, 0.0, []
    for step in reversed(steps):
        (a, b, c, d), (g, h) = step.transition(), step.gain()
        counts.append(alpha * g + beta * h)
        alpha, beta = alpha * a + beta * c, alpha * b + beta * d
    return torch.tensor(counts[::-1], dtype=torch.float64), alpha, beta


def step_weights(
    steps: int,
    *,
    lr: float | Sequence[float],
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> tuple[Float[Tensor, "T"], float]:
    """Return s_t and α of W_T = α W_0 − Σ_t s_t G_t for ``torch.optim.SGD`` from a fresh start.

    Parameters
    ----------
    steps
        T.
    lr
        η, one number or one for each step.
    momentum, dampening, nesterov, weight_decay
        As in ``torch.optim.SGD``.

    Raises
    ------
    ValueError
        If ``lr`` has another length than ``steps``.

    Notes
    -----
    Explained in: 05_dual_form.
    """
    rates = [lr] * steps if isinstance(lr, int | float) else list(lr)
    if len(rates) != steps:
        raise ValueError(f"got {len(rates)} step sizes for {steps} steps")
    counts, alpha, _ = unroll(
        [
            Step(rate, momentum, dampening, nesterov, weight_decay, first=t == 0)
            for t, rate in enumerate(rates)
        ]
    )
    return -counts, alpha
