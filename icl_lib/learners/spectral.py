r"""Iterative learners told by eigenvalues: each of them multiplies errors by a polynomial.

Let :math:`S = \tfrac1N X^\top X` be the mean of x xᵀ over the demonstrations of one prompt. Without
noise, and from weights 0, every learner here ends at weights w' with

.. math:: w - w' = r(S)\,w,

where r is a polynomial with r(0) = 1. Along an eigenvector of S with eigenvalue λ the share r(λ) of
the true weight is still missing. With w ~ N(0, I) and query inputs of covariance vI, the expected
squared error of the prompt is :math:`v \sum_i r(\lambda_i)^2`: nothing is left to chance but the
demonstrations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

METHODS = ("gradient descent", "momentum", "GD++")


def gram_eigenvalues(inputs: Float[Tensor, "*batch N d"]) -> Float[Tensor, "*batch d"]:
    r"""Return the eigenvalues of :math:`\tfrac1N X^\top X` for each prompt, the smallest first.

    Parameters
    ----------
    inputs
        All demonstrations of each prompt, the query not among them.

    Explained in: 12_deeper
    """
    gram = inputs.mT @ inputs / inputs.shape[-2]
    return torch.linalg.eigvalsh(gram).clamp(min=0)


def descent_missing(
    eigenvalues: Float[Tensor, "*batch d"],
    step_sizes: Sequence[float],
    *,
    momentum: float = 0.0,
) -> Float[Tensor, "*batch d"]:
    r"""Return what gradient descent leaves of each direction: :math:`\prod_l (1 - \eta_l\lambda)`.

    With momentum μ the factor follows :math:`r_{l+1} = r_l - \eta_l\lambda r_l + \mu (r_l -
    r_{l-1})`: the same degree, better coefficients.

    Parameters
    ----------
    eigenvalues
        Of (1/N) XᵀX.
    step_sizes
        η_l, one for each step.
    momentum
        μ of the heavy ball.

    Source: Polyak (1964).

    Explained in: 12_deeper
    """
    missing, velocity = torch.ones_like(eigenvalues), torch.zeros_like(eigenvalues)
    for step_size in step_sizes:
        velocity = momentum * velocity - eigenvalues * missing
        missing = missing + step_size * velocity
    return missing


def gd_plus_plus_missing(
    eigenvalues: Float[Tensor, "*batch d"],
    step_sizes: Sequence[float],
    shrinks: Sequence[float],
    *,
    examples: int,
) -> Float[Tensor, "*batch d"]:
    r"""Return what GD++ leaves of each direction.

    Layer l multiplies what is missing by :math:`1 - \eta_l \lambda^{(l)}` and moves the eigenvalue:
    :math:`\lambda^{(l+1)} = \lambda^{(l)} (1 - \gamma_l N \lambda^{(l)})^2`. The degree of
    :math:`\lambda^{(l)}` in λ is :math:`3^l`.

    Parameters
    ----------
    eigenvalues
        Of (1/N) XᵀX.
    step_sizes, shrinks
        η_l and γ_l of each layer; γ multiplies the unnormalised XᵀX.
    examples
        N.

    Raises
    ------
    ValueError
        If there is not one γ for each η.

    Source: von Oswald et al. (2023), written in eigenvalues.

    Explained in: 12_deeper
    """
    if len(step_sizes) != len(shrinks):
        raise ValueError(f"got {len(step_sizes)} step sizes and {len(shrinks)} shrinks")
    missing, seen = torch.ones_like(eigenvalues), eigenvalues
    for step_size, shrink in zip(step_sizes, shrinks, strict=True):
        missing = missing * (1 - step_size * seen)
        seen = seen * (1 - shrink * examples * seen) ** 2
    return missing


def newton_missing(
    eigenvalues: Float[Tensor, "*batch d"], steps: int, *, scale: float = 1.9
) -> Float[Tensor, "*batch d"]:
    r"""Return what Newton's iteration leaves: :math:`(1 - c\lambda^2/\lambda_{\max}^2)^{2^t}`.

    Parameters
    ----------
    eigenvalues
        Of (1/N) XᵀX, or of XᵀX: the factor is the same.
    steps
        t; with 0 steps the start is already one polynomial of degree 2.
    scale
        c, in (0, 2), as in :func:`icl_lib.learners.iterative.newton`.

    Raises
    ------
    ValueError
        If ``steps`` is negative or c is out of range.

    Source: Schulz (1933); Fu et al. (2023).

    Explained in: 12_deeper
    """
    if steps < 0 or not 0 < scale < 2:
        raise ValueError(f"expected steps >= 0 and 0 < scale < 2, got {steps} and {scale}")
    largest = eigenvalues.amax(dim=-1, keepdim=True)
    return (1 - scale * (eigenvalues / largest) ** 2) ** (2**steps)


def expected_error(
    missing: Float[Tensor, "*batch d"], *, variance: float = 1.0
) -> Float[Tensor, ""]:
    r"""Return the mean squared error at a fresh query, :math:`v\,\mathbb E \sum_i r(\lambda_i)^2`.

    Exact over weights w ~ N(0, I) and the query; the mean over prompts is that of the sample.

    Parameters
    ----------
    missing
        r(λ) of each direction of each prompt.
    variance
        v of each input of the query.

    Explained in: 12_deeper
    """
    return variance * missing.square().sum(dim=-1).mean()


@dataclass(frozen=True)
class Tuned:
    """The constants that one learner shares over its steps, and what it then costs.

    Attributes
    ----------
    step_size
        η.
    other
        μ for momentum, γ for GD++, 0 for gradient descent.
    error
        The expected squared error on the prompts that it was tuned on.
    """

    step_size: float
    other: float
    error: float


def missing_by(
    method: str,
    eigenvalues: Float[Tensor, "*batch d"],
    steps: int,
    step_size: float,
    other: float = 0.0,
    *,
    examples: int,
) -> Float[Tensor, "*batch d"]:
    """Return what a learner leaves when all its steps share their constants.

    Parameters
    ----------
    method
        One of ``METHODS``.
    eigenvalues, examples
        Of (1/N) XᵀX, and N.
    steps
        How many.
    step_size, other
        η, and μ or γ.

    Raises
    ------
    ValueError
        If the method is unknown.

    Explained in: 12_deeper
    """
    if method == "GD++":
        rates, shrinks = [step_size] * steps, [other] * steps
        return gd_plus_plus_missing(eigenvalues, rates, shrinks, examples=examples)
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}")
    momentum = other if method == "momentum" else 0.0
    return descent_missing(eigenvalues, [step_size] * steps, momentum=momentum)


def tune(
    method: str,
    eigenvalues: Float[Tensor, "batch d"],
    steps: int,
    *,
    examples: int,
    variance: float = 1.0,
) -> Tuned:
    """Find the constants, shared by all steps, with the smallest expected error.

    A search without derivatives (Nelder and Mead) over η, or over η and μ or γ. It starts where the
    mean eigenvalue would be treated best, and at the best of a few values of the other constant.

    Parameters
    ----------
    method
        One of ``METHODS``.
    eigenvalues
        Of (1/N) XᵀX for a sample of prompts; the answer holds for that sample.
    steps
        How many, at least 1.
    examples, variance
        N and the variance v of each input.

    Raises
    ------
    ValueError
        If the method is unknown or ``steps`` below 1.

    Source: the search behind the table of constants in the chapter; Nelder and Mead (1965).

    Explained in: 12_deeper
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    scale = eigenvalues.mean().item()
    units = np.array([1 / scale, 1 / (examples * scale) if method == "GD++" else 1.0])

    def cost(point: np.ndarray) -> float:
        rate, other = np.pad(point, (0, 2 - len(point))) * units
        if method == "momentum" and not 0 <= other < 1:
            return np.inf
        left = missing_by(method, eigenvalues, steps, rate, other, examples=examples)
        return expected_error(left, variance=variance).item()

    starts = [[0.5]] if method == "gradient descent" else [[0.5, 0.0], [1.0, 0.15], [2.0, 0.15]]
    options = {"xatol": 1e-4, "fatol": 1e-7 * variance, "maxiter": 400}
    found = [minimize(cost, np.array(s), method="Nelder-Mead", options=options) for s in starts]
    best = min(found, key=lambda result: result.fun)
    rate, other = np.pad(best.x, (0, 2 - len(best.x))) * units
    return Tuned(float(rate), float(other), float(best.fun))
