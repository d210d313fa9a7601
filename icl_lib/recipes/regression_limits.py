"""Training one layer where its step starts in the wrong place: weights with a known mean."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icl_lib import optim
from icl_lib.models.linear_transformer import LinearTransformer, LinearTransformerConfig
from icl_lib.recipes import cards
from icl_lib.recipes.linear_attention import ask, measure
from icl_lib.tasks.regression import Prompts, linear_prompts


class StartedTransformer(nn.Module):
    """A linear transformer that writes a first guess into the query's empty place.

    The query is (x_q, −W₀·x_q) instead of (x_q, 0).

    Parameters
    ----------
    config
        Of the :class:`~icl_lib.models.linear_transformer.LinearTransformer` inside.
    guess
        Whether W₀ is trained; it starts as 0, and stays 0 otherwise.
    seed
        Decides the initial weights.

    Source: the trainable initial guess of Xie et al. (2025).
    Explained in: 15_limits
    """

    def __init__(self, config: LinearTransformerConfig, *, guess: bool, seed: int = 0):
        super().__init__()
        self.attention = LinearTransformer(config, seed=seed)
        self.start = nn.Parameter(torch.zeros(config.dimension), requires_grad=guess)

    def forward(
        self,
        inputs: Float[Tensor, "*batch N d"],
        targets: Float[Tensor, "*batch N"],
        query: Float[Tensor, "*batch d"],
    ) -> Float[Tensor, "*batch"]:
        """Return the prediction at each query."""
        return self.attention(inputs, targets, query, start=self.start)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training.

    Attributes
    ----------
    name
        What ``icl-lib train`` calls it.
    model
        Shape of the layer.
    guess
        Whether the first guess W₀ is trained.
    examples
        N, demonstrations in a prompt; the prompts have one point more, which is asked.
    mean
        Mean of every entry of w, whose deviations from it are N(0, 1).
    steps, batch, step_size
        Adam with a cosine down to 0, on fresh prompts at every step.
    seed
        Decides weights and prompts.
    """

    name: str
    model: LinearTransformerConfig
    guess: bool
    examples: int = 8
    mean: float = 2.0
    steps: int = 800
    batch: int = 512
    step_size: float = 3e-2
    seed: int = 0
    betas: tuple[float, float] = (0.9, 0.99)

    data = "none: prompts are drawn at every step"

    def prompts(
        self, batch: int, generator: torch.Generator, *, dtype: torch.dtype = torch.float32
    ) -> Prompts:
        """Draw prompts of this recipe's task: N demonstrations and the query as the last point."""
        drawn = linear_prompts(
            batch, self.examples + 1, self.model.dimension, generator=generator, dtype=dtype
        )
        targets = drawn.targets + self.mean * drawn.inputs.sum(dim=-1)
        return Prompts(drawn.inputs, targets, drawn.weights + self.mean)

    def untrained(self) -> StartedTransformer:
        """Return the network before its first step."""
        return StartedTransformer(self.model, guess=self.guess, seed=self.seed)

    def train(
        self, model: StartedTransformer, *, steps: int | None = None, callbacks: Sequence = ()
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
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        return optim.train(
            model,
            _loss,
            optim.Generated(self._batch, seed=self.seed),
            optim.Adam(trained, self.step_size, betas=self.betas),
            steps=self.steps if steps is None else steps,
            schedule=optim.Cosine(self.steps),
            clip=1.0,
            callbacks=callbacks,
            seed=self.seed,
        )

    def describe(self) -> dict:
        """Return everything that decides the training, as plain data."""
        return asdict(self)

    def metrics(self, model: nn.Module) -> dict[str, float]:
        """Return the mean squared error at the query, on fresh prompts."""
        return {"mse": measure(self, model, prompts=100_000, seed=1)}

    def extras(self) -> dict:
        """Return nothing: the network needs no tokenizer."""
        return {}

    def _batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        prompts = self.prompts(self.batch, generator)
        return prompts.inputs, prompts.targets


def _family(name: str, heads: int, guess: bool) -> list[Recipe]:
    shape = LinearTransformerConfig(dimension=4, form="merged", heads=heads, average=True)
    return cards.seeded(Recipe, name, shape, guess)


RECIPES = cards.by_name(
    (
        *_family("regression-mean", heads=1, guess=False),
        *_family("regression-mean-heads", heads=5, guess=False),
        *_family("regression-mean-guess", heads=1, guess=True),
    )
)
"""The trainings by name."""

SHELF = cards.Shelf(RECIPES)
find, shipped = SHELF.find, SHELF.shipped


def _loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    inputs, targets = (t.to(next(model.parameters()).device) for t in batch)
    return (ask(model, inputs, targets) - targets[..., -1]).pow(2).mean()
