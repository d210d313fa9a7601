"""Record what a linear layer is trained on, and get its dual form.

.. code-block:: python

    with record_linear(layer, optimizer) as recording:
        train(...)                      # any loop around backward() and optimizer.step()
    form = recording.dual_form()        # form(x) equals layer(x)

At every step the recorder compares the gradient found on the weight with the sum of outer products
it has seen, so what it cannot express (a penalty in the loss, a tied weight, an entrywise clip, an
optimizer that divides) is an error and never a wrong dual form.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from icl_lib.dual.evaluate import DualForm, relative_difference
from icl_lib.dual.factored import OuterSum
from icl_lib.dual.steps import FROZEN, Step, unroll
from icl_lib.optim import rules

LINEAR_RULES = (torch.optim.SGD, rules.SGD, rules.Momentum, rules.Nesterov)
"""Optimizers whose update is linear in the gradient, with one number for the whole matrix."""


@dataclass(frozen=True)
class _Rows:
    call: int
    inputs: Tensor  # B d
    slopes: Tensor  # B o, the gradient of the loss at the layer's output


@dataclass(frozen=True)
class _Taken:
    """One optimizer step: the rows behind its gradient and the settings it was made with."""

    rows: tuple[_Rows, ...]
    scale: float
    weight: Step
    bias: Step


class Recording:
    """What one linear layer was trained on so far; made by :func:`record_linear`."""

    def __init__(
        self,
        layer: nn.Linear,
        optimizer: torch.optim.Optimizer,
        *,
        verify: bool = True,
        store: torch.device | str | None = None,
    ):
        _check_layer(layer)
        _check_optimizer(optimizer)
        self.layer, self.optimizer = layer, optimizer
        self._verify, self._store = verify, store
        if not self._trained(layer.weight):
            raise ValueError("the optimizer does not train this layer's weight")
        self._bias_trained = layer.bias is not None and self._trained(layer.bias)
        self._start = _weight_with_bias(layer)
        self._velocity = self._find_velocity()
        self._moving = {id(p) for p in layer.parameters() if "momentum_buffer" in self._state(p)}
        self._end: Tensor | None = None
        self._calls = 0
        self._fresh = True
        self._arriving: list[_Rows] = []
        self._pending: list[_Rows] = []
        self._taken: list[_Taken] = []
        self._handles = [
            layer.register_forward_hook(self._on_forward, with_kwargs=True),
            layer.weight.register_hook(self._on_gradient),
            layer.weight.register_post_accumulate_grad_hook(self._on_accumulated),
            optimizer.register_step_post_hook(self._on_step),
        ]

    def __len__(self) -> int:
        """Return the number of recorded examples N."""
        return sum(len(r.inputs) for t in self._taken for r in t.rows)

    @property
    def steps(self) -> int:
        """Number of recorded optimizer steps."""
        return len(self._taken)

    def close(self) -> None:
        """Stop recording; the dual form stays that of the weight at this moment."""
        for handle in self._handles:
            handle.remove()
        self._end = _weight_with_bias(self.layer)

    def raw(self) -> tuple[OuterSum, Tensor]:
        """Return Σ_i (−∂L/∂y_i) ⊗ x_i with no step sizes applied, and each example's step."""
        slopes, inputs, step = [], [], []
        o, d = self.layer.weight.shape
        for t, taken in enumerate(self._taken):
            for rows in taken.rows:
                slopes.append(rows.slopes * -taken.scale)
                inputs.append(rows.inputs)
                step.append(torch.full((len(rows.inputs),), t))
        zero = OuterSum.zero(o, d, dtype=self._start.dtype, device=self._store)
        update = OuterSum(torch.cat(slopes), torch.cat(inputs)) if slopes else zero
        return update, torch.cat(step) if step else torch.zeros(0, dtype=torch.long)

    def dual_form(self) -> DualForm:
        """Return the layer as W_0 x + Σ_i e_i (x_i · x).

        The error signal e_i is −s_t ∂L/∂y_i, where s_t says how much step t still counts at the
        end: the step size for plain SGD, a filtered sum of step sizes with momentum, and less the
        longer ago it was with weight decay.

        Raises
        ------
        RuntimeError
            If the layer's weight is not what the recorded steps give: something else changed it.
        """
        raw, step = self.raw()
        value, key, bias_key = (f.to(raw.device, raw.dtype)[step] for f in self._factors())
        errors, keys = raw.errors * value[:, None], raw.keys
        if not bool(key.all()):
            keys = keys * key[:, None]
        if self.layer.bias is not None:
            keys = torch.cat([keys, bias_key[:, None]], dim=1)
        form = DualForm(
            self._initial().to(raw.device),
            OuterSum(errors, keys),
            step.to(raw.device),
            self.layer.bias is not None,
        )
        self._check_result(form)
        return form

    # ---- hooks ------------------------------------------------------------------------------

    def _on_forward(self, layer: nn.Linear, args: tuple, kwargs: dict, output: Tensor) -> None:
        if not output.requires_grad:
            return
        inputs = (args[0] if args else kwargs["input"]).detach()
        call = self._calls = self._calls + 1
        output.register_hook(lambda slope: self._on_backward(call, inputs, slope))

    def _on_backward(self, call: int, inputs: Tensor, slope: Tensor) -> None:
        flat, slope = inputs.reshape(-1, inputs.shape[-1]), slope.reshape(-1, slope.shape[-1])
        self._arriving.append(
            _Rows(call, _kept(flat, self._store), _kept(slope.detach(), self._store))
        )

    def _on_gradient(self, gradient: Tensor) -> None:
        grad = self.layer.weight.grad
        self._fresh = grad is None or not bool(grad.any())

    def _on_accumulated(self, weight: Tensor) -> None:
        if self._fresh:
            self._pending = []
        self._pending += sorted(self._arriving, key=lambda rows: rows.call)
        self._arriving = []

    def _on_step(self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
        layer = self.layer
        if layer.weight.grad is None:
            return
        used = bool(layer.weight.grad.any())
        scale = self._explain_gradient() if used else 0.0
        rows = tuple(self._pending) if scale else ()
        steps = [self._settings(p) for p in (layer.weight, layer.bias)]
        self._taken.append(_Taken(rows, scale, *steps))

    # ---- inside -----------------------------------------------------------------------------

    def _explain_gradient(self) -> float:
        """Return g with gradient = g Σ_i slope_i ⊗ x_i; clipping by the norm makes it below 1."""
        if not self._verify:
            return 1.0
        bias = self.layer.bias.grad if self._bias_trained else None
        weight = _with_bias(self.layer.weight.grad, bias).to(self._store)
        seen, bound = torch.zeros_like(weight), 0.0
        for rows in self._pending:
            keys = pad(rows.inputs, (0, 1), value=1.0) if bias is not None else rows.inputs
            seen += rows.slopes.T @ keys
            bound += (rows.slopes.norm(dim=1) * keys.norm(dim=1)).sum().item()
        allowed = 1e3 * torch.finfo(weight.dtype).eps * max(bound, weight.norm().item())
        size = (seen * seen).sum().item()
        scale = (seen * weight).sum().item() / size if size > allowed**2 else 1.0
        if abs(scale - 1) * size**0.5 <= allowed:
            scale = 1.0
        gap = (weight - scale * seen).norm().item()
        if not gap <= allowed:
            raise RuntimeError(
                "the weight's gradient is not the sum of the recorded outer products "
                f"(they differ by {gap:.3g}, the gradient has norm {weight.norm().item():.3g}): "
                "is there a penalty on the weight, a use of it outside the layer, clipping entry "
                "by entry, or a call of torch.autograd.grad while recording?"
            )
        return scale

    def _group(self, parameter: Tensor) -> dict | None:
        for group in self.optimizer.param_groups:
            if any(parameter is p for p in group["params"]):
                return group
        return None

    def _trained(self, parameter: Tensor) -> bool:
        return parameter.requires_grad and self._group(parameter) is not None

    def _state(self, parameter: Tensor) -> dict:
        return self.optimizer.state.get(parameter, {})

    def _settings(self, parameter: Tensor | None) -> Step:
        group = None if parameter is None else self._group(parameter)
        if group is None or parameter.grad is None:
            return FROZEN
        step = Step(
            lr=_number(group, "lr"),
            momentum=_number(group, "momentum"),
            dampening=_number(group, "dampening"),
            nesterov=bool(group.get("nesterov", isinstance(self.optimizer, rules.Nesterov))),
            weight_decay=_number(group, "weight_decay"),
            maximize=bool(group.get("maximize", False)),
        )
        if step.momentum and id(parameter) not in self._moving:
            self._moving.add(id(parameter))
            step = replace(step, first=True)
        return step

    def _unroll(self, which: str) -> tuple[Tensor, float, float]:
        return unroll([getattr(taken, which) for taken in self._taken])

    def _factors(self) -> tuple[Tensor, Tensor, Tensor]:
        """For each step: what multiplies its error signals, its keys, and the bias's key 1."""
        weight, bias = (-self._unroll(which)[0] for which in ("weight", "bias"))
        idle = weight == 0  # then the factor of the bias has no error signal to ride on
        value = torch.where(idle, 1.0, weight)
        return value, (~idle).to(weight.dtype), bias / value

    def _initial(self) -> Tensor:
        """What the recorded steps leave of the first weight and of an earlier velocity."""
        initial = torch.zeros_like(self._start)
        bias = initial.shape[1] - (self.layer.bias is not None)
        for which, columns in (("weight", slice(None, bias)), ("bias", slice(bias, None))):
            _, alpha, beta = self._unroll(which)
            initial[:, columns] = alpha * self._start[:, columns]
            if self._velocity is not None:
                initial[:, columns] += beta * self._velocity[:, columns]
        return initial

    def _find_velocity(self) -> Tensor | None:
        """The velocity that the optimizer brings along from steps before the recording."""
        weight, bias = self.layer.weight, self.layer.bias
        columns = [self._state(weight).get("momentum_buffer")]
        if bias is not None:
            columns.append(self._state(bias).get("momentum_buffer"))
        if all(c is None for c in columns):
            return None
        blank = [torch.zeros_like(p) for p in (weight, bias) if p is not None]
        filled = [b if c is None else c for c, b in zip(columns, blank, strict=True)]
        return torch.cat([f.detach().reshape(len(weight), -1) for f in filled], dim=1).clone()

    def _check_result(self, form: DualForm) -> None:
        end = _weight_with_bias(self.layer) if self._end is None else self._end
        gap = relative_difference(form.as_matrix(), end.to(form.initial.device))
        allowed = torch.finfo(end.dtype).eps ** 0.5
        if self._verify and not gap <= allowed:
            raise RuntimeError(
                f"the recorded steps give a weight that differs from the layer's by {gap:.2g} "
                f"(relative; {allowed:.1g} allowed): something else changed the weight"
            )


@contextmanager
def record_linear(
    layer: nn.Linear,
    optimizer: torch.optim.Optimizer,
    *,
    verify: bool = True,
    store: torch.device | str | None = None,
) -> Iterator[Recording]:
    """Record a linear layer while it is trained, inside a ``with`` block.

    Minibatches, sequences (``B T d`` becomes B · T examples), several calls of the layer in one
    pass, gradient accumulation, clipping by the norm, schedules, momentum, Nesterov's momentum,
    dampening and weight decay are all one number per example, and handled. A bias is the weight of
    a constant input 1.

    Parameters
    ----------
    layer
        The layer; its input and output widths are d and o.
    optimizer
        ``torch.optim.SGD``, or SGD, Momentum or Nesterov of :mod:`icl_lib.optim.rules`.
    verify
        Compare each gradient with the recorded outer products, at the cost of one more product
        per step.
    store
        Device that keeps the recorded examples, N (d + o) numbers; by default where they are.

    Yields
    ------
    Recording
        Ask it for :meth:`Recording.dual_form`, inside the block or after it.

    Raises
    ------
    TypeError
        If the optimizer is none of those: Adam's update is no sum of one number times e_i ⊗ x_i.
    ValueError
        If the layer's weight is frozen, parametrised or unknown to the optimizer.
    RuntimeError
        In a step whose gradient is not made of the layer's inputs and error signals.

    Notes
    -----
    Source: Irie, Csordás and Schmidhuber (2022), section 3, for SGD; momentum and weight decay are
    derived in the chapter.
    Explained in: 05_dual_form.
    """
    recording = Recording(layer, optimizer, verify=verify, store=store)
    try:
        yield recording
    finally:
        recording.close()


@contextmanager
def record(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    verify: bool = True,
    store: torch.device | str | None = None,
) -> Iterator[dict[str, Recording]]:
    """Record every linear layer of a model that the optimizer trains; see :func:`record_linear`.

    Yields
    ------
    dict
        One recording for each layer, by the layer's name in the model.

    Raises
    ------
    ValueError
        If the optimizer trains no linear layer of the model.

    Notes
    -----
    Explained in: 05_dual_form.
    """
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    layers = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and id(layer.weight) in known and layer.weight.requires_grad
    }
    if not layers:
        raise ValueError("the optimizer trains no linear layer of this model")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(record_linear(layer, optimizer, verify=verify, store=store))
            for name, layer in layers.items()
        }


def _check_layer(layer: nn.Linear) -> None:
    if not isinstance(layer, nn.Linear):
        raise TypeError(f"only a torch.nn.Linear can be recorded, got {type(layer).__name__}")
    if not layer.weight.is_leaf:
        raise ValueError("the layer's weight is computed (parametrised); only a plain one can be")
    if not layer.weight.requires_grad:
        raise ValueError("the layer's weight is frozen (requires_grad is False)")


def _check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    if isinstance(optimizer, LINEAR_RULES):
        return
    raise TypeError(
        f"{type(optimizer).__name__} has no dual form that can be recorded: the update must be "
        "linear in the gradient with one number for the whole matrix, as in SGD with momentum and "
        "weight decay. Adam and its relatives divide entry by entry, so that no weights w_i make "
        "Σ w_i e_i ⊗ x_i equal to their update; icl_lib.dual.fit_to_examples measures how far off "
        "the best ones are."
    )


def _number(group: dict, name: str) -> float:
    value = group.get(name, 0.0)
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(f"{name} has shape {tuple(value.shape)}; one number per step is needed")
    return float(value)


def _kept(values: Tensor, store: torch.device | str | None) -> Tensor:
    return values.to(store, copy=True) if store is not None else values.clone()


def _with_bias(weight: Tensor, bias: Tensor | None) -> Tensor:
    return weight.clone() if bias is None else torch.cat([weight, bias[:, None]], dim=1)


def _weight_with_bias(layer: nn.Linear) -> Tensor:
    bias = None if layer.bias is None else layer.bias.detach()
    return _with_bias(layer.weight.detach(), bias)
