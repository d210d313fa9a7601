"""Shares of examples, with intervals: accuracy, and how much of finetuning's gain ICL recalls."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from scipy.special import betaincinv
from torch import Tensor


@dataclass(frozen=True)
class Share:
    """``hits`` of ``n``, and where the true share lies with 95 % confidence.

    The interval is that of Clopper and Pearson: it never promises too much.
    """

    hits: int
    n: int

    @property
    def value(self) -> float:
        """hits / n; NaN if there was nothing to count."""
        return self.hits / self.n if self.n else math.nan

    @property
    def low(self) -> float:
        """Lower end: the share that would give so many hits or more in 2.5 % of cases."""
        if not self.n:
            return math.nan
        return float(betaincinv(self.hits, self.n - self.hits + 1, 0.025)) if self.hits else 0.0

    @property
    def high(self) -> float:
        """Upper end: the share that would give so few hits or fewer in 2.5 % of cases."""
        if not self.n:
            return math.nan
        if self.hits == self.n:
            return 1.0
        return float(betaincinv(self.hits + 1, self.n - self.hits, 0.975))


@dataclass(frozen=True)
class Recall:
    """What of finetuning's corrections in-context learning makes, too.

    Attributes
    ----------
    rec2ftp
        Of the examples that zero-shot gets wrong and finetuning right: the share that ICL gets
        right. The published number.
    base_rate
        Of *all* that zero-shot gets wrong: the share that ICL gets right. What Rec2FTP would be
        if finetuning had nothing to do with it.
    precision
        Of the examples that zero-shot gets wrong and ICL right: the share that finetuning does.
    least
        Below this the base rate cannot lie, given the accuracies alone.
    """

    rec2ftp: Share
    base_rate: Share
    precision: Share
    least: float

    @property
    def lift(self) -> float:
        """Rec2FTP over its base rate: 1 is chance."""
        base = self.base_rate.value
        return self.rec2ftp.value / base if base else math.nan


def share(hits: Bool[Tensor, "n"], among: Bool[Tensor, "n"] | None = None) -> Share:
    """Return how many are hit, of all or of some.

    Explained in: 16_paper_experiment
    """
    among = torch.ones_like(hits) if among is None else among
    return Share(int((hits & among).sum()), int(among.sum()))


def recall_to_finetuning(
    zero_shot: Bool[Tensor, "n"], in_context: Bool[Tensor, "n"], finetuned: Bool[Tensor, "n"]
) -> Recall:
    r"""Return Rec2FTP with its base rate.

    .. math:: \mathrm{Rec2FTP} = \frac{\#(FT \wedge ICL \wedge \neg ZSL)}{\#(FT \wedge \neg ZSL)}

    Parameters
    ----------
    zero_shot, in_context, finetuned
        Whether each condition gets each example right.

    Source: Dai et al. (2023), section 4.2, which gives no base rate.

    Explained in: 16_paper_experiment
    """
    wrong = ~zero_shot
    right, more = zero_shot.double().mean(), in_context.double().mean()
    least = float(((more - right) / (1 - right)).clamp(min=0)) if bool(wrong.any()) else math.nan
    return Recall(
        share(in_context, finetuned & wrong),
        share(in_context, wrong),
        share(finetuned, in_context & wrong),
        least,
    )
