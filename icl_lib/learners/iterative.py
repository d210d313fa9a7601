"""Learners that walk towards least squares: gradient descent and its faster relatives.

All start at weights 0 and minimise, for each prefix of k pairs by itself, the loss
:math:`\\tfrac{1}{2k} \\sum_{i<k} (w \\cdot x_i - y_i)^2`. With no pair nothing moves.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib.learners.prefixes import (
    Diverging,
    all_finite,
    by_chunks,
    check_pairs,
    check_steps,
    counts,
    grams,
    moments,
)


def gradient_descent(
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
    steps: int,
    step_size: float | Tensor,
    *,
    momentum: float = 0.0,
    preconditioner: Float[Tensor, "d d"] | None = None,
    trajectory: bool = False,
) -> Float[Tensor, "... prefixes d"]:
    r"""Take steps of gradient descent on the pairs of each prefix, from weights 0.

    .. math:: v \leftarrow \mu v + \frac1k \sum_{i<k} (w \cdot x_i - y_i)\,x_i, \qquad
              w \leftarrow w - \eta\,A\,v

    Parameters
    ----------
    inputs, targets
        The pairs.
    steps
        How many; 0 gives 0.
    step_size
        η: a number, or a tensor that broadcasts to ``[*batch, N + 1]``, one for each prefix. A
        prefix without inputs (or with none but zeros) stays at 0 whatever its η.
    momentum
        μ of the heavy ball, in [0, 1); 0 is plain gradient descent.
    preconditioner
        A; the identity if not given.
    trajectory
        Return the weights before the first and after each step,
        ``[steps + 1, *batch, N + 1, d]``.

    Returns
    -------
    Tensor
        Row k has seen the first k pairs, ``[*batch, N + 1, d]``.

    Raises
    ------
    ValueError
        If the pairs do not fit together, ``steps`` is negative, μ is not in [0, 1), or A is not
        ``[d, d]``.
    Diverging
        If the weights overflow. The message names the largest step size that is stable.

    Source: von Oswald et al. 2023, whose loss is this one; Polyak 1964 (momentum); Ahn et al. 2023
    (preconditioned).
    Explained in: 01_learning_without_learning, 11_one_step, 12_deeper
    """
    check_pairs(inputs, targets)
    check_steps(steps)
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be in [0, 1), got {momentum}")
    _check_matrix(preconditioner, inputs)
    rates = torch.as_tensor(step_size, dtype=inputs.dtype, device=inputs.device)
    rates = rates.expand(*inputs.shape[:-2], inputs.shape[-2] + 1)

    def descend(x: Tensor, y: Tensor, rate: Tensor) -> Tensor:
        rate = torch.where(_length(x) > 0, rate[..., None] / counts(x), 0)
        velocity = weights = x.new_zeros(rate.shape[:-1] + x.shape[-1:])
        path = [weights]
        for _ in range(steps):
            downhill = _misses(x, y, weights) @ x
            velocity = downhill if momentum == 0 else momentum * velocity + downhill
            move = velocity if preconditioner is None else velocity @ preconditioner.T
            weights = weights + rate * move
            path = [*path, weights] if trajectory else [weights]
        return torch.stack(path) if trajectory else weights

    weights = by_chunks(descend, inputs, targets, rates, size=_chunk(inputs))
    if not all_finite(weights):
        largest = stable_step_size(inputs, momentum=momentum, preconditioner=preconditioner)
        raise Diverging("gradient descent", largest.min().item())
    return weights


def preconditioned(
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
    matrices: Float[Tensor, "L d d"],
    *,
    trajectory: bool = False,
) -> Float[Tensor, "... prefixes d"]:
    r"""Take one step with each matrix: what L layers of sparse linear attention can do.

    .. math:: w_{l+1} = w_l - A_l\, \frac1k \sum_{i<k} (w_l \cdot x_i - y_i)\,x_i

    Parameters
    ----------
    inputs, targets
        The pairs.
    matrices
        :math:`A_0, …, A_{L-1}`, step sizes included.
    trajectory
        Return the weights before the first and after each step, ``[L + 1, *batch, N + 1, d]``.

    Raises
    ------
    ValueError
        If the pairs do not fit together or the matrices are not ``[L, d, d]``.
    Diverging
        If the weights overflow.

    Source: Ahn et al. 2023, the result on several layers.
    Explained in: 12_deeper
    """
    check_pairs(inputs, targets)
    for matrix in matrices:
        _check_matrix(matrix, inputs)

    def descend(x: Tensor, y: Tensor) -> Tensor:
        path = [x.new_zeros(len(x), x.shape[-2] + 1, x.shape[-1])]
        for matrix in matrices:
            path.append(path[-1] + (_misses(x, y, path[-1]) @ x / counts(x)) @ matrix.T)
        return torch.stack(path) if trajectory else path[-1]

    weights = by_chunks(descend, inputs, targets, size=_chunk(inputs))
    _check_finite(weights, "preconditioned descent", inputs)
    return weights


def gd_plus_plus(
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
    step_sizes: Sequence[float],
    shrinks: Sequence[float],
    *,
    trajectory: bool = False,
) -> Float[Tensor, "... prefixes d"]:
    r"""GD++: each layer takes a step and also reshapes every input, the query's included.

    .. math:: r_j \leftarrow r_j - \frac{\eta}{k} \sum_{i<k} r_i\,(x_i \cdot x_j), \qquad
              x_j \leftarrow \Big(I - \gamma \sum_{i<k} x_i x_i^\top\Big)\,x_j

    Both at once, with the inputs and residuals from before the layer; :math:`r_i` starts as
    :math:`y_i` and, at the query, as 0; the guess is minus the query's. γ multiplies the sum, not
    the mean. All of it is linear in the original query, so there are *effective weights*:
    :math:`w \leftarrow w + \tfrac{\eta}{k} M^2 (b - G w)` and
    :math:`M \leftarrow (I - \gamma M^2 G)\,M`, with :math:`G = \sum x_i x_i^\top`,
    :math:`b = \sum y_i x_i`, from w = 0, M = I.

    Parameters
    ----------
    inputs, targets
        The pairs.
    step_sizes, shrinks
        η and γ of each layer. The γ of the last one changes no prediction.
    trajectory
        Return the weights before the first and after each layer, ``[L + 1, *batch, N + 1, d]``.

    Raises
    ------
    ValueError
        If the pairs do not fit together or there is not one γ for each η.
    Diverging
        If the weights overflow.

    Source: von Oswald et al. 2023, who call it GD++.
    Explained in: 12_deeper
    """
    check_pairs(inputs, targets)
    if len(step_sizes) != len(shrinks):
        raise ValueError(f"got {len(step_sizes)} step sizes and {len(shrinks)} shrinks")
    identity = torch.eye(inputs.shape[-1], dtype=inputs.dtype, device=inputs.device)
    last = len(step_sizes) - 1

    def descend(x: Tensor, y: Tensor) -> Tensor:
        gram, moment, k = grams(x), moments(x, y), counts(x)
        path, shape = [torch.zeros_like(moment)], None
        for layer, (step_size, shrink) in enumerate(zip(step_sizes, shrinks, strict=True)):
            downhill = moment - _times(gram, path[-1])
            if shape is not None:
                downhill = _times(shape, _times(shape, downhill))
            path.append(path[-1] + step_size / k * downhill)
            if shape is None:
                shape = identity - shrink * gram
            elif layer < last:
                shape = shape - shrink * (shape @ (shape @ (shape @ gram)))
        return torch.stack(path) if trajectory else path[-1]

    weights = by_chunks(descend, inputs, targets, size=_chunk(inputs))
    _check_finite(weights, "GD++", inputs)
    return weights


def newton(
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
    steps: int,
    *,
    scale: float = 1.9,
    trajectory: bool = False,
) -> Float[Tensor, "... prefixes d"]:
    r"""Approach the (pseudo-)inverse of the Gram matrix by Newton's iteration, and apply it.

    .. math:: M_0 = \frac{c}{\lambda_{\max}(S)^2}\,S, \qquad M_{t+1} = 2 M_t - M_t S M_t, \qquad
              w_t = M_t \sum_{i<k} y_i\,x_i, \qquad S = \sum_{i<k} x_i x_i^\top

    Zero steps already give :math:`w_0 = M_0 \sum y_i x_i`, unlike gradient descent, which starts at
    0. The error along an eigenvector of S is :math:`(1 - c\,\lambda^2/\lambda_{\max}^2)^{2^t}`: the
    number of correct digits doubles with each step. Directions in which there is no input stay 0,
    so the limit is the least-squares fit of least norm.

    Parameters
    ----------
    inputs, targets
        The pairs.
    steps
        t.
    scale
        c, in (0, 2). At 2 the direction of the largest eigenvalue would never converge.
    trajectory
        Return the weights for 0, 1, …, ``steps``, ``[steps + 1, *batch, N + 1, d]``.

    Raises
    ------
    ValueError
        If the pairs do not fit together or are not finite, ``steps`` is negative, or c is not in
        (0, 2).

    Source: Schulz 1933; Ben-Israel 1965; Fu et al. 2023 (as a model of in-context learning).
    Explained in: 12_deeper
    """
    check_pairs(inputs, targets)
    check_steps(steps)
    if not 0 < scale < 2:
        raise ValueError(f"scale must lie between 0 and 2, got {scale}")
    _check_finite_pairs(inputs, targets)
    identity = torch.eye(inputs.shape[-1], dtype=inputs.dtype, device=inputs.device)

    def iterate(x: Tensor, y: Tensor) -> Tensor:
        gram, moment = grams(x), moments(x, y)
        largest = torch.linalg.eigvalsh(gram)[..., -1, None]
        squared = torch.where(largest > 0, largest.square(), 1)
        missing = identity - scale * (gram @ gram) / squared[..., None]  # I − M S
        path = [scale * _times(gram, moment) / squared]
        for step in range(steps):
            path.append(path[-1] + _times(missing, path[-1]))  # M ← (I + (I − M S)) M
            missing = missing @ missing if step < steps - 1 else missing
        return torch.stack(path) if trajectory else path[-1]

    return by_chunks(iterate, inputs, targets, size=_chunk(inputs))


def conjugate_gradient(
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
    steps: int,
    *,
    trajectory: bool = False,
) -> Float[Tensor, "... prefixes d"]:
    r"""Take steps of conjugate gradient on the normal equations, from weights 0.

    After t steps the weights are the best that any polynomial method with t steps could have:
    they minimise the squared error over the span of :math:`b, Sb, …, S^{t-1} b`. After as many
    steps as there are independent pairs they are the least-squares fit of least norm, up to
    rounding that the condition number of S magnifies. A prefix has arrived, and stays where it is,
    when its gradient is as small as rounding alone could make it:
    :math:`\lVert X^\top r \rVert \le 10\,\varepsilon\,\lVert X \rVert\,(\lVert r \rVert
    + \lVert y \rVert)` with r = y − Xw.

    Parameters
    ----------
    inputs, targets
        The pairs.
    steps
        How many; 0 gives 0.
    trajectory
        Return the weights before the first and after each step,
        ``[steps + 1, *batch, N + 1, d]``.

    Raises
    ------
    ValueError
        If the pairs do not fit together or are not finite, or ``steps`` is negative.

    Source: Hestenes and Stiefel 1952.
    Explained in: 12_deeper
    """
    check_pairs(inputs, targets)
    check_steps(steps)
    _check_finite_pairs(inputs, targets)

    def iterate(x: Tensor, y: Tensor) -> Tensor:
        path = [x.new_zeros(len(x), x.shape[-2] + 1, x.shape[-1])]
        at_zero = missed = _misses(x, y, path[0])
        direction = slope = missed @ x
        size, limit = _square(slope), 10 * torch.finfo(x.dtype).eps * _length(x)
        for _ in range(steps):
            image = _seen(direction @ x.mT)
            reached = limit * (_square(missed).sqrt() + _square(at_zero).sqrt())
            curvature = _square(image)
            going = (size > reached.square()) & (curvature > 0)
            rate = torch.where(going, size / curvature, 0)
            path.append(torch.addcmul(path[-1], rate, direction))
            missed = torch.addcmul(missed, rate, image, value=-1)
            slope = missed @ x
            before, size = size, _square(slope)
            direction = torch.addcmul(slope, torch.where(going, size / before, 0), direction)
        return torch.stack(path) if trajectory else path[-1]

    return by_chunks(iterate, inputs, targets, size=_chunk(inputs))


def stable_step_size(
    inputs: Float[Tensor, "*batch N d"],
    *,
    momentum: float = 0.0,
    preconditioner: Float[Tensor, "d d"] | None = None,
) -> Float[Tensor, "*batch N+1"]:
    r"""Return the largest step size with which gradient descent is stable, for each prefix.

    .. math:: \eta_{\max} = \frac{2\,(1 + \mu)}{\lambda_{\max}}, \qquad
              \lambda_{\max} \text{ the largest eigenvalue of } \tfrac1k A \sum_{i<k} x_i x_i^\top

    Above it the error along the first eigenvector grows with every step. Infinite where there is
    no pair, or none but zeros.

    Parameters
    ----------
    inputs
        The points of the prompts.
    momentum, preconditioner
        As in :func:`gradient_descent`.

    Raises
    ------
    ValueError
        If A is not ``[d, d]``, or the inputs are not finite numbers in float32 or float64.

    Explained in: 12_deeper
    """
    check_pairs(inputs, inputs[..., 0])
    _check_matrix(preconditioner, inputs)
    if not all_finite(inputs):
        raise ValueError("the inputs hold values that are not finite")

    def largest(x: Tensor, _: Tensor) -> Tensor:
        hessian = grams(x) / counts(x)[..., None]
        if preconditioner is None:
            return torch.linalg.eigvalsh(hessian)[..., -1:]
        return torch.linalg.eigvals(preconditioner @ hessian).real.amax(-1, keepdim=True)

    found = by_chunks(largest, inputs, inputs[..., 0], size=_chunk(inputs))[..., 0]
    return 2 * (1 + momentum) / found.clamp(min=0)


def _chunk(inputs: Tensor) -> int:
    """Return how many prompts have Gram matrices that fit a cache of two megabytes."""
    points, dimension = inputs.shape[-2:]
    return 2**18 // ((points + 1) * dimension**2)


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    return (matrices @ vectors[..., None])[..., 0]


def _seen(values: Tensor) -> Tensor:
    """Set to 0, in row k of ``[..., N + 1, N]``, whatever the first k pairs do not show."""
    return values.tril(-1)


def _misses(inputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return y − w·x of the pairs that each prefix has seen, ``[..., N + 1, N]``."""
    return _seen(targets[..., None, :] - weights @ inputs.mT)


def _length(inputs: Tensor) -> Tensor:
    """Return the root of the sum of squares of the inputs of each prefix, a column."""
    sums = inputs.square().sum(-1).cumsum(-1)
    return torch.nn.functional.pad(sums, (1, 0)).sqrt()[..., None]


def _square(vectors: Tensor) -> Tensor:
    return vectors.square().sum(-1, keepdim=True)


def _check_matrix(matrix: Tensor | None, inputs: Tensor) -> None:
    wanted = (inputs.shape[-1],) * 2
    if matrix is not None and tuple(matrix.shape) != wanted:
        raise ValueError(f"expected matrices of shape {wanted}, got {tuple(matrix.shape)}")
    if matrix is not None and (matrix.dtype, matrix.device) != (inputs.dtype, inputs.device):
        raise ValueError(
            f"the matrix is {matrix.dtype} on {matrix.device}, the inputs are {inputs.dtype} "
            f"on {inputs.device}; they must agree"
        )


def _check_finite(weights: Tensor, what: str, inputs: Tensor) -> None:
    if not all_finite(weights):
        raise Diverging(what, stable_step_size(inputs).min().item())


def _check_finite_pairs(inputs: Tensor, targets: Tensor) -> None:
    if not (all_finite(inputs) and all_finite(targets)):
        raise ValueError("the pairs hold values that are not finite")
