"""Prompts of linear functions: their distribution, their tokens and the broken pairing."""

import pytest
import torch

from icl_lib.tasks import regression
from icl_lib.tasks.regression import interleave, linear_prompts, question_tokens, shuffle_targets


def draw(seed=0, batch=3, points=5, dimension=2, **options):
    generator = torch.Generator().manual_seed(seed)
    return linear_prompts(batch, points, dimension, generator=generator, **options)


def test_targets_are_the_hidden_function_of_the_inputs():
    prompts = draw(dtype=torch.float64)
    wanted = (prompts.inputs @ prompts.weights[..., None])[..., 0]
    torch.testing.assert_close(prompts.targets, wanted, rtol=0, atol=1e-15)
    assert (len(prompts), prompts.points, prompts.dimension) == (3, 5, 2)


def test_the_seed_decides_everything_and_the_global_generator_nothing():
    torch.manual_seed(1)
    first = draw(seed=4, noise=0.3)
    torch.manual_seed(2)
    second, third = draw(seed=4, noise=0.3), draw(seed=5, noise=0.3)
    assert torch.equal(first.targets, second.targets)
    assert not torch.equal(first.targets, third.targets)


@pytest.mark.parametrize(
    ("distribution", "variance", "fourth"), [("normal", 4.0, 48.0), ("uniform", 4 / 3, 16 / 5)]
)
def test_moments_of_the_inputs_follow_their_distribution(distribution, variance, fourth):
    inputs = draw(batch=20000, points=4, input_scale=2.0, distribution=distribution).inputs.double()
    assert inputs.mean().abs().item() < 0.03
    assert inputs.pow(2).mean().item() == pytest.approx(variance, rel=0.02)
    assert inputs.pow(4).mean().item() == pytest.approx(fourth, rel=0.04)


def test_scales_of_weights_and_noise():
    prompts = draw(batch=40000, points=2, weight_scale=0.5, noise=0.3, input_scale=0.0)
    assert prompts.weights.std().item() == pytest.approx(0.5, rel=0.02)
    assert prompts.targets.std().item() == pytest.approx(0.3, rel=0.02)


def test_intercept_makes_straight_lines():
    prompts = draw(batch=1, points=3, dimension=2, intercept=True, dtype=torch.float64)
    slope, shift = prompts.weights[0]
    assert torch.equal(prompts.inputs[..., 1], torch.ones(1, 3, dtype=torch.float64))
    torch.testing.assert_close(prompts.targets[0], slope * prompts.inputs[0, :, 0] + shift)


def test_interleaved_tokens_of_a_prompt_that_can_be_read():
    inputs = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    tokens = interleave(inputs, torch.tensor([5.0, 6.0]))
    assert tokens.tolist() == [[1, 2, 0], [0, 0, 5], [3, 4, 0], [0, 0, 6]]


def test_question_tokens_of_a_prompt_that_can_be_read():
    inputs = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    tokens = question_tokens(inputs, torch.tensor([5.0, 6.0]))
    assert tokens.tolist() == [[0, 0, 0, 1, 2], [1, 2, 5, 3, 4]]


def test_no_token_knows_the_answer_that_is_asked_at_it():
    prompts = draw(points=4)
    changed = prompts.targets.clone()
    changed[:, 2] += 1
    one = question_tokens(prompts.inputs, prompts.targets)
    two = question_tokens(prompts.inputs, changed)
    assert (one != two).any(-1).any(0).tolist() == [False, False, False, True]
    one, two = interleave(prompts.inputs, prompts.targets), interleave(prompts.inputs, changed)
    assert (one != two).any(-1).any(0).tolist() == [False] * 5 + [True] + [False] * 2


def test_shuffled_targets_are_the_same_values_in_another_order():
    prompts = draw(batch=50, points=6)
    mixed = shuffle_targets(prompts, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(mixed.targets[:, 4:], prompts.targets[:, 4:])
    assert torch.equal(mixed.targets[:, :4].sort(1).values, prompts.targets[:, :4].sort(1).values)
    orders = (mixed.targets[:, :4, None] == prompts.targets[:, None, :4]).int().argmax(2)
    assert len({tuple(order) for order in orders.tolist()}) > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"noise": -1.0}, "noise must not be negative, got -1.0"),
        ({"weight_scale": float("nan")}, "weight_scale must not be negative, got nan"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        draw(**options)


def test_shuffling_more_than_there_is_fails():
    with pytest.raises(ValueError, match="between 0 and 5"):
        shuffle_targets(draw(), 6, generator=torch.Generator())


def test_prompts_are_frozen():
    with pytest.raises(AttributeError):
        draw().inputs = torch.zeros(1)
    assert regression.Prompts.__dataclass_params__.frozen


SIGMA = torch.tensor([[2.0, 0.6], [0.6, 0.5]], dtype=torch.float64)


def test_inputs_have_the_covariance_that_was_asked_for():
    inputs = draw(batch=40_000, points=5, covariance=SIGMA, dtype=torch.float64).inputs.flatten(
        0, 1
    )
    found = inputs.mT @ inputs / len(inputs)
    torch.testing.assert_close(found, SIGMA, rtol=0, atol=0.03)


def test_an_identity_covariance_changes_nothing_and_targets_follow_the_inputs():
    plain, same = draw(seed=2), draw(seed=2, covariance=torch.eye(2))
    assert torch.equal(plain.inputs, same.inputs)
    bent = draw(seed=2, covariance=SIGMA, dtype=torch.float64)
    wanted = (bent.inputs @ bent.weights[..., None])[..., 0]
    torch.testing.assert_close(bent.targets, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("covariance", "words"),
    [
        (torch.eye(3), r"shape \(3, 3\), expected \(2, 2\)"),
        (torch.tensor([[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
        (torch.tensor([[1.0, 2.0], [2.0, 1.0]]), "smallest eigenvalue is -1"),
    ],
)
def test_what_is_no_covariance_is_refused(covariance, words):
    with pytest.raises(ValueError, match=words):
        draw(covariance=covariance)
