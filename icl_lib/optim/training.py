"""The training loop: batch, loss, gradient, step; and what makes it safe to stop at any moment."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from icl_lib.optim import parallel
from icl_lib.optim.callbacks import Callback
from icl_lib.optim.clipping import clip_by_norm
from icl_lib.optim.order import derive_seed
from icl_lib.optim.run import Diverged, Run
from icl_lib.optim.schedules import Constant, Schedule


class _Function(Callback):
    """A plain function in the list of callbacks."""

    def __init__(self, function: Callable[[Run], None]):
        self.function = function

    def after_step(self, run: Run) -> None:
        self.function(run)


def train(
    model: nn.Module,
    loss_fn: Callable[[nn.Module, object], Tensor],
    batches: Callable[[int], object],
    rule: torch.optim.Optimizer,
    *,
    steps: int,
    schedule: Schedule | None = None,
    clip: float | None = None,
    callbacks: Sequence[Callback | Callable[[Run], None]] = (),
    seed: int = 0,
    resume: Run | None = None,
) -> Run:
    r"""Train ``model`` in place.

    Each step: :math:`L = \text{loss}(\text{model}, \text{batch}_t)`, its gradient, clipped if
    asked, and one update with the step size of the rule times :math:`\text{schedule}(t)`.

    Parameters
    ----------
    model
        Stays on its device.
    loss_fn
        ``loss_fn(model, batch)`` returns one number, the mean over the examples of the batch.
    batches
        ``batches(step)`` returns the batch of a step: the data order is a function of the step,
        see :mod:`icl_lib.optim.order`. Among several processes every one draws the whole batch
        and keeps its share.
    rule
        One of ours or any optimiser of torch, made from the model's parameters.
    steps
        Steps in all, those of a resumed run included.
    schedule
        Factor on the step size of every parameter group, a function of the step.
    clip
        Longest gradient norm, over all parameters that the rule trains; ``None`` leaves gradients
        alone.
    callbacks
        Objects of :class:`Callback`, or functions ``f(run)`` to be called after each step.
    seed
        Decides dropout, together with step and process; the global generator is left as found.
    resume
        A run of this model that was interrupted and is to be continued from memory.

    Returns
    -------
    Run
        With the losses and records. Ctrl-C, or a notebook's stop button, ends the step that is
        under way and returns the run too, with ``interrupted`` set.

    Raises
    ------
    Diverged
        If loss or gradient norm is no finite number.
    ValueError
        If the loss is not a single number, or checkpoint or ``resume`` belong to another run.

    Explained in: 04_gradient_descent
    """
    schedule = Constant() if schedule is None else schedule
    hooks = [c if isinstance(c, Callback) else _Function(c) for c in callbacks]
    settings = _describe(model, rule, schedule, batches, clip, seed)
    run = Run(model, rule, steps, settings)
    if resume is not None:
        run.check_settings(resume.settings, "interrupted run was made")
        run.step, run.losses, run.records = resume.step, resume.losses, resume.records
        run.seconds = resume.seconds
    for hook in hooks:
        hook.restore(run)
    step_sizes = [group["lr"] for group in rule.param_groups]
    objective = parallel.objective(model, loss_fn)
    model.train()
    for hook in hooks:
        hook.start(run)
    try:
        with _interruptible() as interrupt:
            while run.step < steps and not run.interrupted:
                began = time.process_time()
                for group, lr in zip(rule.param_groups, step_sizes, strict=True):
                    group["lr"] = lr * schedule(run.step)
                loss = _one_step(run, objective, batches, clip, seed)
                run.seconds += time.process_time() - began
                for hook in hooks:
                    hook.after_step(run)
                run.interrupted = parallel.any_process(interrupt.is_set(), loss)
    except KeyboardInterrupt:
        if run.updating:
            raise
        run.interrupted = True
    finally:
        for group, lr in zip(rule.param_groups, step_sizes, strict=True):
            group["lr"] = lr
        rule.zero_grad()
    run.interrupted = run.interrupted and run.step < steps
    for hook in hooks:
        hook.end(run)
    return run


def _one_step(
    run: Run,
    objective: nn.Module,
    batches: Callable[[int], object],
    clip: float | None,
    seed: int,
) -> Tensor:
    rank, world = parallel.place()
    batch = parallel.share(batches(run.step), rank, world)
    run.rule.zero_grad()
    device = next(run.model.parameters()).device
    with _seeded(derive_seed(seed, run.step, rank), device):
        loss = objective(batch)
        if loss.numel() != 1:
            raise ValueError(f"loss_fn must return one number, got shape {tuple(loss.shape)}")
        mean = parallel.mean_over_processes(loss.detach()).item()
        if not math.isfinite(mean):
            raise Diverged("the loss", mean, run.step, run.loss)
        loss.backward()
    if clip is not None:
        # others of the model's parameters may have gradients too, which nobody clears
        trained = [p for group in run.rule.param_groups for p in group["params"]]
        norm = clip_by_norm(trained, clip)
        if not math.isfinite(norm):
            raise Diverged("the gradient norm", norm, run.step, mean)
    run.updating = True
    run.rule.step()
    run.losses.append(mean)
    run.step += 1
    run.updating = False
    return loss


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators, which dropout draws from, and leave them as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag, so that no update is left half done; the second stops."""
    flag = threading.Event()

    def ask(number, frame):
        if flag.is_set():
            raise KeyboardInterrupt
        flag.set()

    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


def _describe(
    model: nn.Module,
    rule: torch.optim.Optimizer,
    schedule: Schedule,
    batches: object,
    clip: float | None,
    seed: int,
) -> dict[str, str]:
    """Return what decides the course of a run, as text to be compared when it is resumed."""
    kept = "params", "foreach", "fused", "capturable", "differentiable", "initial_lr"
    groups = [{k: v for k, v in g.items() if k not in kept} for g in rule.param_groups]
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    source = repr(batches) if "object at 0x" not in repr(batches) else type(batches).__name__
    source = getattr(batches, "__qualname__", source)
    return {
        "model": f"{type(model).__name__} {shapes}",
        "rule": f"{type(rule).__name__} {groups}",
        "schedule": repr(schedule)
        if "object at 0x" not in repr(schedule)
        else type(schedule).__name__,
        "batches": source,
        "clip": str(clip),
        "seed": str(seed),
    }
