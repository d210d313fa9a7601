"""Pools of tasks: what is drawn, that it repeats, and what it refuses."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.tasks.pools import pool_prompts, prompts_of, task_pool
from icl_lib.tasks.regression import linear_prompts


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_pool_is_standard_normal_and_its_scale_multiplies():
    pool = task_pool(20_000, 3, generator=generator(), dtype=torch.float64)
    assert pool.shape == (20_000, 3)
    assert pool.mean().item() == pytest.approx(0, abs=0.02)
    assert pool.T.cov().numpy() == pytest.approx(torch.eye(3).numpy(), abs=0.04)
    scaled = task_pool(20_000, 3, weight_scale=2.5, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(scaled, 2.5 * pool)


@given(tasks=st.integers(1, 6), d=st.integers(1, 4), seed=st.integers(0, 99))
def test_without_noise_every_prompt_obeys_one_task_of_the_pool(tasks, d, seed):
    drawn = generator(seed)
    pool = task_pool(tasks, d, generator=drawn, dtype=torch.float64)
    prompts = pool_prompts(8, 5, pool, generator=drawn)
    assert prompts.inputs.shape == (8, 5, d)
    own = (prompts.weights[:, None] == pool[None]).all(-1)
    assert own.any(dim=1).all()
    torch.testing.assert_close(
        (prompts.inputs @ prompts.weights[..., None])[..., 0], prompts.targets
    )


def test_tasks_are_drawn_equally_often():
    pool = torch.arange(4.0)[:, None]
    prompts = pool_prompts(40_000, 1, pool, generator=generator(3))
    counts = prompts.weights[:, 0].long().bincount()
    assert counts.tolist() == pytest.approx([10_000] * 4, rel=0.04)


def test_noise_has_the_deviation_asked_for():
    prompts = pool_prompts(20_000, 2, torch.zeros(3, 2), noise=0.5, generator=generator())
    assert prompts.targets.std().item() == pytest.approx(0.5, rel=0.02)


def test_inputs_and_noise_are_those_of_linear_prompts_when_the_scales_agree():
    ours = prompts_of(torch.zeros(5000, 2), 3, distribution="uniform", input_scale=0.5,
                      generator=generator())  # fmt: skip
    theirs = linear_prompts(5000, 3, 2, distribution="uniform", input_scale=0.5,
                            generator=generator())  # fmt: skip
    assert torch.equal(ours.inputs, theirs.inputs)
    assert ours.inputs.abs().max().item() <= 0.5


def test_the_seed_decides_everything_and_the_global_generator_nothing():
    torch.manual_seed(1)
    pool = task_pool(5, 2, generator=generator(7))
    first = pool_prompts(3, 4, pool, noise=0.3, generator=generator(8))
    torch.manual_seed(2)
    assert torch.equal(pool, task_pool(5, 2, generator=generator(7)))
    again = pool_prompts(3, 4, pool, noise=0.3, generator=generator(8))
    assert torch.equal(first.targets, again.targets)
    assert torch.equal(first.weights, again.weights)
    other = pool_prompts(3, 4, pool, noise=0.3, generator=generator(9))
    assert not torch.equal(first.targets, other.targets)


def test_prompts_take_the_type_of_the_pool():
    pool = task_pool(2, 2, generator=generator(), dtype=torch.float64)
    prompts = pool_prompts(2, 3, pool, noise=0.1, generator=generator())
    assert {prompts.inputs.dtype, prompts.targets.dtype, prompts.weights.dtype} == {torch.float64}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: task_pool(0, 2, generator=generator()), "tasks must be at least 1, got 0"),
        (lambda: task_pool(2, 0, generator=generator()), "dimension must be at least 1, got 0"),
        (lambda: task_pool(2, 2, weight_scale=-1.0, generator=generator()),
         "weight_scale must not be negative, got -1.0"),
        (lambda: pool_prompts(2, 3, torch.zeros(0, 2), generator=generator()),
         "tasks must be at least 1, got 0"),
        (lambda: pool_prompts(0, 3, torch.zeros(1, 2), generator=generator()),
         "batch must be at least 1, got 0"),
        (lambda: pool_prompts(2, 0, torch.zeros(1, 2), generator=generator()),
         "points must be at least 1, got 0"),
        (lambda: pool_prompts(2, 3, torch.zeros(1, 2), noise=-0.1, generator=generator()),
         "noise must not be negative, got -0.1"),
        (lambda: pool_prompts(2, 3, torch.zeros(1, 2), noise=float("nan"), generator=generator()),
         "noise must not be negative, got nan"),
    ],
)  # fmt: skip
def test_bad_sizes_and_scales_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
