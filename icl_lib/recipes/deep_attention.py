"""Training several layers of linear attention: steps that share weights, steps that do not."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib import optim
from icl_lib.models.linear_transformer import LinearTransformer, LinearTransformerConfig
from icl_lib.recipes import cards
from icl_lib.recipes.linear_attention import half_square, measure
from icl_lib.tasks.regression import Distribution, Prompts, linear_prompts

SPREAD = (1.0, 1.0, 0.5, 0.25, 1.0)
"""Variances of the inputs along their principal axes in the trainings with a covariance."""

SEEDS, name_of = cards.SEEDS, cards.name_of


def covariance(dtype: torch.dtype = torch.float64) -> Float[Tensor, "d d"]:
    r"""Return the covariance of the inputs, Σ = U diag(1, 1, ½, ¼, 1) Uᵀ with one fixed rotation U.

    Source: Ahn et al. (2023), whose code squares these numbers: a condition number of 16, not 4.

    Explained in: 12_deeper
    """
    generator = torch.Generator().manual_seed(7)
    spread = torch.tensor(SPREAD, dtype=torch.float64)
    raw = torch.randn(len(spread), len(spread), generator=generator, dtype=torch.float64)
    axes = torch.linalg.qr(raw)[0]
    return ((axes * spread) @ axes.T).to(dtype)


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
        Of the inputs, see :func:`icl_lib.tasks.regression.linear_prompts`.
    spread
        Whether inputs are N(0, Σ) with Σ of :func:`covariance`, or isotropic.
    inverse_prior
        Whether weights are N(0, Σ⁻¹), so that targets vary equally along all axes, or N(0, I).
    steps, batch, step_size, warmup, clip
        Adam with a linear warm-up and a cosine down to 0, on fresh prompts at every step; gradients
        longer than ``clip`` are shortened.
    seed
        Decides weights and prompts.
    """

    name: str
    model: LinearTransformerConfig
    examples: int
    steps: int
    batch: int
    step_size: float
    distribution: Distribution = "normal"
    input_scale: float = 1.0
    spread: bool = False
    inverse_prior: bool = False
    warmup: int = 100
    clip: float = 1.0
    seed: int = 0
    betas: tuple[float, float] = field(default=(0.9, 0.99))

    data = "none: prompts are drawn at every step"

    def prompts(
        self, batch: int, generator: torch.Generator, *, dtype: torch.dtype = torch.float32
    ) -> Prompts:
        """Draw prompts of this recipe's task: N demonstrations and the query as the last point."""
        plain = linear_prompts(
            batch,
            self.examples + 1,
            self.model.dimension,
            distribution=self.distribution,
            input_scale=self.input_scale,
            generator=generator,
            dtype=dtype,
        )
        return stretched(plain, inverse_prior=self.inverse_prior) if self.spread else plain

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
            clip=self.clip,
            callbacks=callbacks,
            seed=self.seed,
        )

    def describe(self) -> dict:
        """Return everything that decides the training, as plain data."""
        return asdict(self)

    def metrics(self, model: LinearTransformer) -> dict[str, float]:
        """Return the mean squared error of the query, whole and halved, on fresh prompts."""
        error = measure(self, model, prompts=100_000, seed=1)
        return {"mse": error, "half_mse": error / 2}

    def extras(self) -> dict:
        """Return nothing: the network needs no tokenizer."""
        return {}

    def _batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        prompts = self.prompts(self.batch, generator)
        return prompts.inputs, prompts.targets


def stretched(prompts: Prompts, *, inverse_prior: bool) -> Prompts:
    r"""Give isotropic prompts the covariance Σ: :math:`x \leftarrow \Sigma^{1/2} x`.

    Parameters
    ----------
    prompts
        With inputs of covariance I and weights N(0, I), without noise. Left as they are.
    inverse_prior
        Turn the weights too, w ← Σ^{−1/2} w: then no target changes. Otherwise the weights stay and
        the targets follow the new inputs.

    Raises
    ------
    ValueError
        If the inputs have not as many places as Σ.

    Explained in: 12_deeper
    """
    sigma = covariance()
    if prompts.dimension != len(sigma):
        raise ValueError(f"the covariance is for {len(sigma)} inputs, got {prompts.dimension}")
    variances, axes = torch.linalg.eigh(sigma)
    root = ((axes * variances.sqrt()) @ axes.T).to(prompts.inputs)
    inputs = prompts.inputs @ root
    if inverse_prior:
        weights = torch.linalg.solve(root, prompts.weights.mT).mT
        return Prompts(inputs, prompts.targets, weights)
    targets = torch.einsum("bnd,bd->bn", inputs, prompts.weights)
    return Prompts(inputs, targets, prompts.weights)


def preconditioners(model: LinearTransformer) -> Float[Tensor, "L d d"]:
    """Return A_l of each layer of a one-head network: how far it moves y along which inputs.

    The product of the two matrices' blocks, so that the free factor between them is gone; with
    ``average`` it is Ahn et al.'s A_l, and the step size is in it.

    Parameters
    ----------
    model
        A :class:`~icl_lib.models.linear_transformer.LinearTransformer`.

    Explained in: 12_deeper
    """
    pairs = [(key_query[0], value_out[0]) for key_query, value_out in model.matrices()]
    found = [-value_out[-1, -1] * key_query[:-1, :-1] for key_query, value_out in pairs]
    return torch.stack(found).detach().mT


def _looped(layers: int, **settings) -> list[Recipe]:
    """Return the trainings of a network that applies one layer several times."""
    shape = LinearTransformerConfig(dimension=10, layers=layers, looped=True, init_scale=0.02)
    name, draws = f"regression-loop{layers}", {"examples": 10, "distribution": "uniform"}
    return cards.seeded(Recipe, name, shape, **draws, clip=0.1, **settings)


def _preconditioned(name: str, layers: int, form: str, **settings) -> list[Recipe]:
    """Return the trainings on inputs with a covariance."""
    shape = LinearTransformerConfig(
        dimension=5, layers=layers, form=form, average=True, init_scale=0.02
    )
    return cards.seeded(Recipe, name, shape, examples=20, spread=True, **settings)


RECIPES = cards.by_name(
    (
        *_looped(2, steps=2000, batch=512, step_size=1e-2),
        *_looped(3, steps=2500, batch=512, step_size=1e-2),
        *_looped(5, steps=3000, batch=512, step_size=5e-3),
        *_preconditioned("regression-spread", 1, "merged", steps=1000, batch=1000, step_size=5e-2),
        *_preconditioned(
            "regression-spread3", 3, "sparse",
            steps=1500, batch=1000, step_size=3e-2, inverse_prior=True,
        ),
        *_preconditioned(
            "regression-spread3-full", 3, "merged",
            steps=1500, batch=1000, step_size=1e-2, inverse_prior=True,
        ),
    )
)  # fmt: skip
"""The trainings by name."""

SHELF = cards.Shelf(RECIPES)
find, shipped = SHELF.find, SHELF.shipped
