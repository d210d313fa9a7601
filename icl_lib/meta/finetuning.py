"""The finetuned condition: a copy of the model, trained on the demonstrations one by one.

While it trains, what the dual form needs is kept: every training token's input to the projections,
its attention query, and the error signals at its keys and values.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from icl_lib.meta.prompts import Demonstration
from icl_lib.meta.walk import attention_input, complete, embed, final_norm, project
from icl_lib.models.attention import fused_attention
from icl_lib.models.gpt import GPT
from icl_lib.optim import Diverged

PARAMETERS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "keys-values": lambda name: "k_proj" in name or "v_proj" in name,
        "keys": lambda name: "k_proj" in name,
        "values": lambda name: "v_proj" in name,
        "attention": lambda name: ".attention." in name,
        "all": lambda name: True,
    }
)
"""Which parameters train, by name. ``keys-values`` is what Dai et al. train."""

LOSS_ON = ("all", "label")
"""Which tokens of a demonstration are targets: all but the first, as in the paper's code, or those
of the label."""

DESCENT = ("plain", "layer-causal")
"""Backpropagation through the whole network, or Deutch et al.'s layer-causal descent."""


@dataclass(frozen=True)
class Finetuning:
    r"""How the finetuned condition is made; the defaults are the paper's.

    .. math:: θ ← θ - η\,∇_θ \ell(\text{demonstration}_i), \qquad i = 1, 2, …, N

    Attributes
    ----------
    lr
        η. The paper takes the best of 36 on the evaluation data; see
        :func:`icl_lib.meta.choice.best_step_size` for an honest choice. A negative one climbs.
    parameters
        Which train, one of ``PARAMETERS``.
    biases
        Whether their biases train, too. The paper says projections; its code includes biases.
    loss_on
        One of ``LOSS_ON``. The loss is the mean over an example's targets.
    descent
        One of ``DESCENT``.
    passes
        How often all demonstrations are seen, in the order of the prompt.
    batch
        Demonstrations a step.
    momentum
        μ of plain SGD's velocity, :math:`v ← μ v + ∇_θ \ell,\ θ ← θ - η v`; 0 in the paper.

    Raises
    ------
    ValueError
        If a name is unknown or a number out of range.

    Source: Dai et al. (2023), section 4.1; Deutch et al. (2024) for the layer-causal descent.

    Explained in: 16_paper_experiment
    """

    lr: float = 0.01
    parameters: str = "keys-values"
    biases: bool = True
    loss_on: str = "all"
    descent: str = "plain"
    passes: int = 1
    batch: int = 1
    momentum: float = 0.0

    def __post_init__(self) -> None:
        known = {"parameters": tuple(PARAMETERS), "loss_on": LOSS_ON, "descent": DESCENT}
        for name, allowed in known.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}"
                )
        if not math.isfinite(self.lr) or not self.lr:
            raise ValueError(f"the step size must be finite and not 0, got {self.lr}")
        if min(self.passes, self.batch) < 1:
            raise ValueError(
                f"passes and batch must be at least 1, got {self.passes} and {self.batch}"
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be at least 0 and less than 1, got {self.momentum}")


@dataclass(frozen=True, eq=False)
class Trace:
    """What training left behind, one row for every token that it saw, in the order of sight.

    Attributes
    ----------
    inputs, queries
        What the projections read and the attention query, before that step's update.
    key_errors, value_errors
        e = −η ∂L/∂k and −η ∂L/∂v: ΔW_K = Σ e ⊗ x over these rows, whatever else trains. With
        momentum, a step s of S counts :math:`1 + μ + … + μ^{S - s}` times.
    slot
        Which demonstration token of the prompt it is, counted as in
        :class:`icl_lib.meta.prompts.Beginning`; −1 for the opening.
    slots
        Number of demonstration tokens.
    losses
        Of each step.
    """

    inputs: Float[Tensor, "N L D"]
    queries: Float[Tensor, "N L H K"]
    key_errors: Float[Tensor, "N L H K"]
    value_errors: Float[Tensor, "N L H K"]
    slot: Int[Tensor, "N"]
    slots: int
    losses: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class _Rows:
    """One demonstration, ``T``, or a batch padded on the right, ``B T``."""

    tokens: Int[Tensor, "*B T"]
    real: Bool[Tensor, "*B T"]
    target: Bool[Tensor, "*B T"]
    slot: Int[Tensor, "*B T"]


@dataclass(frozen=True, eq=False)
class _Pass:
    """One forward pass of training: its loss and the tensors that gradients are asked for."""

    loss: Float[Tensor, ""]
    inputs: list[Tensor]
    queries: list[Tensor]
    keys: list[Tensor]
    values: list[Tensor]


def trained_copy(model: GPT, how: Finetuning) -> tuple[GPT, list[nn.Parameter]]:
    """Return a copy whose chosen parameters are its own; all others are shared with the model.

    Raises
    ------
    ValueError
        If nothing is chosen, as in a model without biases.

    Explained in: 16_paper_experiment
    """
    chosen = {
        name
        for name, _ in model.named_parameters()
        if PARAMETERS[how.parameters](name) and (how.biases or not name.endswith("bias"))
    }
    if not chosen:
        raise ValueError(f"this model has no parameters that {how.parameters!r} would train")
    shared = {id(p): p for name, p in model.named_parameters() if name not in chosen}
    shared |= {id(b): b for b in model.buffers()}
    twin = copy.deepcopy(model, shared).eval()
    return twin, [p.requires_grad_() for name, p in twin.named_parameters() if name in chosen]


def finetune(
    model: GPT,
    demonstrations: Sequence[Demonstration],
    how: Finetuning,
    *,
    opening: Int[Tensor, "P"] | None = None,
    trace: bool = True,
) -> tuple[GPT, Trace | None]:
    """Train a copy of a model on demonstrations, and return it with what training left behind.

    Parameters
    ----------
    model
        Left as it is.
    demonstrations
        In the order of the prompt.
    how
        Named options.
    opening
        Tokens before each demonstration, as before each prompt; none if not given.
    trace
        Keep inputs, queries and error signals of every token.

    Raises
    ------
    ValueError
        If there are no demonstrations, or one exceeds the context.
    Diverged
        If a loss is no finite number.

    Source: Dai et al. (2023), section 4.1; their code.

    Explained in: 16_paper_experiment
    """
    if not demonstrations:
        raise ValueError("there are no demonstrations to train on")
    twin, parameters = trained_copy(model, how)
    device = model.tokens.weight.device
    start = torch.empty(0, dtype=torch.long) if opening is None else opening.cpu()
    rows = _rows(demonstrations, start, how.loss_on)
    losses: list[float] = []
    kept: list[tuple[Tensor, ...]] = []
    velocity = [torch.zeros_like(p) for p in parameters] if how.momentum else []
    with torch.enable_grad():
        for _ in range(how.passes):
            for first in range(0, len(rows), how.batch):
                batch = _padded(rows[first : first + how.batch], device)
                losses.append(_step(twin, parameters, batch, how, kept, trace, losses, velocity))
    for parameter in parameters:
        parameter.requires_grad_(False)
    if not trace:
        return twin, None
    kept = _with_momentum(kept, how.momentum)
    slots = sum(len(d.tokens) for d in demonstrations)
    return twin, Trace(*(torch.cat(part) for part in zip(*kept, strict=True)), slots, tuple(losses))


def _with_momentum(kept: list[tuple[Tensor, ...]], momentum: float) -> list[tuple[Tensor, ...]]:
    """Count the error signals of each step as often as the velocity has moved along them."""
    found, times = [], 1.0
    for inputs, queries, keys, values, slot in reversed(kept):
        found.append((inputs, queries, times * keys, times * values, slot))
        times = 1 + momentum * times
    return found[::-1]


def _rows(demonstrations: Sequence[Demonstration], start: Tensor, loss_on: str) -> list[_Rows]:
    found, slot = [], 0
    for shown in demonstrations:
        tokens = torch.cat([start, shown.tokens])
        place = torch.arange(len(tokens))
        first = 1 if loss_on == "all" else len(start) + len(shown.text)
        slots = torch.where(place < len(start), -1, slot + place - len(start))
        found.append(_Rows(tokens, torch.ones_like(tokens).bool(), place >= first, slots))
        slot += len(shown.tokens)
    return found


def _padded(rows: Sequence[_Rows], device: torch.device) -> _Rows:
    names = ("tokens", "real", "target", "slot")
    parts = ([getattr(row, name) for row in rows] for name in names)
    pad = torch.nn.utils.rnn.pad_sequence
    return _Rows(*(pad(part, batch_first=True).to(device) for part in parts))


def _step(
    model: GPT,
    parameters: list[nn.Parameter],
    batch: _Rows,
    how: Finetuning,
    kept: list[tuple[Tensor, ...]],
    trace: bool,
    losses: Sequence[float],
    velocity: list[Tensor],
) -> float:
    done = _forward(model, batch, how.descent)
    loss = float(done.loss.detach())
    if not math.isfinite(loss):
        raise Diverged("the loss", loss, len(losses), losses[-1] if losses else math.nan)
    wanted = [*parameters, *done.keys, *done.values] if trace else parameters
    grads = torch.autograd.grad(done.loss, wanted, allow_unused=True)
    grads = [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, grads, strict=True)]
    with torch.no_grad():
        slopes = grads[: len(parameters)]
        if velocity:
            torch._foreach_mul_(velocity, how.momentum)
            torch._foreach_add_(velocity, slopes)
            slopes = velocity
        torch._foreach_add_(parameters, slopes, alpha=-how.lr)
    if trace:
        layers, errors = len(done.keys), grads[len(parameters) :]
        heads = (done.queries, errors[:layers], errors[layers:])
        q, k, v = (torch.stack(list(p), 2).permute(0, 3, 2, 1, 4)[batch.real] for p in heads)
        inputs = torch.stack(done.inputs, 2)[batch.real]
        kept.append((inputs.detach(), q.detach(), -how.lr * k, -how.lr * v, batch.slot[batch.real]))
    return loss


def _forward(model: GPT, batch: _Rows, descent: str) -> _Pass:
    """Run the model; with layer-causal descent every layer predicts and reads a constant."""
    x = embed(model, batch.tokens)
    done = _Pass(x.new_zeros(()), [], [], [], [])
    total = done.loss
    for block in model.blocks:
        if descent == "layer-causal":
            x = x.detach()
        inputs = attention_input(block, x)
        q, k, v = project(block, inputs)
        x, _ = complete(block, x, fused_attention(q, k, v, causal=True))
        for name, part in (("inputs", inputs), ("queries", q), ("keys", k), ("values", v)):
            getattr(done, name).append(part)
        if descent == "layer-causal":
            total = total + _loss(model, x, batch)
    if descent == "plain":
        total = _loss(model, x, batch)
    return _Pass(total, done.inputs, done.queries, done.keys, done.values)


def _loss(model: GPT, x: Float[Tensor, "B T D"], batch: _Rows) -> Float[Tensor, ""]:
    """Return the mean over demonstrations of the mean loss over each one's targets."""
    counted = batch.target[:, 1:]
    logits = model.logits(final_norm(model, x)[:, :-1][counted][None])[0]
    surprise = F.cross_entropy(logits, batch.tokens[:, 1:][counted], reduction="none")
    share = 1 / (counted.sum(1).to(surprise.dtype) * len(counted))
    return (surprise * share[counted.nonzero()[:, 0]]).sum()
