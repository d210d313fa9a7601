"""The finite-pool estimator: against a loop, its limits, its optimality, and what it refuses."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.learners import pool as room
from icl_lib.learners import predict_next, ridge
from icl_lib.learners.pool import finite_pool, nearest_task, pool_posterior
from icl_lib.tasks.pools import pool_prompts, task_pool
from icl_lib.tasks.regression import linear_prompts

sizes = st.integers(1, 5)


def draw(tasks, d, *, batch=3, points=5, noise=0.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    pool = task_pool(tasks, d, generator=generator, dtype=torch.float64)
    return pool, pool_prompts(batch, points, pool, noise=noise, generator=generator)


def by_loops(x, y, pool, noise):
    """Bayes' rule for one prefix of one prompt, with products of Gaussian densities."""
    masses = []
    for w in pool:
        density = 1.0
        for a, b in zip(x, y, strict=True):
            density *= math.exp(-((b - a @ w).item() ** 2) / (2 * noise**2))
        masses.append(density)
    return sum(m * w for m, w in zip(masses, pool, strict=True)) / sum(masses)


@given(tasks=sizes, d=sizes, points=sizes, batch=st.integers(1, 3), seed=st.integers(0, 999))
def test_all_prefixes_at_once_equal_loops(tasks, d, points, batch, seed):
    pool, prompts = draw(tasks, d, batch=batch, points=points, noise=0.9, seed=seed)
    found = finite_pool(prompts.inputs, prompts.targets, pool, 0.9)
    assert found.shape == (batch, points + 1, d)
    for b in range(batch):
        for k in range(points + 1):
            wanted = by_loops(prompts.inputs[b, :k], prompts.targets[b, :k], pool, 0.9)
            torch.testing.assert_close(found[b, k], wanted, rtol=1e-9, atol=1e-12)


@given(tasks=sizes, d=sizes, seed=st.integers(0, 999))
def test_posterior_is_a_distribution_and_its_mean_is_the_estimate(tasks, d, seed):
    pool, prompts = draw(tasks, d, seed=seed)
    chances = pool_posterior(prompts.inputs, prompts.targets, pool, 0.5)
    torch.testing.assert_close(chances.sum(-1), torch.ones(3, 6).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(chances[:, 0], torch.full((3, tasks), 1 / tasks).double())
    torch.testing.assert_close(
        chances @ pool, finite_pool(prompts.inputs, prompts.targets, pool, 0.5), rtol=0, atol=1e-12
    )


def test_posterior_of_two_tasks_is_a_sigmoid_by_hand():
    x, y = torch.tensor([[[2.0]]]).double(), torch.tensor([[3.0]]).double()
    pool = torch.tensor([[1.0], [2.0]]).double()  # errors (3−2)² = 1 and (3−4)² = 1, then not
    assert pool_posterior(x, y, pool, 1.0)[0, 1].tolist() == pytest.approx([0.5, 0.5], abs=1e-12)
    ahead = pool_posterior(x, y + 1, pool, 1.0)[0, 1, 1].item()  # errors 4 and 0
    assert ahead == pytest.approx(1 / (1 + math.exp(-2)), abs=1e-12)


def test_a_pool_of_one_is_that_task_whatever_the_pairs_say():
    pool, _ = draw(1, 3)
    prompts = linear_prompts(4, 6, 3, generator=torch.Generator().manual_seed(1),
                             dtype=torch.float64)  # fmt: skip
    found = finite_pool(prompts.inputs, prompts.targets, pool, 0.1)
    torch.testing.assert_close(found, pool.expand(4, 7, 3), rtol=0, atol=0)


@given(seed=st.integers(0, 999))
def test_the_order_of_the_pool_and_of_the_pairs_does_not_matter(seed):
    pool, prompts = draw(6, 2, seed=seed)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    one = finite_pool(prompts.inputs, prompts.targets, pool, 0.5)
    two = finite_pool(prompts.inputs, prompts.targets, pool[order], 0.5)
    torch.testing.assert_close(one, two, rtol=0, atol=1e-12)
    back = finite_pool(prompts.inputs.flip(1), prompts.targets.flip(1), pool, 0.5)
    torch.testing.assert_close(back[:, -1], one[:, -1], rtol=0, atol=1e-11)


def test_a_task_listed_twice_counts_twice():
    pool, prompts = draw(3, 2)
    twice = finite_pool(prompts.inputs, prompts.targets, pool[[0, 1, 1, 2]], 0.5)
    chances = pool_posterior(prompts.inputs, prompts.targets, pool, 0.5)
    heavier = chances * torch.tensor([1.0, 2.0, 1.0]).double()
    wanted = heavier @ pool / heavier.sum(-1, keepdim=True)
    torch.testing.assert_close(twice, wanted, rtol=0, atol=1e-12)
    all_twice = finite_pool(prompts.inputs, prompts.targets, pool.repeat(2, 1), 0.5)
    torch.testing.assert_close(
        all_twice, finite_pool(prompts.inputs, prompts.targets, pool, 0.5), rtol=0, atol=1e-12
    )


def test_later_pairs_change_nothing_before_them():
    pool, prompts = draw(5, 2)
    changed = prompts.targets.clone()
    changed[:, 3:] += 7
    before = finite_pool(prompts.inputs, prompts.targets, pool, 0.5)
    after = finite_pool(prompts.inputs, changed, pool, 0.5)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_a_vast_pool_is_ridge():
    generator = torch.Generator().manual_seed(0)
    pool = task_pool(2**17, 2, generator=generator, dtype=torch.float64)
    prompts = linear_prompts(40, 4, 2, noise=0.5, generator=generator, dtype=torch.float64)
    wanted = ridge(prompts.inputs, prompts.targets, 0.25)
    gaps = []
    for size in (2**5, 2**11, 2**17):
        found = finite_pool(prompts.inputs, prompts.targets, pool[:size], 0.5)
        gaps.append((found - wanted).pow(2).sum(-1).mean().item())
    assert gaps[0] > 10 * gaps[1] > 100 * gaps[2] / 2
    assert gaps[2] < 2e-4


def test_no_learner_has_a_smaller_error_on_prompts_of_its_own_pool():
    pool, prompts = draw(8, 3, batch=6000, points=8, seed=4)
    x, y = prompts.inputs, prompts.targets

    def errors(weights):
        return (predict_next(weights, x) - y).pow(2).mean(1)

    best = errors(finite_pool(x, y, pool, 0.5))
    others = {
        "ridge": ridge(x, y, 0.25),
        "too sure": finite_pool(x, y, pool, 0.25),
        "not sure enough": finite_pool(x, y, pool, 1.0),
        "nearest task": nearest_task(x, y, pool),
        "part of the pool": finite_pool(x, y, pool[:6], 0.5),
        "pool with a stranger": finite_pool(x, y, torch.cat([pool, pool.new_zeros(1, 3)]), 0.5),
    }
    for name, weights in others.items():
        gap = errors(weights) - best
        assert gap.mean().item() > 3 * gap.std().item() / len(gap) ** 0.5, name


def test_its_expected_error_is_the_spread_of_its_own_posterior():
    pool, prompts = draw(8, 3, batch=20_000, points=6, seed=5)
    chances = pool_posterior(prompts.inputs, prompts.targets, pool, 0.5)
    mean = chances @ pool
    spread = (chances @ pool.pow(2)).sum(-1) - mean.pow(2).sum(-1)
    actual = (mean - prompts.weights[:, None]).pow(2).sum(-1)
    assert actual.mean(0).tolist() == pytest.approx(spread.mean(0).tolist(), rel=0.05)


def test_little_noise_is_the_nearest_task():
    pool, prompts = draw(5, 2, noise=0.3)
    found = finite_pool(prompts.inputs, prompts.targets, pool, 1e-3)
    wanted = nearest_task(prompts.inputs, prompts.targets, pool)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)
    torch.testing.assert_close(wanted[:, 0], pool.mean(0).expand(3, 2))
    sse = (prompts.targets[..., None] - prompts.inputs @ pool.T).pow(2).sum(1)
    assert torch.equal(wanted[:, -1], pool[sse.argmin(-1)])


def test_tasks_that_fit_equally_well_are_averaged():
    x, y = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[1.0]])
    pool = torch.tensor([[1.0, 2.0], [1.0, 4.0], [5.0, 0.0]])
    assert nearest_task(x, y, pool)[0, 1].tolist() == [1.0, 3.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_huge_errors_do_not_overflow(dtype):
    x = torch.full((1, 3, 2), 1e6, dtype=dtype)
    y = torch.full((1, 3), -1e7, dtype=dtype)
    pool = torch.tensor([[1.0, 1.0], [2.0, 2.0]], dtype=dtype)
    found = finite_pool(x, y, pool, 1e-3)
    assert found[0, -1].tolist() == [1.0, 1.0]
    tiny = finite_pool(x, y, pool, 1e-18)  # every exponent but the best is beyond the type
    assert tiny[0, -1].tolist() == [1.0, 1.0]


def test_errors_that_the_type_cannot_hold_are_refused():
    x, y = torch.ones(1, 2, 1), torch.full((1, 2), 1e30)
    task, words = torch.ones(1, 1), "squared errors of the tasks are not finite"
    with pytest.raises(ValueError, match=words):
        finite_pool(x, y, task, 0.5)
    with pytest.raises(ValueError, match=words):
        nearest_task(x, y.fill_(math.nan), task)


def test_groups_do_not_change_the_result(monkeypatch):
    pool, prompts = draw(7, 3, batch=11)
    whole = finite_pool(prompts.inputs, prompts.targets, pool, 0.5)
    monkeypatch.setattr(room, "LARGEST", 2 * 6 * 7)  # two prompts of eleven at a time
    torch.testing.assert_close(
        finite_pool(prompts.inputs, prompts.targets, pool, 0.5), whole, rtol=0, atol=1e-12
    )
    monkeypatch.setattr(room, "LARGEST", 1)
    torch.testing.assert_close(
        finite_pool(prompts.inputs, prompts.targets, pool, 0.5), whole, rtol=0, atol=1e-12
    )


def test_no_table_is_larger_than_promised(monkeypatch):
    seen = []
    original = room._squared_errors

    def watched(*given):
        seen.append(original(*given))
        return seen[-1]

    monkeypatch.setattr(room, "_squared_errors", watched)
    generator = torch.Generator().manual_seed(0)
    pool = task_pool(2**14, 3, generator=generator)
    prompts = linear_prompts(64, 15, 3, noise=0.5, generator=generator)
    finite_pool(prompts.inputs, prompts.targets, pool, 0.5)
    assert max(table.numel() for table in seen) <= room.LARGEST
    assert sum(len(table) for table in seen) == 64


def test_batches_of_any_shape():
    pool, prompts = draw(4, 2, batch=6)
    flat = finite_pool(prompts.inputs, prompts.targets, pool, 0.5)
    x, y = prompts.inputs.view(2, 3, 5, 2), prompts.targets.view(2, 3, 5)
    assert torch.equal(finite_pool(x, y, pool, 0.5), flat.view(2, 3, 6, 2))
    torch.testing.assert_close(finite_pool(x[0, 0], y[0, 0], pool, 0.5), flat[0])
    assert finite_pool(x[:0], y[:0], pool, 0.5).shape == (0, 3, 6, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"noise": 0.0}, "noise must be positive .*, got 0.0; for 0 use nearest_task"),
        ({"noise": math.nan}, "noise must be positive .*, got nan"),
        ({"noise": 1e-30}, r"noise must be positive \(above 1.1e-19 in torch.float32\)"),
        ({"pool": torch.zeros(0, 2)}, r"pool has shape \(0, 2\), expected \[M, 2\]"),
        ({"pool": torch.zeros(3, 4)}, r"pool has shape \(3, 4\), expected \[M, 2\]"),
        ({"targets": torch.zeros(1, 4)}, r"targets \(1, 4\); expected"),
        ({"pool": torch.zeros(3, 2).double()}, "pool torch.float64 on cpu; they must agree"),
    ],
)
def test_bad_input_is_refused(change, words):
    given = {"inputs": torch.zeros(1, 3, 2), "targets": torch.zeros(1, 3),
             "pool": torch.zeros(3, 2), "noise": 0.5}  # fmt: skip
    for learner in (finite_pool, pool_posterior):
        with pytest.raises(ValueError, match=words):
            getattr(learner, "__wrapped__", learner)(**{**given, **change})
