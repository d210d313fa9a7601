"""Context as an exact change of rank one of the MLP, and its failure to carry over."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.dual.implicit import MLP, carry_over, implicit_mlp, implicit_steps, implicit_update

WIDTHS = st.integers(1, 9)


def draw(seed, *shapes):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(*s, generator=g, dtype=torch.float64) for s in shapes]


def make_mlp(seed, d, h, o, activation=torch.nn.functional.gelu):
    return MLP(*draw(seed, (h, d), (h,), (o, h), (o,)), activation)


@given(st.integers(0, 999), WIDTHS, WIDTHS)
def test_update_moves_the_first_layer_exactly(seed, d, h):
    w, without, within = draw(seed, (h, d), (d,), (d,))
    delta = implicit_update(w, without, within)
    gap = (w + delta.as_matrix()) @ without - w @ within
    assert gap.abs().max() <= 1e-12 * max(1.0, (w @ within).abs().max().item()) * 10
    assert len(delta) == 1


@given(st.integers(0, 999), WIDTHS, WIDTHS, WIDTHS, st.sampled_from([torch.relu, torch.tanh]))
def test_mlp_without_context_equals_mlp_with_context(seed, d, h, o, activation):
    mlp = make_mlp(seed, d, h, o, activation)
    without, within = draw(seed + 1, (d,), (d,))
    moved = implicit_mlp(mlp, without, within)
    assert torch.allclose(moved(without), mlp(within), rtol=1e-11, atol=1e-11)
    assert torch.equal(moved.b_out, mlp.b_out)


@given(st.integers(0, 999), WIDTHS, WIDTHS)
def test_skip_connection_needs_the_output_bias(seed, d, h):
    mlp = make_mlp(seed, d, h, d)
    without, within = draw(seed + 1, (d,), (d,))
    target = mlp(within, skip=within)
    moved = implicit_mlp(mlp, without, within, skip_change=within - without)
    assert torch.allclose(moved(without, skip=without), target, rtol=1e-11, atol=1e-11)
    no_bias = implicit_mlp(mlp, without, within)
    gap = target - no_bias(without, skip=without)
    assert torch.allclose(gap, within - without, rtol=1e-9, atol=1e-9)


def test_layer_norm_before_the_mlp_changes_nothing():
    d = 8
    mlp = make_mlp(0, d, 16, d)
    z_without, z_within = draw(1, (d,), (d,))
    norm = torch.nn.LayerNorm(d, dtype=torch.float64)
    a, b = norm(z_without).detach(), norm(z_within).detach()
    moved = implicit_mlp(mlp, a, b, skip_change=z_within - z_without)
    target = mlp(b, skip=z_within)
    assert torch.allclose(moved(a, skip=z_without), target, rtol=0, atol=1e-12)


@given(st.integers(0, 999), WIDTHS, WIDTHS, st.integers(2, 7))
def test_steps_sum_to_the_whole_update(seed, d, h, steps):
    w, inputs = draw(seed, (h, d), (steps, d))
    sequence = implicit_steps(w, inputs)
    whole = implicit_update(w, inputs[0], inputs[-1]).as_matrix()
    scale = max(1.0, sequence.errors.abs().max().item() * inputs[0].abs().max().item())
    assert torch.allclose(sequence.as_matrix(), whole, rtol=0, atol=1e-11 * scale)
    assert len(sequence) == steps - 1


def test_each_step_is_a_gradient_step_on_a_linear_loss():
    w, inputs = draw(3, (4, 3), (5, 3))
    rate = 1 / (inputs[0] @ inputs[0])
    terms = implicit_steps(w, inputs)
    for i in range(4):
        direction = torch.outer(w @ (inputs[i] - inputs[i + 1]), inputs[0])
        matrix = w.clone().requires_grad_()
        torch.trace(direction.T @ matrix).backward()
        term = torch.outer(terms.errors[i], terms.keys[i])
        assert torch.allclose(-rate * matrix.grad, term, rtol=0, atol=1e-12)


@given(st.integers(0, 999), st.integers(2, 6))
def test_carry_over_equals_its_definition(seed, m):
    w, without, within = draw(seed, (5, 4), (m, 4), (m, 4))
    table = carry_over(w, without, within)
    assert table.diagonal().abs().max() <= 1e-12
    for i in range(m):
        updated = w + implicit_update(w, without[i], within[i]).as_matrix()
        for j in range(m):
            got, wanted = updated @ without[j], w @ within[j]
            expected = (got - wanted).norm() / (w @ without[j] - wanted).norm()
            assert table[i, j].item() == pytest.approx(expected.item(), rel=1e-9, abs=1e-12)


def test_orthogonal_tokens_are_not_served_at_all():
    without = torch.eye(3, dtype=torch.float64)
    w, within = draw(0, (4, 3), (3, 3))
    table = carry_over(w, without, within)
    off = ~torch.eye(3, dtype=torch.bool)
    assert torch.allclose(table[off], torch.ones(6, dtype=torch.float64), rtol=0, atol=1e-12)


def test_wrong_shapes_and_zero_inputs_say_so():
    w, a, b = draw(0, (4, 3), (3,), (2,))
    with pytest.raises(ValueError, match=r"takes width 3, A\(x\) has 3 and A\(C, x\) 2"):
        implicit_update.__wrapped__(w, a, b)
    with pytest.raises(ValueError, match=r"A\(x\) is zero; no matrix"):
        implicit_update(w, torch.zeros_like(a), a)
    with pytest.raises(ValueError, match=r"A\(x\) is zero; no matrix"):
        implicit_steps(w, torch.zeros(2, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="takes width 3, its inputs have 2"):
        implicit_steps.__wrapped__(w, b[None])
    with pytest.raises(ValueError, match=r"inputs are \(1, 3\) and \(1, 2\)"):
        carry_over.__wrapped__(w, a[None], b[None])
    with pytest.raises(ValueError, match="zero for some token"):
        carry_over(w, torch.zeros(2, 3, dtype=torch.float64), torch.ones(2, 3).double())
