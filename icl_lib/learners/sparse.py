"""The Lasso: least squares with a price on the absolute size of each weight."""

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib.learners.homotopy import follow
from icl_lib.learners.prefixes import (
    all_finite,
    by_chunks,
    check_pairs,
    counts,
    grams,
    moments,
)

CHUNK = 2**20
"""Numbers in the Gram matrices of a chunk."""

FIRST_SWEEPS = 8
"""Rounds of coordinate descent after the path failed; twice as many each time after that."""


def lasso(
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
    penalty: float,
    *,
    tolerance: float = 1e-10,
    sweeps: int = 100_000,
) -> Float[Tensor, "*batch N+1 d"]:
    r"""Fit the pairs and keep the sum of absolute weights small: many weights become exactly 0.

    .. math:: w_k = \arg\min_w\; \frac{1}{2k} \sum_{i<k} (w \cdot x_i - y_i)^2 + \alpha \|w\|_1

    The path of solutions is followed down from the penalty at which all weights are 0, which finds
    the zeros and the signs at α; a linear system then gives the values. Where rounding misleads the
    path, coordinate descent goes on from there. A prefix is done when its weights meet the
    conditions of optimality: the slope of the squared error is
    :math:`-\alpha \operatorname{sign} w_j` where :math:`w_j \ne 0` and at most α in size elsewhere.
    :func:`lasso_gap` checks them.

    Parameters
    ----------
    inputs, targets
        The pairs.
    penalty
        α, positive.
    tolerance
        By how much the conditions may be missed, relative to the largest slope at w = 0; in float32
        never less than 8 ε. With so many pairs that the fit is unique the weights are as exact;
        otherwise it is the fit that is.
    sweeps
        The most rounds over all coordinates.

    Raises
    ------
    ValueError
        If the pairs do not fit together or are not finite, or α is not positive.
    ArithmeticError
        If ``sweeps`` rounds were not enough.

    Source: Tibshirani 1996; coordinate descent as in Friedman et al. 2010. α is scikit-learn's,
    whose Lasso Garg et al. 2022 compare with.
    Explained in: 13_function_classes
    """
    check_pairs(inputs, targets)
    if not penalty > 0:
        raise ValueError(f"penalty must be positive, got {penalty}; for 0 use least_squares")
    if not (all_finite(inputs) and all_finite(targets)):
        raise ValueError("the pairs hold values that are not finite")

    def fit(x: Tensor, y: Tensor) -> Tensor:
        k = counts(x)
        gram, moment = grams(x) / k[..., None], moments(x, y) / k
        if x.is_meta:
            return moment
        found = _solve(gram.flatten(0, 1), moment.flatten(0, 1), penalty, tolerance, sweeps)
        return found.view_as(moment)

    with torch.no_grad():
        points, dimension = inputs.shape[-2:]
        size = CHUNK // ((points + 1) * dimension**2)
        return by_chunks(fit, inputs, targets, size=size)


def _solve(gram: Tensor, moment: Tensor, penalty: float, tolerance: float, sweeps: int) -> Tensor:
    """Return the weights of P problems at once, ``[P, d]``; those that are done leave the rest."""
    floor = max(tolerance, 8 * torch.finfo(gram.dtype).eps)
    allowed = floor * moment.abs().amax(-1)
    weights = follow(gram, moment, penalty)
    left, done, rounds = torch.arange(len(gram), device=gram.device), 0, 0
    while done <= sweeps:
        some_gram, some_moment = gram[left], moment[left]
        rough = _descend(some_gram, some_moment, weights[left], penalty, rounds)
        exact = _on_support(some_gram, some_moment, rough, penalty)
        gaps = [_violation(some_gram, some_moment, w, penalty) for w in (rough, exact)]
        better = gaps[1] < gaps[0]  # false where the linear system had no solution
        met = torch.where(better, gaps[1], gaps[0]) <= allowed[left]
        weights[left] = torch.where((better & met)[:, None], exact, rough)
        left, rounds = left[~met], max(FIRST_SWEEPS, 2 * rounds)
        if not len(left):
            return weights
        done += rounds
    raise ArithmeticError(f"{len(left)} prefixes did not converge in {sweeps} sweeps")


def _descend(gram: Tensor, moment: Tensor, weights: Tensor, penalty: float, sweeps: int) -> Tensor:
    """Minimise over one weight after the other, ``sweeps`` times over."""
    if not sweeps:
        return weights
    columns = gram.permute(1, 2, 0).contiguous()
    weights = weights.T.contiguous()
    slope = moment.T - (columns * weights).sum(1)
    curvature = columns.diagonal(dim1=0, dim2=1).T.contiguous()
    inverse = torch.where(curvature > 0, 1 / curvature, 0)
    for _ in range(sweeps):
        for j, column in enumerate(columns):
            wanted = torch.addcmul(slope[j], curvature[j], weights[j])
            new = torch.nn.functional.softshrink(wanted, penalty).mul_(inverse[j])
            slope.addcmul_(column, new - weights[j], value=-1)
            weights[j] = new
    return weights.T


def _on_support(gram: Tensor, moment: Tensor, weights: Tensor, penalty: float) -> Tensor:
    """Return the best weights with these signs and zeros; NaN where they are not unique."""
    active = (weights != 0).to(gram.dtype)
    system = gram * active[:, :, None] * active[:, None, :] + torch.diag_embed(1 - active)
    factor, failed = torch.linalg.cholesky_ex(system)
    aim = active * (moment - penalty * weights.sign())
    found = torch.cholesky_solve(aim[..., None], factor)[..., 0]
    found = torch.where(active > 0, found, 0)
    return torch.where((failed > 0)[:, None], torch.nan, found)


def _violation(gram: Tensor, moment: Tensor, weights: Tensor, penalty: float) -> Tensor:
    """Return by how much the conditions of optimality are missed, for each prefix."""
    slope = moment - (gram @ weights[..., None])[..., 0]
    active = (slope - penalty * weights.sign()).abs()
    idle = (slope.abs() - penalty).clamp(min=0)
    return torch.where(weights != 0, active, idle).amax(-1)


def lasso_gap(
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
    weights: Float[Tensor, "*batch N+1 d"],
    penalty: float,
) -> Float[Tensor, "*batch N+1"]:
    r"""Certify weights as the Lasso's: by how much do they miss the conditions of optimality?

    With :math:`g = \tfrac1k \sum_{i<k} (y_i - w \cdot x_i)\,x_i` the weights are optimal if and
    only if :math:`g_j = \alpha \operatorname{sign} w_j` where :math:`w_j \ne 0` and
    :math:`|g_j| \le \alpha` elsewhere. The largest miss over j is returned; 0 is a proof.

    Parameters
    ----------
    inputs, targets, penalty
        As in :func:`lasso`.
    weights
        One row for each prefix.

    Explained in: 13_function_classes
    """
    check_pairs(inputs, targets)
    k = counts(inputs)
    return _violation(grams(inputs) / k[..., None], moments(inputs, targets) / k, weights, penalty)
