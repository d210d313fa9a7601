"""One number per step: the unrolled update rule against the rule itself."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.dual import Step, step_weights, unroll
from icl_lib.optim import rules

SETTINGS = st.fixed_dictionaries(
    {
        "momentum": st.sampled_from([0.0, 0.3, 0.9, 0.99]),
        "dampening": st.sampled_from([0.0, 0.5]),
        "weight_decay": st.sampled_from([0.0, 1e-3, 0.2]),
        "nesterov": st.booleans(),
    }
)


def train_on(gradients, start, optimizer_class, rates, **settings):
    """Run the optimizer on gradients that do not depend on the weight."""
    weight = start.clone().requires_grad_()
    optimizer = optimizer_class([weight], lr=rates[0], **settings)
    for gradient, rate in zip(gradients, rates, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach()


@given(SETTINGS, st.integers(1, 30), st.integers(0, 10**6))
def test_unrolled_rule_is_the_rule(settings, steps, seed):
    if settings["nesterov"]:
        settings |= {"dampening": 0.0, "momentum": settings["momentum"] or 0.5}
    g = torch.Generator().manual_seed(seed)
    gradients = torch.randn(steps, 3, generator=g, dtype=torch.float64)
    start = torch.randn(3, generator=g, dtype=torch.float64)
    rates = torch.rand(steps, generator=g).tolist()
    expected = train_on(gradients, start, torch.optim.SGD, rates, **settings)
    weights, left = step_weights(steps, lr=rates, **settings)
    torch.testing.assert_close(left * start - weights @ gradients, expected, rtol=0, atol=1e-11)


def test_plain_descent_counts_every_step_by_its_step_size():
    weights, left = step_weights(3, lr=[0.1, 0.2, 0.4])
    assert weights.tolist() == [0.1, 0.2, 0.4]
    assert left == 1.0


def test_weight_decay_shrinks_by_every_later_step():
    weights, left = step_weights(3, lr=[0.1, 0.2, 0.4], weight_decay=0.5)
    expected = [0.1 * 0.9 * 0.8, 0.2 * 0.8, 0.4]
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float64))
    assert left == pytest.approx(0.95 * 0.9 * 0.8)


@given(st.integers(1, 60), st.floats(0.01, 0.99))
def test_momentum_counts_by_the_geometric_sum(steps, momentum):
    weights, _ = step_weights(steps, lr=0.1, momentum=momentum)
    remaining = steps - torch.arange(steps, dtype=torch.float64)  # steps a gradient took part in
    expected = 0.1 * (1 - momentum**remaining) / (1 - momentum)
    torch.testing.assert_close(weights, expected, rtol=1e-12, atol=0)


def test_maximizing_turns_the_sign():
    down, _, _ = unroll([Step(0.1, 0.9, first=True), Step(0.1, 0.9)])
    up, _, _ = unroll([Step(0.1, 0.9, maximize=True, first=True), Step(0.1, 0.9, maximize=True)])
    torch.testing.assert_close(up, -down)


@pytest.mark.parametrize("rule", [rules.Momentum, rules.Nesterov])
def test_rules_of_the_book_unroll_alike(rule, generator):
    gradients = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    start = torch.zeros(3, dtype=torch.float64)
    settings = {"momentum": 0.8, "weight_decay": 0.1}
    expected = train_on(gradients, start, rule, [0.3] * 7, **settings)
    weights, _ = step_weights(7, lr=0.3, nesterov=rule is rules.Nesterov, **settings)
    torch.testing.assert_close(-(weights @ gradients), expected, rtol=1e-12, atol=1e-12)


def test_step_sizes_must_match_the_steps():
    with pytest.raises(ValueError, match="got 2 step sizes for 3 steps"):
        step_weights(3, lr=[0.1, 0.2])
