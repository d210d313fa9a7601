"""What the metrics show when there is nothing to show: closed forms.

The tests check each by simulation.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def normalised_update_similarity(
    ratio: Float[Tensor, "*batch"], other: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    r"""Return the normalised SimAOU of *independent* updates in many dimensions.

    .. math:: \frac{(1 - 1/s_1)(1 - 1/s_2)}
        {\sqrt{\prod_j \left[(1 - 1/s_j)^2 + ρ_j^2/s_j^2\right]}}, \qquad s_j = \sqrt{1 + ρ_j^2}

    Both normalised outputs lie closer to the origin along the zero-shot output than it does
    itself; this common retreat is what the cosine sees. Without normalisation it is 0.

    Parameters
    ----------
    ratio, other
        ρ of the two updates, as :func:`icl_lib.meta.similarity.norm_ratio` gives them.

    Raises
    ------
    ValueError
        If a ratio is negative.

    Source: this book, after an example in Deutch et al. (2024): ρ² = 3 gives 1/4.

    Explained in: 17_chance
    """
    if bool((ratio < 0).any()) or bool((other < 0).any()):
        raise ValueError("a norm ratio is at least 0")
    retreat, size = 1.0, 1.0
    for rho in (ratio, other):
        s = (1 + rho**2).sqrt()
        back = 1 - 1 / s
        retreat, size = retreat * back, size * (back**2 + (rho / s) ** 2)
    return torch.where(size > 0, retreat / size.sqrt(), torch.zeros_like(size))


def offset_similarity(offset: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    r"""Return the SimAM of independent standard normal scores with a common offset c.

    .. math:: c^2 / (1 + c^2)

    Softmax ignores the offset; the cosine of raw scores does not. Centred: 0.

    Source: this book.

    Explained in: 17_chance
    """
    return offset**2 / (1 + offset**2)


def least_base_rate(zero_shot: float, in_context: float) -> float:
    r"""Return the smallest base rate of Rec2FTP that two accuracies leave possible.

    .. math:: \max\left(0, \frac{a_{ICL} - a_{ZSL}}{1 - a_{ZSL}}\right)

    Even if ICL breaks nothing that was right, it must correct that share of the errors.

    Raises
    ------
    ValueError
        If an accuracy is outside 0 … 1, or zero-shot makes no errors.

    Source: this book.

    Explained in: 17_chance
    """
    _accuracies(zero_shot, in_context)
    return max(0.0, (in_context - zero_shot) / (1 - zero_shot))


def most_base_rate(zero_shot: float, in_context: float) -> float:
    r"""Return the largest base rate of Rec2FTP that two accuracies leave possible.

    .. math:: \min\left(1, \frac{a_{ICL}}{1 - a_{ZSL}}\right)

    Raises
    ------
    ValueError
        As :func:`least_base_rate`.

    Source: this book.

    Explained in: 17_chance
    """
    _accuracies(zero_shot, in_context)
    return min(1.0, in_context / (1 - zero_shot))


def _accuracies(zero_shot: float, in_context: float) -> None:
    if not 0 <= zero_shot < 1 or not 0 <= in_context <= 1:
        raise ValueError(
            f"accuracies lie between 0 and 1, zero-shot below 1; got {zero_shot} and {in_context}"
        )


def cosine_spread(dimensions: int) -> float:
    r"""Return the standard deviation of the cosine of two random directions: 1/√d.

    Source: definition; the mean of the squared cosine is 1/d.

    Explained in: 17_chance
    """
    if dimensions < 1:
        raise ValueError(f"dimensions must be at least 1, got {dimensions}")
    return 1 / math.sqrt(dimensions)


def kendall_spread(n: int) -> float:
    r"""Return the standard deviation of Kendall's τ of independent rankings.

    .. math:: \sqrt{\frac{2(2n + 5)}{9 n (n - 1)}}

    Raises
    ------
    ValueError
        If there are fewer than two things to rank.

    Source: Kendall (1938).

    Explained in: 17_chance
    """
    if n < 2:
        raise ValueError(f"a ranking needs two things or more, got {n}")
    return math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))
