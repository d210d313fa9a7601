"""One small GPT on pools of 4 to unlimited tasks: does it memorise the pool or learn to fit?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib import optim
from icl_lib.learners import predict_next, ridge
from icl_lib.learners.pool import finite_pool
from icl_lib.models.regressor import InContextRegressor, RegressorConfig
from icl_lib.recipes import cards
from icl_lib.tasks.pools import pool_prompts, task_pool
from icl_lib.tasks.regression import Prompts, linear_prompts, question_tokens, shuffle_targets

RECORDED = (0, 50, 100, 150, 200, 300, 400, 500, 700, *range(1000, 3500, 500))
"""Steps at which a training measures itself; the last step is measured as well."""

KINDS = ("new", "pool")
"""Where test prompts come from: tasks that no training saw, or the tasks of the pool."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training.

    Attributes
    ----------
    name
        What ``icl-lib train`` calls it.
    tasks
        M, the size of the pool; ``None`` gives every prompt a task of its own.
    dimension, points, noise
        d inputs, N pairs in a prompt, standard deviation of the noise on y.
    layers, heads, width
        Size of the network.
    steps, batch, step_size, warmup, betas
        AdamW with a linear warm-up and a cosine down to 0, on fresh prompts at every step.
    seed
        Decides weights, pool and prompts.
    """

    name: str
    tasks: int | None
    dimension: int = 4
    points: int = 8
    noise: float = 0.5
    layers: int = 3
    heads: int = 4
    width: int = 64
    steps: int = 3500
    batch: int = 64
    step_size: float = 8e-3
    warmup: int = 200
    betas: tuple[float, float] = (0.9, 0.99)
    seed: int = 0

    data = "none: prompts of the pool's tasks are drawn at every step"

    def pool(self) -> Float[Tensor, "M d"] | None:
        """Return the tasks of the pool, ``None`` if there is no pool."""
        if self.tasks is None:
            return None
        generator = torch.Generator().manual_seed(optim.derive_seed(self.seed, 3))
        return task_pool(self.tasks, self.dimension, generator=generator)

    def prompts(self, batch: int, generator: torch.Generator, *, kind: str = "pool") -> Prompts:
        """Draw prompts of the pool's tasks, or with kind ``"new"`` each of a task of its own.

        Raises
        ------
        ValueError
            If the kind is neither.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be 'new' or 'pool', got {kind!r}")
        pool = _pool(self) if kind == "pool" else None
        told = {"noise": self.noise, "generator": generator}
        if pool is None:
            return linear_prompts(batch, self.points, self.dimension, **told)
        return pool_prompts(batch, self.points, pool, **told)

    def untrained(self) -> InContextRegressor:
        """Return the network before its first step.

        It reads :func:`~icl_lib.tasks.regression.question_tokens`: to the network these are tokens
        with 2d inputs and one target, and N of them are as many as N/2 pairs of two tokens.
        """
        config = RegressorConfig(
            2 * self.dimension, (self.points + 1) // 2, self.layers, self.heads, self.width
        )
        return InContextRegressor(config, seed=self.seed)

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
            Passed to :func:`icl_lib.optim.train`, after one that measures.
        """
        return optim.train(
            model,
            _loss,
            optim.Generated(self._batch, seed=self.seed),
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

    def metrics(self, model: InContextRegressor) -> dict[str, float]:
        """Return what :func:`measure` finds on 8,192 prompts of each kind."""
        return measure(self, model, prompts=8192)

    def extras(self) -> dict:
        """Return nothing: the network needs no tokenizer."""
        return {}

    def _batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        prompts = self.prompts(self.batch, generator)
        return prompts.inputs, prompts.targets


class Measure(optim.Callback):
    """Measure the network at the recorded steps on 1,024 prompts of each kind, to five digits."""

    def __init__(self, recipe: Recipe):
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
        run.record(
            lambda model: {
                name: round(value, 5)
                for name, value in measure(self.recipe, model, prompts=1024).items()
            }
        )


def predict(
    model: torch.nn.Module,
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
) -> Float[Tensor, "*batch N"]:
    """Let the network guess each target from the pairs before it.

    Parameters
    ----------
    model
        One of this module's: it reads one token a question.
    inputs, targets
        The pairs of each prompt. Target i is seen only after its guess.

    Explained in: 14_task_diversity
    """
    return model(question_tokens(inputs, targets))


@torch.no_grad()
def measure(
    recipe: Recipe, model: torch.nn.Module, *, prompts: int, seed: int = 1
) -> dict[str, float]:
    """Return how far a network is from the two rules and from the truth, on both kinds of prompts.

    All are means over prompts and over the N positions, divided by d. ``new_`` stands for prompts
    of tasks that no training saw, ``pool_`` for prompts of the pool.

    =====================  ====================================================================
    ``new_to_ridge`` …     squared difference of the network's guesses from those of ridge
    ``new_to_pool`` …      the same from those of the finite-pool estimator (if there is a pool)
    ``new_rules`` …        the same between the two rules
    ``new_error`` …        squared error of the network, noise included
    =====================  ====================================================================

    Parameters
    ----------
    recipe
        Says what the prompts are like.
    model
        The network.
    prompts
        How many of each kind.
    seed
        Decides the prompts; keep it apart from that of the training.
    """
    found = {}
    for number, kind in enumerate(KINDS):
        drawn, guesses = _test_prompts(recipe, kind, prompts, optim.derive_seed(seed, number))
        device = model.read_in.weight.device
        said = predict(model, drawn.inputs.to(device), drawn.targets.to(device)).cpu()
        found |= {f"{kind}_{name}": v for name, v in _compare(said, drawn, guesses).items()}
    return {name: value / recipe.dimension for name, value in found.items()}


def _compare(said: Tensor, drawn: Prompts, guesses: dict[str, Tensor]) -> dict[str, float]:
    found = {f"to_{name}": _mean_square(said, guess) for name, guess in guesses.items()}
    if len(guesses) == 2:
        found["rules"] = _mean_square(*guesses.values())
    return {**found, "error": _mean_square(said, drawn.targets)}


def _mean_square(a: Tensor, b: Tensor) -> float:
    return (a - b).double().square().mean().item()


def rules(recipe: Recipe, prompts: Prompts) -> dict[str, Float[Tensor, "B N"]]:
    """Return the guesses of the two rules: ``ridge`` with penalty noise², and ``pool``.

    Ridge is Bayes' rule when the tasks are standard normal, the finite-pool estimator when they
    are the pool's. Without a pool there is only ridge.

    Explained in: 14_task_diversity
    """
    x, y = prompts.inputs, prompts.targets
    found = {"ridge": predict_next(ridge(x, y, recipe.noise**2), x)}
    pool = _pool(recipe)
    if pool is not None:
        known = finite_pool(x, y, pool.to(x.dtype), recipe.noise)
        found["pool"] = predict_next(known, x)
    return found


def rule_errors(recipe: Recipe, *, prompts: int, seed: int = 1) -> dict[str, float]:
    """Return the squared errors of the two rules on the very prompts of :func:`measure`.

    ``new_ridge``, ``new_pool``, ``pool_ridge`` and ``pool_pool``: first where the prompts come
    from, then the rule. Divided by d, noise included; without a pool only ridge's.

    Parameters
    ----------
    recipe, prompts, seed
        As for :func:`measure`.

    Explained in: 14_task_diversity
    """
    found = {}
    for number, kind in enumerate(KINDS):
        drawn, guesses = _test_prompts(recipe, kind, prompts, optim.derive_seed(seed, number))
        for name, guess in guesses.items():
            found[f"{kind}_{name}"] = _mean_square(guess, drawn.targets) / recipe.dimension
    return found


@torch.no_grad()
def shuffled(
    recipe: Recipe, model: torch.nn.Module, *, kind: str, prompts: int, seed: int = 1
) -> float:
    """Return the error at the last position when the pairs before it are mixed: a control.

    The points and the values are the same, only which belongs to which is lost. What a network
    still gets right then it did not read off the pairs.

    Parameters
    ----------
    recipe, model, kind, prompts, seed
        As for :func:`measure`.

    Explained in: 14_task_diversity
    """
    generator = torch.Generator().manual_seed(optim.derive_seed(seed, KINDS.index(kind)))
    drawn = recipe.prompts(prompts, generator, kind=kind)
    mixed = shuffle_targets(drawn, recipe.points - 1, generator=generator)
    said = predict(model, mixed.inputs, mixed.targets)[:, -1]
    return _mean_square(said, drawn.targets[:, -1]) / recipe.dimension


@lru_cache(maxsize=32)
def _pool(recipe: Recipe) -> Tensor | None:
    return recipe.pool()


@lru_cache(maxsize=8)
def _test_prompts(
    recipe: Recipe, kind: str, count: int, seed: int
) -> tuple[Prompts, dict[str, Tensor]]:
    drawn = recipe.prompts(count, torch.Generator().manual_seed(seed), kind=kind)
    return drawn, rules(recipe, drawn)


def _loss(model: torch.nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    inputs, targets = (t.to(model.read_in.weight.device) for t in batch)
    return (predict(model, inputs, targets) - targets).pow(2).mean()


POOLS = (4, 16, 64, 256, 1024, None)
"""M of each training; ``None`` is unlimited."""

SEEDS = cards.SEEDS
"""Seed 0 has the plain name; the others are called ``regression-pool-4-seed1`` and so on."""


def name_of(tasks: int | None, seed: int = 0) -> str:
    """Return the name of a training."""
    size = "unlimited" if tasks is None else tasks
    return cards.name_of(f"regression-pool-{size}", seed)


RECIPES = cards.by_name(
    Recipe(name_of(tasks, seed), tasks, seed=seed) for seed in SEEDS for tasks in POOLS
)
"""The trainings by name."""

SHELF = cards.Shelf(RECIPES)
find, shipped = SHELF.find, SHELF.shipped


def shipped_seeds(tasks: int | None) -> tuple[int, ...]:
    """Return the seeds whose network on a pool of this size ships with the book."""
    paths = {seed: cards.FOLDER / f"{name_of(tasks, seed)}.safetensors" for seed in SEEDS}
    return tuple(seed for seed, path in paths.items() if path.is_file())
