"""Closed forms against Monte Carlo, against each other, and against published values."""

from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib import learners
from icl_lib.learners.shift import best_fixed_step, fixed_step_error
from icl_lib.tasks.regression import linear_prompts


def measured(method, points, dimension, *, query_variance=1.0, batch=20_000, **options):
    """The error on a fresh query, whose coordinates have this variance."""
    p = linear_prompts(
        batch, points, dimension, dtype=torch.float64,
        generator=torch.Generator().manual_seed(1), **options,
    )  # fmt: skip
    gaps = method(p.inputs, p.targets)[:, -1] - p.weights
    return query_variance * gaps.square().sum(-1).mean().item()


@pytest.mark.parametrize("noise", [0.0, 0.7])
@pytest.mark.parametrize(("points", "dimension"), [(10, 10), (3, 4), (1, 2)])
def test_one_step_with_uniform_and_normal_inputs(points, dimension, noise):
    for shape, a in (("uniform", 0.5), ("uniform", 1.0), ("normal", 1.0)):
        v = a**2 / 3 if shape == "uniform" else 1.0
        moments = {"variance": v, "fourth_moment": a**4 / 5 if shape == "uniform" else None}
        eta = learners.best_step_size(points, dimension, noise=noise, **moments)
        for factor in (1.0, 0.5):
            step = factor * eta
            wanted = learners.one_step_error(points, dimension, step, noise=noise, **moments)
            found = measured(
                lambda x, y, s=step: learners.gradient_descent(x, y, 1, s), points, dimension,
                query_variance=v, noise=noise, distribution=shape, input_scale=a,
            )  # fmt: skip
            assert found == pytest.approx(wanted, rel=0.04)


def test_published_setting_of_one_step():
    half = {"variance": 1 / 12, "fourth_moment": 1 / 80}
    eta = learners.best_step_size(10, 10, **half)
    assert eta == pytest.approx(6.06, abs=5e-3)
    assert learners.one_step_error(10, 10, eta, **half) / 2 == pytest.approx(0.2062, abs=5e-5)
    one = {"variance": 1 / 3, "fourth_moment": 1 / 5}
    eta = learners.best_step_size(10, 10, **one)
    assert learners.one_step_error(10, 10, eta, **one) / 2 == pytest.approx(0.825, abs=5e-4)


@given(points=st.integers(1, 30), dimension=st.integers(1, 30), noise=st.floats(0, 2))
def test_the_best_step_is_best_and_agrees_with_the_other_forms(points, dimension, noise):
    eta = learners.best_step_size(points, dimension, noise=noise)
    error = learners.one_step_error(points, dimension, eta, noise=noise)
    for other in (0.9, 1.1):
        assert learners.one_step_error(points, dimension, other * eta, noise=noise) > error
    identity = torch.eye(dimension).double()
    form = fixed_step_error(eta * identity, points, identity, noise=noise)
    assert form == pytest.approx(error, rel=1e-9)
    if noise == 0:
        assert eta == pytest.approx(points / (points + dimension + 1))
        assert error == pytest.approx(dimension * (dimension + 1) / (points + dimension + 1))
        relative = learners.gradient_step_error(points, dimension, eta)
        assert error == pytest.approx(dimension * relative)


@given(dimension=st.integers(1, 6), examples=st.integers(1, 50), seed=st.integers(0, 999))
def test_theorem_one_is_the_general_optimum_for_white_weights(dimension, examples, seed):
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(dimension, dimension + 1, generator=generator, dtype=torch.float64)
    covariance = root @ root.mT
    found = learners.preconditioned_optimum(covariance, examples)
    torch.testing.assert_close(found, best_fixed_step(examples, covariance), rtol=1e-6, atol=1e-9)


def test_theorem_one_in_the_published_setting():
    found = learners.preconditioned_optimum(torch.eye(5).double(), 20)
    torch.testing.assert_close(found, 20 / 26 * torch.eye(5).double())
    assert fixed_step_error(found, 20, torch.eye(5).double()) == pytest.approx(1.1538, abs=5e-5)


@pytest.mark.parametrize("examples", [1, 4, 20])
def test_the_error_of_a_fixed_step_by_monte_carlo(examples):
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor([1.0, 1.0, 0.25, 0.0625, 1.0], dtype=torch.float64)
    turn, _ = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))
    covariance = turn * values @ turn.mT
    matrix = learners.preconditioned_optimum(covariance, 20) + 0.1 * torch.ones(5, 5)
    p = linear_prompts(60_000, examples, 5, generator=generator, dtype=torch.float64)
    x = p.inputs @ (turn * values.sqrt() @ turn.mT)
    y = torch.einsum("bnd,bd->bn", x, p.weights)
    y = y + 0.4 * torch.randn(y.shape, generator=generator, dtype=torch.float64)
    gap = learners.preconditioned(x, y, matrix[None])[:, -1] - p.weights
    found = torch.einsum("bd,de,be->b", gap, covariance, gap).mean().item()
    wanted = fixed_step_error(matrix, examples, covariance, noise=0.4)
    assert found == pytest.approx(wanted, rel=0.04)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (7, 3), (2, 5)])
def test_wishart_moments_are_those_of_textbooks(n, d):
    wanted = [
        d,
        n * d,
        n * d * (n + d + 1),
        n * d * (n**2 + d**2 + 3 * n * d + 3 * n + 3 * d + 4),
        n * d * (n**3 + d**3 + 6 * n * n * d + 6 * n * d * d + 6 * n * n + 6 * d * d
                 + 17 * n * d + 21 * n + 21 * d + 20),
    ]  # fmt: skip
    assert [learners.wishart_moment(p, n, d) for p in range(5)] == wanted


@given(power=st.integers(0, 9), n=st.integers(0, 12), d=st.integers(1, 12))
def test_wishart_moments_have_their_symmetry_and_the_chi_square_as_a_case(power, n, d):
    if power and n:  # the eigenvalues that are not 0 are those of X Xᵀ
        assert learners.wishart_moment(power, n, d) == learners.wishart_moment(power, d, n)
    chi = prod(n + 2 * i for i in range(power))
    assert learners.wishart_moment(power, n, 1) == chi


def test_several_steps_by_monte_carlo():
    etas = [0.5, 0.3, 0.4]
    matrices = torch.stack([eta * torch.eye(4).double() for eta in etas])
    found = measured(lambda x, y: learners.preconditioned(x, y, matrices), 8, 4)
    assert found == pytest.approx(learners.descent_error(8, 4, etas), rel=0.04)
    settings = [0.5, 0.8], [0.02, 9.0]
    found = measured(lambda x, y: learners.gd_plus_plus(x, y, *settings), 8, 4)
    assert found == pytest.approx(learners.gd_plus_plus_error(8, 4, *settings), rel=0.04)


def test_reference_values_for_several_steps():
    """N = d = 10, standard normal inputs; the reference is a Monte Carlo of its own, ± 1 %."""
    for steps, wanted in {1: 5.31, 2: 4.08, 3: 3.52, 5: 2.91}.items():
        eta = learners.best_shared_step(10, 10, steps)
        assert learners.descent_error(10, 10, [eta] * steps) == pytest.approx(wanted, rel=0.015)
    for steps, eta, gamma, wanted in ((2, 1.03, 0.013, 2.93), (3, 1.49, 0.014, 2.09)):
        found = learners.gd_plus_plus_error(10, 10, [eta] * steps, [gamma] * steps)
        assert found == pytest.approx(wanted, rel=0.015)


def test_no_step_no_shrink_and_one_step():
    assert learners.descent_error(5, 3, []) == 3
    assert learners.descent_error(5, 3, [0.4]) == pytest.approx(learners.one_step_error(5, 3, 0.4))
    plain = learners.descent_error(5, 3, [0.4, 0.2])
    assert learners.gd_plus_plus_error(5, 3, [0.4, 0.2], [0.0] * 2) == pytest.approx(plain)


@pytest.mark.parametrize("noise", [0.2, 0.5, 1.0])
def test_ridge_near_its_limit(noise):
    for examples in (5, 20, 40):
        found = measured(
            lambda x, y: learners.ridge(x, y, noise**2), examples, 20, batch=3000, noise=noise
        )
        wanted = learners.ridge_error_limit(examples, 20, noise=noise)
        assert found / 20 == pytest.approx(wanted, rel=0.17 if examples == 20 else 0.06)
    assert learners.ridge_error_limit(0, 20, noise=noise) == 1
    assert learners.ridge_error_limit(10**6, 20, noise=noise) < 1e-4


def test_errors_say_what_was_expected():
    with pytest.raises(ValueError, match="no distribution has variance 1"):
        learners.best_step_size(3, 2, fourth_moment=0.5)
    with pytest.raises(ValueError, match="expected positive sizes"):
        learners.one_step_error(0, 2, 0.1)
    with pytest.raises(ValueError, match="at most 8 steps, got 9"):
        learners.descent_error(3, 2, [0.1] * 9)
    with pytest.raises(ValueError, match="got 4 step sizes, 4 shrinks; at most 3"):
        learners.gd_plus_plus_error(3, 2, [0.1] * 4, [0.1] * 4)
    with pytest.raises(ValueError, match="no moment -1"):
        learners.wishart_moment(-1, 2, 2)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        learners.best_shared_step(3, 2, 0)
    with pytest.raises(ValueError, match="not symmetric"):
        learners.preconditioned_optimum(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), 3)
    with pytest.raises(ValueError, match="not a covariance"):
        learners.preconditioned_optimum(torch.diag(torch.tensor([1.0, -1.0])), 3)
    with pytest.raises(ValueError, match="examples must be at least 1"):
        learners.preconditioned_optimum(torch.eye(2), 0)
    with pytest.raises(ValueError, match="noise must be positive"):
        learners.ridge_error_limit(3, 2, noise=0.0)
