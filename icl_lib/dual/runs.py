"""The training loops of the chapter: minibatches through a recorded layer, or one by one."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from icl_lib.dual.evaluate import DualForm
from icl_lib.dual.factored import OuterSum
from icl_lib.dual.record import record_linear


def fresh_layer(
    d: int,
    o: int,
    *,
    bias: bool = True,
    std: float = 0.0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
) -> nn.Linear:
    """Return a linear layer whose weights are zero, or drawn from a generator of one's own.

    Parameters
    ----------
    d, o
        Numbers of inputs and outputs.
    bias
        Whether it has one.
    std
        Standard deviation of the first weights and biases; 0 starts at zero.
    generator
        Draws them; needed if ``std`` is not 0, so that no run depends on global state.
    dtype
        Double precision unless told otherwise.

    Raises
    ------
    ValueError
        If ``std`` is not 0 and there is no generator.

    Notes
    -----
    Explained in: 05_dual_form.
    """
    if std and generator is None:
        raise ValueError("random first weights need a generator, got None")
    layer = nn.utils.skip_init(nn.Linear, d, o, bias=bias, dtype=dtype)
    for p in layer.parameters():
        nn.init.normal_(p, std=std, generator=generator) if std else nn.init.zeros_(p)
    return layer


def train_recorded(
    layer: nn.Linear,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[Tensor, Tensor], Tensor],
    x: Float[Tensor, "E d"],
    y: Tensor,
    *,
    batch: int,
    epochs: int = 1,
    generator: torch.Generator | None = None,
) -> tuple[DualForm, Int[Tensor, "N"]]:
    """Train a layer in minibatches and return its dual form and who each recorded example was.

    Parameters
    ----------
    layer, optimizer
        What :func:`icl_lib.dual.record_linear` takes.
    loss
        Maps outputs and targets of a minibatch to a number.
    x, y
        E examples and their targets.
    batch
        Examples per step; the last minibatch of an epoch may be smaller.
    epochs
        Passes over the examples, so that N = E · epochs.
    generator
        Shuffles each pass; without one the examples keep their order.

    Returns
    -------
    form, index
        The dual form, and for each of its N entries the row of ``x``.

    Raises
    ------
    ValueError
        If ``x`` and ``y`` have different lengths.

    Notes
    -----
    Explained in: 05_dual_form.
    """
    if len(x) != len(y):
        raise ValueError(f"got {len(x)} examples and {len(y)} targets; they must agree")
    order = []
    with record_linear(layer, optimizer) as recording:
        for _ in range(epochs):
            rows = (
                torch.randperm(len(x), generator=generator) if generator else torch.arange(len(x))
            )
            for chosen in rows.to(x.device).split(batch):
                optimizer.zero_grad()
                loss(layer(x[chosen]), y[chosen]).backward()
                optimizer.step()
                order.append(chosen)
    return recording.dual_form(), torch.cat(order)


def train_one_by_one(
    layer: nn.Linear,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[Tensor, Tensor], Tensor],
    x: Float[Tensor, "N d"],
    y: Tensor,
) -> OuterSum:
    """Train on one example per step with any optimizer; return Σ_i (−∂L/∂y_i) ⊗ x_i.

    Nothing is claimed about the trained weight: for Adam this sum is *not* its dual form, and
    that is what it is for. See :func:`icl_lib.dual.fit_to_examples`.

    Parameters
    ----------
    layer, optimizer, loss
        As in :func:`train_recorded`, but any optimizer.
    x, y
        N examples and their targets, in the order of training.

    Notes
    -----
    Explained in: 05_dual_form.
    """
    slopes = []
    for example, target in zip(x, y, strict=True):
        optimizer.zero_grad()
        output = layer(example)
        output.retain_grad()
        loss(output, target).backward()
        slopes.append(-output.grad)
        optimizer.step()
    return OuterSum(torch.stack(slopes), x)
