"""The forms of attention against each other, against loops, and at their borders."""

import math

import jaxtyping
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.models.attention import (
    attention_scores,
    attention_weights,
    causal_mask,
    fused_attention,
    linear_attention,
    momentum_attention,
    softmax_attention,
)


def draw(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def qkv(seed, b=2, h=3, t=4, s=4, k=5, kv=5):
    return draw(seed, b, h, t, k), draw(seed + 1, b, h, s, k), draw(seed + 2, b, h, s, kv)


sizes = st.integers(1, 6)


@given(sizes, sizes, sizes, sizes, st.booleans(), st.booleans(), st.booleans(), sizes)
def test_fused_equals_readable(b, t, extra, k, causal, masked, scaled, seed):
    s = t + extra - 1
    q, key, v = qkv(seed, b=b, t=t, s=s, k=k, kv=k)
    mask = draw(seed + 9, b, 1, t, s) > -0.5 if masked else None
    options = {"causal": causal, "mask": mask, "scale": 0.3 if scaled else None}
    readable, fused = softmax_attention(q, key, v, **options), fused_attention(q, key, v, **options)
    assert torch.allclose(readable, fused, rtol=0, atol=1e-12)


@pytest.mark.parametrize("attend", [softmax_attention, fused_attention])
def test_softmax_attention_is_the_loop(attend):
    q, k, v = qkv(0)
    expected = torch.zeros_like(v)
    for b in range(2):
        for h in range(3):
            for t in range(4):
                scores = [float(q[b, h, t] @ k[b, h, i]) / math.sqrt(5) for i in range(t + 1)]
                total = sum(math.exp(x) for x in scores)
                for i, x in enumerate(scores):
                    expected[b, h, t] += math.exp(x) / total * v[b, h, i]
    assert torch.allclose(attend(q, k, v, causal=True), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("attend", [softmax_attention, fused_attention])
def test_a_query_that_sees_nothing_gets_zeros_and_finite_gradients(attend):
    q, k, v = (x.requires_grad_() for x in qkv(1))
    mask = torch.ones(2, 1, 4, 4, dtype=torch.bool)
    mask[0, 0, 2] = False
    out = attend(q, k, v, mask=mask)
    assert torch.equal(out[0, :, 2], torch.zeros(3, 5, dtype=torch.float64))
    out.square().sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in (q, k, v))


def test_weights_are_a_distribution_over_what_may_be_seen():
    weights = attention_weights(attention_scores(*qkv(3)[:2]), causal=True)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 3, 4, dtype=torch.float64))
    assert not weights.masked_select(~causal_mask(4)).any()


def test_with_more_keys_than_queries_the_queries_are_the_last():
    q, k, v = qkv(4, t=7, s=7)
    whole = softmax_attention(q, k, v, causal=True)
    assert torch.allclose(softmax_attention(q[:, :, -2:], k, v, causal=True), whole[:, :, -2:])
    assert causal_mask(1, 5).all()


@given(sizes, sizes, sizes, st.booleans(), sizes)
def test_linear_attention_is_a_sum_of_outer_products(t, k, kv, causal, seed):
    q, key, v = qkv(seed, t=t, s=t, k=k, kv=kv)
    expected = torch.zeros(2, 3, t, kv, dtype=torch.float64)
    for n in range(t):
        seen = n + 1 if causal else t
        matrix = sum(v[:, :, i, :, None] * key[:, :, i, None, :] for i in range(seen))
        expected[:, :, n] = (matrix @ q[:, :, n, :, None])[..., 0]
    ours = linear_attention(q, key, v, causal=causal)
    assert torch.allclose(ours, expected, rtol=0, atol=1e-12)


@given(st.permutations(range(4)))
def test_attention_does_not_care_for_the_order_of_the_pairs(order):
    q, k, v = qkv(5)
    for attend in (softmax_attention, fused_attention, linear_attention):
        assert torch.allclose(attend(q, k[:, :, order], v[:, :, order]), attend(q, k, v))


def test_momentum_attention_adds_decayed_values_of_the_past():
    q, k, v = qkv(6)
    added = momentum_attention(q, k, v, eta=0.7) - softmax_attention(q, k, v, causal=True)
    for t in range(4):
        expected = sum(
            (0.7 ** (t - i) * v[:, :, i] for i in range(t)), torch.zeros_like(v[:, :, 0])
        )
        assert torch.allclose(added[:, :, t], expected, rtol=0, atol=1e-12)
    plain = momentum_attention(q, k, v, eta=0.0)
    assert torch.equal(plain, softmax_attention(q, k, v, causal=True))


@pytest.mark.parametrize("attend", [softmax_attention, fused_attention, linear_attention])
def test_errors_say_what_was_expected_and_what_came(attend, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as for a reader
    q, k, v = qkv(7)
    with pytest.raises(ValueError, match="keys have head width 5, queries 4; they must agree"):
        attend(q[..., :4], k, v)
    with pytest.raises(ValueError, match="got 4 keys and 3 values; they must agree"):
        attend(q, k, v[:, :, :3])
    with pytest.raises(ValueError, match="got 4 queries and 2 keys"):
        attend(q, k[:, :, :2], v[:, :, :2], causal=True)


def test_momentum_attention_refuses_what_makes_no_sense():
    q, k, v = qkv(8)
    for eta in (-0.1, 1.0):
        with pytest.raises(ValueError, match=f"eta must be at least 0 and below 1, got {eta}"):
            momentum_attention(q, k, v, eta=eta)
