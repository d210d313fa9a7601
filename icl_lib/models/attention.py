"""Attention as plain functions: what each form computes, and nothing else.

Letters: ``T`` queries, ``S`` keys and values, ``K`` head width of queries and keys,
``Kv`` of values. Anything in front (``*batch``) is a batch, heads among it.

The readable form (:func:`softmax_attention`) says what happens; the fused form
(:func:`fused_attention`) is what the GPT runs. A test holds the two together.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def _check(q: Tensor, k: Tensor, v: Tensor | None, causal: bool) -> None:
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(
            f"keys have head width {k.shape[-1]}, queries {q.shape[-1]}; they must agree"
        )
    if v is not None and v.shape[-2] != k.shape[-2]:
        raise ValueError(f"got {k.shape[-2]} keys and {v.shape[-2]} values; they must agree")
    if causal and q.shape[-2] > k.shape[-2]:
        raise ValueError(
            f"causal attention needs a key for each query, got {q.shape[-2]} queries and "
            f"{k.shape[-2]} keys"
        )


def causal_mask(
    t: int, s: int | None = None, *, device: torch.device | str | None = None
) -> Bool[Tensor, "T S"]:
    """Return which keys a query may see: ``True`` where key position ≤ query position.

    Parameters
    ----------
    t
        Number of queries.
    s
        Number of keys, ``t`` if not given. The queries are the *last* ``t`` of ``s`` positions, as
        they are when earlier keys come from a cache.

    Explained in: 02_attention
    """
    s = t if s is None else s
    return torch.ones(t, s, dtype=torch.bool, device=device).tril(s - t)


def attention_scores(
    q: Float[Tensor, "*batch T K"], k: Float[Tensor, "*batch S K"], *, scale: float | None = None
) -> Float[Tensor, "*batch T S"]:
    r"""Return how well each query matches each key.

    .. math:: s_{ti} = c\, q_t · k_i, \qquad c = 1/\sqrt{K}

    Parameters
    ----------
    q, k
        Queries and keys.
    scale
        The factor c; ``1/√K`` if not given, which keeps the variance of the scores at 1 when the
        entries of queries and keys are independent with variance 1.

    Raises
    ------
    ValueError
        If the head widths differ.

    Source: Vaswani et al. (2017), section 3.2.1, eq. 1.

    Explained in: 02_attention
    """
    _check(q, k, None, False)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    return scale * (q @ k.transpose(-2, -1))


def _masked(
    scores: Tensor, causal: bool, mask: Bool[Tensor, "*batch T S"] | None, filler: float
) -> Tensor:
    if causal:
        allowed = causal_mask(*scores.shape[-2:], device=scores.device)
        scores = scores.masked_fill(~allowed, filler)
    if mask is not None:
        scores = scores.masked_fill(~mask, filler)
    return scores


def attention_weights(
    scores: Float[Tensor, "*batch T S"],
    *,
    causal: bool = False,
    mask: Bool[Tensor, "*#batch #T S"] | None = None,
) -> Float[Tensor, "*batch T S"]:
    """Return softmax over the keys that each query may see; the others get weight 0.

    Parameters
    ----------
    scores
        Result of :func:`attention_scores`.
    causal
        Hide keys that come after the query.
    mask
        ``True`` where a key may be seen. A query that may see no key gets weights 0, not NaN.

    Explained in: 02_attention
    """
    hidden = _masked(scores, causal, mask, float("-inf"))
    weights = torch.softmax(hidden, dim=-1)
    return weights if mask is None else weights.nan_to_num(0.0)


def softmax_attention(
    q: Float[Tensor, "*batch T K"],
    k: Float[Tensor, "*batch S K"],
    v: Float[Tensor, "*batch S Kv"],
    *,
    causal: bool = False,
    scale: float | None = None,
    mask: Bool[Tensor, "*#batch #T S"] | None = None,
) -> Float[Tensor, "*batch T Kv"]:
    r"""Return a weighted mean of the values for each query: the readable form.

    .. math:: o_t = \sum_i p_{ti} v_i, \qquad p_t = \mathrm{softmax}(c\, q_t · k_i)_i

    Parameters
    ----------
    q, k, v
        Queries, keys, values.
    causal
        Hide keys that come after the query. With fewer queries than keys, the queries are the last.
    scale
        c; ``1/√K`` if not given.
    mask
        ``True`` where a key may be seen, broadcast against ``*batch T S``.

    Raises
    ------
    ValueError
        If head widths differ, keys and values differ in number, or causal queries outnumber keys.

    Source: Vaswani et al. (2017), eq. 1.

    Explained in: 02_attention
    """
    _check(q, k, v, causal)
    return attention_weights(attention_scores(q, k, scale=scale), causal=causal, mask=mask) @ v


def fused_attention(
    q: Float[Tensor, "*batch T K"],
    k: Float[Tensor, "*batch S K"],
    v: Float[Tensor, "*batch S Kv"],
    *,
    causal: bool = False,
    scale: float | None = None,
    mask: Bool[Tensor, "*#batch #T S"] | None = None,
) -> Float[Tensor, "*batch T Kv"]:
    """Return what :func:`softmax_attention` returns, by torch's fused kernel.

    The scores never stand in memory as a whole, so memory grows with T + S instead of T · S.
    A query that may see no key gets zeros, as there.

    Explained in: 02_attention
    """
    _check(q, k, v, causal)
    t, s = q.shape[-2], k.shape[-2]
    causal = causal and t > 1  # one query at the end sees every key
    if causal and (t != s or mask is not None):
        seen = causal_mask(t, s, device=q.device)
        mask, causal = (seen if mask is None else seen & mask), False
    return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, scale=scale)


def linear_attention(
    q: Float[Tensor, "*batch T K"],
    k: Float[Tensor, "*batch S K"],
    v: Float[Tensor, "*batch S Kv"],
    *,
    causal: bool = False,
) -> Float[Tensor, "*batch T Kv"]:
    r"""Return attention without softmax, scale or normaliser.

    .. math:: o_t = \sum_i v_i\,(k_i · q_t) = \Big(\sum_i v_i ⊗ k_i\Big) q_t

    The right-hand side is a matrix that acts on the query: this is the form in which attention and
    a weight update are the same thing.

    Raises
    ------
    ValueError
        As :func:`softmax_attention`.

    Source: Dai et al. (2023), eqs. 3–4; Schlag et al. (2021).

    Explained in: 05_dual_form
    """
    _check(q, k, v, causal)
    if causal:
        return _masked(q @ k.transpose(-2, -1), True, None, 0.0) @ v
    if k.shape[-2] < k.shape[-1]:
        return (q @ k.transpose(-2, -1)) @ v
    return q @ (k.transpose(-2, -1) @ v)


def momentum_attention(
    q: Float[Tensor, "*batch T K"],
    k: Float[Tensor, "*batch T K"],
    v: Float[Tensor, "*batch T Kv"],
    *,
    eta: float,
    scale: float | None = None,
) -> Float[Tensor, "*batch T Kv"]:
    r"""Return causal softmax attention plus an exponentially weighted sum of earlier values.

    .. math:: o_t = \mathrm{Attn}(V, K, q_t) + \sum_{i=1}^{t-1} η^{t-i} v_i

    Parameters
    ----------
    q, k, v
        Queries, keys and values of the same positions.
    eta
        η, between 0 and 1. There is no default: the paper gives neither value nor ablation.
    scale
        As in :func:`softmax_attention`.

    Raises
    ------
    ValueError
        If η is outside [0, 1), or the number of queries, keys and values differ.

    Notes
    -----
    The sum has total weight η/(1−η) far from the start, leaves out the current position and does
    not depend on the query: it is a fixed preference for recent tokens.

    Source: Dai et al. (2023), section 5.

    Explained in: 06_meta_optimizer
    """
    if not 0 <= eta < 1:
        raise ValueError(f"eta must be at least 0 and below 1, got {eta}")
    if q.shape[-2] != k.shape[-2]:
        raise ValueError(
            f"momentum attention needs a key for each query, got {q.shape[-2]} queries and "
            f"{k.shape[-2]} keys"
        )
    lag = torch.arange(q.shape[-2], device=q.device)
    lag = lag[:, None] - lag[None, :]
    decay = torch.where(lag > 0, torch.as_tensor(eta, dtype=v.dtype) ** lag.clamp(min=0), 0.0)
    return softmax_attention(q, k, v, causal=True, scale=scale) + decay.to(v) @ v
