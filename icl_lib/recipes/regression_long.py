"""Training a GPT on regression prompts that can read longer ones: sinusoids as positions."""

from dataclasses import dataclass, replace

from icl_lib.models.gpt import GPT
from icl_lib.models.regressor import InContextRegressor, RegressorConfig
from icl_lib.recipes import cards, regression


class LongRegressor(InContextRegressor):
    """A regressor whose positions are sinusoids, so that it has some for prompts of any length.

    Parameters
    ----------
    config
        Its size; ``points`` is what it is trained on.
    longest
        Most pairs in a prompt that it can read.
    seed
        Decides the initial weights.

    Raises
    ------
    ValueError
        If it could not read the prompts that it is trained on.

    Source: the positions of Vaswani et al. (2017).
    Explained in: 15_limits
    """

    def __init__(self, config: RegressorConfig, *, longest: int, seed: int = 0):
        if longest < config.points:
            raise ValueError(f"longest must be at least {config.points} (points), got {longest}")
        super().__init__(config, seed=seed)
        trunk = replace(config.trunk(), positions="sinusoidal", context=2 * longest)
        self.trunk = GPT(trunk, seed=seed)


@dataclass(frozen=True)
class Recipe(regression.Recipe):
    """As :class:`icl_lib.recipes.regression.Recipe`, for a :class:`LongRegressor`.

    Attributes
    ----------
    longest
        Most pairs that the network can read.
    """

    longest: int = 60

    def untrained(self) -> LongRegressor:
        """Return the network before its first step."""
        return LongRegressor(self.model, longest=self.longest, seed=self.seed)


RECIPES = cards.by_name(
    cards.seeded(
        Recipe,
        "regression-sinusoid",
        RegressorConfig(dimension=5, points=11, layers=3, heads=4, width=64),
        noise=0.0,
        intercept=False,
        steps=2400,
        warmup=300,
    )
)
"""The trainings by name."""

SHELF = cards.Shelf(RECIPES)
find, shipped = SHELF.find, SHELF.shipped
