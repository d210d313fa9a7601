"""Training a small GPT to do regression in its prompt, and measuring what it learnt."""

import base64
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib import optim
from icl_lib.models.regressor import InContextRegressor, RegressorConfig
from icl_lib.recipes import cards
from icl_lib.tasks.regression import (
    Prompts,
    interleave,
    linear_prompts,
    question_tokens,
    shuffle_targets,
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training.

    Attributes
    ----------
    name
        What ``icl-lib train`` calls it.
    model
        Size of the network.
    noise, intercept
        Of the prompts, see :func:`icl_lib.tasks.regression.linear_prompts`.
    steps, batch, step_size, warmup
        AdamW with a linear warm-up and a cosine down to 0, on fresh prompts at every step.
    seed
        Decides weights and prompts.
    """

    name: str
    model: RegressorConfig
    noise: float
    intercept: bool
    steps: int
    batch: int = 64
    step_size: float = 4e-3
    warmup: int = 100
    seed: int = 0
    betas: tuple[float, float] = (0.9, 0.99)

    data = "none: prompts are drawn at every step"

    def prompts(self, batch: int, generator: torch.Generator) -> Prompts:
        """Draw prompts of this recipe's task."""
        return linear_prompts(
            batch,
            self.model.points,
            self.model.dimension,
            noise=self.noise,
            intercept=self.intercept,
            generator=generator,
        )

    def untrained(self) -> InContextRegressor:
        """Return the network before its first step."""
        return InContextRegressor(self.model, seed=self.seed)

    def train(
        self, model: InContextRegressor, *, steps: int | None = None, callbacks: Sequence = ()
    ) -> optim.Run:
        """Train ``model`` in place, for all steps or only the first ones of the same course.

        Parameters
        ----------
        model
            From :meth:`untrained`.
        steps
            Stop after so many; the schedule is that of the whole course.
        callbacks
            Passed to :func:`icl_lib.optim.train`.
        """
        return optim.train(
            model,
            _loss,
            optim.Generated(self._batch, seed=self.seed),
            optim.AdamW(model.parameters(), self.step_size, betas=self.betas, weight_decay=0.0),
            steps=self.steps if steps is None else steps,
            schedule=optim.Warmup(self.warmup, optim.Cosine(self.steps - self.warmup)),
            clip=1.0,
            callbacks=callbacks,
            seed=self.seed,
        )

    def describe(self) -> dict:
        """Return everything that decides the training, as plain data."""
        return asdict(self)

    def metrics(self, model: InContextRegressor) -> dict[str, float]:
        """Return the relative errors after d and 2d demonstrations, on fresh prompts."""
        errors, d = measure(self, model, prompts=20_000, seed=1), self.model.dimension
        return {"error_at_d": errors[d].item(), "error_at_2d": errors[2 * d].item()}

    def extras(self) -> dict:
        """Return nothing: the network needs no tokenizer."""
        return {}

    def _batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        prompts = self.prompts(self.batch, generator)
        return prompts.inputs, prompts.targets


class Watch(optim.Callback):
    """Measure a network every 250 steps: its errors, and the processor time up to there.

    Parameters
    ----------
    recipe
        Says what the prompts are like.
    """

    every = 250

    def __init__(self, recipe: Recipe):
        self.recipe = recipe

    def after_step(self, run: optim.Run) -> None:
        """Add a row when it is time; errors are relative, to five digits."""
        if run.step % self.every == 0:
            run.record(lambda model: {"seconds": round(run.seconds, 2), **self._errors(model)})

    def _errors(self, model: InContextRegressor) -> dict[str, float]:
        errors = measure(self.recipe, model, prompts=2000, seed=2)
        return {f"error_at_{k}": round(error.item(), 5) for k, error in enumerate(errors)}


@dataclass(frozen=True)
class WatchedRecipe(Recipe):
    """As :class:`Recipe`; its card also holds the errors on the way, see :class:`Watch`."""

    def train(
        self, model: InContextRegressor, *, steps: int | None = None, callbacks: Sequence = ()
    ) -> optim.Run:
        """Train as :meth:`Recipe.train` does, and measure on the way."""
        return super().train(model, steps=steps, callbacks=[Watch(self), *callbacks])


RECIPES = cards.by_name(
    (
        Recipe(
            "regression-line",
            RegressorConfig(dimension=2, points=9, layers=2, heads=2, width=32),
            noise=0.2,
            intercept=True,
            steps=1500,
            step_size=8e-3,
        ),
        WatchedRecipe(
            "regression-d5",
            RegressorConfig(dimension=5, points=11, layers=4, heads=4, width=64),
            noise=0.0,
            intercept=False,
            steps=4500,
            warmup=300,
        ),
    )
)
"""The trainings by name."""

SHELF = cards.Shelf(RECIPES)
find, shipped = SHELF.find, SHELF.shipped


@torch.no_grad()
def measure(
    recipe: Recipe, model: torch.nn.Module, *, prompts: int, seed: int
) -> Float[Tensor, " N"]:
    """Return the relative errors of a network on fresh prompts of its task.

    Parameters
    ----------
    recipe
        Says what the prompts are like.
    model
        The network.
    prompts
        How many.
    seed
        Decides the prompts; keep it apart from that of the training.
    """
    drawn = recipe.prompts(prompts, torch.Generator().manual_seed(optim.derive_seed(seed, 1)))
    device = model.read_in.weight.device
    inputs, targets = drawn.inputs.to(device), drawn.targets.to(device)
    # a thousand at a time stay in the processor's cache
    parts = zip(inputs.split(1024), targets.split(1024), strict=True)
    return relative_errors(torch.cat([predict(model, *part) for part in parts]), targets)


def predict(
    model: torch.nn.Module,
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
) -> Float[Tensor, "*batch N"]:
    """Let the network guess each target from the pairs before it; nothing in it changes.

    Parameters
    ----------
    model
        An :class:`~icl_lib.models.regressor.InContextRegressor`. One whose attribute
        ``one_token`` is true reads :func:`~icl_lib.tasks.regression.question_tokens`, any other
        :func:`~icl_lib.tasks.regression.interleave`.
    inputs, targets
        The pairs of each prompt. Target i is seen only after its guess.

    Explained in: 01_learning_without_learning
    """
    if getattr(model, "one_token", False):
        return model(question_tokens(inputs, targets))
    return model(interleave(inputs, targets))[..., ::2]


def relative_errors(
    guesses: Float[Tensor, "B N"], truth: Float[Tensor, "B N"]
) -> Float[Tensor, " N"]:
    """Return the mean squared error after 0, 1, … demonstrations, in units of the zero guess's.

    Parameters
    ----------
    guesses, truth
        One row a prompt; column k was guessed after k demonstrations.

    Explained in: 01_learning_without_learning
    """
    return (guesses - truth).pow(2).mean(dim=0) / truth.pow(2).mean()


@torch.no_grad()
def answers(
    model: InContextRegressor, pairs: Sequence[Sequence[float]], questions: Sequence[float]
) -> list[float]:
    """Ask a network of straight lines for y at some x, with the same pairs in the prompt.

    Parameters
    ----------
    model
        Trained with an intercept and one input.
    pairs
        Demonstrations (x, y).
    questions
        Each is asked in a prompt of its own.

    Explained in: 01_learning_without_learning
    """
    kind = model.read_in.weight
    told = torch.tensor(pairs, dtype=kind.dtype, device=kind.device).reshape(-1, 2)
    asked = torch.tensor(questions, dtype=kind.dtype, device=kind.device)[:, None]
    xs = torch.cat([told[:, 0].expand(len(asked), -1), asked], dim=1)
    ys = torch.cat([told[:, 1].expand(len(asked), -1), torch.zeros_like(asked)], dim=1)
    inputs = torch.stack([xs, torch.ones_like(xs)], dim=-1)
    return predict(model, inputs, ys)[:, -1].tolist()


@dataclass(frozen=True)
class Portable:
    """A network of straight lines in the form that a live figure takes.

    Attributes
    ----------
    model
        The network; its weights travel as 32-bit floats.
    """

    model: InContextRegressor

    def answers(self, pairs: Sequence[Sequence[float]], questions: Sequence[float]) -> list[float]:
        """Return the guess at each question after the pairs, see :func:`answers`."""
        return answers(self.model, pairs, questions)

    def export(self) -> dict:
        """Return the sizes, the layout of the tensors and their bytes in base64."""
        config = self.model.config
        tensors = {_portable(k): v for k, v in self.model.state_dict().items()}
        numbers = [x for v in tensors.values() for x in v.flatten().tolist()]
        return {
            "layers": config.layers,
            "heads": config.heads,
            "width": config.width,
            "layout": [[name, list(v.shape)] for name, v in tensors.items()],
            "data": base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode("ascii"),
        }


def _portable(name: str) -> str:
    """Return the name of a tensor in the browser: ``0.query.weight``, ``positions``, …"""
    if name == "trunk.places.weight":
        return "positions"
    renamed = {
        "trunk.blocks.": "", "trunk.final_norm": "norm",
        "attention.q_proj": "query", "attention.k_proj": "key", "attention.v_proj": "value",
        "attention.out_proj": "out", "attention_norm": "norm_attention",
        "mlp_norm": "norm_mlp", "mlp.up": "up", "mlp.down": "down",
    }  # fmt: skip
    for ours, theirs in renamed.items():
        name = name.replace(ours, theirs)
    return name


@torch.no_grad()
def shuffled_errors(
    model: torch.nn.Module, prompts: Prompts, *, generator: torch.Generator
) -> Float[Tensor, " N"]:
    """Return the errors of a network whose demonstrations have each other's targets.

    Parameters
    ----------
    model
        The network.
    prompts
        For each k, the first k pairs are mixed and point k is asked.
    generator
        Decides the orders.

    Explained in: 01_learning_without_learning
    """
    guesses = []
    for shown in range(prompts.points):
        mixed = shuffle_targets(prompts, shown, generator=generator)
        last = predict(model, mixed.inputs[:, : shown + 1], mixed.targets[:, : shown + 1])
        guesses.append(last[:, -1])
    return relative_errors(torch.stack(guesses, dim=1), prompts.targets)


def _loss(model: torch.nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    inputs, targets = (t.to(model.read_in.weight.device) for t in batch)
    return (predict(model, inputs, targets) - targets).pow(2).mean()
