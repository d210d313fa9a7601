"""Exercises of chapter 3: count parameters, keep the likely tokens, remember keys and values."""

import math

import torch
from torch import Tensor

from icl_lib.exercises.core import Exercise, Step, expect_close

# counting


def _count(vocab_size: int, context: int, layers: int, width: int) -> int:
    attention = 4 * (width * width + width)
    mlp = (width * 4 * width + 4 * width) + (4 * width * width + width)
    block = attention + mlp + 2 * 2 * width
    return (vocab_size + context) * width + layers * block + 2 * width


def _count_weights_only(vocab_size: int, context: int, layers: int, width: int) -> int:
    return (vocab_size + context) * width + layers * 12 * width * width


def _count_untied(vocab_size: int, context: int, layers: int, width: int) -> int:
    return _count(2 * vocab_size, context, layers, width)


def _count_no_positions(vocab_size: int, context: int, layers: int, width: int) -> int:
    return _count(vocab_size, 0, layers, width)


def _count_no_final_norm(vocab_size: int, context: int, layers: int, width: int) -> int:
    return _count(vocab_size, context, layers, width) - 2 * width


def _expect_count(f, what: str, *sizes: int) -> None:
    got, wanted = f(*sizes), _count(*sizes)
    if got != wanted:
        raise AssertionError(f"{what}: expected {wanted:,}, got {got:,} (off by {got - wanted:,})")


def _expect_growth(f, what: str, *sizes: int) -> None:
    vocab_size, context, layers, width = sizes
    got = f(*sizes) - f(vocab_size, context, layers - 1, width)
    wanted = _count(*sizes) - _count(vocab_size, context, layers - 1, width)
    if got != wanted:
        raise AssertionError(f"{what}: expected {wanted:,}, got {got:,} (off by {got - wanted:,})")


def _expect_vocabulary(f) -> None:
    got = f(11, 8, 1, 4) - f(10, 8, 1, 4)
    if got != 4:
        raise AssertionError(f"one more token at width 4: expected 4 parameters more, got {got}")


def _expect_context(f) -> None:
    got = f(10, 9, 1, 4) - f(10, 8, 1, 4)
    if got != 4:
        raise AssertionError(f"one more position at width 4: expected 4 parameters more, got {got}")


COUNT = Exercise(
    "ch03-count",
    "the number of parameters of a GPT with tied embeddings and an MLP of four times its width",
    (
        Step("a token costs its embedding once (tied)", _expect_vocabulary),
        Step("a position costs its embedding", _expect_context),
        Step(
            "a block: weights, biases and two layer norms",
            lambda f: _expect_growth(f, "one more block at width 4", 10, 8, 2, 4),
        ),
        Step(
            "the last layer norm",
            lambda f: _expect_count(f, "no block at all, width 4", 10, 8, 0, 4),
        ),
        Step(
            "GPT-2 small",
            lambda f: _expect_count(f, "GPT-2 small", 50257, 1024, 12, 768),
        ),
    ),
    _count,
    {
        "no biases, no norms": _count_weights_only,
        "embedding counted twice": _count_untied,
        "positions forgotten": _count_no_positions,
        "last norm forgotten": _count_no_final_norm,
    },
)


# top-p


def _top_p(probabilities: Tensor, p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    kept = torch.zeros_like(probabilities).scatter(-1, order, ordered * (before < p))
    return kept / kept.sum(-1, keepdim=True)


def _top_p_sorted(probabilities: Tensor, p: float) -> Tensor:
    ordered = probabilities.sort(dim=-1, descending=True).values
    kept = ordered * (ordered.cumsum(-1) - ordered < p)
    return kept / kept.sum(-1, keepdim=True)


def _top_p_short(probabilities: Tensor, p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    inside = ordered.cumsum(-1) <= p
    inside[..., 0] = True
    kept = torch.zeros_like(probabilities).scatter(-1, order, ordered * inside)
    return kept / kept.sum(-1, keepdim=True)


def _top_p_unnormalised(probabilities: Tensor, p: float) -> Tensor:
    ordered, order = probabilities.sort(dim=-1, descending=True)
    inside = ordered.cumsum(-1) - ordered < p
    return torch.zeros_like(probabilities).scatter(-1, order, ordered * inside)


def _top_p_threshold(probabilities: Tensor, p: float) -> Tensor:
    kept = probabilities * (probabilities >= 1 - p)
    return kept / kept.sum(-1, keepdim=True)


def _rows(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _expect_top_p(f, probabilities: Tensor, p: float, wanted: Tensor, what: str) -> None:
    expect_close(f(probabilities.clone(), p), wanted, what=what)


def _top_p_batch(f) -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.randn(4, 9, dtype=torch.float64, generator=generator).softmax(-1)
    _expect_top_p(f, probabilities, 0.6, _top_p(probabilities, 0.6), "four rows at p = 0.6")


TOP_P = Exercise(
    "ch03-top-p",
    "keep the smallest set of tokens whose probability reaches p",
    (
        Step(
            "p = 1 changes nothing",
            lambda f: _expect_top_p(f, _rows(0.5, 0.3, 0.2), 1.0, _rows(0.5, 0.3, 0.2), "p = 1"),
        ),
        Step(
            "a tiny p keeps the likeliest, with probability 1",
            lambda f: _expect_top_p(f, _rows(0.5, 0.3, 0.2), 0.01, _rows(1, 0, 0), "p = 0.01"),
        ),
        Step(
            "the token that crosses p is kept",
            lambda f: _expect_top_p(
                f, _rows(0.5, 0.3, 0.2), 0.6, _rows(0.625, 0.375, 0), "p = 0.6"
            ),
        ),
        Step(
            "every token stays at its place",
            lambda f: _expect_top_p(
                f, _rows(0.2, 0.5, 0.3), 0.6, _rows(0, 0.625, 0.375), "unsorted, p = 0.6"
            ),
        ),
        Step("each row on its own", _top_p_batch),
    ),
    _top_p,
    {
        "sorted order returned": _top_p_sorted,
        "crossing token dropped": _top_p_short,
        "not normalised": _top_p_unnormalised,
        "a threshold on single probabilities": _top_p_threshold,
    },
)


# key/value cache


def _cached(query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor):
    keys, values = torch.cat([keys, key[None]]), torch.cat([values, value[None]])
    weights = (keys @ query / math.sqrt(len(query))).softmax(0)
    return weights @ values, keys, values


def _cached_self_blind(query, key, value, keys, values):
    weights = (keys @ query / math.sqrt(len(query))).softmax(0)
    out = weights @ values if len(keys) else value
    return out, torch.cat([keys, key[None]]), torch.cat([values, value[None]])


def _cached_unscaled(query, key, value, keys, values):
    return _cached(query * math.sqrt(len(query)), key, value, keys, values)


def _cached_forgetful(query, key, value, keys, values):
    return _cached(query, key, value, keys[-1:], values[-1:])


def _cached_stuck(query, key, value, keys, values):
    return _cached(query, key, value, keys, values)[0], keys, values


def _run_cached(f, tokens: int, width: int, value_width: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    q, k = torch.randn(2, tokens, width, dtype=torch.float64, generator=generator)
    v = torch.randn(tokens, value_width, dtype=torch.float64, generator=generator)
    keys, values, rows = k[:0], v[:0], []
    for query, key, value in zip(q, k, v, strict=True):
        out, keys, values = f(query, key, value, keys, values)
        rows.append(out)
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    scores = (q @ k.mT / math.sqrt(width)).masked_fill(future, -math.inf)
    return torch.stack(rows), scores.softmax(-1) @ v


def _expect_cached(f, tokens: int, width: int, what: str) -> None:
    got, wanted = _run_cached(f, tokens, width)
    expect_close(got, wanted, what=what)


def _expect_growing(f) -> None:
    one = torch.ones(2, dtype=torch.float64)
    _, keys, values = f(one, one, one, torch.zeros(3, 2).double(), torch.zeros(3, 2).double())
    if keys.shape != (4, 2) or values.shape != (4, 2):
        raise AssertionError(
            f"after the fourth token: expected keys and values of shape (4, 2), got "
            f"{tuple(keys.shape)} and {tuple(values.shape)}"
        )


CACHE = Exercise(
    "ch03-cache",
    "one step of attention with remembered keys and values",
    (
        Step("the first token returns its value", lambda f: _expect_cached(f, 1, 4, "1 token")),
        Step("the memory grows by one", _expect_growing),
        Step(
            "the new token sees itself and the last", lambda f: _expect_cached(f, 2, 1, "2 tokens")
        ),
        Step("the scale 1/√K", lambda f: _expect_cached(f, 2, 9, "2 tokens, K = 9")),
        Step("the memory reaches back to the start", lambda f: _expect_cached(f, 9, 4, "9 tokens")),
    ),
    _cached,
    {
        "does not see itself": _cached_self_blind,
        "no scale": _cached_unscaled,
        "remembers one token": _cached_forgetful,
        "returns the old memory": _cached_stuck,
    },
)

EXERCISES = (COUNT, TOP_P, CACHE)
