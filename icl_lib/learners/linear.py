"""Linear learners as pure functions of the examples in a prompt, for all prefixes at once.

Every learner maps the pairs of a prompt, inputs ``[*batch, N, d]`` and targets ``[*batch, N]``, to
the weights that it would hold after the first 0, 1, …, N pairs: ``[*batch, N + 1, d]``. Row k has
seen the first k pairs and nothing else. :func:`predict_next` turns them into what a model that
reads the prompt from left to right is scored on: the guess for y_k from the pairs before it.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib.learners.prefixes import (
    all_finite,
    by_chunks,
    check_pairs,
    counts,
    grams,
    moments,
)
from icl_lib.learners.recursive import CHUNK, fit_least_squares, fit_ridge


def predict_next(
    weights: Float[Tensor, "... prefixes d"], inputs: Float[Tensor, "... N d"]
) -> Float[Tensor, "... N"]:
    r"""Predict each target from the pairs before it: :math:`\hat y_k = w_k \cdot x_k`.

    Parameters
    ----------
    weights
        What a learner returned: row k has seen the first k pairs. A trajectory's weights,
        ``[steps + 1, *batch, N + 1, d]``, give guesses ``[steps + 1, *batch, N]``.
    inputs
        The points of the same prompts.

    Returns
    -------
    Tensor
        The guess for point k (counted from 0) after k pairs.

    Raises
    ------
    ValueError
        If there is not one row of weights for each prefix, the empty one included.

    Explained in: 01_learning_without_learning
    """
    if weights.shape[-2] != inputs.shape[-2] + 1:
        raise ValueError(
            f"expected {inputs.shape[-2] + 1} rows of weights for {inputs.shape[-2]} points, "
            f"got {weights.shape[-2]}"
        )
    return (weights[..., :-1, :] * inputs).sum(dim=-1)


def zero(
    inputs: Float[Tensor, "*batch N d"], targets: Float[Tensor, "*batch N"]
) -> Float[Tensor, "*batch N+1 d"]:
    """Learn nothing: all weights 0, so the guess is always the mean of all functions, 0.

    Parameters
    ----------
    inputs, targets
        The pairs; only their shapes matter.

    Explained in: 01_learning_without_learning
    """
    check_pairs(inputs, targets)
    *batch, points, dimension = inputs.shape
    return inputs.new_zeros(*batch, points + 1, dimension)


def averaging(
    inputs: Float[Tensor, "*batch N d"], targets: Float[Tensor, "*batch N"]
) -> Float[Tensor, "*batch N+1 d"]:
    r"""Average the examples: :math:`w_k = \tfrac1k \sum_{i<k} y_i\,x_i`, and 0 before the first.

    For inputs of unit variance it tends to the true weights, slowly. It is one step of gradient
    descent from 0 with step size 1.

    Parameters
    ----------
    inputs, targets
        The pairs.

    Source: one of the baselines of Garg et al. 2022.
    Explained in: 01_learning_without_learning
    """
    check_pairs(inputs, targets)
    return moments(inputs, targets) / counts(inputs)


def least_squares(
    inputs: Float[Tensor, "*batch N d"], targets: Float[Tensor, "*batch N"]
) -> Float[Tensor, "*batch N+1 d"]:
    r"""Fit the pairs as well as possible; of all equally good weights take the shortest.

    .. math:: w_k = X_k^{+}\, y_k, \qquad X_k = \text{the first } k \text{ inputs}

    With fewer pairs than inputs, or with repeated points, many weights fit equally well; the
    pseudo-inverse :math:`X^{+}` picks the one of least norm. The pairs are taken one after the
    other, for all prompts at once. A point counts as a combination of those before it if what they
    leave of it is at most 10·d·ε of the longest point so far. Prompts that are closer to singular
    than that rule can judge are solved by singular values, of which those below max(N, d)·ε times
    the largest count as 0.

    Parameters
    ----------
    inputs, targets
        The pairs. If one of them asks for gradients, every prefix is solved by singular values,
        which is much slower and differentiable.

    Raises
    ------
    ValueError
        If the pairs do not fit together, or hold values that are not finite.

    Source: Penrose 1956 (best approximate solution); Greville 1960 (one pair after the other).
    Explained in: 01_learning_without_learning
    """
    check_pairs(inputs, targets)
    if _wants_gradient(inputs, targets):
        return _by_singular_values(inputs, targets)

    def fit(x: Tensor, y: Tensor) -> Tensor:
        weights, doubtful = fit_least_squares(x, y)
        if doubtful.any():
            weights[doubtful] = _by_singular_values(x[doubtful], y[doubtful])
        return weights

    return _recursively(fit, inputs, targets)


def ridge(
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
    penalty: float,
) -> Float[Tensor, "*batch N+1 d"]:
    r"""Fit the pairs and keep the weights short.

    .. math:: w_k = \Big(\sum_{i<k} x_i x_i^\top + \lambda I\Big)^{-1} \sum_{i<k} y_i\,x_i

    With λ = noise²/weight_scale² this is the mean of the posterior, so nothing that sees the same
    pairs has a smaller expected error.

    Parameters
    ----------
    inputs, targets
        The pairs.
    penalty
        λ, positive.

    Raises
    ------
    ValueError
        If λ is not positive; without a penalty use :func:`least_squares`.

    Source: Hoerl and Kennard 1970, eq. 2.1.
    Explained in: 01_learning_without_learning
    """
    if not penalty > 0:
        raise ValueError(f"penalty must be positive, got {penalty}; for 0 use least_squares")
    check_pairs(inputs, targets)
    if _wants_gradient(inputs, targets):
        identity = torch.eye(inputs.shape[-1], dtype=inputs.dtype, device=inputs.device)
        return torch.linalg.solve(grams(inputs) + penalty * identity, moments(inputs, targets))
    return _recursively(lambda x, y: fit_ridge(x, y, penalty), inputs, targets)


def _recursively(
    fit: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, targets: Tensor
) -> Tensor:
    """Run a fit that takes one pair after the other, and see that its result is finite."""
    if inputs.is_meta:
        return zero(inputs, targets)
    with torch.no_grad():
        weights = by_chunks(fit, inputs, targets, size=CHUNK // inputs.shape[-1] ** 2)
    if not all_finite(weights):
        raise ValueError("the pairs hold values that are not finite, or too large to square")
    return weights


def _wants_gradient(inputs: Tensor, targets: Tensor) -> bool:
    return torch.is_grad_enabled() and (inputs.requires_grad or targets.requires_grad)


def _by_singular_values(inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the least-squares weights of all prefixes through the pseudo-inverse of each."""
    points = inputs.shape[-2]
    seen = torch.ones(points + 1, points, dtype=inputs.dtype, device=inputs.device).tril(-1)
    inverse = torch.linalg.pinv(seen[..., None] * inputs[..., None, :, :])
    return torch.einsum("...kdn,...n->...kd", inverse, targets)
