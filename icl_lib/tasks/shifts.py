"""Prompts unlike those of the training: the same hidden functions, another way of showing them.

Every function takes prompts whose last point is the query and whose other points are the
demonstrations, and returns new ones; the given prompts stay as they are. The noise that the
targets carried, if any, is kept.
"""

from collections.abc import Sequence

import torch

from icl_lib.tasks.regression import Prompts


def scale_inputs(prompts: Prompts, factor: float) -> Prompts:
    """Multiply all inputs by α; the function is the same, so targets grow with them.

    Parameters
    ----------
    prompts
        Demonstrations and query.
    factor
        α, positive.

    Raises
    ------
    ValueError
        If α is not positive.

    Source: von Oswald et al. (2023), who test α between 0.5 and 2.
    Explained in: 15_limits
    """
    return _moved(prompts, _positive("factor", factor) * prompts.inputs)


def scale_query(prompts: Prompts, factor: float) -> Prompts:
    """Multiply the query alone by α. Parameters and errors as in :func:`scale_inputs`."""
    inputs = prompts.inputs.clone()
    inputs[:, -1] *= _positive("factor", factor)
    return _moved(prompts, inputs)


def scale_weights(prompts: Prompts, factor: float) -> Prompts:
    """Multiply the hidden weights, and so all noiseless targets, by β.

    Parameters
    ----------
    prompts
        Demonstrations and query.
    factor
        β, positive.

    Raises
    ------
    ValueError
        If β is not positive.

    Source: von Oswald et al. (2023), who test β between 0.5 and 5.
    Explained in: 15_limits
    """
    factor = _positive("factor", factor)
    noise = prompts.targets - _values(prompts.inputs, prompts.weights)
    weights = factor * prompts.weights
    return Prompts(prompts.inputs, _values(prompts.inputs, weights) + noise, weights)


def stretch(prompts: Prompts, deviations: Sequence[float]) -> Prompts:
    """Give each input a standard deviation of its own: a covariance that is not the identity.

    Parameters
    ----------
    prompts
        Demonstrations and query, with inputs of deviation 1.
    deviations
        d positive numbers.

    Raises
    ------
    ValueError
        If there are not d numbers, or one is not positive.

    Source: Garg et al. (2022), skewed covariance.
    Explained in: 15_limits
    """
    if len(deviations) != prompts.dimension:
        raise ValueError(f"expected {prompts.dimension} deviations, got {len(deviations)}")
    factors = [_positive("deviations", deviation) for deviation in deviations]
    return _moved(prompts, prompts.inputs * prompts.inputs.new_tensor(factors))


def one_orthant(prompts: Prompts, *, generator: torch.Generator) -> Prompts:
    """Give the demonstrations of a prompt the same signs, drawn anew; the query stays.

    Parameters
    ----------
    prompts
        Demonstrations and query.
    generator
        Draws d signs for each prompt.

    Source: Garg et al. (2022), different orthants.
    Explained in: 15_limits
    """
    coins = torch.rand(len(prompts), 1, prompts.dimension, generator=generator)
    signs = (2.0 * (coins < 0.5) - 1.0).to(prompts.inputs)
    inputs = prompts.inputs.abs() * signs
    inputs[:, -1] = prompts.inputs[:, -1]
    return _moved(prompts, inputs)


def subspace(prompts: Prompts, size: int, *, generator: torch.Generator) -> Prompts:
    """Project the demonstrations onto a random subspace of each prompt; the query stays.

    Half of what the query asks was then never shown.

    Parameters
    ----------
    prompts
        Demonstrations and query.
    size
        Dimension of the subspace, between 1 and d.
    generator
        Draws the subspaces, uniformly.

    Raises
    ------
    ValueError
        If the size is out of range.

    Source: Garg et al. (2022), d/2-dimensional subspace.
    Explained in: 15_limits
    """
    if not 1 <= size <= prompts.dimension:
        raise ValueError(f"size must be between 1 and {prompts.dimension}, got {size}")
    drawn = torch.randn(
        len(prompts), prompts.dimension, size, generator=generator, dtype=torch.float64
    )
    basis = torch.linalg.qr(drawn).Q.to(prompts.inputs)
    inputs = prompts.inputs @ basis @ basis.mT
    inputs[:, -1] = prompts.inputs[:, -1]
    return _moved(prompts, inputs)


def add_noise(prompts: Prompts, noise: float, *, generator: torch.Generator) -> Prompts:
    """Add normal noise to the demonstrations' targets; what the query asks stays clean.

    Parameters
    ----------
    prompts
        Demonstrations and query.
    noise
        Its standard deviation, not negative.
    generator
        Draws it.

    Raises
    ------
    ValueError
        If the deviation is negative.

    Explained in: 15_limits
    """
    if not noise >= 0:
        raise ValueError(f"noise must not be negative, got {noise}")
    drawn = noise * torch.randn(prompts.targets.shape, generator=generator).to(prompts.targets)
    drawn[:, -1] = 0
    return Prompts(prompts.inputs, prompts.targets + drawn, prompts.weights)


def repeat_points(prompts: Prompts) -> Prompts:
    """Let the second half of the demonstrations show the first half again; the query stays.

    With an odd number the one in the middle stays too.

    Parameters
    ----------
    prompts
        Demonstrations and query.

    Explained in: 15_limits
    """
    half = (prompts.points - 1) // 2
    inputs, targets = prompts.inputs.clone(), prompts.targets.clone()
    inputs[:, -1 - half : -1] = inputs[:, :half]
    targets[:, -1 - half : -1] = targets[:, :half]
    return Prompts(inputs, targets, prompts.weights)


def add_outlier(prompts: Prompts, size: float, *, generator: torch.Generator) -> Prompts:
    """Put one demonstration of each prompt wrong: its target is moved up or down by ``size``.

    Parameters
    ----------
    prompts
        At least one demonstration, and the query.
    size
        How far.
    generator
        Chooses the demonstration and the direction.

    Raises
    ------
    ValueError
        If there is no demonstration.

    Explained in: 15_limits
    """
    if prompts.points < 2:
        raise ValueError("expected a demonstration and a query, got a single point")
    which = torch.randint(prompts.points - 1, (len(prompts),), generator=generator)
    up = torch.rand(len(prompts), generator=generator) < 0.5
    moves = torch.where(up, size, -size).to(prompts.targets)
    targets = prompts.targets.clone()
    targets[torch.arange(len(prompts)), which] += moves
    return Prompts(prompts.inputs, targets, prompts.weights)


def _moved(prompts: Prompts, inputs: torch.Tensor) -> Prompts:
    """Return the same functions, with the same noise, shown at other points."""
    noise = prompts.targets - _values(prompts.inputs, prompts.weights)
    return Prompts(inputs, _values(inputs, prompts.weights) + noise, prompts.weights)


def _values(inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return torch.einsum("bnd,bd->bn", inputs, weights)


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")
    return value
