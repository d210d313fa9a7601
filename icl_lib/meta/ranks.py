"""Kendall's rank correlation of many rows at once, both variants, and what is ranked.

Letters: ``n`` demonstration tokens (slots), ``N`` training tokens, ``B`` queries, ``L`` layers.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from icl_lib.meta.finetuning import Trace
from icl_lib.meta.observe import Observation

ROUNDING = 64
"""Numbers of a row that differ by less than so many units of rounding of its largest are tied.

The same word at the same place has the same query in the first layer, so ties are common, and the
order of sums must not decide them.
"""

SMALL = 192
"""Blocks up to this size are compared pair by pair, counted in bytes; larger ones are merged."""


@dataclass(frozen=True, eq=False)
class Kendall:
    """Both variants: a divides by all pairs, b by the geometric mean of the pairs not tied."""

    a: Float[Tensor, "*batch"]
    b: Float[Tensor, "*batch"]


def kendall(x: Float[Tensor, "*batch n"], y: Float[Tensor, "*batch n"]) -> Kendall:
    r"""Return Kendall's τ of each row of x with the same row of y.

    .. math:: τ_a = \frac{C - D}{n(n-1)/2}, \qquad
        τ_b = \frac{C - D}{\sqrt{(P - T_x)(P - T_y)}}, \qquad P = n(n-1)/2

    with C concordant pairs, D discordant ones, T ties in one of the two. Without ties both agree.
    It takes n log² n steps, not n², on the processor, whose vector instructions numpy sorts with.
    Numbers that only rounding tells apart are tied.

    Raises
    ------
    ValueError
        If the shapes differ, or there are fewer than two numbers in a row.

    Source: Kendall (1938, 1945); Dai et al. (2023), section 4.5, prints a, their code takes b.

    Explained in: 16_paper_experiment
    """
    return Ranking.of(x).against(Ranking.of(y))


@dataclass(frozen=True, eq=False)
class Ranking:
    """Rows that are ranked once, to be compared with several others; see :func:`kendall`.

    Attributes
    ----------
    shape
        Of the rows.
    order
        Places of each row from the smallest number to the largest.
    ranks
        Ranks in that order, from 0 on; ties share one.
    ties
        Number of tied pairs of each row.
    """

    shape: torch.Size
    order: Int[np.ndarray, "R n"]
    ranks: Int[np.ndarray, "R n"]
    ties: Float[np.ndarray, "R"]

    @classmethod
    def of(
        cls, x: Float[Tensor, "*batch n"], order: Int[np.ndarray, "R n"] | None = None
    ) -> "Ranking":
        """Rank each row; ``order`` is that of its places, if it is known already.

        Raises
        ------
        ValueError
            If there are fewer than two numbers in a row.
        """
        if x.shape[-1] < 2:
            raise ValueError(f"Kendall's tau needs two numbers or more, got {tuple(x.shape)}")
        rows = x.detach().cpu().reshape(-1, x.shape[-1]).numpy()
        order = rows.argsort(axis=1) if order is None else order
        values, apart = np.take_along_axis(rows, order, 1), ROUNDING * np.finfo(rows.dtype).eps
        least = apart * np.maximum(-values[:, :1], values[:, -1:])
        ranks = np.zeros(values.shape, np.int32)
        np.cumsum(np.diff(values, axis=1) > least, axis=1, out=ranks[:, 1:])
        return cls(x.shape, order, ranks, tied_pairs(ranks))

    def tied(self, x: Float[Tensor, "*batch n"]) -> "Ranking":
        """Return the same order with more ties: those between numbers that are equal in ``x``.

        ``x`` must rise with the numbers that were ranked, as their softmax does, whose small
        weights vanish.

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        if x.shape != self.shape:
            raise ValueError(f"expected the shape {tuple(self.shape)}, got {tuple(x.shape)}")
        rows = x.detach().cpu().reshape(-1, x.shape[-1]).numpy()
        values, ranks = np.take_along_axis(rows, self.order, 1), np.zeros_like(self.ranks)
        apart = (np.diff(self.ranks, axis=1) > 0) & (np.diff(values, axis=1) > 0)
        np.cumsum(apart, axis=1, out=ranks[:, 1:])
        return Ranking(self.shape, self.order, ranks, tied_pairs(ranks))

    def against(self, other: "Ranking") -> Kendall:
        """Return τ with the same rows of another tensor, ranked as well.

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        if other.shape != self.shape:
            shapes = f"{tuple(self.shape)} and {tuple(other.shape)}"
            raise ValueError(f"Kendall's tau needs equal shapes, got {shapes}")
        n, theirs = self.shape[-1], np.empty_like(other.ranks)
        np.put_along_axis(theirs, other.order, other.ranks, 1)
        theirs, tied = np.take_along_axis(theirs, self.order, 1), np.zeros_like(self.ties)
        if self.ties.any():  # within ties of x, y rises: no pair of them is discordant
            both = np.sort(self.ranks.astype(np.int64) * n + theirs, axis=1)
            theirs, tied = (both % n).astype(np.int32), tied_pairs(both)
        pairs = n * (n - 1) / 2
        net = pairs - self.ties - other.ties + tied - 2 * inversions(theirs)
        free = np.sqrt((pairs - self.ties) * (pairs - other.ties))
        with np.errstate(invalid="ignore"):  # a row of equal numbers has no τ_b: 0 / 0
            a, b = (torch.from_numpy(net / part) for part in (pairs, free))
        return Kendall(a.reshape(self.shape[:-1]), b.reshape(self.shape[:-1]))


def tied_pairs(x: Int[np.ndarray, "R n"]) -> Float[np.ndarray, "R"]:
    """Return how many pairs of a sorted row are equal: t(t − 1)/2 for each run of t.

    Explained in: 16_paper_experiment
    """
    new, found = np.diff(x, axis=1) != 0, np.zeros(len(x))
    some = np.flatnonzero(~new.all(axis=1))
    place = np.arange(x.shape[1])
    first = np.where(np.pad(new[some], ((0, 0), (1, 0)), constant_values=True), place, 0)
    found[some] = (place - np.maximum.accumulate(first, axis=1)).sum(axis=1)
    return found


def inversions(x: Int[np.ndarray, "R n"]) -> Float[np.ndarray, "R"]:
    """Return how many pairs of each row stand in falling order.

    Short blocks are compared pair by pair, longer ones by merging sorted halves.

    The numbers must lie between 0 and n. To merge, each number is doubled and those of the right
    half are made odd: after sorting, the places of the odd ones tell how many of the left half
    stand before them.

    Source: the classical use of merge sort, on all rows at once.

    Explained in: 16_paper_experiment
    """
    rows, n = x.shape
    small, blocks = n, 1
    while small > SMALL:  # 2, 4, 8 … blocks, so that little is padded
        blocks *= 2
        small = -(-n // blocks)
    size = small * blocks
    x = np.pad(x, ((0, 0), (0, size - n)), constant_values=n)  # behind all others: no new pair
    found = close_inversions(x.reshape(-1, small)).reshape(rows, blocks).sum(axis=1)
    half, whole, x = small, size, x.astype(np.int32)
    while half < whole:
        keys = 2 * x.reshape(rows, -1, 2, half)
        keys[:, :, 1] += 1
        keys = np.sort(keys.reshape(rows, -1, 2 * half), axis=2)
        places = (keys & 1) @ np.arange(2 * half)
        found += (half**2 + half * (half - 1) // 2 - places).sum(axis=1)
        x, half = (keys >> 1).reshape(rows, whole), 2 * half
    return found.astype(float)


def close_inversions(x: Int[np.ndarray, "R n"]) -> Int[np.ndarray, "R"]:
    """Return the same of short rows: each shift compares all pairs so far apart at once.

    Explained in: 16_paper_experiment
    """
    columns = np.ascontiguousarray(x.T, dtype=np.min_scalar_type(int(x.max(initial=0))))
    falls = np.empty(columns.shape, bool)
    counts = np.zeros(columns.shape, np.uint8)  # below 256, since rows are short
    for shift in range(1, len(columns)):
        np.less(columns[shift:], columns[:-shift], out=falls[shift:])
        counts[shift:] += falls[shift:].view(np.uint8)
    return counts.sum(axis=0, dtype=np.int64)


# ---- what is ranked ---------------------------------------------------------------------------


def in_context_attention(seen: Observation) -> Float[Tensor, "B L n"]:
    r"""Return each demonstration token's score, summed over heads.

    .. math:: m_{ICL} = \sum_h K'^{(h)} q^{(h)} / \sqrt K

    Source: Dai et al. (2023), section 4.5.

    Explained in: 16_paper_experiment
    """
    return seen.scores_demo.sum(2)


def by_slot(values: Float[Tensor, "B L N"], trace: Trace) -> Float[Tensor, "B L n"]:
    """Add up what belongs to the same demonstration token, and drop the opening.

    Explained in: 16_paper_experiment
    """
    keep = trace.slot >= 0
    total = values.new_zeros(*values.shape[:2], trace.slots)
    return total.index_add_(2, trace.slot[keep], values[..., keep])


def query_query(trace: Trace, seen: Observation) -> Float[Tensor, "B L n"]:
    r"""Return the published attention to training tokens, between queries.

    .. math:: m_{FT,i} = \sum_h q_i'^{(h)} · q^{(h)}

    Parameters
    ----------
    trace
        Attention queries q' of the training tokens, recorded while training.
    seen
        Attention query q of the test example in the finetuned model.

    Notes
    -----
    W_Q is not even trained, so by the dual form this is not what training adds.

    Source: Dai et al. (2023), section 4.5.

    Explained in: 16_paper_experiment
    """
    return by_slot(torch.einsum("nlhk,blhk->bln", trace.queries, seen.queries), trace)


def input_input(trace: Trace, seen: Observation) -> Float[Tensor, "B L n"]:
    r"""Return the attention to training inputs that the dual form names.

    .. math:: m_i = x'_i · x

    with what the projections read: x' while training, x at the measured position.

    Source: Dai et al. (2023), eq. 9; Irie et al. (2022).

    Explained in: 17_chance
    """
    return by_slot(torch.einsum("nld,bld->bln", trace.inputs, seen.inputs), trace)


def error_weighted(trace: Trace, seen: Observation, *, bias: bool = True) -> Float[Tensor, "B L n"]:
    r"""Return what each training token adds, exactly, to the change that ΔW_V makes.

    .. math:: c_i = \sum_h (r^{(h)} · e_i^{(h)})\,(x'_i · \bar x^{(h)}), \qquad
        \bar x^{(h)} = \sum_j p_j^{(h)} x_j, \qquad Σ_i c_i = \lVert Δo \rVert

    p are the finetuned model's attention weights on the query text and x its inputs, so that
    :math:`Δo^{(h)} = ΔW_V^{(h)} \bar x^{(h)}` is what the trained value projection adds to the
    head's output; r is its direction. The sum is over all tokens, those of the opening included.

    Parameters
    ----------
    trace, seen
        Of training, and of the query in the finetuned model.
    bias
        Whether the biases were trained, which adds 1 to every :math:`x'_i · \bar x` (times Σ p).

    Source: Dai et al. (2023), eq. 9, with its error signals.

    Explained in: 17_chance
    """
    return by_slot(contributions(trace, seen, bias=bias), trace)


def contributions(trace: Trace, seen: Observation, *, bias: bool) -> Float[Tensor, "B L N"]:
    """Return :func:`error_weighted` before it is sorted into slots, the opening included.

    Explained in: 17_chance
    """
    mean = torch.einsum("blht,bltd->blhd", seen.weights, seen.text_inputs)
    match = torch.einsum("nld,blhd->bnlh", trace.inputs, mean)
    if bias:
        match = match + seen.weights.sum(-1)[:, None]
    change = torch.einsum("nlhk,bnlh->blhk", trace.value_errors, match)
    size = change.flatten(2).norm(dim=2)[..., None, None]
    return torch.einsum("blhk,nlhk,bnlh->bln", change / size, trace.value_errors, match)
