"""Exercises of chapter 2: a softmax for any scores, causal attention, heads, a running state."""

import math

import torch
from torch import Tensor

from icl_lib.exercises.core import Exercise, Step, expect_close


def _draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def _qkv(*shape: int, width: int, value_width: int, seed: int = 0) -> tuple[Tensor, ...]:
    q, k = _draw(*shape, width, seed=seed), _draw(*shape, width, seed=seed + 1)
    return q, k, _draw(*shape, value_width, seed=seed + 2)


# stable softmax


def _softmax(scores: Tensor) -> Tensor:
    shifted = (scores - scores.max(dim=-1, keepdim=True).values).exp()
    return shifted / shifted.sum(dim=-1, keepdim=True)


def _softmax_naive(scores: Tensor) -> Tensor:
    return scores.exp() / scores.exp().sum(dim=-1, keepdim=True)


def _softmax_whole(scores: Tensor) -> Tensor:
    return scores.exp() / scores.exp().sum()


def _softmax_one_shift(scores: Tensor) -> Tensor:
    shifted = (scores - scores.max()).exp()
    return shifted / shifted.sum(dim=-1, keepdim=True)


def _softmax_halves(f) -> None:
    expect_close(f(torch.zeros(2).double()), torch.full((2,), 0.5), what="softmax of (0, 0)")


def _softmax_rows(f) -> None:
    scores = _draw(3, 5)
    expect_close(f(scores).sum(-1), torch.ones(3), what="sum of each row")
    expect_close(f(scores), scores.softmax(-1), what="weights of a 3 × 5 matrix")


def _softmax_large(f) -> None:
    scores = torch.tensor([1000.0, 999.0], dtype=torch.float64)
    wanted = torch.tensor([0.0, -1.0]).double().softmax(-1)
    expect_close(f(scores), wanted, what="softmax of (1000, 999)")


def _softmax_scales(f) -> None:
    scores = torch.tensor([[0.0, 1.0], [-2000.0, -2001.0]], dtype=torch.float64)
    expect_close(f(scores), scores.softmax(-1), what="two rows far apart")


def _softmax_masked(f) -> None:
    scores = torch.tensor([1.0, -math.inf, 2.0], dtype=torch.float64)
    expect_close(f(scores), scores.softmax(-1), what="a row with a forbidden place")


STABLE_SOFTMAX = Exercise(
    "ch02-softmax",
    "softmax along the last dimension, for scores of any size",
    (
        Step("equal scores share the weight", _softmax_halves),
        Step("each row is normalised on its own", _softmax_rows),
        Step("large scores do not overflow", _softmax_large),
        Step("each row is shifted by its own maximum", _softmax_scales),
        Step("a score of minus infinity gets weight zero", _softmax_masked),
    ),
    _softmax,
    {
        "overflows": _softmax_naive,
        "normalises the whole matrix": _softmax_whole,
        "shifts all rows by one maximum": _softmax_one_shift,
    },
)


# causal attention


def _causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -math.inf).softmax(-1) @ v


def _causal_no_softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT / math.sqrt(q.shape[-1])).tril() @ v


def _causal_unscaled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return _causal(q * math.sqrt(q.shape[-1]), k, v)


def _causal_blind(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) @ v


def _causal_late_mask(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1).tril() @ v


def _causal_zero_mask(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT / math.sqrt(q.shape[-1])).tril().softmax(-1) @ v


def _causal_width_of_values(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return _causal(q * math.sqrt(q.shape[-1] / v.shape[-1]), k, v)


def _causal_one(f) -> None:
    q, k, v = _qkv(1, width=4, value_width=3)
    expect_close(f(q, k, v), v, what="one token, so its own value")


def _causal_scores(f) -> None:
    q, k, v = _qkv(3, width=1, value_width=1)
    wanted = ((q @ k.mT).softmax(-1) @ v)[-1]
    expect_close(f(q, k, v)[-1], wanted, what="last row at K = 1, where scale and mask do nothing")


def _causal_scale(f) -> None:
    q, k, v = _qkv(3, width=9, value_width=4)
    expect_close(
        f(q, k, v)[-1], _causal(q, k, v)[-1], what="last row at K = 9, where the mask is idle"
    )


def _causal_mask(f) -> None:
    q, k, v = _qkv(4, width=4, value_width=3)
    expect_close(f(q, k, v)[0], v[0], what="first row, which sees itself alone")
    expect_close(f(q, k, v), _causal(q, k, v), what="all rows")


def _causal_batch(f) -> None:
    q, k, v = _qkv(2, 3, 4, width=4, value_width=5)
    expect_close(f(q, k, v), _causal(q, k, v), what="a batch [2, 3, 4, K]")


CAUSAL_ATTENTION = Exercise(
    "ch02-causal",
    "scaled softmax attention in which no token sees the future",
    (
        Step("a single token returns its value", _causal_one),
        Step("scores and softmax", _causal_scores),
        Step("the scale 1/√K", _causal_scale),
        Step("the mask, set before the softmax", _causal_mask),
        Step("leading batch dimensions", _causal_batch),
    ),
    _causal,
    {
        "no softmax": _causal_no_softmax,
        "no scale": _causal_unscaled,
        "scale from the width of the values": _causal_width_of_values,
        "no mask": _causal_blind,
        "weights cut off after the softmax": _causal_late_mask,
        "masked scores set to zero": _causal_zero_mask,
    },
)


# heads


def _heads(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    split = [t.unflatten(-1, (heads, -1)).transpose(-3, -2) for t in (q, k, v)]
    return _causal(*split).transpose(-3, -2).flatten(-2)


def _heads_ignored(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    return _causal(q, k, v)


def _heads_viewed(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    split = [t.reshape(*t.shape[:-2], heads, t.shape[-2], -1) for t in (q, k, v)]
    return _causal(*split).reshape(q.shape)


def _heads_full_scale(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    return _heads(q / math.sqrt(heads), k, v, heads)


def _heads_summed(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    split = [t.unflatten(-1, (heads, -1)).transpose(-3, -2) for t in (q, k, v)]
    return _causal(*split).sum(-3).repeat_interleave(heads, dim=-1)


def _expect_heads(f, heads: int, what: str, *batch: int) -> None:
    q, k, v = _qkv(*batch, 5, width=6, value_width=6)
    expect_close(f(q, k, v, heads), _heads(q, k, v, heads), what=what)


MULTI_HEAD = Exercise(
    "ch02-heads",
    "causal attention in several heads, from [T, D] to [T, D]",
    (
        Step("one head is plain attention", lambda f: _expect_heads(f, 1, "1 head")),
        Step("one token returns its value in every head", lambda f: _heads_one_token(f)),
        Step("each head has its own columns", lambda f: _heads_columns(f)),
        Step("the scale is that of the head width", lambda f: _expect_heads(f, 3, "3 heads")),
        Step("a batch stays a batch", lambda f: _expect_heads(f, 2, "batch of 4", 4)),
    ),
    _heads,
    {
        "heads ignored": _heads_ignored,
        "rows cut instead of columns": _heads_viewed,
        "scale of the whole width": _heads_full_scale,
        "heads summed": _heads_summed,
    },
)


def _heads_one_token(f) -> None:
    q, k, v = _qkv(1, width=6, value_width=6)
    expect_close(f(q, k, v, 3), v, what="one token, three heads")


def _heads_columns(f) -> None:
    q, k, v = _qkv(5, width=6, value_width=6)
    q = 1e5 * q  # so decided that no scale changes the choice
    expect_close(f(q, k, v, 2), _heads(q, k, v, 2), what="2 heads with very large queries")


# running state


def _running(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    state, rows = torch.zeros(v.shape[-1], k.shape[-1], dtype=v.dtype), []
    for query, key, value in zip(q, k, v, strict=True):
        state = state + torch.outer(value, key)
        rows.append(state @ query)
    return torch.stack(rows)


def _running_late(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    state, rows = torch.zeros(v.shape[-1], k.shape[-1], dtype=v.dtype), []
    for query, key, value in zip(q, k, v, strict=True):
        rows.append(state @ query)
        state = state + torch.outer(value, key)
    return torch.stack(rows)


def _running_forgetful(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.stack([torch.outer(c, b) @ a for a, b, c in zip(q, k, v, strict=True)])


def _running_final(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return q @ (v.mT @ k).mT


def _expect_running(f, tokens: int, width: int, value_width: int, what: str) -> None:
    q, k, v = _qkv(tokens, width=width, value_width=value_width)
    expect_close(f(q, k, v), (q @ k.mT).tril() @ v, what=what)


RUNNING_STATE = Exercise(
    "ch02-state",
    "causal linear attention with one matrix as its only memory",
    (
        Step("one token, one dimension", lambda f: _expect_running(f, 1, 1, 1, "v (k q)")),
        Step(
            "the outer product has shape [o, K]", lambda f: _expect_running(f, 1, 3, 2, "1 token")
        ),
        Step("the state adds up", lambda f: _expect_running(f, 3, 3, 2, "3 tokens")),
        Step("a long text", lambda f: _expect_running(f, 64, 4, 5, "64 tokens")),
    ),
    _running,
    {
        "reads before it writes": _running_late,
        "forgets what came before": _running_forgetful,
        "sees the future": _running_final,
    },
)

EXERCISES = (STABLE_SOFTMAX, CAUSAL_ATTENTION, MULTI_HEAD, RUNNING_STATE)
