"""Training GPTs on function classes: depth at d = 5, larger d, noise, sparse functions, trees."""

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import torch

from icl_lib.models.regressor import InContextRegressor, RegressorConfig
from icl_lib.recipes import cards, regression
from icl_lib.tasks.functions import network_prompts, sparse_prompts, tree_prompts
from icl_lib.tasks.regression import Prompts

Family = Literal["linear", "sparse", "network", "tree"]


class QuestionRegressor(InContextRegressor):
    """A regressor that reads one token a question: (x_{i−1}, y_{i−1}, x_i).

    No layer has to find out which y belongs to which x, so that one layer can already do what one
    step of an algorithm does; and a prompt has half as many tokens.

    Parameters
    ----------
    config
        Its size, with d and N of the task.
    seed
        Decides the initial weights.

    Explained in: 13_function_classes
    """

    one_token = True

    def __init__(self, config: RegressorConfig, *, seed: int = 0):
        tokens = replace(config, dimension=2 * config.dimension, points=(config.points + 1) // 2)
        super().__init__(tokens, seed=seed)


DRAWERS = MappingProxyType(
    {"sparse": sparse_prompts, "network": network_prompts, "tree": tree_prompts}
)


@dataclass(frozen=True)
class Recipe(regression.WatchedRecipe):
    """As :class:`icl_lib.recipes.regression.WatchedRecipe`, for any of four function classes.

    Attributes
    ----------
    family
        ``"linear"``, ``"sparse"``, ``"network"`` or ``"tree"``.
    complexity
        Non-zero weights of a sparse function, units of a network, depth of a tree; 0 for linear.
    """

    family: Family = "linear"
    complexity: int = 0

    def untrained(self) -> QuestionRegressor:
        """Return the network before its first step."""
        return QuestionRegressor(self.model, seed=self.seed)

    def prompts(self, batch: int, generator: torch.Generator) -> Prompts:
        """Draw prompts of this recipe's function class."""
        if self.family == "linear":
            return super().prompts(batch, generator)
        size = self.model
        return DRAWERS[self.family](
            batch,
            size.points,
            size.dimension,
            self.complexity,
            noise=self.noise,
            generator=generator,
        )

    def metrics(self, model: InContextRegressor) -> dict[str, float]:
        """Return the relative error after 0, 1, … demonstrations, on fresh prompts."""
        errors = regression.measure(self, model, prompts=20_000, seed=1)
        return {f"error_at_{k}": error.item() for k, error in enumerate(errors)}


DEPTHS = (1, 2, 4, 8)
"""Layers of the networks at d = 5."""

SEEDS = cards.SEEDS
"""Seed 0 has the plain name; the others end in ``-seed1`` and ``-seed2``."""


def depth_name(layers: int, seed: int = 0) -> str:
    """Return the name of a training of the depth study."""
    return cards.name_of(f"regression-d5-l{layers}", seed)


def _recipe(name: str, sizes: tuple[int, int, int], steps: int, **options) -> Recipe:
    """Build a recipe from (d, N, layers): 4 heads, width 64."""
    dimension, points, layers = sizes
    settings = {"noise": 0.0, "intercept": False, "warmup": 300, "step_size": 6e-3, **options}
    config = RegressorConfig(dimension, points, layers=layers, heads=4, width=64)
    return Recipe(name, config, steps=steps, **settings)


def _depths() -> list[Recipe]:
    return [
        _recipe(depth_name(layers, seed), (5, 11, layers), 3500, seed=seed)
        for seed in SEEDS
        for layers in DEPTHS
    ]


def _others() -> list[Recipe]:
    large = RegressorConfig(20, 41, layers=12, heads=8, width=256)
    return [
        _recipe("regression-d5-noisy", (5, 11, 3), 2000, noise=0.5),
        _recipe("regression-sparse", (10, 16, 4), 2500, family="sparse", complexity=2),
        _recipe("regression-tree", (4, 24, 3), 2000, family="tree", complexity=2),
        _recipe("regression-d10", (10, 21, 5), 2500, step_size=4e-3),
        _recipe("regression-network", (3, 24, 4), 4000, family="network", complexity=8),
        Recipe("regression-d20", large, noise=0.0, intercept=False, steps=500_000,
               step_size=1e-4, warmup=5000),
    ]  # fmt: skip


RECIPES = cards.by_name((*_depths(), *_others()))
"""The trainings by name. ``regression-network`` and ``regression-d20`` are not shipped."""

SHELF = cards.Shelf({**regression.RECIPES, **RECIPES})
"""Those of :mod:`icl_lib.recipes.regression` included."""

find, shipped = SHELF.find, SHELF.shipped
