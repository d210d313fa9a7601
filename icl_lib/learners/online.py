"""Gradient descent that sees each pair once, in the order in which they come."""

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib.learners.prefixes import Diverging, check_pairs


def one_pass(
    inputs: Float[Tensor, "*batch N d"], targets: Float[Tensor, "*batch N"], step_size: float
) -> Float[Tensor, "*batch N+1 d"]:
    r"""Take one step on each pair alone, from weights 0: stochastic gradient descent, one pass.

    .. math:: w_{k+1} = w_k + \eta\,(y_k - w_k \cdot x_k)\,x_k

    Full-batch descent adds up the pairs, so their order cannot matter to it. Here a pair is met by
    the weights that the pairs before it have made: the order matters.

    Parameters
    ----------
    inputs, targets
        The pairs of each prompt.
    step_size
        η.

    Returns
    -------
    Tensor
        Row k has seen the first k pairs.

    Raises
    ------
    ValueError
        If the pairs do not fit together.
    Diverging
        If the weights overflow. A step on one pair is stable as long as η‖x‖² < 2; the message
        names the largest η for which that is so of all pairs.

    Source: the delta rule of Widrow and Hoff (1960).
    Explained in: 15_limits
    """
    check_pairs(inputs, targets)
    weights = torch.zeros_like(inputs[..., :1, :].squeeze(-2))
    rows = [weights]
    for x, y in zip(inputs.unbind(-2), targets.unbind(-1), strict=True):
        missed = y - (weights * x).sum(dim=-1)
        weights = weights + step_size * missed[..., None] * x
        rows.append(weights)
    made = torch.stack(rows, dim=-2)
    if not made.isfinite().all():
        longest = inputs.square().sum(-1).max().item()
        raise Diverging("one pass of stochastic descent", 2 / longest)
    return made
