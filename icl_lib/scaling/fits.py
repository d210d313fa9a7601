"""Power laws of the loss, L(N) = L∞ + (N_c / N)^α, and how well few points determine them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import curve_fit
from scipy.stats import t as student


@dataclass(frozen=True)
class PowerLaw:
    r"""A fitted law :math:`L(N) = L_\infty + (N_c/N)^{\alpha}` whose floor was known.

    Attributes
    ----------
    floor
        L∞.
    exponent
        α.
    scale
        N_c, the size at which the law is one nat above its floor.
    exponent_error
        Standard error of α, from the scatter about the line; infinite with two points.
    residual
        Root mean square of the residuals of log (L − L∞).
    points
        How many were fitted.
    """

    floor: float
    exponent: float
    scale: float
    exponent_error: float
    residual: float
    points: int

    def __call__(self, sizes: ArrayLike) -> np.ndarray:
        """Return the law's loss at these sizes."""
        return self.floor + (self.scale / np.asarray(sizes, dtype=float)) ** self.exponent

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the confidence interval of α if the scatter were normal and the law true."""
        if self.points < 3:
            return -math.inf, math.inf
        half = float(student.ppf(0.5 + level / 2, self.points - 2)) * self.exponent_error
        return self.exponent - half, self.exponent + half


@dataclass(frozen=True)
class FreeFloor:
    """A fitted law whose floor was fitted too.

    Attributes
    ----------
    floor, exponent, scale
        L∞, α and N_c.
    errors
        Standard errors of the three, in this order, as ``scipy.optimize.curve_fit`` gives them;
        infinite if the points do not determine them.
    """

    floor: float
    exponent: float
    scale: float
    errors: tuple[float, float, float]

    def __call__(self, sizes: ArrayLike) -> np.ndarray:
        """Return the law's loss at these sizes."""
        return self.floor + (self.scale / np.asarray(sizes, dtype=float)) ** self.exponent


def fit_known_floor(sizes: ArrayLike, losses: ArrayLike, floor: float) -> PowerLaw:
    r"""Fit the two parameters of a power law whose floor is known.

    .. math:: \log(L - L_\infty) = \alpha \log N_c - \alpha \log N

    is a straight line in log N, so this is linear least squares.

    Parameters
    ----------
    sizes
        N, ``[points]``, all positive and not all equal.
    losses
        L, ``[points]``, all above the floor.
    floor
        L∞; 0 for a law without one.

    Raises
    ------
    ValueError
        If the points are fewer than two, unequal in number, or a loss is at the floor or below.

    Source: Kaplan et al. (2020), equation 1.1, is the case L∞ = 0.

    Explained in: 10_scale
    """
    x, y = _points(sizes, losses)
    if (y <= floor).any():
        raise ValueError(f"losses must be above the floor {floor:g}, the lowest is {y.min():g}")
    design = np.stack([np.ones_like(x), np.log(x)], axis=1)
    target = np.log(y - floor)
    (intercept, slope), *_ = np.linalg.lstsq(design, target, rcond=None)
    if slope == 0:
        raise ValueError("the losses do not change with size: no power law fits them")
    rest, free = target - design @ [intercept, slope], len(x) - 2
    error = math.inf
    if free > 0:
        variance = rest @ rest / free
        error = math.sqrt(variance * np.linalg.inv(design.T @ design)[1, 1])
    return PowerLaw(
        floor=float(floor),
        exponent=float(-slope),
        scale=float(np.exp(-intercept / slope)),
        exponent_error=error,
        residual=float(np.sqrt(np.mean(rest**2))),
        points=len(x),
    )


def fit_unknown_floor(sizes: ArrayLike, losses: ArrayLike) -> FreeFloor:
    r"""Fit floor, exponent and scale by non-linear least squares in the loss.

    Parameters
    ----------
    sizes, losses
        N and L, ``[points]``, at least three.

    Raises
    ------
    ValueError
        If there are fewer than three points, or no fit is found.

    Explained in: 10_scale
    """
    x, y = _points(sizes, losses)
    if len(x) < 3:
        raise ValueError(f"three parameters need at least three points, got {len(x)}")
    start = fit_known_floor(x, y, 0.9 * y.min() if y.min() > 0 else y.min() - 1.0)
    middle = np.exp(np.log(x).mean())  # amplitude at the middle: less correlated than N_c

    def law(n, floor, exponent, log_amplitude):
        return floor + np.exp(log_amplitude) * (middle / n) ** exponent

    first = (start.floor, start.exponent, start.exponent * np.log(start.scale / middle))
    try:
        found, covariance = curve_fit(law, x, y, p0=first, maxfev=20_000)
    except RuntimeError as problem:
        raise ValueError(f"no power law with a floor fits these points: {problem}") from problem
    floor, exponent, log_amplitude = found
    scale = middle * math.exp(log_amplitude / exponent)
    # N_c = middle · exp(a / α): its error by the chain rule
    gradient = np.array([0.0, -scale * log_amplitude / exponent**2, scale / exponent])
    errors = (*np.sqrt(np.diag(covariance)[:2]), math.sqrt(gradient @ covariance @ gradient))
    if len(x) == 3:
        errors = (math.inf, math.inf, math.inf)
    return FreeFloor(float(floor), float(exponent), scale, tuple(float(e) for e in errors))


def bootstrap(
    sizes: ArrayLike, losses: ArrayLike, floor: float, *, draws: int = 2000, seed: int = 0
) -> np.ndarray:
    """Return the exponents of refits to resampled seeds, ``[draws]``.

    In each draw every size gets as many seeds as it has, drawn with replacement, and their mean.
    This shows what the choice of seeds does to α. It does not show whether the law is right.

    Parameters
    ----------
    sizes
        ``[points]``.
    losses
        ``[seeds, points]``.
    floor
        L∞.
    draws, seed
        How many resamples, and what decides them.

    Raises
    ------
    ValueError
        If the losses are not one row for each seed.

    Source: Efron (1979).

    Explained in: 10_scale
    """
    table = np.asarray(losses, dtype=float)
    if table.ndim != 2 or table.shape[1] != len(np.asarray(sizes)):
        raise ValueError(
            f"losses must be [seeds, {len(np.asarray(sizes))} sizes], got shape {table.shape}"
        )
    seeds, points = table.shape
    chosen = np.random.default_rng(seed).integers(seeds, size=(draws, seeds, points))
    means = np.take_along_axis(table[None], chosen, axis=1).mean(axis=1)
    return np.array([fit_known_floor(sizes, row, floor).exponent for row in means])


def leave_one_out(sizes: ArrayLike, losses: ArrayLike, floor: float) -> np.ndarray:
    """Return the exponents of fits that leave out one size each, ``[points]``.

    If the points lie on one straight line, all are equal; how far they differ tells how much the
    exponent rests on single sizes.

    Parameters
    ----------
    sizes, losses, floor
        As in :func:`fit_known_floor`, at least three points.

    Explained in: 10_scale
    """
    x, y = _points(sizes, losses)
    if len(x) < 3:
        raise ValueError(f"leaving one out needs at least three points, got {len(x)}")
    keep = ~np.eye(len(x), dtype=bool)
    return np.array([fit_known_floor(x[k], y[k], floor).exponent for k in keep])


def _points(sizes: ArrayLike, losses: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(sizes, dtype=float), np.asarray(losses, dtype=float)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise ValueError(
            f"expected at least two sizes and as many losses, got shapes {x.shape} and {y.shape}"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("sizes and losses must be finite")
    if (x <= 0).any() or np.ptp(x) == 0:
        raise ValueError("sizes must be positive and not all equal")
    return x, y
