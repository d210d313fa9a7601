r"""What steps of descent cost on average, in closed form: exact for every N, d and step size.

Weights w ~ N(0, I), inputs with independent coordinates of mean 0. Errors are mean squared errors
on a fresh noiseless target, *not* divided by the zero predictor's.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import cache

import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor


def one_step_error(
    examples: int,
    dimension: int,
    step_size: float,
    *,
    variance: float = 1.0,
    fourth_moment: float | None = None,
    noise: float = 0.0,
) -> float:
    r"""Return the error of one step of gradient descent from 0, for independent coordinates.

    .. math:: E = v\Big(d - 2\eta\,d v + \frac{\eta^2}{N^2}
              \big(\mathbb E \operatorname{tr} S^2 + \text{noise}^2 N d v\big)\Big), \qquad
              \mathbb E \operatorname{tr} S^2 = N\big(d m_4 + d (d-1) v^2\big) + N (N-1)\,d v^2

    with :math:`S = \sum x_i x_i^\top`. It holds for any distribution of the coordinates: only their
    variance and fourth moment matter.

    Parameters
    ----------
    examples, dimension
        N, from 1 on, and d.
    step_size
        η, for the loss 1/(2N) Σ (w·x − y)².
    variance, fourth_moment
        v and m₄ of one coordinate. If no m₄ is given it is that of a normal one, 3v². Uniform in
        ±a: a²/3 and a⁴/5.
    noise
        Standard deviation of the noise on the examples' targets.

    Raises
    ------
    ValueError
        If a size is not positive, or no distribution has these moments (m₄ < v²).

    Source: the reference values of von Oswald et al. 2023 were found in their code by a search over
    step sizes; this form is derived here.
    Explained in: 11_one_step
    """
    squared = _mean_square(examples, dimension, variance, fourth_moment)
    squared += noise**2 * examples * dimension * variance
    missing = dimension - 2 * step_size * dimension * variance
    return variance * (missing + (step_size / examples) ** 2 * squared)


def best_step_size(
    examples: int,
    dimension: int,
    *,
    variance: float = 1.0,
    fourth_moment: float | None = None,
    noise: float = 0.0,
) -> float:
    r"""Return the η at which :func:`one_step_error` is smallest.

    .. math:: \eta^* = \frac{N^2 d v}{\mathbb E \operatorname{tr} S^2 + \text{noise}^2 N d v}

    For normal inputs of variance 1 without noise that is N/(N + d + 1).

    Parameters
    ----------
    examples, dimension, variance, fourth_moment, noise
        As in :func:`one_step_error`.

    Raises
    ------
    ValueError
        As :func:`one_step_error`.

    Source: the minimum of a parabola; derived here.
    Explained in: 11_one_step
    """
    squared = _mean_square(examples, dimension, variance, fourth_moment)
    squared += noise**2 * examples * dimension * variance
    return examples**2 * dimension * variance / squared


def preconditioned_optimum(covariance: Float[Tensor, "d d"], examples: int) -> Float[Tensor, "d d"]:
    r"""Return the matrix that one layer of linear attention finds for normal inputs.

    .. math:: A = U \operatorname{diag}\Big( \frac{1}{\frac{n+1}{n} \lambda_i
              + \frac1n \sum_k \lambda_k} \Big) U^\top, \qquad \Sigma = U \Lambda U^\top

    The guess is :math:`x_q^\top A\,\tfrac1n \sum y_i x_i` with w ~ N(0, I). For Σ = I it is the
    step size n/(n + d + 1); for many examples it tends to Σ⁻¹; the trace holds it back where n is
    small. Its error is :func:`icl_lib.learners.shift.fixed_step_error`, and
    :func:`icl_lib.learners.shift.best_fixed_step` is the same for other weights and with noise.

    Parameters
    ----------
    covariance
        Σ, symmetric and not 0.
    examples
        n, from 1 on.

    Raises
    ------
    ValueError
        If Σ is not square and symmetric, has a negative eigenvalue, is 0, or n is below 1.

    Source: Ahn et al. 2023, Theorem 1.
    Explained in: 12_deeper
    """
    if examples < 1:
        raise ValueError(f"examples must be at least 1, got {examples}")
    if covariance.ndim != 2 or covariance.shape != covariance.mT.shape:
        raise ValueError(f"expected a square covariance, got shape {tuple(covariance.shape)}")
    if not torch.allclose(covariance, covariance.mT):
        raise ValueError("the covariance is not symmetric")
    values, vectors = torch.linalg.eigh(covariance)
    if values[0] < -1e-6 * values[-1].abs() or not values.sum() > 0:
        raise ValueError(f"not a covariance: its eigenvalues are {values.tolist()}")
    scale = (examples + 1) / examples * values + values.sum() / examples
    return (vectors / scale) @ vectors.mT


def wishart_moment(power: int, examples: int, dimension: int) -> int:
    r"""Return :math:`\mathbb E \operatorname{tr} S^p` for N standard normal inputs, a whole number.

    With :math:`p_j = \operatorname{tr} S^j`, integration by parts removes one factor S at a time:

    .. math:: \mathbb E[p_j F] = \mathbb E\Big[(N + j - 1)\,p_{j-1} F
              + \sum_{m=1}^{j-1} p_m\,p_{j-1-m} F + \sum_{p_a \in F} 2a\,p_{a+j-1} F / p_a \Big]

    where F is a product of traces and :math:`p_0 = d`.

    Parameters
    ----------
    power
        p; 0 gives d.
    examples, dimension
        N, from 0 on, and d.

    Raises
    ------
    ValueError
        If p or N is negative or d not positive.

    Source: Stein's identity; p ≤ 4 agrees with the moments in textbooks.
    Explained in: 12_deeper
    """
    if power < 0 or examples < 0 or dimension < 1:
        raise ValueError(f"no moment {power} for {examples} examples in {dimension} dimensions")
    return _trace_products((power,), examples, dimension)


def descent_error(examples: int, dimension: int, step_sizes: Sequence[float]) -> float:
    r"""Return the error of several steps of gradient descent from 0, standard normal inputs.

    .. math:: E = \mathbb E \operatorname{tr} \prod_t \Big(I - \frac{\eta_t}{N} S\Big)^2

    a sum of moments of S, added up in exact fractions.

    Parameters
    ----------
    examples, dimension
        N, from 1 on, and d.
    step_sizes
        η of each step.

    Raises
    ------
    ValueError
        If N or d is not positive, or there are more than 8 steps: the number of terms explodes.

    Source: derived here; :func:`wishart_moment`.
    Explained in: 12_deeper
    """
    if len(step_sizes) > 8:
        raise ValueError(f"at most 8 steps, got {len(step_sizes)}")
    residual = [Fraction(1)]
    for step_size in step_sizes:
        residual = _product(residual, [Fraction(1), -Fraction(step_size) / examples])
    return _error(residual, examples, dimension)


def gd_plus_plus_error(
    examples: int, dimension: int, step_sizes: Sequence[float], shrinks: Sequence[float]
) -> float:
    r"""Return the error of GD++ with up to 3 layers, standard normal inputs.

    The error is a polynomial in S as for gradient descent, of degree 2, 8 and 26:
    :math:`R_{l+1} = R_l - \tfrac{\eta_l}{N} M_l^2 S R_l` and
    :math:`M_{l+1} = M_l - \gamma_l M_l^3 S`.

    Parameters
    ----------
    examples, dimension
        N, from 1 on, and d.
    step_sizes, shrinks
        η and γ of each layer; γ multiplies the unnormalised S.

    Raises
    ------
    ValueError
        If there is not one γ for each η, or there are more than 3 layers.

    Source: derived here; the method is that of von Oswald et al. 2023.
    Explained in: 12_deeper
    """
    if len(step_sizes) != len(shrinks) or len(step_sizes) > 3:
        raise ValueError(f"got {len(step_sizes)} step sizes, {len(shrinks)} shrinks; at most 3")
    residual, shape = [Fraction(1)], [Fraction(1)]
    for step_size, shrink in zip(step_sizes, shrinks, strict=True):
        mixed = [Fraction(0), *_product(shape, shape)]  # M² S
        step = [-Fraction(step_size) / examples * c for c in mixed]
        residual = _product(residual, [1 + step[0], *step[1:]])
        turn = [-Fraction(shrink) * c for c in mixed]
        shape = _product(shape, [1 + turn[0], *turn[1:]])
    return _error(residual, examples, dimension)


def best_shared_step(examples: int, dimension: int, steps: int) -> float:
    r"""Return the η that is best when all steps use the same one, standard normal inputs.

    Parameters
    ----------
    examples, dimension, steps
        As in :func:`descent_error`; found by minimising it.

    Raises
    ------
    ValueError
        As :func:`descent_error`, and for no step at all.

    Source: derived here.
    Explained in: 12_deeper
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    found = minimize(
        lambda eta: descent_error(examples, dimension, [float(eta[0])] * steps),
        [best_step_size(examples, dimension)],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12},
    )
    return float(found.x[0])


def _mean_square(examples: int, dimension: int, variance: float, fourth: float | None) -> float:
    """Return E tr S²."""
    if examples < 1 or dimension < 1:
        raise ValueError(f"expected positive sizes, got {examples} examples, dimension {dimension}")
    fourth = 3 * variance**2 if fourth is None else fourth
    if not variance > 0 or fourth < variance**2 * (1 - 1e-12):
        raise ValueError(f"no distribution has variance {variance} and fourth moment {fourth}")
    own = dimension * fourth + dimension * (dimension - 1) * variance**2
    return examples * own + examples * (examples - 1) * dimension * variance**2


@cache
def _trace_products(powers: tuple[int, ...], examples: int, dimension: int) -> int:
    """Return E Π tr S^p over the powers, sorted from large to small."""
    kept = tuple(p for p in powers if p > 0)
    if len(kept) < len(powers):
        zeros = len(powers) - len(kept)
        return dimension**zeros * _trace_products(kept, examples, dimension)
    if not powers:
        return 1
    j, *rest = powers
    terms = [(examples + j - 1, (j - 1, *rest))]
    terms += [(1, (m, j - 1 - m, *rest)) for m in range(1, j)]
    terms += [(2 * a, (a + j - 1, *rest[:i], *rest[i + 1 :])) for i, a in enumerate(rest)]
    return sum(
        times * _trace_products(tuple(sorted(p, reverse=True)), examples, dimension)
        for times, p in terms
    )


def _product(first: list[Fraction], second: list[Fraction]) -> list[Fraction]:
    found = [Fraction(0)] * (len(first) + len(second) - 1)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            found[i + j] += a * b
    return found


def _error(residual: list[Fraction], examples: int, dimension: int) -> float:
    """Return E tr R(S)² for the polynomial R."""
    if examples < 1:
        raise ValueError(f"examples must be at least 1, got {examples}")
    terms = _product(residual, residual)
    return float(sum(c * wishart_moment(p, examples, dimension) for p, c in enumerate(terms)))
