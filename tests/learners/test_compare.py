"""The measures of likeness: by hand, their ends of scale, and their null values."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib import learners
from icl_lib.tasks.regression import linear_prompts


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_differences_by_hand():
    first = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    second = torch.tensor([[1.0, 0.0], [0.0, 4.0]])
    assert learners.squared_difference(first, second).tolist() == [4.5, 2.0]
    assert learners.prediction_difference(first, second).tolist() == [1.5, 1.0]
    assert learners.squared_difference(first[0], second[0]).tolist() == [0.0, 4.0]
    deep = learners.squared_difference(first.view(2, 1, 2), second.view(2, 1, 2))
    assert deep.tolist() == [4.5, 2.0]


def test_weights_by_hand():
    first = torch.tensor([[[3.0, 4.0]], [[0.0, 0.0]]])
    second = torch.zeros(2, 1, 2)
    assert learners.weight_difference(first, second).tolist() == [12.5]
    assert learners.sensitivity_difference(first[:, 0], second[:, 0]).item() == 2.5
    turned = torch.tensor([[4.0, -3.0], [3.0, 4.0]])
    both = torch.tensor([[3.0, 4.0], [6.0, 8.0]])
    assert learners.sensitivity_cosine(both, turned).item() == pytest.approx(0.5)


@given(dimension=st.integers(1, 6), extra=st.integers(0, 4), seed=st.integers(0, 999))
def test_a_linear_algorithm_gives_its_weights_away(dimension, extra, seed):
    x = noise(2, 3 * dimension, dimension, seed=seed)
    y = noise(2, 3 * dimension, seed=seed + 1)
    weights = learners.ridge(x, y, 0.5)[:, -1]
    queries = noise(2, 2 * dimension + extra, dimension, seed=seed + 2)
    guesses = (queries @ weights[..., None])[..., 0]
    implied = learners.implied_weights(queries, guesses)
    torch.testing.assert_close(implied, weights, rtol=1e-6, atol=1e-8)
    slopes = learners.sensitivities(lambda q: (q * weights).sum(-1), queries[:, 0])
    torch.testing.assert_close(slopes, weights)


def test_implied_weights_are_the_best_linear_account_of_the_rest():
    queries = noise(200, 3)
    guesses = (queries**3).sum(-1)
    found = learners.implied_weights(queries, guesses)
    left_over = guesses - queries @ found
    torch.testing.assert_close(queries.mT @ left_over, torch.zeros(3).double(), rtol=0, atol=1e-9)


def test_similar_errors():
    targets, errors = noise(50, 8), noise(50, 8, seed=1)
    one, other = targets + errors, targets + 3 * errors
    assert learners.error_similarity(one, other, targets).item() == pytest.approx(1)
    assert learners.error_similarity(one, targets - errors, targets).item() == pytest.approx(-1)
    stranger = targets + noise(50, 8, seed=2)
    spread = 3 / math.sqrt(50 * 8)
    assert abs(learners.error_similarity(one, stranger, targets).item()) < spread


def test_the_best_match_of_a_member_of_the_family_is_itself():
    generator = torch.Generator().manual_seed(0)
    p = linear_prompts(64, 12, 5, generator=generator, dtype=torch.float64)
    path = learners.gradient_descent(p.inputs, p.targets, 12, 0.2, trajectory=True)
    family = learners.predict_next(path, p.inputs)
    for steps in (1, 4, 12):
        match = learners.best_matching_steps(family[steps], family, p.targets)
        assert match.steps == steps
        assert match.similarity == pytest.approx(1)
        assert match.similarities.shape == (13,)
    finer = learners.gradient_descent(p.inputs, p.targets, 6, 0.1)
    match = learners.best_matching_steps(learners.predict_next(finer, p.inputs), family, p.targets)
    assert match.steps == 3  # half the step size, twice the steps
    assert match.similarity < 1


def test_errors_say_what_was_expected():
    a, b = noise(2, 3), noise(2, 4)
    for measure in (learners.squared_difference, learners.prediction_difference):
        with pytest.raises(Exception, match="3"):
            measure(a, b)
    with pytest.raises(ValueError, match="a sensitivity is zero"):
        learners.sensitivity_cosine(a, 0 * a)
    with pytest.raises(ValueError, match="an error is zero"):
        learners.error_similarity(a, a + 1, a)
    with pytest.raises(ValueError, match="expected at least 3 queries"):
        learners.implied_weights(a, a[:, 0])
    with pytest.raises(ValueError, match=r"expected guesses of shape \(2,\)"):
        learners.sensitivities(lambda q: q, a)
