"""What every learner needs of the pairs in a prompt, for all prefixes at once."""

from collections.abc import Callable

import torch
from torch import Tensor

EXACT = (torch.float32, torch.float64)


class Diverging(ArithmeticError):
    """Steps that were too long: some weights are no longer finite numbers.

    Attributes
    ----------
    largest_stable
        The largest step size with which no prefix diverges.
    """

    def __init__(self, what: str, largest_stable: float):
        self.largest_stable = largest_stable
        super().__init__(
            f"{what} diverged: some weights are no longer finite; with these inputs the largest "
            f"step size that is stable on every prefix is {largest_stable:.6g}"
        )


def check_pairs(inputs: Tensor, targets: Tensor) -> None:
    """Raise ValueError unless the pairs fit together in shape, dtype and device.

    Explained in: 01_learning_without_learning
    """
    if inputs.ndim < 2 or inputs.shape[:-1] != targets.shape:
        raise ValueError(
            f"inputs have shape {tuple(inputs.shape)}, targets {tuple(targets.shape)}; "
            "expected [*batch, N, d] and [*batch, N]"
        )
    if 0 in inputs.shape[-2:]:
        raise ValueError(f"expected at least one pair and one input, got {tuple(inputs.shape)}")
    if inputs.dtype not in EXACT or targets.dtype != inputs.dtype:
        raise ValueError(
            f"inputs are {inputs.dtype}, targets {targets.dtype}; "
            "expected both float32 or both float64"
        )
    if inputs.device != targets.device:
        raise ValueError(
            f"inputs are on {inputs.device}, targets on {targets.device}; expected one device"
        )


def check_steps(steps: int) -> None:
    """Raise ValueError if the number of steps is negative.

    Explained in: 01_learning_without_learning
    """
    if steps < 0:
        raise ValueError(f"steps must not be negative, got {steps}")


def counts(inputs: Tensor) -> Tensor:
    """Return k for each prefix as a column, with 1 in place of 0.

    Explained in: 01_learning_without_learning
    """
    points = inputs.shape[-2]
    found = torch.arange(points + 1, dtype=inputs.dtype, device=inputs.device)
    return found.clamp(min=1)[:, None]


def moments(inputs: Tensor, targets: Tensor) -> Tensor:
    """Return Σ y x over the first 0, 1, …, N pairs, ``[*batch, N + 1, d]``.

    Explained in: 01_learning_without_learning
    """
    return _cumulate(targets[..., None] * inputs, dim=-2)


def grams(inputs: Tensor) -> Tensor:
    """Return Σ x xᵀ over the first 0, 1, …, N pairs, ``[*batch, N + 1, d, d]``.

    Explained in: 01_learning_without_learning
    """
    return _cumulate(inputs[..., :, None] * inputs[..., None, :], dim=-3)


def _cumulate(terms: Tensor, dim: int) -> Tensor:
    nothing = torch.zeros_like(terms.narrow(dim, 0, 1))
    return torch.cat([nothing, terms], dim=dim).cumsum(dim)


def all_finite(values: Tensor) -> bool:
    """Say whether every value is a finite number; on torch's ``meta`` device there are none to ask.

    Explained in: 01_learning_without_learning
    """
    return values.is_meta or bool(values.isfinite().all())


def by_chunks(
    fit: Callable[..., Tensor], inputs: Tensor, targets: Tensor, *others: Tensor, size: int
) -> Tensor:
    """Run a learner on ``size`` prompts at a time, so that caches hold what it works on.

    ``fit`` maps inputs ``[B, N, d]``, targets ``[B, N]`` and the rows of the others to weights
    ``[..., B, N + 1, d]``.

    Explained in: 01_learning_without_learning
    """
    batch = inputs.shape[:-2]
    flat = [t.reshape(-1, *t.shape[len(batch) :]) for t in (inputs, targets, *others)]
    size = len(flat[0]) if inputs.is_meta else max(1, size)
    parts = [fit(*part) for part in zip(*(t.split(size) for t in flat), strict=True)]
    joined = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-3)
    return joined.reshape(*joined.shape[:-3], *batch, *joined.shape[-2:])
