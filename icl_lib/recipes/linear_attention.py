"""Training one layer of linear attention to regress: will it find gradient descent by itself?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib import optim
from icl_lib.models.linear_transformer import LinearTransformer, LinearTransformerConfig
from icl_lib.recipes import cards
from icl_lib.tasks.regression import Distribution, Prompts, linear_prompts


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training.

    Attributes
    ----------
    name
        What ``icl-lib train`` calls it.
    model
        Shape of the network.
    examples
        N, demonstrations in a prompt; the prompts have one point more, which is asked.
    distribution, input_scale
        Of the inputs, see :func:`icl_lib.tasks.regression.linear_prompts`; weights are N(0, I), and
        there is no noise.
    steps, batch, step_size, warmup
        Adam with a linear warm-up and a cosine down to 0, on fresh prompts at every step.
    seed
        Decides weights and prompts.
    """

    name: str
    model: LinearTransformerConfig
    examples: int
    distribution: Distribution
    input_scale: float
    steps: int = 1200
    batch: int = 512
    step_size: float = 1e-2
    warmup: int = 50
    seed: int = 0
    betas: tuple[float, float] = (0.9, 0.99)

    data = "none: prompts are drawn at every step"

    def prompts(
        self, batch: int, generator: torch.Generator, *, dtype: torch.dtype = torch.float32
    ) -> Prompts:
        """Draw prompts of this recipe's task: N demonstrations and the query as the last point."""
        return linear_prompts(
            batch,
            self.examples + 1,
            self.model.dimension,
            distribution=self.distribution,
            input_scale=self.input_scale,
            generator=generator,
            dtype=dtype,
        )

    def untrained(self) -> LinearTransformer:
        """Return the network before its first step."""
        return LinearTransformer(self.model, seed=self.seed)

    def train(
        self, model: LinearTransformer, *, steps: int | None = None, callbacks: Sequence = ()
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
            half_square,
            optim.Generated(self._batch, seed=self.seed),
            optim.Adam(model.parameters(), self.step_size, betas=self.betas),
            steps=self.steps if steps is None else steps,
            schedule=optim.Warmup(self.warmup, optim.Cosine(self.steps - self.warmup)),
            clip=1.0,
            callbacks=callbacks,
            seed=self.seed,
        )

    def describe(self) -> dict:
        """Return everything that decides the training, as plain data."""
        return asdict(self)

    def metrics(self, model: LinearTransformer) -> dict[str, float]:
        """Return the mean squared error of the query, whole and halved, on fresh prompts."""
        error = measure(self, model, prompts=200_000, seed=1)
        return {"mse": error, "half_mse": error / 2}

    def extras(self) -> dict:
        """Return nothing: the network needs no tokenizer."""
        return {}

    def _batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        prompts = self.prompts(self.batch, generator)
        return prompts.inputs, prompts.targets


RECIPES = cards.by_name(
    (
        *cards.seeded(
            Recipe,
            "regression-lsa",
            LinearTransformerConfig(dimension=10),
            examples=10,
            distribution="uniform",
            input_scale=0.5,
        ),
        *cards.seeded(
            Recipe,
            "regression-lsa-gaussian",
            LinearTransformerConfig(dimension=10),
            examples=10,
            distribution="normal",
            input_scale=1.0,
        ),
        *cards.seeded(
            Recipe,
            "regression-lsa-sparse",
            LinearTransformerConfig(dimension=5, form="sparse", average=True),
            examples=20,
            distribution="normal",
            input_scale=1.0,
        ),
    )
)
"""The trainings by name."""

SHELF = cards.Shelf(RECIPES)
find, shipped = SHELF.find, SHELF.shipped


def ask(model: torch.nn.Module, inputs: Tensor, targets: Tensor) -> Float[Tensor, "*batch"]:
    """Return the network's answer to the last point of each prompt, from the pairs before it.

    Parameters
    ----------
    model
        A :class:`~icl_lib.models.linear_transformer.LinearTransformer`.
    inputs, targets
        ``[*batch, N + 1, d]`` and ``[*batch, N + 1]``; the last target is not looked at.

    Explained in: 11_one_step
    """
    return model(inputs[..., :-1, :], targets[..., :-1], inputs[..., -1, :])


@torch.no_grad()
def measure(recipe: cards.Recipe, model: torch.nn.Module, *, prompts: int, seed: int) -> float:
    """Return the mean squared error of a network at the query, on fresh prompts of its task.

    Parameters
    ----------
    recipe
        Says what the prompts are like; the last point of each is the query.
    model
        The network.
    prompts
        How many.
    seed
        Decides the prompts; keep it apart from that of the training.
    """
    weight = next(model.parameters())
    generator = torch.Generator().manual_seed(optim.derive_seed(seed, 1))
    drawn = recipe.prompts(prompts, generator, dtype=weight.dtype)
    inputs, targets = drawn.inputs.to(weight.device), drawn.targets.to(weight.device)
    # a thousand at a time stay in the processor's cache
    parts = zip(inputs.split(1024), targets.split(1024), strict=True)
    said = torch.cat([ask(model, *part) for part in parts])
    return (said - targets[..., -1]).pow(2).mean().item()


def half_square(model: torch.nn.Module, batch: tuple[Tensor, Tensor]) -> Float[Tensor, ""]:
    """Return half the mean squared error at the query, as von Oswald et al. train on it.

    Parameters
    ----------
    model
        The network.
    batch
        Inputs and targets, as :func:`ask` takes them.

    Explained in: 11_one_step
    """
    device = next(model.parameters()).device
    inputs, targets = (t.to(device) for t in batch)
    return (ask(model, inputs, targets) - targets[..., -1]).pow(2).mean() / 2
