"""Nearest neighbours: guess what the closest points had."""

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib.learners.prefixes import check_pairs


def nearest_neighbours(
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
    neighbours: int = 3,
) -> Float[Tensor, "*batch N"]:
    r"""Guess each target as the mean of the nearest points before it.

    .. math:: \hat y_k = \frac1m \sum_{i \in \mathcal N_k} y_i, \qquad
              m = \min(\text{neighbours}, k)

    :math:`\mathcal N_k` holds the m of the first k points with the smallest Euclidean distance to
    :math:`x_k`; among equally distant ones, any. Without a point before it the guess is 0. The
    guess is not linear in the query, so there are no weights.

    Parameters
    ----------
    inputs, targets
        The pairs.
    neighbours
        How many are averaged, when there are so many.

    Raises
    ------
    ValueError
        If the pairs do not fit together or ``neighbours`` is not positive.

    Source: one of the baselines of Garg et al. 2022, with 3 neighbours.
    Explained in: 13_function_classes
    """
    check_pairs(inputs, targets)
    if neighbours < 1:
        raise ValueError(f"neighbours must be at least 1, got {neighbours}")
    points = inputs.shape[-2]
    few = min(neighbours, points)
    products = inputs @ inputs.mT
    distances = products.diagonal(dim1=-2, dim2=-1)[..., None, :] - 2 * products  # + ‖x_k‖²
    later = torch.ones(points, points, dtype=torch.bool, device=inputs.device).triu()
    distances = distances.masked_fill(later, torch.inf)
    nearest = distances.topk(few, dim=-1, largest=False, sorted=True)
    values = targets[..., None, :].expand_as(distances).gather(-1, nearest.indices)
    found = nearest.values.isfinite()
    return (values * found).sum(-1) / found.sum(-1).clamp(min=1)
