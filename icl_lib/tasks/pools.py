"""Task pools: prompts whose hidden function is one of a fixed, finite number of functions.

With :func:`icl_lib.tasks.regression.linear_prompts` every prompt has a function that no other
prompt has. Here M functions are drawn once. Each prompt then takes one of them, so that a learner
who sees enough prompts can come to know them all by heart.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib.tasks.regression import Distribution, Prompts


def task_pool(
    tasks: int,
    dimension: int,
    *,
    weight_scale: float = 1.0,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "M d"]:
    r"""Draw the pool: :math:`w_1, \dots, w_M \sim N(0, \text{weight\_scale}^2 I)`, once.

    Parameters
    ----------
    tasks
        M, how many functions the pool holds.
    dimension
        d, their inputs.
    weight_scale
        Standard deviation of each weight.
    generator
        Decides everything; the tensor is made on its device.
    dtype
        Of the pool.

    Returns
    -------
    Tensor
        One row of weights a task, ``[M, d]``.

    Raises
    ------
    ValueError
        If a size is not positive or the scale is negative.

    Source: Raventós et al. 2023.
    Explained in: 14_task_diversity
    """
    _check_positive(tasks=tasks, dimension=dimension)
    _check_not_negative(weight_scale=weight_scale)
    drawn = torch.randn(tasks, dimension, generator=generator, device=generator.device, dtype=dtype)
    return weight_scale * drawn


def pool_prompts(
    batch: int,
    points: int,
    pool: Float[Tensor, "M d"],
    *,
    noise: float = 0.0,
    input_scale: float = 1.0,
    distribution: Distribution = "normal",
    generator: torch.Generator,
) -> Prompts:
    r"""Draw prompts whose functions come from a pool, each task with the same probability 1/M.

    .. math:: y_i = w_m \cdot x_i + \text{noise}\,\varepsilon_i, \qquad
              m \text{ uniform in } \{1, \dots, M\}, \quad \varepsilon_i \sim N(0, 1)

    Parameters
    ----------
    batch, points
        B prompts of N pairs.
    pool
        The tasks, ``[M, d]``; the prompts take its type. It must be on the generator's device.
    noise
        Standard deviation of the noise on y.
    input_scale, distribution
        Of the inputs, as in :func:`icl_lib.tasks.regression.linear_prompts`.
    generator
        Decides tasks, inputs and noise.

    Returns
    -------
    Prompts
        Inputs ``[B, N, d]``, targets ``[B, N]``, and for each prompt the weights of its task
        ``[B, d]``.

    Raises
    ------
    ValueError
        If a size is not positive, the pool is empty, a scale is negative, or the distribution is
        unknown.

    Source: Raventós et al. 2023.
    Explained in: 14_task_diversity
    """
    _check_positive(batch=batch, tasks=len(pool))
    chosen = torch.randint(len(pool), (batch,), generator=generator, device=generator.device)
    return prompts_of(
        pool[chosen],
        points,
        noise=noise,
        input_scale=input_scale,
        distribution=distribution,
        generator=generator,
    )


def prompts_of(
    weights: Float[Tensor, "B d"],
    points: int,
    *,
    noise: float = 0.0,
    input_scale: float = 1.0,
    distribution: Distribution = "normal",
    generator: torch.Generator,
) -> Prompts:
    """Draw one prompt of each of the functions given.

    Parameters
    ----------
    weights
        One row a prompt; the prompts take its type.
    points
        N, pairs in each prompt.
    noise, input_scale, distribution
        As in :func:`icl_lib.tasks.regression.linear_prompts`.
    generator
        Decides inputs and noise.

    Raises
    ------
    ValueError
        If a size is not positive, a scale is negative, or the distribution is unknown.

    Explained in: 14_task_diversity
    """
    batch, dimension = weights.shape
    _check_positive(batch=batch, points=points, dimension=dimension)
    _check_not_negative(noise=noise, input_scale=input_scale)
    kind = {"dtype": weights.dtype, "device": generator.device, "generator": generator}
    if distribution == "normal":
        inputs = input_scale * torch.randn(batch, points, dimension, **kind)
    elif distribution == "uniform":
        inputs = input_scale * (2 * torch.rand(batch, points, dimension, **kind) - 1)
    else:
        raise ValueError(f"distribution must be 'normal' or 'uniform', got {distribution!r}")
    errors = noise * torch.randn(batch, points, **kind)
    return Prompts(inputs, torch.einsum("bnd,bd->bn", inputs, weights) + errors, weights)


def _check_positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def _check_not_negative(**scales: float) -> None:
    for name, scale in scales.items():
        if not scale >= 0:
            raise ValueError(f"{name} must not be negative, got {scale}")
