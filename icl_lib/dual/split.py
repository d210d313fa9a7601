"""Attention over demonstrations and query text, taken apart: exactly, and relaxed as in the paper.

A prompt holds demonstration tokens X' and query-text tokens X. Softmax attention over both splits
exactly into a convex combination. The paper drops the softmax and gets a sum instead:
W_ZSL + ΔW_ICL. The functions here compute both and the distance between them.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib.dual.factored import OuterSum


@dataclass(frozen=True, eq=False)
class SoftmaxSplit:
    """The two parts of softmax attention over [X'; X], and the weight of the first.

    Attributes
    ----------
    demonstrations
        Attn(X'), ``*batch T Kv``: attention over the demonstration tokens alone.
    query_text
        Attn(X), ``*batch T Kv``: attention over the query text alone, what zero-shot computes.
    mass
        λ, ``*batch T``, between 0 and 1: the softmax mass on the demonstrations.
    """

    demonstrations: Float[Tensor, "*batch T Kv"]
    query_text: Float[Tensor, "*batch T Kv"]
    mass: Float[Tensor, "*batch T"]

    @property
    def output(self) -> Float[Tensor, "*batch T Kv"]:
        """(1 − λ) Attn(X) + λ Attn(X'): softmax attention over both."""
        return torch.lerp(self.query_text, self.demonstrations, self.mass.unsqueeze(-1))

    @property
    def update(self) -> Float[Tensor, "*batch T Kv"]:
        """λ (Attn(X') − Attn(X)): what the demonstrations change in the zero-shot output."""
        return self.mass.unsqueeze(-1) * (self.demonstrations - self.query_text)


def _check_widths(q: Tensor, *pairs: tuple[Tensor, Tensor]) -> None:
    for k, v in pairs:
        if k.shape[-1] != q.shape[-1]:
            raise ValueError(
                f"keys have head width {k.shape[-1]}, queries {q.shape[-1]}; they must agree"
            )
        if k.shape[-2] != v.shape[-2]:
            raise ValueError(f"got {k.shape[-2]} keys and {v.shape[-2]} values; they must agree")
    if len({v.shape[-1] for _, v in pairs}) > 1:
        raise ValueError(
            f"demonstration values have width {pairs[0][1].shape[-1]}, "
            f"query-text values {pairs[1][1].shape[-1]}; they must agree"
        )


def _causal_block(scores: Tensor) -> Tensor:
    t, s = scores.shape[-2:]
    if s < t:
        raise ValueError(f"{t} queries cannot be the last positions of {s} query-text tokens")
    later = torch.ones(t, s, dtype=torch.bool, device=scores.device).triu(s - t + 1)
    return scores.masked_fill(later, -math.inf)


def softmax_split(
    q: Float[Tensor, "*batch T K"],
    k_demo: Float[Tensor, "*batch N K"],
    v_demo: Float[Tensor, "*batch N Kv"],
    k_query: Float[Tensor, "*batch S K"],
    v_query: Float[Tensor, "*batch S Kv"],
    *,
    scale: float | None = None,
    causal: bool = False,
) -> SoftmaxSplit:
    """Split softmax attention over [X'; X] exactly into its two parts.

    Attn([X'; X]) = (1 − λ) Attn(X) + λ Attn(X'),  λ = Z' / (Z' + Z),  Z' = Σ exp(s'_i),
    Z = Σ exp(s_j). Computed from logarithms: λ = sigmoid(log Z' − log Z), so that large scores
    do no harm.

    Parameters
    ----------
    q
        Queries of the query text.
    k_demo, v_demo
        Keys and values of the N demonstration tokens. With N = 0, λ is 0.
    k_query, v_query
        Keys and values of the S query-text tokens; S is at least 1.
    scale
        Factor on the scores; by default 1/√K.
    causal
        Whether the queries are the last T positions of the query text, each of which sees the
        text only up to itself. The demonstrations come before and are seen by all.

    Returns
    -------
    SoftmaxSplit
        Both parts and λ.

    Raises
    ------
    ValueError
        If widths or lengths disagree, or the query text is empty.

    Notes
    -----
    Source: follows from the definition of softmax; the exact counterpart of the approximation in
    Dai et al. (2023), eq. 11, which the paper does not use.
    Explained in: 06_meta_optimizer.
    """
    _check_widths(q, (k_demo, v_demo), (k_query, v_query))
    if k_query.shape[-2] == 0:
        raise ValueError("the query text has no tokens; there is no zero-shot part to keep")
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    s_demo = factor * (q @ k_demo.mT)
    s_query = factor * (q @ k_query.mT)
    if causal:
        s_query = _causal_block(s_query)
    gap = s_demo.logsumexp(-1) - s_query.logsumexp(-1)
    return SoftmaxSplit(s_demo.softmax(-1) @ v_demo, s_query.softmax(-1) @ v_query, gap.sigmoid())


@dataclass(frozen=True, eq=False)
class RelaxedHead:
    """A head without softmax and scale as the sum of two matrices, both kept factored.

    Attributes
    ----------
    zero_shot
        W_ZSL = Σ_j (W_V x_j) ⊗ (W_K x_j) over the query text: it depends on the query text and is
        no parameter of the model.
    update
        ΔW_ICL = Σ_i (W_V x'_i) ⊗ (W_K x'_i) over the demonstrations.
    """

    zero_shot: OuterSum
    update: OuterSum

    def __call__(self, q: Float[Tensor, "*M K"]) -> Float[Tensor, "*M Kv"]:
        """Return F̃_ICL(q) = (W_ZSL + ΔW_ICL) q by building the matrix."""
        matrix = self.zero_shot.as_matrix() + self.update.as_matrix()
        return q @ matrix.T

    def as_attention(self, q: Float[Tensor, "*M K"]) -> Float[Tensor, "*M Kv"]:
        """Return the same as linear attention over all tokens, with no matrix in between."""
        return self.zero_shot.apply(q) + self.update.apply(q)


def relaxed_head(
    k_demo: Float[Tensor, "N K"],
    v_demo: Float[Tensor, "N Kv"],
    k_query: Float[Tensor, "S K"],
    v_query: Float[Tensor, "S Kv"],
) -> RelaxedHead:
    """Return the relaxed head F̃_ICL(q) = (W_ZSL + ΔW_ICL) q.

    W_ZSL = W_V X (W_K X)ᵀ, ΔW_ICL = W_V X' (W_K X')ᵀ, with tokens as columns in the paper and as
    rows here, so that W_ZSL = v_queryᵀ k_query.

    Parameters
    ----------
    k_demo, v_demo
        Keys and values of the demonstration tokens.
    k_query, v_query
        Keys and values of the query-text tokens.

    Returns
    -------
    RelaxedHead
        Holds for any weights, trained or not.

    Raises
    ------
    ValueError
        If widths or lengths disagree.

    Notes
    -----
    Source: Dai et al. (2023), eqs. 11 and 12.
    Explained in: 06_meta_optimizer.
    """
    _check_widths(k_query, (k_demo, v_demo), (k_query, v_query))
    return RelaxedHead(OuterSum(v_query, k_query), OuterSum(v_demo, k_demo))


def taylor_attention(
    q: Float[Tensor, "*batch T K"],
    k: Float[Tensor, "*batch S K"],
    v: Float[Tensor, "*batch S Kv"],
    *,
    scale: float | None = None,
) -> Float[Tensor, "*batch T Kv"]:
    """Return softmax attention to first order in its scores: the honest small-score limit.

    Σ_i v_i (1 + s_i − s̄) / S = v̄ + (1/S) Σ_i v_i ((k_i − k̄) · q) scale: the mean of the values
    plus linear attention with centred keys. Its error against softmax is of second order.

    Parameters
    ----------
    q, k, v
        Queries, keys, values.
    scale
        Factor on the scores; by default 1/√K.

    Returns
    -------
    Tensor
        ``*batch T Kv``.

    Raises
    ------
    ValueError
        If widths or lengths disagree.

    Notes
    -----
    Source: first-order Taylor expansion of softmax at equal scores.
    Explained in: 06_meta_optimizer.
    """
    _check_widths(q, (k, v))
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = factor * (q @ k.mT)
    weights = (1 + scores - scores.mean(-1, keepdim=True)) / k.shape[-2]
    return weights @ v


def relative_error(
    approximation: Float[Tensor, "*batch K"], truth: Float[Tensor, "*batch K"]
) -> Float[Tensor, "*batch"]:
    """Return ‖approximation − truth‖ / ‖truth‖ for each vector: 0 is exact, 1 is what zero gives.

    Notes
    -----
    Source: definition.
    Explained in: 06_meta_optimizer.
    """
    return (approximation - truth).norm(dim=-1) / truth.norm(dim=-1)


def direction_error(
    approximation: Float[Tensor, "*batch K"], truth: Float[Tensor, "*batch K"]
) -> Float[Tensor, "*batch"]:
    """Return the relative error that remains after the best rescaling: √(1 − cos²).

    It forgives any factor, also a negative one: what is left is an error of direction alone.

    Notes
    -----
    Source: min over c of ‖c·approximation − truth‖ / ‖truth‖.
    Explained in: 06_meta_optimizer.
    """
    unit = torch.nn.functional.normalize(approximation, dim=-1)
    along = (unit * truth).sum(-1, keepdim=True) * unit
    return (truth - along).norm(dim=-1) / truth.norm(dim=-1)
