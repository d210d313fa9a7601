"""Supervised fine-tuning: one recipe, one objective with its remedies, one function that trains.

The remedies against forgetting are small steps, freezing (the methods), replay of old text, and a
penalty for leaving the original model.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn

from icl_lib import optim
from icl_lib.finetune.forgetting import kl_divergence
from icl_lib.finetune.labels import COUNTED, LabelTask, label_loss
from icl_lib.finetune.lora import TARGETS
from icl_lib.finetune.methods import METHODS, prepare
from icl_lib.models.gpt import GPT

RULES: Mapping[str, Callable[..., torch.optim.Optimizer]] = MappingProxyType(
    {
        # torch's own, all weights in one go: ours, which is equal, takes a quarter of such a step
        "AdamW": partial(torch.optim.AdamW, weight_decay=0.0, fused=True),
        "SGD": torch.optim.SGD,
    }
)


@dataclass(frozen=True)
class Recipe:
    r"""How to fine-tune, remedies against forgetting included.

    .. math::
        L = (1 - ρ)\,L_\text{task} + ρ\,L_\text{old} + β\,\overline{\mathrm{KL}}(π_0 ‖ π)

    With replay ρ, a share ρ of the rows of each batch is old text, so the first two terms are the
    mean over the rows. The mean of the KL runs over the places of the old windows of the step.

    Attributes
    ----------
    lr, steps, batch
        Step size, steps, rows per step.
    method
        Which weights train, one of ``METHODS``.
    rule
        ``AdamW`` (without weight decay) or ``SGD``.
    on
        ``label`` or ``all``: which tokens of an example count.
    replay
        ρ, from 0 to below 1, rounded to whole rows of the batch, at least one if not 0. What is
        used, in the formula too, is :attr:`share`.
    kl
        β, at least 0.
    windows
        Old windows per step for the KL, when nothing is replayed; with replay its rows serve both.
    rank, alpha, targets
        For ``lora``.
    seed
        Order of examples and old windows, first A of LoRA.

    Raises
    ------
    ValueError
        If a number is out of range or a name unknown.
    """

    lr: float
    steps: int
    batch: int = 16
    method: str = "full"
    rule: str = "AdamW"
    on: str = "label"
    replay: float = 0.0
    kl: float = 0.0
    windows: int = 4
    rank: int = 4
    alpha: float | None = None
    targets: tuple[str, ...] = TARGETS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}; there are {', '.join(METHODS)}")
        if self.rule not in RULES:
            raise ValueError(f"unknown rule {self.rule!r}; there are {', '.join(RULES)}")
        if self.on not in COUNTED:
            raise ValueError(f"the loss counts {' or '.join(COUNTED)} tokens, got {self.on!r}")
        if not 0 <= self.replay < 1:
            raise ValueError(f"replay is a share from 0 to below 1, got {self.replay}")
        if not 0 <= self.kl < math.inf:
            raise ValueError(
                f"the factor of the KL penalty must be finite and at least 0, got {self.kl}"
            )
        if not 0 < self.lr < math.inf:
            raise ValueError(f"the step size must be positive and finite, got {self.lr}")
        if min(self.steps, self.batch, self.windows) < 1:
            raise ValueError(
                f"steps, batch and windows must be at least 1, got {self.steps}, {self.batch} "
                f"and {self.windows}"
            )
        if not self.old_rows < self.batch:
            raise ValueError(
                f"replay {self.replay} of a batch of {self.batch} leaves no row for the task"
            )

    @property
    def old_rows(self) -> int:
        """Rows of a batch that are replayed old text."""
        return max(1, round(self.replay * self.batch)) if self.replay else 0

    @property
    def share(self) -> float:
        """The ρ that is used: replayed rows over all rows."""
        return self.old_rows / self.batch

    @property
    def needs_old_text(self) -> bool:
        """Whether training looks at old text at all."""
        return self.old_rows > 0 or self.kl > 0


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned copy of a model, what was trained, and the course of the training."""

    model: GPT
    trained: list[nn.Parameter]
    run: optim.Run


@dataclass(frozen=True, eq=False)
class Objective:
    """The loss function of a recipe, for :func:`icl_lib.optim.train`.

    Attributes
    ----------
    recipe
        Says what is counted.
    task, old
        All training examples and all old windows; a batch names some of each by number.
    reference
        The original model π_0; asked for logits only if the recipe has a KL penalty.
    """

    recipe: Recipe
    task: LabelTask
    old: Int[Tensor, "N T"] | None
    reference: GPT

    def __call__(self, model: GPT, batch: tuple[Tensor, Tensor]) -> Tensor:
        examples, windows = batch
        recipe = self.recipe
        loss = label_loss(model, self.task[examples], on=recipe.on)
        if not len(windows):
            return loss
        old = self.old[windows]
        logits = model(old[:, :-1])
        if recipe.old_rows:
            replayed = F.cross_entropy(logits.flatten(0, 1), old[:, 1:].flatten())
            loss = (1 - recipe.share) * loss + recipe.share * replayed
        if recipe.kl:
            with torch.no_grad():
                reference = self.reference(old[:, :-1])
            loss = loss + recipe.kl * kl_divergence(reference, logits).mean()
        return loss


def finetune(
    base: GPT,
    task: LabelTask,
    recipe: Recipe,
    *,
    old: Int[Tensor, "N T"] | None = None,
    callbacks: Sequence[object] = (),
) -> FineTuned:
    """Fine-tune a copy of a model on a task.

    Parameters
    ----------
    base
        Left as it is; it is also the reference of the KL penalty.
    task
        Training examples.
    recipe
        How.
    old
        Windows of old text, for the remedies that need it. Do not measure forgetting on them.
    callbacks
        For :func:`icl_lib.optim.train`.

    Raises
    ------
    ValueError
        If the recipe needs old text and there is none, or the task has fewer examples, or the old
        text fewer windows, than a step takes.

    Source: replay and the penalty are the common remedies of continual learning; Dai et al.
    (2023) use neither.

    Explained in: 08_fine_tuning
    """
    rows, windows = recipe.batch - recipe.old_rows, 0
    if recipe.needs_old_text:
        if old is None:
            raise ValueError("replay and the KL penalty need windows of old text, got none")
        windows = recipe.old_rows or recipe.windows
        if old.ndim != 2 or old.shape[1] < 2 or len(old) < windows:
            raise ValueError(
                f"a step takes {windows} windows of old text of two tokens or more, got shape "
                f"{tuple(old.shape)}"
            )
    lora = {"rank": recipe.rank, "alpha": recipe.alpha, "targets": recipe.targets}
    model, trained = prepare(base, recipe.method, seed=recipe.seed, **lora)
    examples = optim.Shuffled(torch.arange(len(task)), rows, seed=recipe.seed)
    nothing = torch.empty(0, dtype=torch.long)
    past = None
    if windows:
        past_seed = optim.derive_seed(recipe.seed, 1)
        past = optim.Shuffled(torch.arange(len(old)), windows, seed=past_seed)
    run = optim.train(
        model,
        Objective(recipe, task, old, base),
        lambda step: (examples(step), past(step) if past else nothing),
        RULES[recipe.rule](trained, lr=recipe.lr),
        steps=recipe.steps,
        callbacks=callbacks,
        seed=recipe.seed,
    )
    return FineTuned(model, trained, run)
