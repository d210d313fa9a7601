"""How much of a score is chance: exact splits, the inverses of the nulls, and verdicts.

:mod:`icl_lib.meta.nulls` says what a metric shows of things that have nothing in common. Here the
question is turned round: given a score, how much of it is that?
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.stats import t as student
from torch import Tensor

from icl_lib.meta.result import Result
from icl_lib.meta.similarity import beside, cosine, unit

# ---- what of a normalised similarity is chance --------------------------------------------------


@dataclass(frozen=True, eq=False)
class Split:
    r"""The similarity of two output updates as a sum of two parts, for any vectors.

    .. math:: \text{similarity} = \text{chance} + \text{weight}\cdot r

    Attributes
    ----------
    chance
        What is left when the outputs, apart from their zero-shot direction, are at right angles.
    agreement
        The rest: 0 exactly if they are.
    beside
        r, the cosine of those parts. It is the same for both versions of the similarity: neither
        normalising nor the common zero-shot output can make anything of it.
    """

    chance: Float[Tensor, "*batch"]
    agreement: Float[Tensor, "*batch"]
    beside: Float[Tensor, "*batch"]

    @property
    def total(self) -> Float[Tensor, "*batch"]:
        """The similarity."""
        return self.chance + self.agreement


def split_similarity(
    zero_shot: Float[Tensor, "*batch D"],
    in_context: Float[Tensor, "*batch D"],
    finetuned: Float[Tensor, "*batch D"],
    *,
    normalised: bool = True,
) -> Split:
    r"""Split the similarity of output updates into chance and agreement.

    With c the cosine of the in-context *output* with the zero-shot one and a that of the in-context
    *update* with it, c′ and a′ those of finetuning, and r the cosine of what is beside it:

    .. math:: \text{normalised} = \tfrac12\sqrt{(1-c)(1-c')} + \tfrac12\sqrt{(1+c)(1+c')}\;r
        \qquad \text{raw} = a\,a' + \sqrt{(1-a^2)(1-a'^2)}\;r

    Both hold for any three vectors. For updates at right angles to the zero-shot output a and a′
    are 0, and the first term of the normalised one is
    :func:`icl_lib.meta.nulls.normalised_update_similarity`. For three independent outputs of one
    length the first term of the raw one is ½: both updates contain the same −z.

    Parameters
    ----------
    zero_shot, in_context, finetuned
        Attention outputs.
    normalised
        As published; ``False`` subtracts the outputs as they are.

    Source: this book; :math:`\lVert \hat h - \hat z\rVert^2 = 2(1 - c)` for unit vectors.

    Explained in: 17_chance
    """
    r = cosine(beside(zero_shot, in_context), beside(zero_shot, finetuned))
    if normalised:
        zero_shot, in_context, finetuned = unit(zero_shot), unit(in_context), unit(finetuned)
    p, q = in_context - zero_shot, finetuned - zero_shot
    chance = cosine(p, zero_shot) * cosine(q, zero_shot)
    return Split(chance, cosine(p, q) - chance, r)


def length_for_similarity(score: float) -> float:
    r"""Return how long two independent updates must be for chance to give a score.

    .. math:: ρ = \sqrt{(1 - 2\,\text{score})^{-2} - 1}, \qquad
        \text{the inverse of}\quad \tfrac12\Bigl(1 - \frac{1}{\sqrt{1 + ρ^2}}\Bigr)

    Both are ρ times as long as the zero-shot output and at right angles to it.

    Raises
    ------
    ValueError
        If no length gives this score: it must be at least 0 and below ½.

    Source: this book.

    Explained in: 17_chance
    """
    if not 0 <= score < 0.5:
        raise ValueError(f"chance gives scores from 0 up to, but not including, 0.5; got {score}")
    return math.sqrt(1 / (1 - 2 * score) ** 2 - 1)


def normalised_from_raw(
    raw: Float[Tensor, "*batch"], ratio: Float[Tensor, "*batch"], other: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    r"""Return the normalised similarity of updates at right angles to the zero-shot output.

    .. math:: \tfrac12\sqrt{(1 - 1/s)(1 - 1/s')} + \tfrac12\sqrt{(1 + 1/s)(1 + 1/s')}\;r,
        \qquad s = \sqrt{1 + ρ^2}

    Parameters
    ----------
    raw
        r, their cosine as they are.
    ratio, other
        ρ of both.

    Source: this book.

    Explained in: 17_chance
    """
    k, m = (1 / (1 + rho**2).sqrt() for rho in (ratio, other))
    return (((1 - k) * (1 - m)).sqrt() + ((1 + k) * (1 + m)).sqrt() * raw) / 2


def length_from_both(normalised: float, raw: float) -> float:
    r"""Return the length that makes of a raw similarity a normalised one.

    .. math:: \frac1s = \frac{1 + r - 2\,\text{normalised}}{1 - r}, \qquad ρ = \sqrt{s^2 - 1}

    for two updates of one length at right angles to the zero-shot output: what the two published
    versions of one number say, under these assumptions, about a length that was not published.

    Raises
    ------
    ValueError
        If no length does.

    Source: this book; solves :func:`normalised_from_raw`.

    Explained in: 17_chance
    """
    k = (1 + raw - 2 * normalised) / (1 - raw) if raw < 1 else 0.0
    if not 0 < k <= 1:
        raise ValueError(f"no length makes {normalised} of {raw} by normalising")
    return math.sqrt(1 / k**2 - 1)


# ---- ranks and maps -----------------------------------------------------------------------------


def shared_rank_similarity(share: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    r"""Return Kendall's τ of two normal rows that share a part of their variance.

    .. math:: τ = \frac2π \arcsin(\text{share})

    A profile over places that both rows have, plus something of its own in each, gives that much
    however unrelated the rest is.

    Raises
    ------
    ValueError
        If a share is outside −1 … 1.

    Source: Greiner's relation between τ and the correlation of normal variables.

    Explained in: 17_chance
    """
    if bool((share.abs() > 1).any()):
        raise ValueError("a share of variance lies between -1 and 1")
    return 2 / math.pi * share.arcsin()


def share_for_rank_similarity(tau: float) -> float:
    r"""Return the shared part of the variance that gives Kendall's τ: sin(πτ/2).

    Raises
    ------
    ValueError
        If τ is outside −1 … 1.

    Source: inverse of :func:`shared_rank_similarity`.

    Explained in: 17_chance
    """
    if not -1 <= tau <= 1:
        raise ValueError(f"Kendall's tau lies between -1 and 1, got {tau}")
    return math.sin(math.pi * tau / 2)


def softmax_map_similarity(spread: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    r"""Return the cosine of two *independent* attention maps over many tokens.

    .. math:: e^{-σ^2}

    for normal scores with standard deviation σ. Weights are positive, so maps of nothing agree.

    Source: this book; :math:`(\mathbb E\,e^s)^2 / \mathbb E\,e^{2s}` of a normal variable.

    Explained in: 17_chance
    """
    return torch.exp(-(spread**2))


# ---- verdicts -----------------------------------------------------------------------------------

SURVIVES, IN_PART, NOT_SHOWN = "survives", "in part", "not shown"
"""What a number does under a control."""


@dataclass(frozen=True)
class Survival:
    """A number against a control, over tasks.

    Attributes
    ----------
    value, control
        Means over tasks, of the number itself and of what stands against it.
    low, high
        95 % interval, over tasks, of what has to be above 0.
    share
        Of the value: what the control shows as well or, for a correction, what is left.
    verdict
        ``not shown`` if the interval reaches 0 or the value itself is not above 0; otherwise
        ``survives`` if more than half of the value is above the control (or left by the
        correction), else ``in part``.
    """

    value: float
    control: float
    low: float
    high: float
    share: float
    verdict: str


def above_null(values: Sequence[float], nulls: Sequence[float]) -> Survival:
    """Ask whether a number exceeds what a control shows, in which the claimed cause is missing.

    Parameters
    ----------
    values, nulls
        One for each task.

    Raises
    ------
    ValueError
        If they are not as many, or fewer than two.

    Source: this book; the interval is Student's for the mean of the differences.

    Explained in: 17_chance
    """
    gaps = [a - b for a, b in zip(values, nulls, strict=True)]
    value, null = _mean(values), _mean(nulls)
    low, high = interval(gaps)
    share = null / value if value else math.nan
    return Survival(value, null, low, high, share, _verdict(value, low, 1 - share))


def left_by(values: Sequence[float], corrected: Sequence[float]) -> Survival:
    """Ask what a correction leaves of a number, which has to be above 0.

    Parameters
    ----------
    values, corrected
        One for each task.

    Raises
    ------
    ValueError
        As :func:`above_null`.

    Source: this book.

    Explained in: 17_chance
    """
    if len(values) != len(corrected):
        raise ValueError(f"got {len(values)} values and {len(corrected)} corrected ones")
    value, left = _mean(values), _mean(corrected)
    low, high = interval(corrected)
    share = left / value if value else math.nan
    return Survival(value, left, low, high, share, _verdict(value, low, share))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return Student's 95 % interval of a mean.

    Raises
    ------
    ValueError
        If there are fewer than two values.

    Explained in: 17_chance
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"an interval needs two values or more, got {n}")
    mean = _mean(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    half = float(student.ppf(0.975, n - 1)) * spread / math.sqrt(n)
    return mean - half, mean + half


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _verdict(value: float, low: float, above: float) -> str:
    if not (value > 0 and low > 0):
        return NOT_SHOWN
    return SURVIVES if above > 0.5 else IN_PART


def by_task(
    result: Result, metric: str, *, control: str = "none", position: str = "prediction"
) -> Mapping[str, float]:
    """Return the mean over seeds of a metric for each task, over all layers.

    A seed whose number does not exist, such as Rec2FTP where finetuning corrects nothing, is left
    out.

    Raises
    ------
    KeyError
        If it was not measured.

    Explained in: 17_chance
    """
    rows = result.overall(metric, control=control)
    rows = rows[rows.position == position]
    if not len(rows):
        raise KeyError(f"{metric!r} under {control!r} was not measured at the {position} position")
    return rows.groupby("task", sort=False).value.mean().to_dict()
