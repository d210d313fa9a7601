"""One pass of stochastic gradient descent: against autograd, prefixes, order, divergence."""

import jaxtyping
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.learners import Diverging
from icl_lib.learners.online import one_pass


def pairs(seed: int, batch: int, points: int, d: int):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, points, d, generator=g, dtype=torch.float64)
    return x, torch.randn(batch, points, generator=g, dtype=torch.float64)


@given(seed=st.integers(0, 99), points=st.integers(1, 8), d=st.integers(1, 5))
def test_each_step_is_that_of_torch_on_one_pair(seed, points, d):
    x, y = pairs(seed, 1, points, d)
    rows = one_pass(x, y, 0.07)[0]
    weight = torch.zeros(d, dtype=torch.float64, requires_grad=True)
    rule = torch.optim.SGD([weight], lr=0.07)
    for k in range(points):
        torch.testing.assert_close(rows[k], weight.detach(), rtol=0, atol=1e-12)
        rule.zero_grad()
        (0.5 * (x[0, k] @ weight - y[0, k]) ** 2).backward()
        rule.step()
    torch.testing.assert_close(rows[-1], weight.detach(), rtol=0, atol=1e-12)


def test_a_row_sees_its_prefix_only():
    x, y = pairs(1, 4, 6, 3)
    full = one_pass(x, y, 0.1)
    torch.testing.assert_close(full[:, :4], one_pass(x[:, :3], y[:, :3], 0.1), rtol=0, atol=0)


def test_order_matters_unless_the_points_are_orthogonal():
    x, y = pairs(2, 1, 3, 3)
    turned = one_pass(x.flip(1), y.flip(1), 0.3)[:, -1]
    assert (one_pass(x, y, 0.3)[:, -1] - turned).abs().max() > 1e-3
    x = torch.eye(3, dtype=torch.float64)[None]
    same = one_pass(x.flip(1), y.flip(1), 0.3)[:, -1]
    torch.testing.assert_close(one_pass(x, y, 0.3)[:, -1], same, rtol=0, atol=1e-15)


def test_divergence_and_shapes_are_told(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as for a reader
    x, y = pairs(3, 1, 400, 5)
    with pytest.raises(Diverging, match="one pass of stochastic descent diverged"):
        one_pass(x, y, 50.0)
    with pytest.raises(ValueError, match="expected"):
        one_pass(x, y[:, :-1], 0.1)
