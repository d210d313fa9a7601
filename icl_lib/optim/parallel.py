"""Data parallelism: several processes, each with its share of the batch, one set of weights.

Start a script with ``torchrun --nproc-per-node 2 script.py`` and put the training inside
``with process_group():``. :func:`icl_lib.optim.train` does the rest. Without ``torchrun`` the
same script runs in one process.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn


@contextmanager
def process_group(backend: str = "gloo") -> Iterator[tuple[int, int]]:
    """Join the processes that ``torchrun`` started, and leave them again.

    Parameters
    ----------
    backend
        ``gloo`` on CPU, ``nccl`` between GPUs.

    Yields
    ------
    tuple of int
        The number of this process and how many there are; ``(0, 1)`` without ``torchrun``.
    """
    started = "RANK" in os.environ and not dist.is_initialized()
    if started:
        dist.init_process_group(backend)
    try:
        yield place()
    finally:
        if started:
            dist.destroy_process_group()


def place() -> tuple[int, int]:
    """Return the number of this process and how many there are."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def share(batch: object, rank: int, world: int) -> object:
    """Return the part of a batch that process ``rank`` of ``world`` works on.

    Tensors are cut along their first dimension; tuples, lists and dictionaries entry by entry.

    Raises
    ------
    ValueError
        If the examples cannot be divided evenly: the mean of the shares would not be the mean.
    TypeError
        If there is something in the batch that cannot be cut.
    """
    if world == 1:
        return batch
    if isinstance(batch, Tensor):
        if batch.ndim == 0 or len(batch) % world:
            raise ValueError(
                f"a batch of shape {tuple(batch.shape)} cannot be divided evenly among "
                f"{world} processes"
            )
        return batch.chunk(world)[rank]
    if isinstance(batch, tuple | list):
        return type(batch)(share(part, rank, world) for part in batch)
    if isinstance(batch, dict):
        return {name: share(part, rank, world) for name, part in batch.items()}
    raise TypeError(f"cannot divide a batch of type {type(batch).__name__} among processes")


class Objective(nn.Module):
    """A model and its loss as one module, so that the loss may call any method of the model."""

    def __init__(self, model: nn.Module, loss_fn):
        super().__init__()
        self.model, self.loss_fn = model, loss_fn

    def forward(self, batch: object) -> Tensor:
        return self.loss_fn(self.model, batch)


def objective(model: nn.Module, loss_fn) -> nn.Module:
    """Return ``batch -> loss``; among several processes its gradients are averaged over all."""
    module = Objective(model, loss_fn)
    if place()[1] == 1:
        return module
    return nn.parallel.DistributedDataParallel(module)


def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of ``value`` over all processes."""
    _, world = place()
    if world == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world


def any_process(flag: bool, like: Tensor) -> bool:
    """Tell whether ``flag`` is set in one process at least, so that all stop together."""
    if place()[1] == 1:
        return flag
    total = torch.tensor(float(flag), device=like.device)
    dist.all_reduce(total)
    return total.item() > 0
