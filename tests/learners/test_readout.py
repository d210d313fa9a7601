"""The closed-form read-out: exact where it can be, free of units, best at what it minimises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib.learners.readout import layer_readouts, ridge_readout


def features(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_a_linear_target_is_read_exactly_without_a_penalty(seed, width):
    h = features(seed, 20, 3, width)
    a = features(seed + 1, width)
    read = ridge_readout(h, h @ a - 2.5, penalty=0.0)
    torch.testing.assert_close(read.weight, a, rtol=1e-9, atol=1e-9)
    assert read.bias.item() == pytest.approx(-2.5, abs=1e-9)


def test_it_minimises_its_objective():
    h, y, penalty = features(0, 50, 4), features(1, 50), 0.3
    spread = (h - h.mean(0)).square().mean(0)
    read = ridge_readout(h, y, penalty=penalty)
    weight, bias = read.weight.clone().requires_grad_(), read.bias.clone().requires_grad_()
    cost = (h @ weight + bias - y).square().mean() + penalty * (spread * weight.square()).sum()
    for slope in torch.autograd.grad(cost, (weight, bias)):
        assert slope.abs().max() < 1e-12


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-6, 1.0))
def test_units_of_a_feature_do_not_matter(seed, penalty):
    h, y = features(seed, 40, 5), features(seed + 1, 40)
    units = features(seed + 2, 5).exp()
    plain = ridge_readout(h, y, penalty=penalty)(h)
    scaled = ridge_readout(h * units + 3.0, y, penalty=penalty)(h * units + 3.0)
    torch.testing.assert_close(plain, scaled, rtol=1e-8, atol=1e-8)


def test_a_feature_that_never_varies_changes_nothing():
    h, y = features(0, 30, 3), features(1, 30)
    constant = torch.cat([h, torch.full((30, 1), 7.0, dtype=torch.float64)], dim=1)
    plain, more = ridge_readout(h, y), ridge_readout(constant, y)
    assert more.weight[-1] == 0
    torch.testing.assert_close(more(constant), plain(h))


def test_each_layer_has_a_readout_of_its_own():
    h, other = features(0, 3, 40, 2, 4), features(1, 3, 5, 2, 4)
    y = features(2, 40, 2)
    said = layer_readouts(h, y, other)
    assert said.shape == (3, 5, 2)
    assert torch.equal(said[1], ridge_readout(h[1], y)(other[1]))


def test_single_precision_features_are_solved_in_double():
    h, y = features(0, 200, 4), features(1, 200)
    single = ridge_readout(h.float(), y.float())
    assert single.weight.dtype == torch.float32
    torch.testing.assert_close(
        single.weight.double(), ridge_readout(h, y).weight, atol=1e-6, rtol=0
    )


def test_bad_input_is_refused():
    h, y = features(0, 10, 3), features(1, 10)
    with pytest.raises(ValueError, match=r"features have shape \(10, 3\), targets \(9,\)"):
        ridge_readout(h, y[:9])
    with pytest.raises(ValueError, match="penalty must not be negative"):
        ridge_readout(h, y, penalty=-1.0)
    with pytest.raises(ValueError, match="linearly dependent"):
        ridge_readout(torch.cat([h, h], dim=1), y, penalty=0.0)
    with pytest.raises(ValueError, match="features of 1 layers and of 2"):
        layer_readouts(h[None], y, h.expand(2, 10, 3))
