"""Gradient clipping: one bad batch must not throw the weights away."""

from collections.abc import Iterable

import torch
from torch import Tensor


def clip_by_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    r"""Shorten the gradient of all parameters together to ``max_norm``, in place.

    .. math:: g ← g · \min(1, c / ‖g‖_2)

    Parameters
    ----------
    parameters
        Those without a gradient are passed over.
    max_norm
        c, the longest gradient that is left as it is.

    Returns
    -------
    float
        The norm before clipping.

    Raises
    ------
    ValueError
        If ``max_norm`` is not positive.

    Source: Pascanu, Mikolov and Bengio 2013, algorithm 1.
    Explained in: 04_gradient_descent
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive, got {max_norm}")
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return 0.0
    norms = torch.stack([g.detach().norm().to(gradients[0].device) for g in gradients])
    norm = norms.norm().item()
    if norm > max_norm:
        for gradient in gradients:
            gradient.mul_(max_norm / norm)
    return norm
