"""Linear learners as pure functions of the examples in a prompt, for all prefixes at once.

Every learner maps the pairs of a prompt, inputs ``[*batch, N, d]`` and targets ``[*batch, N]``, to
the weights that it would hold after the first 0, 1, …, N pairs: ``[*batch, N + 1, d]``. Row k has
seen the first k pairs and nothing else. :func:`predict_next` turns them into what a model that
reads the prompt from left to right is scored on: the guess for y_k from the pairs before it.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def predict_next(
    weights: Float[Tensor, "*batch prefixes d"], inputs: Float[Tensor, "*batch N d"]
) -> Float[Tensor, "*batch N"]:
    r"""Predict each target from the pairs before it: :math:`\hat y_k = w_k \cdot x_k`.

    Parameters
    ----------
    weights
        What a learner returned: row k has seen the first k pairs.
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
    _check_pairs(inputs, targets)
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
    _, moments = _running_sums(inputs, targets)
    return moments / _counts(inputs)


def least_squares(
    inputs: Float[Tensor, "*batch N d"], targets: Float[Tensor, "*batch N"]
) -> Float[Tensor, "*batch N+1 d"]:
    r"""Fit the pairs as well as possible; of all equally good weights take the shortest.

    .. math:: w_k = X_k^{+}\, y_k, \qquad X_k = \text{the first } k \text{ inputs}

    With fewer pairs than inputs, or with repeated points, many weights fit equally well; the
    pseudo-inverse :math:`X^{+}` picks the one of least norm. Singular values below
    max(N, d)·ε times the largest count as 0.

    Parameters
    ----------
    inputs, targets
        The pairs.

    Source: Penrose 1956 (best approximate solution).
    Explained in: 01_learning_without_learning
    """
    _check_pairs(inputs, targets)
    points = inputs.shape[-2]
    seen = torch.ones(points + 1, points, dtype=inputs.dtype, device=inputs.device).tril(-1)
    prefixes = seen[..., None] * inputs[..., None, :, :]
    inverse = torch.linalg.pinv(prefixes)
    return torch.einsum("...kdn,...n->...kd", inverse, targets)


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
    gram, moments = _running_sums(inputs, targets)
    identity = torch.eye(inputs.shape[-1], dtype=inputs.dtype, device=inputs.device)
    return torch.linalg.solve(gram + penalty * identity, moments)


def gradient_descent(
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
    steps: int,
    step_size: float,
) -> Float[Tensor, "*batch N+1 d"]:
    r"""Take steps of gradient descent on the pairs of each prefix, from weights 0.

    .. math:: w \leftarrow w - \frac{\eta}{k} \sum_{i<k} (w \cdot x_i - y_i)\,x_i

    That is the loss :math:`\tfrac{1}{2k}\sum (w \cdot x_i - y_i)^2`. Without a pair nothing moves.

    Parameters
    ----------
    inputs, targets
        The pairs.
    steps
        How many; 0 gives 0.
    step_size
        η.

    Raises
    ------
    ValueError
        If ``steps`` is negative.

    Source: von Oswald et al. 2023, whose loss is this one.
    Explained in: 01_learning_without_learning
    """
    if steps < 0:
        raise ValueError(f"steps must not be negative, got {steps}")
    gram, moments = _running_sums(inputs, targets)
    counts = _counts(inputs)
    weights = torch.zeros_like(moments)
    for _ in range(steps):
        gradient = torch.einsum("...kde,...ke->...kd", gram, weights) - moments
        weights = weights - step_size * gradient / counts
    return weights


def _counts(inputs: Tensor) -> Tensor:
    """Return k for each prefix as a column, with 1 in place of 0."""
    points = inputs.shape[-2]
    counts = torch.arange(points + 1, dtype=inputs.dtype, device=inputs.device)
    return counts.clamp(min=1)[:, None]


def _running_sums(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return Σ x xᵀ and Σ y x over the first 0, 1, …, N pairs."""
    _check_pairs(inputs, targets)
    products = inputs[..., :, None] * inputs[..., None, :]
    moments = targets[..., None] * inputs
    return _cumulate(products, dim=-3), _cumulate(moments, dim=-2)


def _cumulate(terms: Tensor, dim: int) -> Tensor:
    nothing = torch.zeros_like(terms.narrow(dim, 0, 1))
    return torch.cat([nothing, terms.cumsum(dim)], dim=dim)


def _check_pairs(inputs: Tensor, targets: Tensor) -> None:
    if inputs.ndim < 2 or inputs.shape[:-1] != targets.shape:
        raise ValueError(
            f"inputs have shape {tuple(inputs.shape)}, targets {tuple(targets.shape)}; "
            "expected [*batch, N, d] and [*batch, N]"
        )
    if 0 in inputs.shape[-2:]:
        raise ValueError(f"expected at least one pair and one input, got {tuple(inputs.shape)}")
