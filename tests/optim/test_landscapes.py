"""Landscapes: closed forms of quadratics, measured with the rules themselves."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib import optim
from icl_lib.optim import landscapes
from icl_lib.optim.landscapes import Quadratic, descend, finite_difference
from icl_lib.optim.race import distance_steps, race, random_starts, reached_by

curvature = st.floats(0.05, 20.0)


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(seed=st.integers(0, 999), n=st.integers(3, 9))
def test_loss_and_gradient_of_examples(seed, n):
    x, y, w = randn(n, 2, seed=seed), randn(n, seed=seed + 1), randn(2, seed=seed + 2)
    bowl = Quadratic.of_examples(x, y)
    w.requires_grad_()
    loss = ((x @ w - y) ** 2).mean() / 2
    loss.backward()
    scale = 1 + bowl.minimum.norm().item() ** 2
    assert abs(bowl.loss(w.detach()).item() - loss.item()) < 1e-10 * scale
    assert (bowl.gradient(w.detach()) - w.grad).abs().max() < 1e-10 * scale


@given(low=curvature, high=curvature, angle=st.floats(-180, 180))
def test_a_turned_valley_keeps_its_curvatures(low, high, angle):
    valley = Quadratic.valley([low, high], angle=angle)
    expected = torch.tensor(sorted([low, high]), dtype=torch.float64)
    assert (valley.curvatures - expected).abs().max() < 1e-12 * high + 1e-12
    assert valley.condition.item() == pytest.approx(max(low, high) / min(low, high))
    assert valley.critical_step.item() == pytest.approx(2 / max(low, high))


def test_finite_difference_of_a_quadratic_is_exact_up_to_rounding():
    bowl, w = Quadratic.valley([1, 7], angle=30), randn(2)
    assert (finite_difference(bowl.loss, w, 1e-3) - bowl.gradient(w)).abs().max() < 1e-11
    with pytest.raises(ValueError, match="width must be positive, got 0"):
        finite_difference(bowl.loss, w, 0.0)


@pytest.mark.parametrize("mu", [0.0, 0.5, 0.9])
def test_measured_critical_step_equals_the_closed_form(mu):
    bowls = Quadratic.random([1.0, 2.0, 5.0, 10.0], losses=3, seed=4)
    found = landscapes.measured_critical_step(
        bowls,
        lambda w, lr: optim.Momentum(w, lr, momentum=mu),
        randn(3, 4),
        bracket=(0.1, 0.5),
        steps=240,
        halvings=22,
    )
    assert (found / (bowls.critical_step * (1 + mu)) - 1).abs().max() < 1e-6


def test_bracket_without_the_critical_step_is_refused():
    bowls = Quadratic.random([1.0, 2.0], losses=1)
    with pytest.raises(ValueError, match="must hold a step that converges and one that not"):
        landscapes.measured_critical_step(bowls, optim.SGD, randn(1, 2), bracket=(0.1, 0.2))


def test_best_constants_reach_their_rates():
    bowls = Quadratic.random([1.0, 3.0, 30.0, 100.0], losses=3, seed=0)
    lr, rate = landscapes.best_step(1.0, 100.0)
    path = descend(bowls.gradient, randn(3, 4), lambda w: optim.SGD(w, lr), 2000)
    assert (landscapes.measured_rate(path) / rate - 1).abs().max() < 1e-9
    lr, mu, rate = landscapes.best_heavy_ball(1.0, 100.0)
    path = descend(bowls.gradient, randn(3, 4), lambda w: optim.Momentum(w, lr, momentum=mu), 3000)
    assert (landscapes.measured_rate(path) / rate - 1).abs().max() < 1e-3


@given(low=curvature, high=st.floats(20.0, 1000.0))
def test_no_step_size_beats_the_best_one(low, high):
    lr, rate = landscapes.best_step(low, high)
    for other in (0.9 * lr, 1.05 * lr):
        assert max(abs(1 - other * low), abs(1 - other * high)) > rate
    assert max(abs(1 - lr * low), abs(1 - lr * high)) == pytest.approx(rate, rel=1e-9)


def test_walks_side_by_side_equal_walks_alone():
    bowl, starts = Quadratic.valley([1, 7], angle=30), randn(4, 2)
    together = descend(bowl.gradient, starts, lambda w: optim.Adam(w, 0.1), 25)
    for i, start in enumerate(starts):
        alone = descend(bowl.gradient, start, lambda w: optim.Adam(w, 0.1), 25)
        assert (together[:, i] - alone).abs().max() < 1e-13


def test_noise_without_a_generator_is_refused():
    with pytest.raises(ValueError, match="noise needs a generator"):
        descend(torch.zeros_like, randn(2), lambda w: optim.SGD(w, 1.0), 1, noise=0.5)


def test_noise_is_seeded_and_has_its_size():
    def walk(seed):
        return descend(
            torch.zeros_like,
            torch.zeros(20_000, dtype=torch.float64),
            lambda w: optim.SGD(w, 1.0),
            1,
            noise=0.5,
            generator=torch.Generator().manual_seed(seed),
        )

    assert torch.equal(walk(1), walk(1))
    assert walk(1)[1].std().item() == pytest.approx(0.5, rel=0.02)


def test_steps_to_reach_counts_the_last_time_above():
    losses = torch.tensor(
        [[1.0, 1.0, 1.0], [0.01, 0.5, 1.0], [0.2, 0.05, 1.0], [0.05, 0.05, math.nan]]
    )
    assert landscapes.steps_to_reach(losses, 0.1).tolist() == [3.0, 2.0, math.inf]


def test_race_tunes_on_some_starts_and_scores_on_others():
    bowl = Quadratic.valley([1, 1])
    result = race(
        bowl,
        {"plain": optim.SGD},
        step_sizes=torch.tensor([0.1, 1.0, 1.5], dtype=torch.float64),
        tuning=random_starts(3, 2.0, seed=0),
        fresh=random_starts(5, 2.0, seed=1),
        steps=30,
    )
    assert (result.setting, result.lr, result.score) == ("plain", 1.0, 1.0)
    assert result.scores.shape == (5,)
    path = descend(bowl.gradient, random_starts(1, 2.0, seed=1), lambda w: optim.SGD(w, 0.5), 30)
    assert distance_steps(bowl, path).item() == 7  # 0.5 ** 7 < 0.01 < 0.5 ** 6
    with pytest.raises(ValueError, match="none of plain gets there in 2 steps"):
        race(
            bowl,
            {"plain": optim.SGD},
            step_sizes=torch.tensor([1e-6], dtype=torch.float64),
            tuning=random_starts(3, 2.0, seed=0),
            fresh=random_starts(5, 2.0, seed=1),
            steps=2,
        )


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_adam_ignores_the_scale_of_each_coordinate(scale, seed):
    start, stretch = randn(2, seed=seed), torch.tensor([1.0, scale], dtype=torch.float64)

    def rule(w):
        return optim.Adam(w, 0.05, eps=0.0)

    plain = descend(lambda w: w, start, rule, 40)
    stretched = descend(lambda w: stretch * w, start, rule, 40)
    assert (plain - stretched).abs().max() < 1e-12


def test_half_of_the_starts_is_the_median_and_all_of_them_the_slowest():
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(4, 20, generator=generator, dtype=torch.float64)
    assert torch.equal(reached_by(scores, 0.5), scores.median(dim=-1).values)
    assert torch.equal(reached_by(scores, 1.0), scores.amax(dim=-1))


def test_a_start_that_never_arrives_counts_only_if_it_is_needed():
    scores = torch.tensor([3.0, torch.inf, 1.0, 2.0])
    assert reached_by(scores, 0.75) == 3
    assert reached_by(scores, 0.9).isinf()


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        reached_by(torch.ones(3), share)
