"""Linear learners: against a loop over prefixes, on singular designs, and their closed forms."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib import learners
from icl_lib.learners import gradient_step_error, least_squares_error
from icl_lib.learners.linear import _by_singular_values
from icl_lib.learners.recursive import fit_least_squares
from icl_lib.tasks.regression import linear_prompts

LEARNERS = {
    "zero": learners.zero,
    "averaging": learners.averaging,
    "least_squares": learners.least_squares,
    "ridge": lambda x, y: learners.ridge(x, y, 0.1),
    "gradient_descent": lambda x, y: learners.gradient_descent(x, y, 3, 0.2),
}


def draw(batch, points, dimension, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return linear_prompts(
        batch, points, dimension, generator=generator, dtype=torch.float64, **options
    )


def one_prefix(name, x, y):
    """The textbook formula for one prompt and one prefix, written again."""
    count, dimension = x.shape
    if name == "zero" or count == 0:
        return torch.zeros(dimension, dtype=x.dtype)
    if name == "averaging":
        return sum(y[i] * x[i] for i in range(count)) / count
    if name == "least_squares":
        return torch.linalg.lstsq(x, y[:, None], driver="gelsd").solution[:, 0]
    if name == "ridge":  # the dual formula, with the N × N matrix
        kernel = x @ x.T + 0.1 * torch.eye(count, dtype=x.dtype)
        return x.T @ torch.linalg.solve(kernel, y)
    w = torch.zeros(dimension, dtype=x.dtype, requires_grad=True)
    for _ in range(3):
        (gradient,) = torch.autograd.grad(((x @ w - y) ** 2).mean() / 2, w)
        w = (w - 0.2 * gradient).detach().requires_grad_()
    return w.detach()


@pytest.mark.parametrize("name", LEARNERS)
@given(
    points=st.integers(1, 7), dimension=st.integers(1, 5), batch=st.integers(1, 3),
    seed=st.integers(0, 999),
)  # fmt: skip
def test_all_prefixes_at_once_equal_a_loop(name, points, dimension, batch, seed):
    prompts = draw(batch, points, dimension, seed, noise=0.5)
    found = LEARNERS[name](prompts.inputs, prompts.targets)
    assert found.shape == (batch, points + 1, dimension)
    for b in range(batch):
        for k in range(points + 1):
            wanted = one_prefix(name, prompts.inputs[b, :k], prompts.targets[b, :k])
            torch.testing.assert_close(found[b, k], wanted, rtol=1e-6, atol=1e-8)


def test_the_weights_after_k_pairs_know_nothing_of_later_ones():
    prompts = draw(2, 6, 3, noise=0.1)
    inputs, targets = prompts.inputs.clone(), prompts.targets.clone()
    inputs[:, 3:] += 1
    targets[:, 3:] -= 1
    for learner in LEARNERS.values():
        before, after = learner(prompts.inputs, prompts.targets), learner(inputs, targets)
        torch.testing.assert_close(before[:, :4], after[:, :4])


def test_least_squares_recovers_the_function_from_d_pairs():
    prompts = draw(200, 8, 5)
    found = learners.least_squares(prompts.inputs, prompts.targets)
    error = (found[:, 6:] - prompts.weights[:, None]).abs().max()
    assert error.item() < 1e-9


def test_repeated_points_leave_the_weights_as_short_as_possible():
    x = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [2.0, 0.0]]], dtype=torch.float64)
    y = torch.tensor([[1.0, 3.0, 4.0]], dtype=torch.float64)
    found = learners.least_squares(x, y)[0]
    wanted = torch.tensor([[0, 0], [1, 0], [2, 0], [2, 0]], dtype=torch.float64)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def singular_design(kind, x, generator):
    """Make inputs ``[B, N, d]`` singular in one way."""
    if kind == "repeated":
        return x[:, torch.randint(x.shape[1], (x.shape[1],), generator=generator)]
    if kind == "combined":  # every third point is a combination of the two before it
        third = x[:, 2::3].shape[1]
        x[:, 2::3] = 0.5 * x[:, 1::3][:, :third] - 2 * x[:, ::3][:, :third]
        return x
    if kind == "subspace":
        x[..., x.shape[-1] // 2 :] = 0
        return x
    x[x.shape[0] // 2 :, ::2] = 0  # "some": zeros, in some prompts only
    return x


@pytest.mark.parametrize("kind", ["repeated", "combined", "subspace", "some"])
@given(
    points=st.integers(2, 9), dimension=st.integers(1, 5), batch=st.integers(1, 4),
    seed=st.integers(0, 999),
)  # fmt: skip
def test_singular_designs_equal_the_pseudo_inverse(kind, points, dimension, batch, seed):
    prompts = draw(batch, points, dimension, seed, noise=0.5)
    x = singular_design(kind, prompts.inputs.clone(), torch.Generator().manual_seed(seed))
    found = learners.least_squares(x, prompts.targets)
    wanted = _by_singular_values(x, prompts.targets)
    scale = 1 + wanted.abs().max().item()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-7 * scale)


@pytest.mark.parametrize("kind", ["repeated", "combined", "subspace", "some"])
def test_plainly_singular_designs_need_no_singular_values(kind):
    prompts = draw(6, 9, 4, noise=0.5)
    x = singular_design(kind, prompts.inputs.clone(), torch.Generator().manual_seed(0))
    weights, doubtful = fit_least_squares(x, prompts.targets)
    assert not doubtful.any()
    torch.testing.assert_close(weights, _by_singular_values(x, prompts.targets))


def test_what_the_recursion_cannot_judge_goes_to_singular_values():
    prompts = draw(3, 6, 4, noise=0.5)
    x = prompts.inputs.clone()
    x[:, 2] = x[:, 0] + x[:, 1]  # in the plane of the first two …
    x[:, 1] = x[:, 0] + 1e-7 * x[:, 1]  # … which rounding tilts by far more than ε
    found = learners.least_squares(x, prompts.targets)
    wanted = _by_singular_values(x, prompts.targets)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    assert wanted[:, 3].norm(dim=-1).max() < 100  # of rank 2


@pytest.mark.parametrize("points", [3, 4, 40])
def test_ill_conditioned_designs_are_as_exact_as_singular_values(points):
    prompts = draw(20, points, 4, noise=0.1)
    x = prompts.inputs * torch.tensor([1.0, 1e-2, 1e-4, 1.0], dtype=torch.float64)
    found = learners.least_squares(x, prompts.targets)
    wanted = _by_singular_values(x, prompts.targets)
    error = (found - wanted).norm(dim=-1) / (1 + wanted.norm(dim=-1))
    assert error.max().item() < 1e-9


def test_gradients_flow_when_they_are_asked_for():
    prompts = draw(1, 5, 2, noise=0.5)
    targets = prompts.targets.clone().requires_grad_()
    for learner in (learners.least_squares, lambda x, y: learners.ridge(x, y, 0.1)):
        with torch.no_grad():
            plain = learner(prompts.inputs, targets)
        found = learner(prompts.inputs, targets)
        torch.testing.assert_close(found.detach(), plain)
        (slope,) = torch.autograd.grad(found[0, -1, 0], targets)
        assert slope.abs().min().item() > 0


def test_points_at_zero_teach_nothing():
    x, y = torch.zeros(1, 3, 2), torch.ones(1, 3)
    assert learners.least_squares(x, y).abs().max().item() == 0


def test_averaging_is_one_step_with_step_size_one():
    prompts = draw(3, 5, 2)
    step = learners.gradient_descent(prompts.inputs, prompts.targets, 1, 1.0)
    torch.testing.assert_close(step, learners.averaging(prompts.inputs, prompts.targets))


def test_many_steps_reach_the_shortest_least_squares_fit():
    prompts = draw(3, 4, 3, distribution="uniform")
    found = learners.gradient_descent(prompts.inputs, prompts.targets, 50_000, 1.0)
    wanted = learners.least_squares(prompts.inputs, prompts.targets)
    torch.testing.assert_close(found[:, :3], wanted[:, :3], rtol=1e-4, atol=1e-4)


def test_a_small_penalty_is_nearly_none():
    prompts = draw(3, 8, 3, noise=0.2)
    close = learners.ridge(prompts.inputs, prompts.targets, 1e-9)[:, 5:]
    torch.testing.assert_close(
        close, learners.least_squares(prompts.inputs, prompts.targets)[:, 5:], rtol=1e-6, atol=1e-6
    )


def relative_error(learner, batch, points, dimension, noise=0.0):
    prompts = draw(batch, points, dimension, seed=7, noise=noise)
    gap = learner(prompts.inputs, prompts.targets) - prompts.weights[:, None]
    return gap.pow(2).sum(-1).mean(0) / dimension


@pytest.mark.parametrize("dimension", [1, 5])
def test_least_squares_error_is_a_straight_line(dimension):
    found = relative_error(learners.least_squares, 4000, dimension + 2, dimension)
    wanted = [least_squares_error(k, dimension) for k in range(dimension + 3)]
    assert found.tolist() == pytest.approx(wanted, abs=0.05)
    assert wanted[dimension:] == [0, 0, 0]


def test_least_squares_error_with_noise_peaks_at_d():
    found = relative_error(learners.least_squares, 20000, 14, 5, noise=0.5).tolist()
    for k in (0, 1, 2, 10, 12, 14):
        assert found[k] == pytest.approx(least_squares_error(k, 5, noise=0.5), rel=0.06)
    assert [k for k in range(15) if math.isinf(least_squares_error(k, 5, noise=0.5))] == [4, 5, 6]


@pytest.mark.parametrize("step_size", [0.3, 0.5, 1.0])
def test_one_step_error(step_size):
    found = relative_error(
        lambda x, y: learners.gradient_descent(x, y, 1, step_size), 20000, 12, 5
    ).tolist()
    for k in (0, 1, 3, 6, 12):
        assert found[k] == pytest.approx(gradient_step_error(k, 5, step_size), rel=0.06)


def test_the_best_single_step_has_the_published_error():
    assert 5 * gradient_step_error(20, 5, 20 / 26) == pytest.approx(1.154, abs=5e-4)
    assert 10 * gradient_step_error(10, 10, 10 / 21) == pytest.approx(5.238, abs=5e-4)


def test_ridge_with_the_right_penalty_is_best():
    noise = 0.5
    right = relative_error(lambda x, y: learners.ridge(x, y, noise**2), 4000, 9, 3, noise)
    for penalty in (0.05, 1.0):
        other = relative_error(lambda x, y, p=penalty: learners.ridge(x, y, p), 4000, 9, 3, noise)
        assert (other[1:] > right[1:]).all()


def test_predict_next_uses_only_the_pairs_before():
    prompts = draw(2, 4, 3)
    weights = learners.averaging(prompts.inputs, prompts.targets)
    guess = learners.predict_next(weights, prompts.inputs)
    assert guess[:, 0].tolist() == [0, 0]
    torch.testing.assert_close(guess[:, 2], (weights[:, 2] * prompts.inputs[:, 2]).sum(-1))


def test_errors_say_what_was_expected():
    prompts = draw(2, 4, 3)
    with pytest.raises(ValueError, match="for 0 use least_squares"):
        learners.ridge(prompts.inputs, prompts.targets, 0.0)
    with pytest.raises(ValueError, match="steps must not be negative, got -1"):
        learners.gradient_descent(prompts.inputs, prompts.targets, -1, 0.1)
    with pytest.raises(ValueError, match="expected 5 rows of weights for 4 points, got 4"):
        learners.predict_next(prompts.inputs, prompts.inputs)
    with pytest.raises(ValueError, match="examples must not be negative"):
        least_squares_error(-1, 2)
    with pytest.raises(ValueError, match="dimension must be at least 1"):
        gradient_step_error(1, 0, 0.5)
