"""What a learner leaves of each eigenvector: the learner itself agrees; its best constants."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib.learners import spectral
from icl_lib.learners.iterative import gd_plus_plus, gradient_descent, newton

D, N = 4, 6


def drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return inputs, true weights and targets of one noiseless prompt."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, D, generator=generator, dtype=torch.float64)
    w = torch.randn(D, generator=generator, dtype=torch.float64)
    return x, w, x @ w


def expected(x: torch.Tensor, w: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
    """Return w − r(S) w."""
    axes = torch.linalg.eigh(x.mT @ x / N)[1]
    return w - axes @ (missing * (axes.mT @ w))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.floats(0.01, 0.5), max_size=4), st.floats(0, 0.6))
def test_descent_leaves_what_the_polynomial_says(seed, rates, momentum):
    x, w, y = drawn(seed)
    missing = spectral.descent_missing(spectral.gram_eigenvalues(x), rates, momentum=momentum)
    if len(set(rates)) <= 1:
        found = gradient_descent(x, y, len(rates), rates[0] if rates else 0.0, momentum=momentum)
        torch.testing.assert_close(found[-1], expected(x, w, missing), rtol=1e-12, atol=1e-11)
    elif momentum == 0:
        product = torch.stack([1 - r * spectral.gram_eigenvalues(x) for r in rates]).prod(0)
        torch.testing.assert_close(missing, product, rtol=1e-12, atol=1e-11)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.lists(st.tuples(st.floats(0.01, 0.4), st.floats(-0.02, 0.05)), min_size=1, max_size=3),
)
def test_gd_plus_plus_leaves_what_the_polynomial_says(seed, layers):
    x, w, y = drawn(seed)
    rates, shrinks = zip(*layers, strict=True)
    values = spectral.gram_eigenvalues(x)
    missing = spectral.gd_plus_plus_missing(values, rates, shrinks, examples=N)
    found = gd_plus_plus(x, y, rates, shrinks)[-1]
    scale = max(1.0, found.abs().max().item())
    torch.testing.assert_close(found, expected(x, w, missing), rtol=1e-10, atol=1e-11 * scale)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 6), st.floats(0.2, 1.9))
def test_newton_leaves_what_the_polynomial_says(seed, steps, scale):
    x, w, y = drawn(seed)
    missing = spectral.newton_missing(spectral.gram_eigenvalues(x), steps, scale=scale)
    found = newton(x, y, steps, scale=scale)[-1]
    torch.testing.assert_close(found, expected(x, w, missing), rtol=1e-9, atol=1e-9)


def test_expected_error_is_the_mean_over_weights_and_queries():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, N, D, generator=generator, dtype=torch.float64)
    w = torch.randn(200_000, D, generator=generator, dtype=torch.float64)
    query = torch.rand(200_000, D, generator=generator, dtype=torch.float64) * 2 - 1
    moment = w @ (x[0].mT @ x[0])  # Σ y x for every w
    measured = ((w - 0.5 / N * moment) * query).sum(-1).square().mean()
    missing = spectral.descent_missing(spectral.gram_eigenvalues(x), [0.5])
    found = spectral.expected_error(missing, variance=1 / 3)
    assert found.item() == pytest.approx(measured.item(), rel=0.02)


def test_one_tuned_step_is_the_closed_form():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, 20, 5, generator=generator, dtype=torch.float64)
    values = spectral.gram_eigenvalues(x)
    best = spectral.tune("gradient descent", values, 1, examples=20)
    assert best.step_size == pytest.approx(20 / 26, rel=0.01)
    assert best.error == pytest.approx(5 * 6 / 26, rel=0.01)
    assert best.other == 0


@pytest.mark.parametrize("method", spectral.METHODS)
def test_no_constants_nearby_are_better_than_the_tuned_ones(method):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(500, N, D, generator=generator, dtype=torch.float64) * 2 - 1
    values = spectral.gram_eigenvalues(x)
    best = spectral.tune(method, values, 3, examples=N, variance=1 / 3)
    for by, also in ((0.97, 1.0), (1.03, 1.0), (1.0, 0.95), (1.0, 1.05)):
        near = spectral.missing_by(
            method, values, 3, by * best.step_size, also * best.other, examples=N
        )
        assert spectral.expected_error(near, variance=1 / 3).item() >= best.error - 1e-7


def test_more_freedom_is_never_worse():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(500, N, D, generator=generator, dtype=torch.float64)
    values = spectral.gram_eigenvalues(x)
    plain, heavy, reshaped = (
        spectral.tune(method, values, 3, examples=N).error for method in spectral.METHODS
    )
    assert heavy < plain
    assert reshaped < plain


def test_bad_input_is_refused():
    values = torch.ones(2, D, dtype=torch.float64)
    with pytest.raises(ValueError, match="2 step sizes and 1 shrinks"):
        spectral.gd_plus_plus_missing(values, [0.1, 0.1], [0.1], examples=N)
    with pytest.raises(ValueError, match="method must be one of"):
        spectral.tune("guessing", values, 2, examples=N)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        spectral.tune("GD++", values, 0, examples=N)
    with pytest.raises(ValueError, match="0 < scale < 2"):
        spectral.newton_missing(values, 1, scale=2.0)
