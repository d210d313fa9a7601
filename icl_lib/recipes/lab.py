"""The book's own model for the paper's experiment: a small GPT that reads the lab language.

``icl-lib train lab`` makes it again, and ``icl-lib train lab-steps`` some weights on its way. The
course begins with one-word sentences without noise, with repeats, and with dictionaries: labels are
looked up by what words mean, so meanings must be known first. What did not work, each tried about
a minute long: a mark between text and label (nothing was bound in 2,000 steps); reserving sets of
values of which no two meet in training (the network takes them for one value); pairs with arbitrary
labels early on (nothing was bound, with three layers or four).

The network answers pairs by what their labels mean. It names two thirds of pairs with arbitrary
labels in documents such as it was trained on, and no more than chance if they are those reserved
for measuring.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from icl_lib import optim
from icl_lib.meta import Finetuning, compare
from icl_lib.meta.choice import best_step_size
from icl_lib.meta.prompts import choose_demonstrations, choose_queries
from icl_lib.models.gpt import GPT, GPTConfig
from icl_lib.recipes import cards
from icl_lib.tasks.classification import Example
from icl_lib.tasks.lab import AGREEMENT, Lab
from icl_lib.tasks.lab_bayes import bayes_accuracy
from icl_lib.tasks.lab_tasks import LabTask, measured_tasks, practice_tasks

DEMONSTRATIONS = 16
"""Demonstrations in the longest prompt."""

SEEDS = (0, 1, 2, 3, 4)
"""Of demonstrations, in the numbers that the card promises."""

CONDITIONS = ("zero_shot", "in_context", "finetuned")
"""The three of the paper."""

ENTRIES = 8
"""Words that a dictionary explains."""

RECORD_EVERY = 250
"""Steps between two measurements in training."""


@dataclass(frozen=True)
class Kind:
    """Documents of one kind in a batch.

    Attributes
    ----------
    count, examples
        Documents, and examples in each.
    words
        Words of a sentence, at most as many as the language has.
    noise
        Share of the language's noise.
    pool
        Different sentences of a value in a document, see
        :meth:`icl_lib.tasks.lab.Lab.documents`.
    meaningful
        Share of documents in which labels may have a meaning.
    pairs
        Whether examples are pairs of sentences.
    """

    count: int
    examples: int
    words: int = 4
    noise: float = 1.0
    pool: int | None = None
    meaningful: float = 0.4
    pairs: bool = False

    def language(self, lab: Lab) -> Lab:
        """Return the language with sentences and noise of this kind."""
        return replace(
            lab,
            words=min(self.words, lab.words),
            pair_words=min(self.words, lab.pair_words),
            noise=self.noise * lab.noise,
            pair_noise=self.noise * lab.pair_noise,
            meaningful=self.meaningful,
        )

    def draw(self, lab: Lab, generator: torch.Generator) -> Int[Tensor, "B T"]:
        """Draw the documents."""
        of = self.language(lab)
        plan = of.plans(self.count, generator, pairs=self.pairs)
        return of.documents(plan, self.examples, generator, pool=self.pool)

    def label_places(self, lab: Lab) -> Int[Tensor, " E"]:
        """Return the places at which the labels of a document are predicted."""
        return _label_places(self.language(lab), AGREEMENT if self.pairs else 0, self.examples)


@dataclass(frozen=True)
class Stage:
    """What documents are like up to some step of the course.

    Attributes
    ----------
    until
        The step at which the stage ends.
    kinds
        Kinds of solved examples.
    repeats
        Documents of repeated random tokens in a batch.
    dictionaries
        Documents that explain words.
    """

    until: int
    kinds: tuple[Kind, ...]
    repeats: int
    dictionaries: int = 0


STAGES = (
    Stage(
        700,
        (
            Kind(8, 16, words=1, noise=0.0, pool=1, meaningful=0.0),
            Kind(16, 16, words=1, noise=0.0),
        ),
        repeats=12,
        dictionaries=12,
    ),
    Stage(
        1300,
        (
            Kind(4, 16, words=1, noise=0.0, pool=1, meaningful=0.0),
            Kind(12, 16, words=1, noise=0.0),
            Kind(8, 16, words=2, noise=0.0),
        ),
        repeats=12,
        dictionaries=4,
    ),
    Stage(
        3000,
        (
            Kind(16, 17, noise=0.5),
            Kind(6, 16, words=1, noise=0.0),
            Kind(20, 8, words=1, noise=0.0, meaningful=1.0, pairs=True),
        ),
        repeats=6,
    ),
    Stage(
        4000,
        (
            Kind(18, 17),
            Kind(8, 8, words=1, noise=0.0, meaningful=0.9, pairs=True),
            Kind(10, 8, noise=0.5, meaningful=0.9, pairs=True),
        ),
        repeats=4,
    ),
    Stage(10000, (Kind(24, 17), Kind(12, 17, meaningful=0.7, pairs=True)), repeats=4),
)
"""Short and clean sentences first: looking a label up is learned on them.

Pairs have labels with a meaning for the most part: these are learned, others are not.
"""


@dataclass(frozen=True)
class Course:
    """The documents of every step.

    Attributes
    ----------
    lab, seed
        The language, and what decides the draws.
    stages
        In order.
    repeat_length
        Tokens of a repeat.

    Raises
    ------
    ValueError
        If the stages do not follow each other.
    """

    lab: Lab
    seed: int
    stages: tuple[Stage, ...] = STAGES
    repeat_length: int = 33

    def __post_init__(self) -> None:
        ends = [stage.until for stage in self.stages]
        if not ends or ends != sorted(set(ends)) or ends[0] < 1:
            raise ValueError(f"stages must end at rising steps, got {ends}")

    def stage(self, step: int) -> Stage:
        """Return the stage that a step belongs to."""
        return next((s for s in self.stages if step < s.until), self.stages[-1])

    def __call__(self, step: int) -> "Documents":
        """Return the documents of a step."""
        generator = torch.Generator().manual_seed(optim.derive_seed(self.seed, step))
        now = self.stage(step)
        solved = tuple(kind.draw(self.lab, generator) for kind in now.kinds)
        at = tuple(kind.label_places(self.lab) for kind in now.kinds)
        longest = self.repeat_length // 3
        repeats = self.lab.repeats(now.repeats, self.repeat_length, longest, generator)
        explained = self.lab.dictionaries(now.dictionaries, ENTRIES, generator)
        return Documents(solved, at, repeats, explained)


class Documents(NamedTuple):
    """The documents of one step, and where in solved examples labels are predicted."""

    solved: tuple[Tensor, ...]
    label_places: tuple[Tensor, ...]
    repeats: Tensor
    dictionaries: Tensor


def _label_places(lab: Lab, asked: int, examples: int) -> Int[Tensor, " E"]:
    """Return the places of the last words of texts, at which labels are predicted."""
    length = lab.text_length(asked)
    return length + (length + 1) * torch.arange(examples)


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
    at = _label_places(task.lab, task.asked, DEMONSTRATIONS + 1)
    candidates = torch.cat(task.label_tokens)
    said = model(drawn[:, :-1])[:, at][..., candidates].argmax(-1)
    return (candidates[said] == drawn[:, at + 1]).float()


def conditions(
    model: GPT, lab: Lab, lr: float, *, tasks: Sequence[str] | None = None
) -> dict[str, float]:
    """Return accuracies by the paper's protocol, and those of the best possible reader.

    For each measured task ``_zero_shot``, ``_in_context`` and ``_finetuned`` of the network,
    ``_bayes_zero_shot`` and ``_bayes_in_context``: means over ``SEEDS`` of 16 demonstrations, with
    256 queries. Without a choice of tasks, the means over all six, too.

    Parameters
    ----------
    model
        In evaluation mode.
    lab
        The language.
    lr
        Step size of finetuning.
    tasks
        Names of measured tasks; all of them, if not given.

    Explained in: 16_paper_experiment
    """
    known, found = measured_tasks(lab), {}
    for name in known if tasks is None else tasks:
        task = known[name]
        result = compare(
            model,
            task,
            demonstrations=DEMONSTRATIONS,
            seeds=SEEDS,
            finetuning=Finetuning(lr=lr),
            controls=(),
        )
        rows = result.table[result.table.metric.isin([f"accuracy_{c}" for c in CONDITIONS])]
        means = rows[rows.control == "none"].groupby("metric").value.mean()
        found |= {f"{name}_{c}": float(means[f"accuracy_{c}"]) for c in CONDITIONS}
        asked = choose_queries(task, 256)
        found[f"{name}_bayes_zero_shot"] = bayes_accuracy(task, (), asked)
        with_demonstrations = [bayes_accuracy(task, _shown(task, seed), asked) for seed in SEEDS]
        found[f"{name}_bayes_in_context"] = sum(with_demonstrations) / len(SEEDS)
    if tasks is None:
        for condition in (*CONDITIONS, "bayes_zero_shot", "bayes_in_context"):
            found[f"mean_{condition}"] = sum(found[f"{n}_{condition}"] for n in known) / len(known)
    return found


def _shown(task: LabTask, seed: int) -> list[Example]:
    """Return the demonstrations of a seed as examples."""
    width = task.lab.text_length(task.asked)
    return [
        Example(task.parts(d.text[:width].tolist()), int(d.gold))
        for d in choose_demonstrations(task, DEMONSTRATIONS, seed)
    ]


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
    text_weight, repeat_weight, dictionary_weight
        Weight of the loss on all tokens of solved examples, beside 1 for that on their labels, and
        of the losses on repeats and on the labels of dictionaries.
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
    width: int = 96
    steps: int = 10000
    step_size: float = 3e-3
    warmup: int = 100
    betas: tuple[float, float] = (0.9, 0.98)
    text_weight: float = 0.1
    repeat_weight: float = 0.5
    dictionary_weight: float = 0.7
    seed: int = 0
    lab: Lab = field(default_factory=Lab)
    stages: tuple[Stage, ...] = STAGES

    data = "none: documents of icl_lib.tasks.lab are drawn at every step"

    @property
    def config(self) -> GPTConfig:
        """Shape of the network."""
        return GPTConfig(
            self.lab.vocab_size,
            1 + (DEMONSTRATIONS + 1) * (self.lab.text_length(AGREEMENT) + 1),
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
        return Course(self.lab, self.seed, self.stages)

    def untrained(self) -> GPT:
        """Return the network before its first step."""
        return GPT(self.config, seed=self.seed)

    def train(self, model: GPT, *, steps: int | None = None, callbacks: Sequence = ()) -> optim.Run:
        """Train ``model`` in place, for all steps or only the first ones of the same course."""
        steps = self.steps if steps is None else steps
        return self.run(model, model, steps, [Measure(self), *callbacks])

    def run(self, holder: nn.Module, model: GPT, steps: int, callbacks: Sequence) -> optim.Run:
        """Train the network in place; ``holder`` is what a checkpoint of the run saves."""
        return optim.train(
            holder,
            lambda _, batch: self.loss(model, batch),
            self.course,
            optim.AdamW(model.parameters(), self.step_size, betas=self.betas, weight_decay=0.0),
            steps=steps,
            schedule=optim.Warmup(self.warmup, optim.Cosine(self.steps - self.warmup)),
            clip=1.0,
            callbacks=callbacks,
            seed=self.seed,
        )

    def loss(self, model: GPT, batch: Documents) -> Float[Tensor, ""]:
        r"""Return the loss of one step.

        .. math:: L = \sum_k \frac{n_k}{n}\Bigl(L^{\text{label}}_k + w\,L^{\text{all}}_k\Bigr)
            + r\,L_{\text{repeats}} + d\,L_{\text{dictionaries}}

        over the kinds k, with n_k of all n documents; of dictionaries the words do not count.
        """
        device = model.tokens.weight.device
        total = torch.zeros((), device=device)
        count = sum(len(documents) for documents in batch.solved)
        for documents, at in zip(batch.solved, batch.label_places, strict=True):
            losses = _token_losses(model, documents.to(device))
            part = losses[:, at].mean() + self.text_weight * losses.mean()
            total = total + len(documents) / count * part
        if len(batch.repeats):
            repeats = _token_losses(model, batch.repeats.to(device)).mean()
            total = total + self.repeat_weight * repeats
        if len(batch.dictionaries):
            entries = _token_losses(model, batch.dictionaries.to(device)).unflatten(1, (-1, 4))
            total = total + self.dictionary_weight * entries[..., 1:].mean()
        return total

    def describe(self) -> dict:
        """Return everything that decides the training, as plain data."""
        return asdict(self) | {"repeat_length": self.course.repeat_length}

    def metrics(self, model: GPT) -> dict[str, float]:
        """Return the accuracies of :func:`conditions` with the step size that practice chooses."""
        model.eval()
        practice = list(practice_tasks(self.lab).values())
        chosen = best_step_size(model, practice, demonstrations=DEMONSTRATIONS, seeds=SEEDS)
        return {"step_size": chosen.lr} | conditions(model, self.lab, chosen.lr)

    def extras(self) -> dict:
        """Return nothing: the language is in the recipe."""
        return {}


def _token_losses(model: GPT, documents: Int[Tensor, "B T1"]) -> Float[Tensor, "B T"]:
    logits = model(documents[:, :-1])
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), documents[:, 1:].flatten(), reduction="none"
    )
    return losses.view(len(documents), -1)


class Film(nn.Module):
    """The weights of a network at some steps of its training, in half precision.

    While it is made it holds the network, too, so that an interrupted training that goes on has
    what it kept before.
    """

    def __init__(self, network: GPT, steps: Sequence[int]):
        super().__init__()
        count = sum(weight.numel() for weight in network.parameters())
        for step in steps:
            self.register_buffer(f"step_{step}", torch.zeros(count, dtype=torch.float16))

    @torch.no_grad()
    def keep(self, step: int) -> None:
        """Keep the weights of the network as those of a step."""
        self.get_buffer(f"step_{step}").copy_(parameters_to_vector(self.network.parameters()))

    @torch.no_grad()
    def at(self, step: int, network: GPT) -> GPT:
        """Return ``network`` with the weights of a step, in evaluation mode."""
        vector_to_parameters(self.get_buffer(f"step_{step}").float(), network.parameters())
        return network.eval()


@dataclass(frozen=True)
class FilmRecipe:
    """The first steps of a training again, of which some are kept.

    Attributes
    ----------
    name
        What ``icl-lib train`` calls it.
    of
        The training.
    steps
        Whose weights are kept, in order.
    """

    name: str
    of: Recipe
    steps: tuple[int, ...]

    data = Recipe.data

    @property
    def seed(self) -> int:
        """That of the training."""
        return self.of.seed

    def untrained(self) -> Film:
        """Return an empty film."""
        return Film(self.of.untrained(), self.steps)

    def train(
        self, model: Film, *, steps: int | None = None, callbacks: Sequence = ()
    ) -> optim.Run:
        """Fill the film, or only what its first steps give."""
        model.network = self.of.untrained().to(next(model.buffers()).device)

        def keep(run: optim.Run) -> None:
            if run.step in self.steps:
                model.keep(run.step)

        last = self.steps[-1]
        run = self.of.run(
            model, model.network, last if steps is None else steps, [keep, *callbacks]
        )
        if run.step == last:
            del model.network
        return run

    def describe(self) -> dict:
        """Return the recipe of the training and the steps."""
        return self.of.describe() | {"name": self.name, "kept": list(self.steps)}

    def metrics(self, model: Film) -> dict[str, float]:
        """Return the mean accuracies at each step, as :func:`curve` finds them."""
        found = {}
        for step in self.steps:
            with torch.no_grad():
                row = curve(model.at(step, self.of.untrained()), self.of.lab, documents=256)
            found |= {f"{k}_step_{step}": v for k, v in row.items() if k.startswith("mean")}
        return found

    def extras(self) -> dict:
        """Return nothing."""
        return {}


LAB = Recipe()

RECIPES = MappingProxyType(
    {"lab": LAB, "lab-steps": FilmRecipe("lab-steps", LAB, (500, 1250, 2000, 3000))}
)
"""The trainings by name: the network, and some steps on its way."""


def shipped() -> tuple[GPT, dict]:
    """Load the network that the book ships, and its card."""
    return cards.load_shipped(LAB)


def snapshots() -> dict[int, GPT]:
    """Return the network at several steps of its training, the untrained and the shipped one too.

    Explained in: 18_layer_by_layer
    """
    film = cards.load_shipped(RECIPES["lab-steps"])[0]
    found = {0: LAB.untrained().eval()}
    found |= {step: film.at(step, LAB.untrained()) for step in RECIPES["lab-steps"].steps}
    return found | {LAB.steps: shipped()[0]}
