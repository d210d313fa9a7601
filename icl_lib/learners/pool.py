"""Bayes' rule when the tasks are known by heart: the estimator of a finite pool, for all prefixes.

Who knows that the hidden weights of a prompt are one of M known vectors has only to find out which
one it is. The best guess is the mean of the M vectors under what the pairs say of them.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib.learners.prefixes import check_pairs

LARGEST = 4_000_000
"""Numbers that one table of squared errors, prompts × prefixes × tasks, may hold."""


def finite_pool(
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
    pool: Float[Tensor, "M d"],
    noise: float,
) -> Float[Tensor, "*batch N+1 d"]:
    r"""Return the posterior mean under a pool of M tasks that are equally likely.

    .. math:: \hat w_k = \sum_m p_{k,m}\, w_m, \qquad
              p_{k,m} = \operatorname*{softmax}_m \Big(
                  -\frac{1}{2\,\text{noise}^2} \sum_{i<k} (y_i - w_m \cdot x_i)^2 \Big)

    On prompts of its own pool nothing that sees the same pairs has a smaller expected squared
    error; on other tasks it still answers with a mixture of those it knows. The literature calls
    it dMMSE. Prompts are worked through in groups, so that no table of squared errors holds more
    than :data:`LARGEST` numbers unless a single prompt needs more.

    Parameters
    ----------
    inputs, targets
        The pairs of each prompt.
    pool
        The tasks; their order does not matter, a task listed twice counts twice.
    noise
        Standard deviation of the noise on y, positive.

    Returns
    -------
    Tensor
        Row k has seen the first k pairs; row 0 is the mean of the pool.

    Raises
    ------
    ValueError
        If the noise is not positive (the limit is :func:`nearest_task`) or its square too small for
        the type, the shapes do not agree, the pool is empty, or the squared errors are not finite.

    Source: Raventós et al. 2023 (dMMSE); Bayes' rule.
    Explained in: 14_task_diversity
    """
    _check_noise(noise, inputs.dtype)
    return _each_group(inputs, targets, pool, lambda errors: _chances(errors, noise))


def nearest_task(
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
    pool: Float[Tensor, "M d"],
) -> Float[Tensor, "*batch N+1 d"]:
    r"""Return the task of the pool with the smallest squared error, the mean of them if several.

    The limit of :func:`finite_pool` for noise → 0. Before the first pair all tasks fit equally
    well, so row 0 is the mean of the pool.

    Parameters
    ----------
    inputs, targets
        The pairs of each prompt.
    pool
        The tasks.

    Raises
    ------
    ValueError
        As :func:`finite_pool`, but for the noise.

    Explained in: 14_task_diversity
    """

    def best(errors: Tensor) -> Tensor:
        least = (errors == errors.min(dim=-1, keepdim=True).values).to(errors.dtype)
        return least / least.sum(dim=-1, keepdim=True)

    return _each_group(inputs, targets, pool, best)


def pool_posterior(
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
    pool: Float[Tensor, "M d"],
    noise: float,
) -> Float[Tensor, "*batch N+1 M"]:
    """Return the probability of each task of the pool after 0, 1, …, N pairs.

    Parameters
    ----------
    inputs, targets, pool, noise
        As for :func:`finite_pool`. The whole table is kept: this is for a few prompts.

    Raises
    ------
    ValueError
        As :func:`finite_pool`.

    Explained in: 14_task_diversity
    """
    _check_noise(noise, inputs.dtype)
    _check_shapes(inputs, targets, pool)
    return _chances(_squared_errors(inputs, targets, pool), noise)


def _chances(errors: Tensor, noise: float) -> Tensor:
    """Return the softmax of −errors / (2 noise²); the best task has exponent 0 at any scale."""
    behind = errors.min(dim=-1, keepdim=True).values - errors
    return torch.softmax(behind / (2 * noise**2), dim=-1)


def _each_group(inputs: Tensor, targets: Tensor, pool: Tensor, weigh) -> Tensor:
    """Weigh the tasks by their squared errors, a group of prompts at a time."""
    _check_shapes(inputs, targets, pool)
    *batch, points, dimension = inputs.shape
    flat, said = inputs.reshape(-1, points, dimension), targets.reshape(-1, points)
    group = max(1, LARGEST // ((points + 1) * len(pool)))
    parts = [
        weigh(_squared_errors(flat[i : i + group], said[i : i + group], pool)) @ pool
        for i in range(0, len(flat), group)
    ]
    found = torch.cat(parts) if parts else flat.new_zeros(0, points + 1, dimension)
    return found.reshape(*batch, points + 1, dimension)


def _squared_errors(inputs: Tensor, targets: Tensor, pool: Tensor) -> Tensor:
    """Return the sum of squared errors of every task on every prefix, ``[*batch, N + 1, M]``."""
    each = (targets[..., None] - inputs @ pool.T).square_()
    errors = torch.cat([torch.zeros_like(each[..., :1, :]), each.cumsum_(dim=-2)], dim=-2)
    if not errors[..., -1, :].isfinite().all():
        raise ValueError(
            f"the squared errors of the tasks are not finite in {errors.dtype}; "
            "inputs, targets and pool must be finite and smaller"
        )
    return errors


def _check_noise(noise: float, dtype: torch.dtype) -> None:
    least = torch.finfo(dtype).tiny ** 0.5
    if not noise > least:
        raise ValueError(
            f"noise must be positive (above {least:.1e} in {dtype}), got {noise}; "
            "for 0 use nearest_task"
        )


def _check_shapes(inputs: Tensor, targets: Tensor, pool: Tensor) -> None:
    check_pairs(inputs, targets)
    if pool.ndim != 2 or len(pool) == 0 or pool.shape[-1] != inputs.shape[-1]:
        raise ValueError(
            f"pool has shape {tuple(pool.shape)}, expected [M, {inputs.shape[-1]}] "
            "with at least one task"
        )
    if (pool.dtype, pool.device) != (inputs.dtype, inputs.device):
        raise ValueError(
            f"inputs are {inputs.dtype} on {inputs.device}, pool {pool.dtype} on {pool.device}; "
            "they must agree"
        )
