"""The book's own model for the paper's experiment: a small GPT that reads the lab language.

This course is a plan: it has been run in parts only, no network of it has reached its bars, and
none ships. Until one does, ``icl-lib train`` does not offer it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from icl_lib import optim
from icl_lib.models.gpt import GPT, GPTConfig
from icl_lib.recipes import cards
from icl_lib.tasks.lab import AGREEMENT, ASK, Lab
from icl_lib.tasks.lab_tasks import LabTask, measured_tasks

DEMONSTRATIONS = 16
"""Demonstrations in the longest prompt."""

RECORD_EVERY = 250
"""Steps between two measurements in training."""


@dataclass(frozen=True)
class Stage:
    """What documents are like up to some share of the course.

    Attributes
    ----------
    until
        The share of all steps at which the stage ends.
    words
        Words of a sentence, at most as many as the language has.
    noise
        Share of the language's noise.
    pool
        Different sentences of a value in a document, see
        :meth:`icl_lib.tasks.lab.Lab.documents`.
    examples
        In a document.
    singles, pairs, repeats
        Documents of each kind in a batch.
    """

    until: float
    words: int
    noise: float
    pool: int | None
    examples: int
    singles: int = 16
    pairs: int = 4
    repeats: int = 8


STAGES = (
    Stage(0.10, words=1, noise=0.0, pool=1, examples=12),
    Stage(0.25, words=1, noise=0.0, pool=None, examples=12),
    Stage(0.35, words=2, noise=0.0, pool=None, examples=12),
    Stage(0.50, words=4, noise=0.0, pool=None, examples=12),
    Stage(0.60, words=4, noise=0.5, pool=None, examples=17),
    Stage(1.00, words=4, noise=1.0, pool=None, examples=17, singles=24, pairs=8),
)
"""Short and clean sentences first: looking a label up is learned on them."""


@dataclass(frozen=True)
class Course:
    """The documents of every step.

    Attributes
    ----------
    lab, seed
        The language, and what decides the draws.
    steps
        Of the whole course.
    stages
        In order; the last one ends at 1.
    repeat_length
        Tokens of a repeat.

    Raises
    ------
    ValueError
        If the stages do not follow each other up to 1.
    """

    lab: Lab
    seed: int
    steps: int
    stages: tuple[Stage, ...] = STAGES
    repeat_length: int = 49

    def __post_init__(self) -> None:
        ends = [stage.until for stage in self.stages]
        if not ends or ends != sorted(set(ends)) or ends[-1] != 1:
            raise ValueError(f"stages must end at rising shares up to 1, got {ends}")

    def stage(self, step: int) -> Stage:
        """Return the stage that a step belongs to."""
        return next((s for s in self.stages if step < s.until * self.steps), self.stages[-1])

    def __call__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the documents of a step: singles, pairs, repeats."""
        generator = torch.Generator().manual_seed(optim.derive_seed(self.seed, step))
        now = self.stage(step)
        lab = replace(
            self.lab,
            words=min(now.words, self.lab.words),
            pair_words=min(now.words, self.lab.pair_words),
            noise=now.noise * self.lab.noise,
        )
        single, pair = (
            lab.plans(now.singles, generator),
            lab.plans(now.pairs, generator, pairs=True),
        )
        return (
            lab.documents(single, now.examples, generator, pool=now.pool),
            lab.documents(pair, now.examples, generator, pool=now.pool),
            lab.repeats(now.repeats, self.repeat_length, self.repeat_length // 3, generator),
        )


class Measure(optim.Callback):
    """Measure the network now and then; rows go to ``run.records``, to four digits."""

    def __init__(self, recipe: "Recipe"):
        self.recipe = recipe

    def start(self, run: optim.Run) -> None:
        """Measure the untrained network."""
        if run.step == 0 and not run.records:
            self._record(run)

    def after_step(self, run: optim.Run) -> None:
        """Measure when it is time."""
        if run.step % RECORD_EVERY == 0 or run.step == self.recipe.steps:
            self._record(run)

    def _record(self, run: optim.Run) -> None:
        run.record(lambda model: {k: round(v, 4) for k, v in curve(model, self.recipe.lab).items()})


def curve(model: GPT, lab: Lab, *, documents: int = 64) -> dict[str, float]:
    """Return the accuracy on each measured task without and after 16 demonstrations.

    Every document has its own demonstrations.
    """
    found = {}
    for task in measured_tasks(lab).values():
        right = _right(model, task, documents)
        found[f"{task.name}_0"] = right[:, 0].mean().item()
        found[f"{task.name}_{DEMONSTRATIONS}"] = right[:, -1].mean().item()
    for shots in (0, DEMONSTRATIONS):
        of = [v for k, v in found.items() if k.endswith(f"_{shots}")]
        found[f"mean_{shots}"] = sum(of) / len(of)
    return found


def _right(model: GPT, task: LabTask, documents: int) -> Float[Tensor, "B E"]:
    """Return which labels of documents of one task the model names rightly."""
    generator = torch.Generator().manual_seed(optim.derive_seed(task.seed, 3))
    drawn = task.lab.documents(task.plan(documents), DEMONSTRATIONS + 1, generator)
    at = _asked_at(drawn)
    candidates = torch.cat(task.label_tokens)
    said = model(drawn[:, :-1])[:, at][..., candidates].argmax(-1)
    return (candidates[said] == drawn[:, at + 1]).float()


def _asked_at(documents: Int[Tensor, "B T"]) -> Int[Tensor, " E"]:
    """Return the places of the marks before labels, the same in all documents of one kind."""
    return (documents[0] == ASK).nonzero()[:, 0]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the training.

    Attributes
    ----------
    name
        What ``icl-lib train`` calls it.
    layers, heads, width
        Size of the network.
    steps, step_size, warmup, betas
        AdamW with a linear warm-up and a cosine down to 0.
    text_weight, repeat_weight
        Weight of the loss on all tokens of solved examples, beside 1 for that on their labels, and
        of the loss on repeats.
    seed
        Decides weights and documents.
    lab
        The language.
    stages
        What documents are like in the course of the training.
    """

    name: str = "lab"
    layers: int = 3
    heads: int = 4
    width: int = 64
    steps: int = 6000
    step_size: float = 4e-3
    warmup: int = 100
    betas: tuple[float, float] = (0.9, 0.98)
    text_weight: float = 0.3
    repeat_weight: float = 0.5
    seed: int = 0
    lab: Lab = field(default_factory=Lab)
    stages: tuple[Stage, ...] = STAGES

    data = "none: documents of icl_lib.tasks.lab are drawn at every step"

    @property
    def config(self) -> GPTConfig:
        """Shape of the network."""
        return GPTConfig(
            self.lab.vocab_size,
            (DEMONSTRATIONS + 1) * (self.lab.text_length(AGREEMENT) + 2),
            self.layers,
            self.heads,
            self.width,
            positions="sinusoidal",
            embed_scale=4.0,
            init="fan_in",
        )

    @property
    def course(self) -> Course:
        """The documents of every step."""
        return Course(self.lab, self.seed, self.steps, self.stages)

    def untrained(self) -> GPT:
        """Return the network before its first step."""
        return GPT(self.config, seed=self.seed)

    def train(self, model: GPT, *, steps: int | None = None, callbacks: Sequence = ()) -> optim.Run:
        """Train ``model`` in place, for all steps or only the first ones of the same course."""
        return optim.train(
            model,
            self.loss,
            self.course,
            optim.AdamW(model.parameters(), self.step_size, betas=self.betas, weight_decay=0.0),
            steps=self.steps if steps is None else steps,
            schedule=optim.Warmup(self.warmup, optim.Cosine(self.steps - self.warmup)),
            clip=1.0,
            callbacks=[Measure(self), *callbacks],
            seed=self.seed,
        )

    def loss(self, model: GPT, batch: tuple[Tensor, Tensor, Tensor]) -> Float[Tensor, ""]:
        r"""Return the loss of one step.

        .. math:: L = \sum_{s} \frac{n_s}{n_1}\Bigl(L^{\text{label}}_s + w\,L^{\text{all}}_s\Bigr)
            + r\,L_{\text{repeats}}

        over single sentences and pairs, with n documents each.
        """
        device = model.tokens.weight.device
        single, pair, repeat = (documents.to(device) for documents in batch)
        total = self.repeat_weight * _token_losses(model, repeat).mean()
        for documents in (single, pair):
            losses = _token_losses(model, documents)
            part = losses[:, _asked_at(documents)].mean() + self.text_weight * losses.mean()
            total = total + len(documents) / len(single) * part
        return total

    def describe(self) -> dict:
        """Return everything that decides the training, as plain data."""
        return asdict(self) | {"repeat_length": self.course.repeat_length}

    def metrics(self, model: GPT) -> dict[str, float]:
        """Return the accuracies of :func:`curve` on more documents."""
        model.eval()
        with torch.no_grad():
            return curve(model, self.lab, documents=512)

    def extras(self) -> dict:
        """Return nothing: the language is in the recipe."""
        return {}


def _token_losses(model: GPT, documents: Int[Tensor, "B T1"]) -> Float[Tensor, "B T"]:
    logits = model(documents[:, :-1])
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), documents[:, 1:].flatten(), reduction="none"
    )
    return losses.view(len(documents), -1)


RECIPES = MappingProxyType({"lab": Recipe()})
"""The training by name."""


def shipped(name: str = "lab") -> tuple[GPT, dict]:
    """Load the network that the book ships, and its card.

    Raises
    ------
    KeyError
        If no training is called so.
    """
    return cards.load_shipped(cards.named(RECIPES, name))
