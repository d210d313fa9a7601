"""Training GPTs on function classes: depth at d = 5, larger d, noise, sparse functions, trees."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch

from icl_lib.models.regressor import InContextRegressor, RegressorConfig
from icl_lib.recipes import cards, regression
from icl_lib.tasks.functions import network_prompts, sparse_prompts, tree_prompts
from icl_lib.tasks.regression import Prompts

Family = Literal["linear", "sparse", "network", "tree"]

DRAWERS = MappingProxyType(
    {"sparse": sparse_prompts, "network": network_prompts, "tree": tree_prompts}
)


@dataclass(frozen=True)
class Recipe(regression.Recipe):
    """As :class:`icl_lib.recipes.regression.Recipe`, for any of four function classes.

    Attributes
    ----------
    family
        ``"linear"``, ``"sparse"``, ``"network"`` or ``"tree"``.
    complexity
        Non-zero weights of a sparse function, units of a network, depth of a tree; 0 for linear.
    """

    family: Family = "linear"
    complexity: int = 0

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
"""Layers of the networks at d = 5; the one with four is ``regression-d5``."""

SEEDS = (0, 1, 2)
"""Seed 0 has the plain name; the others end in ``-seed1`` and ``-seed2``."""


def depth_name(layers: int, seed: int) -> str:
    """Return the name of a training of the depth study."""
    stem = "regression-d5" if layers == 4 else f"regression-d5-l{layers}"
    return f"{stem}-seed{seed}" if seed else stem


def _plain(name: str, config: RegressorConfig, steps: int, **options) -> Recipe:
    return Recipe(
        name,
        config,
        **{"noise": 0.0, "intercept": False, "steps": steps, "warmup": 300, **options},
    )


def _depths() -> list[Recipe]:
    sizes = {n: RegressorConfig(5, 11, layers=n, heads=4, width=64) for n in DEPTHS}
    return [
        _plain(depth_name(layers, seed), sizes[layers], 4500, seed=seed)
        for seed in SEEDS
        for layers in DEPTHS
        if (layers, seed) != (4, 0)
    ]


def _others() -> list[Recipe]:
    small = RegressorConfig(5, 11, layers=4, heads=4, width=64)
    return [
        _plain("regression-d5-noisy", small, 3500, noise=0.5),
        _plain("regression-sparse", RegressorConfig(10, 16, layers=4, heads=4, width=64), 5000,
               family="sparse", complexity=2),
        _plain("regression-tree", RegressorConfig(4, 24, layers=4, heads=4, width=64), 4000,
               family="tree", complexity=2, step_size=3e-3),
        _plain("regression-d10", RegressorConfig(10, 21, layers=6, heads=4, width=64), 6000,
               step_size=3e-3),
        _plain("regression-network", RegressorConfig(3, 24, layers=4, heads=4, width=64), 5000,
               family="network", complexity=8),
        _plain("regression-d20", RegressorConfig(20, 41, layers=12, heads=8, width=256), 500_000,
               step_size=1e-4, warmup=5000),
    ]  # fmt: skip


RECIPES = MappingProxyType({recipe.name: recipe for recipe in (*_depths(), *_others())})
"""The trainings by name. ``regression-network`` and ``regression-d20`` are not shipped."""


def find(name: str) -> regression.Recipe:
    """Return the recipe called ``name``, those of :mod:`icl_lib.recipes.regression` included.

    Raises
    ------
    KeyError
        If there is none; the message lists those there are.
    """
    return cards.named({**regression.RECIPES, **RECIPES}, name)


def shipped(name: str) -> tuple[InContextRegressor, dict]:
    """Load a network that the book ships, and its card.

    Parameters
    ----------
    name
        Of its recipe.
    """
    return cards.load_shipped(find(name))
