"""The error of a fixed step on other prompts: Monte Carlo, known special cases, invariances."""

import math

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib.learners.shift import best_fixed_step, fixed_step_error
from icl_lib.learners.theory import gradient_step_error


def positive(d: int, seed: int) -> torch.Tensor:
    root = torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return root @ root.T / d + 0.1 * torch.eye(d, dtype=torch.float64)


def simulated(a, examples, covariance, asked, weights, noise, *, prompts=200_000):
    """Draw prompts, take the step, return its mean squared error and the error of that mean."""
    g = torch.Generator().manual_seed(7)
    d = len(a)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    x = normal(prompts, examples, d) @ torch.linalg.cholesky(covariance).T
    query = normal(prompts, d) @ torch.linalg.cholesky(asked).T
    w = normal(prompts, d) @ torch.linalg.cholesky(weights).T
    y = torch.einsum("bnd,bd->bn", x, w) + noise * normal(prompts, examples)
    moments = torch.einsum("bn,bnd->bd", y, x) / examples
    gaps = ((query @ a) * moments).sum(1) - (query * w).sum(1)
    squares = gaps**2
    return squares.mean().item(), (squares.std() / math.sqrt(prompts)).item()


@pytest.mark.parametrize(("examples", "noise"), [(1, 0.0), (3, 0.7), (12, 0.3)])
def test_error_is_what_prompts_show(examples, noise):
    a, covariance, asked, weights = (positive(3, seed) for seed in range(4))
    exact = fixed_step_error(a, examples, covariance, asked=asked, weights=weights, noise=noise)
    seen, spread = simulated(a, examples, covariance, asked, weights, noise)
    assert abs(exact - seen) < 4 * spread
    assert spread < 0.02 * exact


@given(d=st.integers(1, 8), examples=st.integers(1, 60), eta=st.floats(-1, 2))
def test_isotropic_case_is_one_step_of_gradient_descent(d, examples, eta):
    identity = torch.eye(d, dtype=torch.float64)
    relative = fixed_step_error(eta * identity, examples, identity) / d
    assert relative == pytest.approx(gradient_step_error(examples, d, eta), rel=1e-12, abs=1e-12)


@given(d=st.integers(1, 6), examples=st.integers(1, 40), seed=st.integers(0, 99))
def test_theorem_1_of_ahn_is_the_case_of_isotropic_weights(d, examples, seed):
    covariance = positive(d, seed)
    identity = torch.eye(d, dtype=torch.float64)
    wanted = ((examples + 1) * covariance + torch.trace(covariance) * identity) / examples
    found = best_fixed_step(examples, covariance)
    torch.testing.assert_close(found @ wanted, identity, rtol=0, atol=1e-10)


@settings(max_examples=40)
@given(
    d=st.integers(1, 4), examples=st.integers(1, 20), seed=st.integers(0, 99),
    noise=st.floats(0, 2), size=st.floats(1e-3, 0.5),
)  # fmt: skip
def test_no_other_matrix_is_better_than_the_best(d, examples, seed, noise, size):
    covariance, weights, asked = (positive(d, seed + i) for i in range(3))
    kind = {"weights": weights, "noise": noise}
    best = best_fixed_step(examples, covariance, **kind)
    g = torch.Generator().manual_seed(seed)
    other = best + size * torch.randn(d, d, generator=g, dtype=torch.float64)
    lowest = fixed_step_error(best, examples, covariance, asked=asked, **kind)
    assert fixed_step_error(other, examples, covariance, asked=asked, **kind) >= lowest - 1e-12


@given(d=st.integers(1, 5), seed=st.integers(0, 99), scale=st.floats(0.2, 4))
def test_floor_is_the_limit_of_long_prompts_and_zero_for_the_inverse(d, seed, scale):
    a, covariance = positive(d, seed), positive(d, seed + 1)
    floor = fixed_step_error(a, math.inf, scale**2 * covariance)
    long = fixed_step_error(a, 10**9, scale**2 * covariance)
    assert long == pytest.approx(floor, rel=1e-5, abs=1e-5)
    inverse = torch.linalg.inv(covariance)
    assert fixed_step_error(inverse, math.inf, covariance) == pytest.approx(0, abs=1e-9)


@given(seed=st.integers(0, 99), scale=st.floats(0.1, 5), noise=st.floats(0, 2))
def test_scaling_inputs_by_alpha_is_scaling_the_step_by_its_square(seed, scale, noise):
    a, covariance = positive(3, seed), positive(3, seed + 1)
    shifted = fixed_step_error(a, 7, scale**2 * covariance, noise=noise * scale)
    other = scale**2 * fixed_step_error(scale**2 * a, 7, covariance, noise=noise)
    assert shifted == pytest.approx(other, rel=1e-10)


def test_bad_arguments_are_told(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as for a reader
    identity = torch.eye(2)
    with pytest.raises(ValueError, match="whole number from 1 on or infinity, got 0"):
        fixed_step_error(identity, 0, identity)
    with pytest.raises(ValueError, match=r"got 2\.5"):
        best_fixed_step(2.5, identity)
    with pytest.raises(ValueError, match="noise must not be negative"):
        fixed_step_error(identity, 3, identity, noise=-1.0)
    with pytest.raises(ValueError, match="square matrices of one size"):
        fixed_step_error(identity, 3, identity, weights=torch.eye(3))
