"""Does the order of the examples matter?"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def order_spread(
    guess: Callable[[Tensor, Tensor], Tensor],
    inputs: Float[Tensor, "B points d"],
    targets: Float[Tensor, "B points"],
    *,
    orders: int,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    r"""Return the standard deviation of a guess over random orders of the same demonstrations.

    .. math:: \sqrt{\mathbb E_{\text{prompts}}\, \mathrm{Var}_{\text{orders}}\, \hat y_q}

    Full-batch gradient descent, least squares and attention without positions give 0 up to
    rounding: they add up the demonstrations.

    Parameters
    ----------
    guess
        Maps inputs and targets of prompts to one guess each, for the last point.
    inputs, targets
        The last point is the query and stays last; a target at it must not be looked at.
    orders
        How many, at least 2; every prompt gets its own.
    generator
        Draws them.

    Raises
    ------
    ValueError
        If there are fewer than two orders, or no demonstration.

    Source: the quantity of Shen et al. (2024), for a number in place of a distribution over words.
    Explained in: 15_limits
    """
    if orders < 2:
        raise ValueError(f"orders must be at least 2, got {orders}")
    if inputs.shape[-2] < 2:
        raise ValueError("expected a demonstration and a query, got a single point")
    said = []
    for _ in range(orders):
        keys = torch.rand(len(inputs), inputs.shape[1] - 1, generator=generator)
        order = keys.argsort(dim=1).to(inputs.device)
        last = torch.full_like(order[:, :1], inputs.shape[1] - 1)
        order = torch.cat([order, last], dim=1)
        mixed = inputs.gather(1, order[..., None].expand_as(inputs))
        said.append(guess(mixed, targets.gather(1, order)))
    return torch.stack(said).var(dim=0).mean().sqrt()
