"""A training on its way: what it has done so far, and all that is needed to go on."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn


class Diverged(ArithmeticError):
    """The loss or the gradient is no longer a finite number.

    Attributes
    ----------
    step
        The step at which it happened.
    last_loss
        The last finite loss, ``nan`` if there was none.
    """

    def __init__(self, what: str, value: float, step: int, last_loss: float):
        self.step, self.last_loss = step, last_loss
        before = "no step before it" if math.isnan(last_loss) else f"last finite {last_loss:.6g}"
        super().__init__(
            f"training diverged: {what} is {value} at step {step} (loss: {before}); "
            "the weights are as they were before this step. A smaller step size, a warm-up or "
            "gradient clipping usually helps"
        )


@dataclass
class Run:
    """A training on its way.

    Attributes
    ----------
    model, rule
        What is trained, and by which rule.
    steps
        How many steps in all.
    settings
        What must be the same when the run is resumed.
    step
        Steps that are done.
    losses
        The loss of each step, before its update.
    records
        Rows that callbacks measured, each with its ``step``.
    seconds
        Processor time of all steps, those before a resumption included; measuring does not count.
    interrupted
        Whether the run was stopped before its last step.
    checkpoint
        The file that holds its state, if a callback keeps one.
    updating
        Whether an update is under way, so that the weights belong to no step.
    """

    model: nn.Module
    rule: torch.optim.Optimizer
    steps: int
    settings: dict[str, str] = field(default_factory=dict, repr=False)
    step: int = 0
    losses: list[float] = field(default_factory=list, repr=False)
    records: list[dict] = field(default_factory=list, repr=False)
    seconds: float = 0.0
    interrupted: bool = False
    checkpoint: Path | None = None
    updating: bool = field(default=False, repr=False)

    @property
    def loss(self) -> float:
        """The latest loss, ``nan`` before the first step."""
        return self.losses[-1] if self.losses else math.nan

    def record(self, measure: Callable[..., dict]) -> None:
        """Add the row that ``measure(model)`` returns, measured in evaluation mode."""
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            row = {name: float(value) for name, value in measure(self.model).items()}
        self.model.train(training)
        self.records.append({"step": self.step, **row})

    def summary(self) -> str:
        """Return one sentence: how far, the loss, and how to go on after an interruption."""
        text = f"{self.step} of {self.steps} steps, loss {self.loss:.4g}"
        if not self.interrupted:
            return text
        how = (
            f"saved to {self.checkpoint}; call train with the same arguments to go on"
            if self.checkpoint
            else "call train with the same arguments and resume=run to go on"
        )
        return f"interrupted after {text}; {how}"

    def __repr__(self) -> str:
        return f"Run({self.summary()})"

    def state_dict(self) -> dict:
        """Return everything that a resumed run needs, as tensors and plain data."""
        return {
            "settings": dict(self.settings),
            "step": self.step,
            "seconds": self.seconds,
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "records": list(self.records),
            "model": self.model.state_dict(),
            "rule": self.rule.state_dict()["state"],
        }

    def check_settings(self, then: dict[str, str], what: str) -> None:
        """Raise ``ValueError`` if an earlier run had other settings; the message names them."""
        for name in {**self.settings, **then}:
            if then.get(name) != self.settings.get(name):
                raise ValueError(
                    f"the {what} with {name} = {then.get(name)}, this run has "
                    f"{self.settings.get(name)}; resume with the same settings, or start anew "
                    "without resuming"
                )

    def load_state_dict(self, state: dict) -> None:
        """Continue from ``state``.

        Raises
        ------
        ValueError
            If the state belongs to a run with other settings; the message names them.
        """
        self.check_settings(state["settings"], "checkpoint was written")
        self.model.load_state_dict(state["model"])
        groups = self.rule.state_dict()["param_groups"]
        self.rule.load_state_dict({"state": state["rule"], "param_groups": groups})
        self.step = state["step"]
        self.seconds = state.get("seconds", 0.0)
        self.losses = state["losses"].tolist()
        self.records = list(state["records"])
