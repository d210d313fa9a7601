"""Reference lines for networks trained on pools: what the two rules themselves reach."""

import torch

from icl_lib import optim
from icl_lib.learners import finite_pool, ridge
from icl_lib.tasks.pools import pool_prompts, task_pool
from icl_lib.tasks.regression import linear_prompts


def pool_lines(
    tasks: int, *, dimension: int, points: int, noise: float, prompts: int, seed: int
) -> dict[str, float]:
    r"""Return the errors of the finite-pool estimator and of ridge for one pool of tasks.

    Means over prompts and over the first, …, N-th guess, divided by d, noise included. Over the
    next input, which is standard normal, the mean is taken exactly and not by drawing:

    .. math:: \mathbb E_x \big(\hat w \cdot x - w \cdot x - \text{noise}\,\varepsilon\big)^2
              = |\hat w - w|^2 + \text{noise}^2

    ==================  ========================================================
    ``new_pool``        finite-pool estimator on tasks that are not in the pool
    ``new_ridge``       ridge with penalty noise² on the same prompts
    ``new_gap``         squared distance between the two there
    ``pool_pool``       finite-pool estimator on the tasks of the pool
    ``pool_ridge``      ridge on the same prompts
    ``pool_gap``        squared distance between the two there
    ==================  ========================================================

    Parameters
    ----------
    tasks
        M.
    dimension, points, noise
        d, N and the standard deviation of the noise on y.
    prompts
        How many of each kind.
    seed
        Decides pool and prompts.

    Raises
    ------
    ValueError
        If a size or the noise is not positive.

    Source: Raventós et al. 2023 for the two estimators and the setting.
    Explained in: 14_task_diversity
    """
    generator = torch.Generator().manual_seed(optim.derive_seed(seed, tasks))
    pool = task_pool(tasks, dimension, generator=generator)
    drawn = {
        "new": linear_prompts(prompts, points, dimension, noise=noise, generator=generator),
        "pool": pool_prompts(prompts, points, pool, noise=noise, generator=generator),
    }
    found = {}
    for kind, batch in drawn.items():
        known = finite_pool(batch.inputs, batch.targets, pool, noise)
        fitted = ridge(batch.inputs, batch.targets, noise**2)
        truth = batch.weights[:, None]
        found[f"{kind}_pool"] = _distance(known, truth) + noise**2
        found[f"{kind}_ridge"] = _distance(fitted, truth) + noise**2
        found[f"{kind}_gap"] = _distance(known, fitted)
    return {name: value / dimension for name, value in found.items()}


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the mean squared distance over prompts and all prefixes but the whole prompt."""
    return (a - b)[:, :-1].double().square().sum(-1).mean().item()
