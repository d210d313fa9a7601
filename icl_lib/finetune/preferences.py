"""Preferences between two texts: how a judge with a known taste and some noise picks a winner."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Pairs:
    """Answers to the same prompts, two by two, and which of each two the judge preferred.

    Attributes
    ----------
    tokens, answer
        Rows as in :mod:`icl_lib.finetune.chat`; rows 2i and 2i + 1 answer the same prompt.
    worth
        The true rewards.
    first_wins
        The judge's decisions, with his noise.
    temperature
        τ, how noisy he is.

    Raises
    ------
    ValueError
        If there are not two answers for each decision.
    """

    tokens: Int[Tensor, "twoN T"]
    answer: Bool[Tensor, "twoN T"]
    worth: Float[Tensor, "twoN"]
    first_wins: Bool[Tensor, "N"]
    temperature: float

    def __post_init__(self) -> None:
        rows = {len(self.tokens), len(self.answer), len(self.worth)}
        if rows != {2 * len(self.first_wins)}:
            raise ValueError(
                f"{len(self.first_wins)} decisions need twice as many answers, got {sorted(rows)}"
            )

    def __len__(self) -> int:
        return len(self.first_wins)

    def __getitem__(self, some: slice) -> "Pairs":
        """Return some of the pairs."""
        start, stop, step = some.indices(len(self))
        if step != 1:
            raise ValueError(f"pairs are taken without gaps, got a step of {step}")
        rows = slice(2 * start, 2 * stop)
        return Pairs(
            self.tokens[rows],
            self.answer[rows],
            self.worth[rows],
            self.first_wins[start:stop],
            self.temperature,
        )

    def batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return chosen tokens, their answer, rejected tokens, their answer."""
        even = torch.arange(len(self)) * 2
        chosen, rejected = even + ~self.first_wins, even + self.first_wins
        return tuple(x[i] for i in (chosen, rejected) for x in (self.tokens, self.answer))

    def ceiling(self) -> float:
        """Return the noise ceiling, see :func:`noise_ceiling`."""
        return noise_ceiling(self.worth[::2], self.worth[1::2], temperature=self.temperature)

    def agreement(self, scores: Float[Tensor, "twoN"]) -> float:
        """Return how often scores order a pair as the judge did."""
        return agreement(scores[::2], scores[1::2], self.first_wins)

    def truthfulness(self, scores: Float[Tensor, "twoN"]) -> float:
        """Return how often scores order a pair as the true rewards do, where these differ."""
        a, b = self.worth[::2], self.worth[1::2]
        differ = a != b
        return agreement(scores[::2][differ], scores[1::2][differ], (a > b)[differ])


def bradley_terry(
    first: Float[Tensor, "*N"], second: Float[Tensor, "*N"], *, temperature: float = 1.0
) -> Float[Tensor, "*N"]:
    r"""Return the probability that the first of two is preferred.

    .. math:: P(a ≻ b) = σ\left(\frac{r(a) - r(b)}{τ}\right)

    Parameters
    ----------
    first, second
        Rewards r(a) and r(b).
    temperature
        τ > 0, the noise of the judge: near 0 the better one always wins, at ∞ a coin decides.

    Raises
    ------
    ValueError
        If the temperature is not above 0.

    Source: Bradley and Terry (1952); Christiano et al. (2017), eq. 1.

    Explained in: 09_chatgpt
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    return torch.sigmoid((first - second) / temperature)


def judge(
    first: Float[Tensor, "N"],
    second: Float[Tensor, "N"],
    *,
    temperature: float,
    generator: torch.Generator,
) -> Bool[Tensor, "N"]:
    """Return whether the first was preferred, one noisy decision for each pair.

    Explained in: 09_chatgpt
    """
    p = bradley_terry(first, second, temperature=temperature)
    return torch.rand(p.shape, generator=generator, dtype=torch.float64) < p.double()


def noise_ceiling(
    first: Float[Tensor, "N"], second: Float[Tensor, "N"], *, temperature: float
) -> float:
    """Return how often the noisy judge agrees with the truth: no model can foretell it better.

    The mean of max(P, 1 − P) over the pairs.

    Explained in: 09_chatgpt
    """
    p = bradley_terry(first, second, temperature=temperature)
    return torch.maximum(p, 1 - p).mean().item()


def bradley_terry_loss(
    chosen: Float[Tensor, "N"], rejected: Float[Tensor, "N"]
) -> Float[Tensor, ""]:
    r"""Return the mean surprise of a Bradley–Terry judge at the decisions that were made.

    .. math:: L = -\frac1N \sum_i \log σ(r(\text{chosen}_i) - r(\text{rejected}_i))

    Only differences count: the same number added to all rewards changes nothing.

    Raises
    ------
    ValueError
        If the two differ in shape or are empty.

    Source: Christiano et al. (2017), eq. 1; Ouyang et al. (2022), eq. 1.

    Explained in: 09_chatgpt
    """
    if chosen.shape != rejected.shape or not chosen.numel():
        raise ValueError(
            f"expected as many chosen as rejected rewards and at least one, got "
            f"{tuple(chosen.shape)} and {tuple(rejected.shape)}"
        )
    return -F.logsigmoid(chosen - rejected).mean()


def agreement(
    scores_first: Float[Tensor, "N"],
    scores_second: Float[Tensor, "N"],
    first_wins: Bool[Tensor, "N"],
) -> float:
    """Return the share of pairs that the scores order as the decisions do; a tie counts half.

    Explained in: 09_chatgpt
    """
    gap = scores_first - scores_second
    right = torch.where(first_wins, gap > 0, gap < 0).double() + 0.5 * (gap == 0)
    return right.mean().item()


def fit_bradley_terry(
    winners: Int[Tensor, "N"], losers: Int[Tensor, "N"], items: int, *, steps: int = 100
) -> Float[Tensor, "items"]:
    r"""Return the rewards under which the decisions are likeliest, with mean zero.

    Newton's method on the Bradley–Terry loss; its gradient and Hessian are

    .. math:: \sum_i -(1 - p_i)\,d_i, \qquad \sum_i p_i (1 - p_i)\, d_i d_i^\top,
        \qquad d_i = \mathrm{onehot}(\text{winner}_i) - \mathrm{onehot}(\text{loser}_i)

    Parameters
    ----------
    winners, losers
        Numbers of the items that won and lost, one pair for each comparison.
    items
        How many items there are.
    steps
        Newton steps at most; it stops when no reward moves by more than 1e-14.

    Raises
    ------
    ValueError
        If the maximum lies at infinity: some group of items never lost to the others.

    Source: Bradley and Terry (1952); Ford (1957) for when a maximum exists.

    Explained in: 09_chatgpt
    """
    _has_maximum(winners, losers, items)
    rows = torch.arange(len(winners))
    d = torch.zeros(len(winners), items, dtype=torch.float64)
    d[rows, winners] += 1
    d[rows, losers] -= 1
    r, mean = torch.zeros(items, dtype=torch.float64), torch.ones(items, items).double() / items
    for _ in range(steps):
        p = torch.sigmoid(d @ r)
        hessian = d.T @ (d * (p * (1 - p))[:, None]) + mean  # the mean fixes the free constant
        step = torch.linalg.solve(hessian, d.T @ (1 - p))
        size = torch.clamp(step.abs().max(), min=2.0) / 2.0  # never more than 2 at a time
        r = r + step / size
        if step.abs().max() < 1e-14:
            break
    return r - r.mean()


def _has_maximum(winners: Tensor, losers: Tensor, items: int) -> None:
    beaten = coo_array(
        (torch.ones(len(winners)).numpy(), (winners.numpy(), losers.numpy())), shape=(items, items)
    )
    parts, _ = connected_components(beaten, directed=True, connection="strong")
    if parts > 1:
        raise ValueError(
            f"the likeliest rewards are infinite: the {items} items fall into {parts} groups, and "
            "some group never lost to the others; compare more pairs"
        )
