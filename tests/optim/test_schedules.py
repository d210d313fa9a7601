"""Schedules equal torch's schedulers step by step."""

import pytest
import torch
from torch.optim import lr_scheduler

from icl_lib.optim import Constant, Cosine, Polynomial, Staircase, Warmup


def factors(make, steps):
    theta = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    rule = torch.optim.SGD([theta], lr=1.0)
    scheduler = make(rule)
    values = []
    for _ in range(steps):
        values.append(rule.param_groups[0]["lr"])
        rule.step()
        scheduler.step()
    return values


@pytest.mark.parametrize(
    ("ours", "theirs", "steps"),
    [
        (Constant(0.3), lambda r: lr_scheduler.ConstantLR(r, 0.3, total_iters=99), 20),
        (Cosine(20, final=0.1), lambda r: lr_scheduler.CosineAnnealingLR(r, 20, eta_min=0.1), 21),
        (Polynomial(20, power=2.0), lambda r: lr_scheduler.PolynomialLR(r, 20, power=2.0), 30),
        (Staircase(7, 0.5), lambda r: lr_scheduler.StepLR(r, 7, 0.5), 30),
        (Warmup(5), lambda r: lr_scheduler.LinearLR(r, 1 / 5, 1.0, total_iters=4), 20),
    ],
)
def test_equal_to_torch(ours, theirs, steps):
    gap = max(abs(ours(t) - f) for t, f in enumerate(factors(theirs, steps)))
    assert gap < 1e-14


def test_warmup_hands_over_without_a_jump_and_starts_the_next_count_at_zero():
    schedule = Warmup(10, Cosine(90, final=0.1))
    assert schedule(0) == pytest.approx(0.1)
    assert schedule(9) == schedule(10) == 1.0
    assert schedule(10 + 45) == pytest.approx(0.55)
    assert schedule(100) == schedule(10_000) == pytest.approx(0.1)


def test_linear_decay_keeps_its_final_value():
    schedule = Polynomial(4, final=0.2)
    assert [schedule(t) for t in range(6)] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0.2])


@pytest.mark.parametrize("make", [Warmup, Cosine, Polynomial, Staircase])
def test_lengths_below_one_are_refused(make):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        make(0)


def test_a_schedule_shows_its_settings_so_that_a_checkpoint_can_compare_them():
    assert repr(Warmup(3, Cosine(5))) == "Warmup(steps=3, then=Cosine(steps=5, final=0.0))"
