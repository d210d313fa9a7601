"""Power laws: exact recovery, equality with loop and scipy, and what few points do not tell."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit
from scipy.stats import linregress

from icl_lib.scaling import bootstrap, fit_known_floor, fit_unknown_floor, leave_one_out

SIZES = np.array([6_592.0, 25_472.0, 100_096.0, 223_872.0])


def law(n, floor, exponent, scale):
    return floor + (scale / n) ** exponent


@given(st.floats(0.0, 3.0), st.floats(0.05, 1.5), st.floats(2.0, 14.0), st.integers(3, 8))
@settings(max_examples=60, deadline=None)
def test_points_on_a_law_give_it_back(floor, exponent, log_scale, count):
    sizes = np.geomspace(1e3, 1e6, count)
    losses = law(sizes, floor, exponent, 10**log_scale)
    if (losses - floor).min() < 1e-9 * max(1.0, floor):
        return
    fit = fit_known_floor(sizes, losses, floor)
    assert fit.exponent == pytest.approx(exponent, rel=1e-5, abs=1e-7)
    assert math.log(fit.scale) == pytest.approx(log_scale * math.log(10), rel=1e-4)
    np.testing.assert_allclose(fit(sizes), losses, rtol=1e-6)


def test_the_line_is_that_of_the_textbook_and_of_scipy():
    losses = law(SIZES, 1.76, 0.3, 5e3) * np.array([1.0, 1.01, 0.995, 1.002])
    fit = fit_known_floor(SIZES, losses, 1.76)
    x, y = np.log(SIZES), np.log(losses - 1.76)
    slope = sum((a - x.mean()) * b for a, b in zip(x, y, strict=True)) / sum((x - x.mean()) ** 2)
    assert -fit.exponent == pytest.approx(slope, abs=1e-12)
    theirs = linregress(x, y)
    assert fit.exponent_error == pytest.approx(theirs.stderr, rel=1e-10)
    assert fit.scale == pytest.approx(math.exp(-theirs.intercept / theirs.slope), rel=1e-10)
    low, high = fit.interval(0.95)
    assert low < fit.exponent < high
    assert type(low) is type(high) is float  # plain numbers, which a notebook prints as such
    # two degrees of freedom: 4.303 standard errors either way
    assert (high - low) / 2 / fit.exponent_error == pytest.approx(4.3027, abs=1e-3)


def test_the_unit_of_size_changes_the_scale_and_not_the_exponent():
    losses = law(SIZES, 1.76, 0.3, 5e3) + np.array([0.01, -0.01, 0.0, 0.005])
    one, thousand = (fit_known_floor(SIZES / u, losses, 1.76) for u in (1, 1000))
    assert one.exponent == pytest.approx(thousand.exponent, rel=1e-12)
    assert one.scale == pytest.approx(1000 * thousand.scale, rel=1e-9)


def test_a_floor_that_is_too_low_flattens_the_law():
    losses = law(SIZES, 1.76, 0.5, 5e3)
    assert fit_known_floor(SIZES, losses, 0.0).exponent < 0.2
    assert fit_known_floor(SIZES, losses, 0.0).residual > 1e-3


def test_three_unknowns_are_recovered_from_clean_points():
    sizes = np.geomspace(1e3, 1e6, 8)
    fit = fit_unknown_floor(sizes, law(sizes, 1.5, 0.4, 2e4))
    assert (fit.floor, fit.exponent) == pytest.approx((1.5, 0.4), rel=1e-5)
    assert fit.scale == pytest.approx(2e4, rel=1e-4)


def test_errors_are_those_of_scipy_in_its_own_parameters():
    rng = np.random.default_rng(0)
    sizes = np.geomspace(1e3, 1e6, 8)
    losses = law(sizes, 1.5, 0.4, 2e4) + 0.01 * rng.normal(size=8)
    fit = fit_unknown_floor(sizes, losses)
    found, covariance = curve_fit(law, sizes, losses, p0=(1.4, 0.5, 1e4), maxfev=20_000)
    assert (fit.floor, fit.exponent, fit.scale) == pytest.approx(tuple(found), rel=1e-3)
    np.testing.assert_allclose(fit.errors, np.sqrt(np.diag(covariance)), rtol=1e-2)


def test_four_points_and_a_little_noise_leave_the_floor_open():
    noisy = law(SIZES, 1.76, 0.3, 5e3) + np.array([0.01, -0.01, 0.01, -0.01])
    free = fit_unknown_floor(SIZES, noisy)
    assert free.errors[0] > 0.05
    assert free.errors[0] > 5 * 0.01


def test_bootstrap_of_identical_seeds_has_no_spread_and_is_seeded():
    losses = law(SIZES, 1.76, 0.3, 5e3)
    same = bootstrap(SIZES, np.stack([losses] * 3), 1.76, draws=50)
    assert np.ptp(same) < 1e-12
    rng = np.random.default_rng(1)
    table = losses + 0.02 * rng.normal(size=(3, 4))
    one, two = (bootstrap(SIZES, table, 1.76, draws=200, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.min() < fit_known_floor(SIZES, table.mean(0), 1.76).exponent < one.max()


def test_leaving_one_out_changes_nothing_on_a_straight_line_and_much_off_it():
    straight = law(SIZES, 1.76, 0.3, 5e3)
    assert np.ptp(leave_one_out(SIZES, straight, 1.76)) < 1e-9
    bent = straight.copy()
    bent[-1] += 0.2
    assert np.ptp(leave_one_out(SIZES, bent, 1.76)) > 0.05


def test_two_points_have_no_uncertainty_to_show():
    fit = fit_known_floor([1e3, 1e4], [3.0, 2.0], 1.0)
    assert fit.exponent_error == math.inf
    assert fit.interval() == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("sizes", "losses", "floor", "message"),
    [
        ([1e3], [2.0], 1.0, "at least two sizes"),
        ([1e3, 1e4], [2.0], 1.0, r"shapes \(2,\) and \(1,\)"),
        ([1e3, 1e4], [2.0, 0.9], 1.0, "losses must be above the floor 1, the lowest is 0.9"),
        ([1e3, 1e3], [2.0, 1.5], 1.0, "positive and not all equal"),
        ([1e3, -1.0], [2.0, 1.5], 1.0, "positive and not all equal"),
        ([1e3, 1e4], [2.0, math.nan], 1.0, "must be finite"),
    ],
)
def test_points_that_cannot_be_fitted_are_refused(sizes, losses, floor, message):
    with pytest.raises(ValueError, match=message):
        fit_known_floor(sizes, losses, floor)


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="at least three points, got 2"):
        fit_unknown_floor([1e3, 1e4], [2.0, 1.5])
    with pytest.raises(ValueError, match="at least three points, got 2"):
        leave_one_out([1e3, 1e4], [2.0, 1.5], 1.0)
    with pytest.raises(ValueError, match=r"\[seeds, 4 sizes\], got shape \(4,\)"):
        bootstrap(SIZES, [2.0, 1.9, 1.8, 1.7], 1.0)
