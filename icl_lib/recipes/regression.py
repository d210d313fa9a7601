"""Training a small GPT to do regression in its prompt, and measuring what it learnt."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib import optim
from icl_lib.models.regressor import InContextRegressor, RegressorConfig
from icl_lib.tasks.regression import Prompts, interleave, linear_prompts, shuffle_targets


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
    betas: tuple[float, float] = field(default=(0.9, 0.99))

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

    def _batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        prompts = self.prompts(self.batch, generator)
        return prompts.inputs, prompts.targets


RECIPES = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            Recipe(
                "regression-line",
                RegressorConfig(dimension=2, points=9, layers=2, heads=2, width=32),
                noise=0.2,
                intercept=True,
                steps=1500,
                step_size=8e-3,
            ),
            Recipe(
                "regression-d5",
                RegressorConfig(dimension=5, points=11, layers=4, heads=4, width=64),
                noise=0.0,
                intercept=False,
                steps=4500,
                warmup=300,
            ),
        )
    }
)
"""The trainings by name."""


def find(name: str) -> Recipe:
    """Return the recipe called ``name``.

    Raises
    ------
    KeyError
        If there is none; the message lists those there are.
    """
    if name not in RECIPES:
        raise KeyError(f"no training is called {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]


def predict(
    model: torch.nn.Module,
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
) -> Float[Tensor, "*batch N"]:
    """Let the network guess each target from the pairs before it; nothing in it changes.

    Parameters
    ----------
    model
        An :class:`~icl_lib.models.regressor.InContextRegressor`.
    inputs, targets
        The pairs of each prompt. Target i is seen only after its guess.

    Explained in: 01_learning_without_learning
    """
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
    inputs, targets = batch
    return (predict(model, inputs, targets) - targets).pow(2).mean()
