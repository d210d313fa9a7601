"""Kendall's τ against scipy and by hand; what training tokens contribute, exactly."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from icl_lib.meta.finetuning import Finetuning, Trace, finetune
from icl_lib.meta.measure import rank_metrics
from icl_lib.meta.nulls import kendall_spread
from icl_lib.meta.observe import observe
from icl_lib.meta.prompts import (
    choose_demonstrations,
    choose_queries,
    make_batches,
    opening,
    with_demonstrations,
)
from icl_lib.meta.ranks import (
    Ranking,
    by_slot,
    contributions,
    error_weighted,
    in_context_attention,
    input_input,
    inversions,
    kendall,
    query_query,
)
from icl_lib.meta.walk import read_prefix


def row(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def test_by_hand():
    found = kendall(row(1, 2, 3, 4), row(1, 3, 2, 4))  # five pairs agree, one does not
    assert found.a.item() == found.b.item() == pytest.approx(4 / 6)
    assert kendall(row(1, 2, 3), row(3, 2, 1)).a.item() == -1
    tied = kendall(row(1, 1, 2), row(1, 2, 3))  # two pairs agree, one is tied in the first row
    assert tied.a.item() == pytest.approx(2 / 3)
    assert tied.b.item() == pytest.approx(2 / np.sqrt(2 * 3))


@given(st.integers(2, 70), st.integers(1, 9), st.integers(0, 10_000))
def test_equal_to_scipy_and_to_all_pairs(n, values, seed):
    generator = np.random.default_rng(seed)
    x, y = generator.integers(0, values, (2, n)).astype(float)
    found = kendall(torch.tensor(x), torch.tensor(y))
    pairs = itertools.combinations(range(n), 2)
    net = sum(np.sign((x[i] - x[j]) * (y[i] - y[j])) for i, j in pairs)
    assert found.a.item() == pytest.approx(net / (n * (n - 1) / 2), abs=1e-12)
    wanted = kendalltau(x, y).statistic
    assert found.b.item() == pytest.approx(wanted, abs=1e-12, nan_ok=True)


@given(st.integers(1, 400), st.integers(0, 10_000))
def test_inversions_by_counting(n, seed):
    x = np.random.default_rng(seed).integers(0, n, (3, n))
    later = np.triu(np.ones((n, n), bool), 1)
    slow = ((x[:, :, None] > x[:, None, :]) & later).sum((1, 2))
    assert np.array_equal(inversions(x), slow)


def test_as_many_inversions_as_there_can_be():
    for n in (192, 193, 500):  # one block, two, four
        falling = np.arange(n)[None, ::-1]
        assert inversions(falling).item() == n * (n - 1) / 2
        assert inversions(falling[:, ::-1]).item() == 0


@given(st.integers(0, 10_000))
def test_only_order_counts_and_rows_are_independent(seed):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, 4, 3, 40, dtype=torch.float64, generator=generator)
    one = kendall(x, y).a
    assert torch.equal(one, kendall(x.exp(), 3 * y - 7).a)
    assert torch.equal(one, kendall(y, x).a)
    assert torch.allclose(one, -kendall(x, -y).a, atol=1e-14)
    order = torch.randperm(40, generator=generator)
    assert torch.equal(one, kendall(x[..., order], y[..., order]).a)
    assert torch.equal(one[2, 1], kendall(x[2, 1], y[2, 1]).a)


def test_rounding_makes_no_order():
    x = row(1.0, 1.0 + 1e-15, 1.0 - 1e-15, 2.0)
    assert kendall(x, row(1, 2, 3, 4)).a.item() == pytest.approx(3 / 6)


def test_bad_shapes_say_so():
    with pytest.raises(ValueError, match="two numbers or more"):
        kendall(torch.ones(3, 1), torch.ones(3, 1))


def test_spread_of_independent_rankings():
    draws = torch.randn(
        2, 4000, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    assert kendall(*draws).a.std().item() == pytest.approx(kendall_spread(12), rel=0.04)
    assert abs(kendall(*draws).a.mean().item()) < 0.01


# ---- what is ranked ---------------------------------------------------------------------------


def trained(model, toy, **how):
    shown = choose_demonstrations(toy, 6, 0)
    texts = [toy.render(e) for e in choose_queries(toy, 7)]
    twin, trace = finetune(model, shown, Finetuning(**{"lr": 0.3} | how), opening=toy.prefix)
    prefix = read_prefix(twin, opening(toy).tokens)
    (batch,) = make_batches(texts, tokens_at_once=10_000)
    return twin, trace, observe(twin, batch, prefix, toy.label_tokens)


def test_attention_to_training_tokens_by_hand():
    trace = Trace(
        inputs=torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]], [[3.0, 1.0]]]),
        queries=torch.tensor([[[[1.0], [2.0]]], [[[0.0], [1.0]]], [[[5.0], [0.0]]]]),
        key_errors=torch.zeros(3, 1, 2, 1),
        value_errors=torch.zeros(3, 1, 2, 1),
        slot=torch.tensor([-1, 0, 1]),
        slots=2,
        losses=(),
    )
    seen = type("Seen", (), {})()
    seen.queries = torch.tensor([[[[10.0], [1.0]]]])
    seen.inputs = torch.tensor([[[1.0, 1.0]]])
    plain = query_query.__wrapped__ if hasattr(query_query, "__wrapped__") else query_query
    assert plain(trace, seen).tolist() == [[[1.0, 50.0]]]
    plain = input_input.__wrapped__ if hasattr(input_input, "__wrapped__") else input_input
    assert plain(trace, seen).tolist() == [[[2.0, 4.0]]]


@pytest.mark.parametrize(("factor", "vanish"), [(60, False), (6000, True)])
def test_the_published_rank_correlation_loses_vanished_weights_to_ties(model, toy, factor, vanish):
    """After a softmax over tokens what is too small for the number format is tied, and no more."""
    _, trace, seen = trained(model, toy)
    beginning = with_demonstrations(toy, choose_demonstrations(toy, 6, 0))
    (batch,) = make_batches([toy.render(e) for e in choose_queries(toy, 7)], tokens_at_once=10_000)
    prefix = read_prefix(model, beginning.tokens, beginning.demonstration)
    icl = observe(model, batch, prefix, toy.label_tokens)
    large = replace(icl, scores_demo=factor * icl.scores_demo)
    large = large, replace(seen, queries=factor * seen.queries)
    found = rank_metrics(trace, *large, biases=True)
    scores = in_context_attention(large[0]), query_query(trace, large[1]) / 8**0.5
    few = 0
    for query in range(7):
        rows = [s[query, 1].softmax(-1).numpy() for s in scores]
        few += sum((row == 0).sum() for row in rows)
        wanted = kendalltau(*rows).statistic
        got = found["kendall_published"][query, 1].item()
        assert got == pytest.approx(wanted, abs=0.02, nan_ok=True)
    gap = (found["kendall_published"] - found["kendall_b_query"]).abs().nan_to_num().max()
    assert (few > 5, gap > 0.02) == (vanish, vanish)
    with pytest.raises(ValueError, match="expected the shape"):
        Ranking.of(scores[0]).tied(scores[0][:1])


def test_slots_add_up_over_passes():
    trace_slot = torch.tensor([-1, 0, 1, -1, 0, 1])
    empty = torch.zeros(6, 1, 1)
    heads = torch.zeros(6, 1, 1, 1)
    trace = Trace(empty, heads, heads, heads, trace_slot, 2, ())
    values = torch.arange(6.0).view(1, 1, 6)
    assert by_slot(values, trace).tolist() == [[[1.0 + 4.0, 2.0 + 5.0]]]


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("descent", ["plain", "layer-causal"])
def test_contributions_add_up_to_what_the_value_projection_adds(model, toy, biases, descent):
    twin, trace, seen = trained(model, toy, biases=biases, descent=descent, passes=2)
    total = contributions(trace, seen, bias=biases).sum(2)
    for layer, (old, new) in enumerate(zip(model.blocks, twin.blocks, strict=True)):
        x = seen.text_inputs[:, layer]
        values = [b.attention.split(b.attention.v_proj(x)) for b in (old, new)]
        weights = seen.weights[:, layer][:, :, None]
        change = (weights @ (values[1] - values[0])).flatten(1)
        assert (total[:, layer] - change.norm(dim=1)).abs().max() <= 1e-12
    assert error_weighted(trace, seen, bias=biases).shape == (7, 3, trace.slots)
