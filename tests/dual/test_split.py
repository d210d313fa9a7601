"""The exact softmax split, the relaxed head, and the distance between them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.dual.split import (
    direction_error,
    relative_error,
    relaxed_head,
    softmax_split,
    taylor_attention,
)

SIZES = st.integers(1, 6)


def tokens(seed, *, batch=(), t=2, n=3, s=2, k=4, kv=3):
    g = torch.Generator().manual_seed(seed)

    def draw(rows, width):
        return torch.randn(*batch, rows, width, generator=g, dtype=torch.float64)

    return draw(t, k), draw(n, k), draw(n, kv), draw(s, k), draw(s, kv)


def softmax(q, k, v, scale=None):
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    weights = torch.exp(scale * torch.einsum("...tk,...sk->...ts", q, k))
    return weights @ v / weights.sum(-1, keepdim=True)


@given(st.integers(0, 999), SIZES, st.integers(0, 6), SIZES, SIZES, SIZES, st.booleans())
def test_split_equals_attention_over_both(seed, t, n, s, k, kv, batched):
    q, kd, vd, kq, vq = tokens(seed, batch=(2, 3) if batched else (), t=t, n=n, s=s, k=k, kv=kv)
    split = softmax_split(q, kd, vd, kq, vq)
    whole = softmax(q, torch.cat([kd, kq], -2), torch.cat([vd, vq], -2))
    assert torch.allclose(split.output, whole, rtol=0, atol=1e-12)
    assert torch.allclose(split.query_text, softmax(q, kq, vq), rtol=0, atol=1e-12)
    assert torch.allclose(split.update, whole - split.query_text, rtol=0, atol=1e-12)
    assert ((split.mass >= 0) & (split.mass <= 1)).all()


def test_mass_is_the_softmax_weight_of_the_demonstrations():
    q, kd, vd, kq, vq = tokens(1)
    scores = 0.7 * q @ torch.cat([kd, kq]).T
    split = softmax_split(q, kd, vd, kq, vq, scale=0.7)
    assert torch.allclose(split.mass, scores.softmax(-1)[:, :3].sum(-1), rtol=0, atol=1e-14)


def test_equal_scores_give_mass_by_counting():
    q, kd, vd, kq, vq = tokens(2, n=6, s=2)
    split = softmax_split(torch.zeros_like(q), kd, vd, kq, vq)
    assert torch.allclose(split.mass, torch.full((2,), 0.75, dtype=torch.float64))
    assert torch.allclose(split.demonstrations, vd.mean(0).expand(2, -1))


def test_no_demonstrations_is_zero_shot():
    q, kd, vd, kq, vq = tokens(3, n=0)
    split = softmax_split(q, kd, vd, kq, vq)
    assert (split.mass == 0).all()
    assert torch.equal(split.output, split.query_text)


def test_huge_scores_neither_overflow_nor_lose_the_parts():
    q, kd, vd, kq, vq = tokens(4)
    split = softmax_split(1e4 * q, kd, vd, kq, vq)
    assert split.output.isfinite().all()
    shifted = softmax_split(1e4 * q, kd, vd, kq, vq, scale=1e-4)
    assert torch.allclose(shifted.output, softmax_split(q, kd, vd, kq, vq, scale=1).output)


def test_causal_split_equals_masked_attention_over_both():
    q, kd, vd, kq, vq = tokens(5, t=3, s=5)
    split = softmax_split(q, kd, vd, kq, vq, causal=True)
    for t in range(3):
        seen = 5 - 3 + t + 1
        row = softmax(q[t : t + 1], torch.cat([kd, kq[:seen]]), torch.cat([vd, vq[:seen]]))
        assert torch.allclose(split.output[t], row[0], rtol=0, atol=1e-12)


def test_split_passes_gradients():
    inputs = [x.requires_grad_() for x in tokens(6, t=1, n=2, s=1, k=2, kv=1)]
    assert torch.autograd.gradcheck(lambda *a: softmax_split(*a).output, inputs)


@given(st.integers(0, 999), SIZES, st.integers(0, 6), SIZES, SIZES, SIZES)
def test_relaxed_head_equals_linear_attention_over_both(seed, t, n, s, k, kv):
    q, kd, vd, kq, vq = tokens(seed, t=t, n=n, s=s, k=k, kv=kv)
    head = relaxed_head(kd, vd, kq, vq)
    linear = (q @ torch.cat([kd, kq]).T) @ torch.cat([vd, vq])
    scale = max(1.0, linear.abs().max().item())
    assert torch.allclose(head(q), linear, rtol=0, atol=1e-12 * scale)
    assert torch.allclose(head.as_attention(q), linear, rtol=0, atol=1e-12 * scale)


def test_relaxed_matrices_are_those_of_equation_12():
    _, kd, vd, kq, vq = tokens(7)
    head = relaxed_head(kd, vd, kq, vq)
    loop = sum(torch.outer(v, k) for v, k in zip(vd, kd, strict=True))
    assert torch.allclose(head.update.as_matrix(), loop, rtol=0, atol=1e-14)
    assert torch.allclose(head.zero_shot.as_matrix(), vq.T @ kq, rtol=0, atol=1e-14)


def test_taylor_attention_is_second_order_accurate():
    q, kd, vd, *_ = tokens(8, n=5)
    errors = [
        (taylor_attention(q, kd, vd, scale=c) - softmax(q, kd, vd, c)).norm().item()
        for c in (2e-3, 1e-3)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.01)


def test_taylor_attention_is_centred_linear_attention():
    q, kd, vd, *_ = tokens(9, n=5)
    centred = kd - kd.mean(0)
    linear = vd.mean(0) + 0.3 * (q @ centred.T) @ vd / 5
    assert torch.allclose(taylor_attention(q, kd, vd, scale=0.3), linear, rtol=0, atol=1e-13)


def test_errors_have_their_closed_forms():
    truth = torch.tensor([[3.0, 4.0]])
    assert relative_error(torch.zeros(1, 2), truth).item() == 1
    assert relative_error(2 * truth, truth).item() == pytest.approx(1)
    assert direction_error(-7 * truth, truth).item() == pytest.approx(0, abs=1e-6)
    assert direction_error(torch.tensor([[1.0, 0.0]]), truth).item() == pytest.approx(0.8)


@given(st.integers(0, 999), st.floats(-3, 3).filter(lambda c: abs(c) > 0.01))
def test_direction_error_is_the_least_relative_error(seed, factor):
    a, b = tokens(seed, t=2)[0]
    assert direction_error(a, b) <= relative_error(factor * a, b) + 1e-12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({1: (3, 5)}, "keys have head width 5, queries 4; they must agree"),
        ({2: (2, 3)}, "got 3 keys and 2 values; they must agree"),
        ({4: (2, 7)}, "demonstration values have width 3, query-text values 7"),
        ({3: (0, 4), 4: (0, 3)}, "query text has no tokens"),
    ],
)
def test_wrong_shapes_say_what_came(change, message):
    inputs = list(tokens(0))
    for at, shape in change.items():
        inputs[at] = torch.zeros(shape, dtype=torch.float64)
    with pytest.raises(Exception, match=message) as caught:
        softmax_split.__wrapped__(*inputs)
    assert caught.type is ValueError


def test_too_short_causal_text_is_refused():
    with pytest.raises(ValueError, match="3 queries cannot be the last positions of 2"):
        softmax_split(*tokens(0, t=3, s=2), causal=True)
