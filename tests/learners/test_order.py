"""Order of demonstrations: exactly 0 for sums, a known value for who looks at the last alone."""

import jaxtyping
import pytest
import torch

from icl_lib import learners
from icl_lib.learners.online import one_pass
from icl_lib.learners.order import order_spread


def prompts(seed=0, batch=50, points=7, d=3):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, points, d, generator=g, dtype=torch.float64)
    return x, torch.randn(batch, points, generator=g, dtype=torch.float64)


def spread(guess, orders=24, **sizes):
    return order_spread(
        guess, *prompts(**sizes), orders=orders, generator=torch.Generator().manual_seed(1)
    ).item()


def last(learn):
    return lambda x, y: learners.predict_next(learn(x, y), x)[:, -1]


def test_what_adds_up_the_demonstrations_has_no_order():
    assert spread(last(learners.least_squares)) < 1e-12
    assert spread(last(lambda x, y: learners.gradient_descent(x, y, 20, 0.1))) < 1e-12
    assert spread(last(lambda x, y: learners.ridge(x, y, 0.5))) < 1e-12
    assert spread(lambda x, y: learners.nearest_neighbours(x, y)[:, -1]) < 1e-12


def test_one_pass_has():
    assert spread(last(lambda x, y: one_pass(x, y, 0.2))) > 0.01


def test_the_last_target_spreads_as_the_targets_do():
    _, y = prompts(batch=400)
    expected = y[:, :-1].var(dim=1, correction=0).mean().sqrt().item()
    found = spread(lambda x, y: y[:, -2], orders=200, batch=400)
    assert found == pytest.approx(expected, rel=0.02)


def test_pairs_stay_together_and_the_query_stays_last():
    x, _ = prompts()
    y = x.sum(-1)

    def guess(mixed, targets):
        torch.testing.assert_close(targets, mixed.sum(-1), rtol=0, atol=1e-12)
        assert torch.equal(mixed[:, -1], x[:, -1])
        return targets[:, -1]

    g = torch.Generator().manual_seed(0)
    assert order_spread(guess, x, y, orders=3, generator=g).item() == 0


def test_bad_arguments_are_told(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as for a reader
    with pytest.raises(ValueError, match="orders must be at least 2, got 1"):
        spread(lambda x, y: y[:, -1], orders=1)
    with pytest.raises(ValueError, match="a demonstration and a query"):
        spread(lambda x, y: y[:, -1], points=1)
