"""Five sizes of one GPT on one stream: what grows smoothly with size and what appears suddenly."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from types import MappingProxyType

import torch
from jaxtyping import Int
from torch import Tensor

from icl_lib import optim
from icl_lib.models.gpt import GPT, GPTConfig
from icl_lib.recipes import cards
from icl_lib.scaling import (
    answer,
    in_context_score,
    loss_by_position,
    prefix_matching,
    prompt_losses,
)
from icl_lib.tasks.stream import Stream

SHOTS = (0, 1, 2, 4, 8, 12)
"""Demonstrations in the prompts that a training records."""

EARLY, LATE = slice(0, 8), slice(24, 32)
"""Positions whose losses the in-context score compares."""

BINS = 8
"""Groups of positions whose mean loss a training records."""

RECORDED = (0, 25, 50, 100, 150, 200, *range(300, 1501, 100), 1750, 2000, 2250, 2500)
"""Steps at which a training measures itself."""


class Measure(optim.Callback):
    """Measure the network at the recorded steps; rows go to ``run.records``, to four digits."""

    def __init__(self, recipe: "Recipe"):
        self.recipe = recipe

    def start(self, run: optim.Run) -> None:
        """Measure the untrained network."""
        if run.step == 0 and not run.records:
            self._record(run)

    def after_step(self, run: optim.Run) -> None:
        """Measure when it is time."""
        if run.step in RECORDED or run.step == self.recipe.steps:
            self._record(run)

    def _record(self, run: optim.Run) -> None:
        tests = HeldOut.of(self.recipe.stream, few=True)
        run.record(lambda model: {k: round(v, 4) for k, v in tests.measure(model).items()})


@dataclass(frozen=True)
class HeldOut:
    """Documents that no training draws, on which every size is measured.

    Attributes
    ----------
    texts, lessons, repeats
        Documents of each kind.
    periods
        Of the repeats.
    questions
        Prompts for each number of demonstrations.
    """

    texts: Tensor
    lessons: Tensor
    repeats: Tensor
    periods: Tensor
    questions: tuple

    @classmethod
    def of(cls, stream: Stream, *, few: bool = False) -> "HeldOut":
        """Draw them: 1,024 documents of each kind, or a quarter of that."""
        return _tests(stream, 256 if few else 1024)

    def measure(self, model: GPT) -> dict[str, float]:
        """Return losses of all parts and positions, scores, and answers after demonstrations.

        ========================  =====================================================
        ``text``                  mean loss on texts
        ``label``                 mean loss on the labels of lessons, from the 5th on
        ``repeat``                mean loss on repeats where every period has come round
        ``position_00`` …         loss on the whole stream by groups of four positions
        ``score``                 in-context score of the whole stream
        ``text_score``            in-context score of texts alone
        ``prefix``                largest prefix-matching score of any head
        ``accuracy_0`` …          after so many demonstrations, four classes
        ``log_probability_0`` …   mean over the questions
        ========================  =====================================================
        """
        texts = loss_by_position(model, self.texts)
        lessons = prompt_losses(model, self.lessons)
        repeats = loss_by_position(model, self.repeats)
        stream = (texts + lessons.mean(0) + repeats) / 3
        found = {
            "text": texts.mean(),
            "label": lessons[:, 9::2].mean(),
            "repeat": repeats[LATE].mean(),
            "score": in_context_score(stream, early=EARLY, late=LATE),
            "text_score": in_context_score(texts, early=EARLY, late=LATE),
            "prefix": prefix_matching(model, self.repeats[:64], self.periods[:64]).max(),
        }
        for i, mean in enumerate(stream.view(BINS, -1).mean(1)):
            found[f"position_{i:02d}"] = mean
        for shots, asked in zip(SHOTS, self.questions, strict=True):
            said = answer(model, asked.prompts, asked.candidates, asked.answers)
            found[f"accuracy_{shots}"] = said.accuracy
            found[f"log_probability_{shots}"] = said.log_probability.mean()
        return {name: float(value) for name, value in found.items()}


@lru_cache(maxsize=4)
def _tests(stream: Stream, count: int) -> HeldOut:
    generator = torch.Generator().manual_seed(optim.derive_seed(stream.seed, 2))
    texts, lessons = stream.text(count, generator), stream.lessons(count, generator)
    repeats, periods = stream.repeats(count, generator)
    questions = tuple(stream.questions(count, k, generator=generator) for k in SHOTS)
    return HeldOut(texts, lessons, repeats, periods, questions)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the training of one size.

    Attributes
    ----------
    name
        What ``icl-lib train`` calls it.
    layers, heads, width
        Size of the network.
    steps, base, warmup, betas
        AdamW on fresh documents at every step, with a linear warm-up and a cosine down to 0; the
        step size is ``base`` at width 64 and falls with the root of the width.
    seed
        Decides weights and documents. All sizes of one seed see the same documents.
    stream
        The language, the same for all sizes and seeds.
    """

    name: str
    width: int
    layers: int = 2
    heads: int = 2
    steps: int = 2500
    base: float = 4e-3
    warmup: int = 100
    seed: int = 0
    betas: tuple[float, float] = (0.9, 0.98)
    stream: Stream = field(default_factory=Stream)

    data = "none: documents of icl_lib.tasks.stream are drawn at every step"

    @property
    def config(self) -> GPTConfig:
        """Shape of the network."""
        return GPTConfig(
            self.stream.vocab_size,
            self.stream.length,
            self.layers,
            self.heads,
            self.width,
            positions="sinusoidal",
            embed_scale=4.0,
            init="fan_in",
        )

    @property
    def step_size(self) -> float:
        """The largest step size of the schedule."""
        return self.base * (64 / self.width) ** 0.5

    @property
    def parameters(self) -> int:
        """N without the tables of tokens and positions, as Kaplan et al. count: the blocks."""
        return self.layers * (12 * self.width**2 + 13 * self.width) + 2 * self.width

    def untrained(self) -> GPT:
        """Return the network before its first step."""
        return GPT(self.config, seed=self.seed)

    def train(self, model: GPT, *, steps: int | None = None, callbacks: Sequence = ()) -> optim.Run:
        """Train ``model`` in place, for all steps or only the first ones of the same course.

        Parameters
        ----------
        model
            From :meth:`untrained`.
        steps
            Stop after so many; the schedule is that of the whole course.
        callbacks
            Passed to :func:`icl_lib.optim.train`, after one that measures.
        """
        return optim.train(
            model,
            _loss,
            optim.Generated(self.stream.batch, seed=self.seed),
            optim.AdamW(model.parameters(), self.step_size, betas=self.betas, weight_decay=0.0),
            steps=self.steps if steps is None else steps,
            schedule=optim.Warmup(self.warmup, optim.Cosine(self.steps - self.warmup)),
            clip=1.0,
            callbacks=[Measure(self), *callbacks],
            seed=self.seed,
        )

    def describe(self) -> dict:
        """Return everything that decides the training, as plain data."""
        return asdict(self)

    def metrics(self, model: GPT) -> dict[str, float]:
        """Return what :meth:`HeldOut.measure` finds on the large set of documents."""
        model.eval()
        return HeldOut.of(self.stream).measure(model)

    def extras(self) -> dict:
        """Return the count of parameters."""
        return {"parameters": self.parameters}


def _loss(model: GPT, documents: Int[Tensor, "B T1"]) -> Tensor:
    documents = documents.to(model.tokens.weight.device)
    logits = model(documents[:, :-1])
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), documents[:, 1:].flatten())


SIZES = MappingProxyType(
    {
        "scale-xs": (8, 2),
        "scale-s": (16, 2),
        "scale-m": (32, 2),
        "scale-l": (64, 2),
        "scale-xl": (96, 3),
    }
)
"""Width and heads of each size."""

SEEDS = cards.SEEDS
"""Seed 0 has the plain name; the others are called ``scale-s-seed1`` and so on."""

name_of = cards.name_of

RECIPES = cards.by_name(
    Recipe(name_of(size, seed), width, heads=heads, seed=seed)
    for seed in SEEDS
    for size, (width, heads) in SIZES.items()
)
"""The trainings by name."""

SHELF = cards.Shelf(RECIPES)
find, shipped = SHELF.find, SHELF.shipped
