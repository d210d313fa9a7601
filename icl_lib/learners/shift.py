r"""What a fixed linear step costs on prompts unlike those that it was made for, in closed form.

A layer of linear attention that was trained keeps its matrix A whatever prompt comes. On a prompt
of M examples it predicts

.. math:: \hat y = x_q^\top A\, \tfrac1M \sum_{i \le M} y_i\, x_i .

Its expected error needs nothing of the prompts but second moments, for normal inputs.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

Square = Float[Tensor, "d d"]


def fixed_step_error(
    preconditioner: Square,
    examples: float,
    covariance: Square,
    *,
    asked: Square | None = None,
    weights: Square | None = None,
    noise: float = 0.0,
) -> float:
    r"""Return the mean squared error of the step A on a noiseless query.

    With :math:`S = \tfrac1M \sum x_i x_i^\top` the guess is off by
    :math:`x_q^\top (A S - I)\,w + x_q^\top A\,\tfrac1M\sum \varepsilon_i x_i`, so

    .. math:: E = \operatorname{tr}\Sigma_q \big( A\,\mathbb E[S W S]\,A^\top - A \Sigma W
              - W \Sigma A^\top + W \big)
              + \tfrac{\text{noise}^2}{M} \operatorname{tr} \Sigma_q A \Sigma A^\top .

    As M grows the first term does not go to 0 but to a floor,
    :math:`\operatorname{tr}\Sigma_q (A\Sigma - I) W (A\Sigma - I)^\top`, unless AΣ = I.

    Parameters
    ----------
    preconditioner
        A, ``[d, d]``.
    examples
        M, a whole number from 1 on, or ``math.inf`` for the floor.
    covariance
        Σ of the examples' inputs, which are normal with mean 0.
    asked
        Σ_q of the query; Σ if not given.
    weights
        W = E w wᵀ; the identity if not given. A mean μ of the weights enters as μ μᵀ.
    noise
        Standard deviation of the noise on the examples' targets.

    Raises
    ------
    ValueError
        If a matrix is not ``[d, d]``, M is not a whole number from 1 on, or the noise is negative.

    Source: derived here from the second moment of a Wishart matrix; the setting is that of Zhang
    et al. (2023).
    Explained in: 15_limits
    """
    asked = covariance if asked is None else asked
    weights = torch.eye(len(covariance)).to(covariance) if weights is None else weights
    _check(examples, noise, preconditioner, covariance, asked, weights)
    squared = _second_moment(examples, covariance, weights)
    squared = squared + noise**2 / examples * covariance
    moved = preconditioner @ covariance @ weights
    kept = preconditioner @ squared @ preconditioner.T - moved - moved.T + weights
    return torch.trace(asked @ kept).item()


def best_fixed_step(
    examples: float,
    covariance: Square,
    *,
    weights: Square | None = None,
    noise: float = 0.0,
) -> Square:
    r"""Return the A that has the smallest error, on the prompts described.

    .. math:: A = W \Sigma \big( \mathbb E[S W S] + \tfrac{\text{noise}^2}{M} \Sigma \big)^{-1}

    The covariance of the query does not matter. For W = I and no noise it is
    :math:`\big(\tfrac{M+1}{M} \Sigma + \tfrac1M \operatorname{tr}(\Sigma)\, I\big)^{-1}`, and for
    Σ = I the step size M/(M + d + 1). As M grows it tends to Σ⁻¹.

    Parameters
    ----------
    examples, covariance, weights, noise
        As in :func:`fixed_step_error`.

    Raises
    ------
    ValueError
        If a matrix is not ``[d, d]``, M is not a whole number from 1 on, or the noise is negative.
    torch.linalg.LinAlgError
        If Σ or W has an empty direction: then A is not unique.

    Source: Ahn et al. (2023), Theorem 1, for W = I without noise; the general form is derived here.
    Explained in: 15_limits
    """
    weights = torch.eye(len(covariance)).to(covariance) if weights is None else weights
    _check(examples, noise, covariance, weights)
    squared = _second_moment(examples, covariance, weights)
    squared = squared + noise**2 / examples * covariance
    return torch.linalg.solve(squared, covariance @ weights).T


def _second_moment(examples: float, covariance: Tensor, weights: Tensor) -> Tensor:
    """Return E[S W S] = (1 + 1/M) Σ W Σ + (1/M) tr(W Σ) Σ for normal inputs."""
    both = covariance @ weights @ covariance
    spread = torch.trace(weights @ covariance) * covariance
    return both + (both + spread) / examples


def _check(examples: float, noise: float, *matrices: Tensor) -> None:
    if not examples >= 1 or (math.isfinite(examples) and examples != int(examples)):
        raise ValueError(f"examples must be a whole number from 1 on or infinity, got {examples}")
    if not noise >= 0:
        raise ValueError(f"noise must not be negative, got {noise}")
    shapes = [tuple(matrix.shape) for matrix in matrices]
    if len(set(shapes)) > 1 or shapes[0][0] != shapes[0][-1]:
        raise ValueError(f"expected square matrices of one size, got shapes {shapes}")
