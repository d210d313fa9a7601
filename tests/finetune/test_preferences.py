"""Bradley–Terry: probabilities, the ceiling of a noisy judge, maximum likelihood."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from icl_lib.finetune.preferences import (
    Pairs,
    agreement,
    bradley_terry,
    bradley_terry_loss,
    fit_bradley_terry,
    judge,
    noise_ceiling,
)

numbers = st.floats(-20, 20)


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(numbers, numbers, st.floats(0.1, 10), numbers)
def test_probabilities_of_both_orders_add_up_and_only_the_difference_counts(a, b, tau, c):
    p = bradley_terry(tensor(a), tensor(b), temperature=tau)
    q = bradley_terry(tensor(b), tensor(a), temperature=tau)
    moved = bradley_terry(tensor(a + c), tensor(b + c), temperature=tau)
    assert (p + q).item() == pytest.approx(1.0, abs=1e-12)
    assert moved.item() == pytest.approx(p.item(), abs=1e-9)


@given(numbers, numbers, numbers)
def test_odds_multiply(a, b, c):
    def log_odds(x, y):
        p = bradley_terry(tensor(x / 4), tensor(y / 4))
        return torch.logit(p).item()

    assert log_odds(a, c) == pytest.approx(log_odds(a, b) + log_odds(b, c), abs=1e-7)


def test_judge_decides_with_the_bradley_terry_frequency(generator):
    first, second = torch.full((40_000,), 1.0), torch.zeros(40_000)
    wins = judge(first, second, temperature=2.0, generator=generator).double()
    p = 1 / (1 + math.exp(-0.5))
    assert abs(wins.mean().item() - p) < 4 * math.sqrt(p * (1 - p) / 40_000)


def test_same_seed_same_decisions():
    a, b = torch.randn(2, 100, generator=torch.Generator().manual_seed(1))
    runs = [
        judge(a, b, temperature=1.0, generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_nobody_beats_the_ceiling_and_the_truth_reaches_it(generator):
    a, b = torch.randn(2, 50_000, generator=generator)
    ceiling = noise_ceiling(a, b, temperature=1.0)
    wins = judge(a, b, temperature=1.0, generator=generator)
    assert agreement(a, b, wins) == pytest.approx(ceiling, abs=0.01)
    worse = a + torch.randn(50_000, generator=generator)
    assert agreement(worse, b, wins) < ceiling - 0.02


def test_ceiling_of_a_silent_and_of_a_blind_judge():
    a, b = tensor(3.0, -1.0), tensor(0.0, 1.0)
    assert noise_ceiling(a, b, temperature=1e-3) == pytest.approx(1.0)
    assert noise_ceiling(a, b, temperature=1e9) == pytest.approx(0.5)


def test_agreement_counts_a_tie_as_half():
    found = agreement(tensor(1, 2, 3), tensor(0, 2, 4), torch.tensor([True, True, True]))
    assert found == pytest.approx(0.5)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
def test_loss_is_the_mean_of_minus_log_sigma(pairs):
    chosen, rejected = (tensor(*column) for column in zip(*pairs, strict=True))
    wanted = sum(math.log1p(math.exp(-(c - r))) for c, r in pairs) / len(pairs)
    assert bradley_terry_loss(chosen, rejected).item() == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_loss_of_undecided_rewards_is_log_two():
    assert bradley_terry_loss(tensor(5.0), tensor(5.0)).item() == pytest.approx(math.log(2))


def test_loss_stays_finite_for_large_gaps():
    assert bradley_terry_loss(tensor(-2000.0), tensor(0.0)).item() == pytest.approx(2000.0)


def comparisons(seed: int, items: int = 6, count: int = 400):
    g = torch.Generator().manual_seed(seed)
    truth = torch.randn(items, generator=g, dtype=torch.float64)
    pairs = torch.stack([torch.randperm(items, generator=g)[:2] for _ in range(count)])
    wins = judge(truth[pairs[:, 0]], truth[pairs[:, 1]], temperature=1.0, generator=g)
    winners = torch.where(wins, pairs[:, 0], pairs[:, 1])
    losers = torch.where(wins, pairs[:, 1], pairs[:, 0])
    return truth, winners, losers


@pytest.mark.parametrize("seed", range(3))
def test_maximum_likelihood_equals_logistic_regression_of_scikit_learn(seed):
    _, winners, losers = comparisons(seed)
    found = fit_bradley_terry(winners, losers, 6)
    design = torch.zeros(len(winners), 6, dtype=torch.float64)
    design[torch.arange(len(winners)), winners] += 1
    design[torch.arange(len(winners)), losers] -= 1
    # as a classification: every comparison seen from both sides, no intercept, no penalty
    both = torch.cat([design, -design]).numpy()
    labels = [1] * len(winners) + [0] * len(winners)
    theirs = LogisticRegression(C=math.inf, fit_intercept=False, tol=1e-12, max_iter=10_000)
    coefficients = torch.tensor(theirs.fit(both, labels).coef_[0])
    assert torch.allclose(found, coefficients - coefficients.mean(), atol=1e-6)


def test_gradient_vanishes_at_the_maximum():
    _, winners, losers = comparisons(0)
    r = fit_bradley_terry(winners, losers, 6).requires_grad_()
    bradley_terry_loss(r[winners], r[losers]).backward()
    assert r.grad.abs().max().item() < 1e-14
    assert abs(r.sum().item()) < 1e-12


def test_two_items_have_the_log_odds_of_their_wins():
    winners, losers = torch.tensor([0, 0, 0, 1]), torch.tensor([1, 1, 1, 0])
    r = fit_bradley_terry(winners, losers, 2)
    assert (r[0] - r[1]).item() == pytest.approx(math.log(3), abs=1e-12)


def test_estimates_approach_the_truth():
    truth, winners, losers = comparisons(3, count=8000)
    gap = fit_bradley_terry(winners, losers, 6) - (truth - truth.mean())
    assert gap.abs().max().item() < 0.2


def test_infinite_maximum_is_named():
    with pytest.raises(ValueError, match="2 groups"):
        fit_bradley_terry(torch.tensor([0, 0]), torch.tensor([1, 1]), 2)


def test_bad_inputs_are_refused():
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        bradley_terry(tensor(1.0), tensor(0.0), temperature=0)
    with pytest.raises(ValueError, match="at least one"):
        bradley_terry_loss(torch.zeros(0), torch.zeros(0))


def pairs(n: int = 6) -> Pairs:
    g = torch.Generator().manual_seed(0)
    tokens = torch.arange(2 * n)[:, None].expand(2 * n, 3)
    worth = torch.randn(2 * n, generator=g)
    wins = judge(worth[::2], worth[1::2], temperature=0.5, generator=g)
    return Pairs(tokens, torch.ones(2 * n, 3, dtype=torch.bool), worth, wins, 0.5)


def test_batch_puts_the_winner_first():
    some = pairs()
    chosen, _, rejected, _ = some.batch()
    for i, first in enumerate(some.first_wins.tolist()):
        order = (2 * i, 2 * i + 1) if first else (2 * i + 1, 2 * i)
        assert (chosen[i, 0].item(), rejected[i, 0].item()) == order


def test_a_slice_of_pairs_keeps_both_answers_of_each():
    some = pairs()[2:4]
    assert len(some) == 2
    assert some.tokens[:, 0].tolist() == [4, 5, 6, 7]
    assert torch.equal(some.first_wins, pairs().first_wins[2:4])
    with pytest.raises(ValueError, match="without gaps"):
        pairs()[::2]


def test_true_rewards_are_always_truthful_and_opposite_ones_never():
    some = pairs()
    assert some.truthfulness(some.worth) == 1.0
    assert some.truthfulness(-some.worth) == 0.0
    assert some.agreement(some.worth) + some.agreement(-some.worth) == pytest.approx(1.0)


def test_pairs_need_two_answers_for_each_decision():
    some = pairs()
    with pytest.raises(ValueError, match="twice as many answers"):
        Pairs(some.tokens, some.answer, some.worth, some.first_wins[:2], 0.5)
