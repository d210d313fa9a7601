"""Every training by its name: what ``icl-lib train`` offers."""

import importlib

from icl_lib.recipes import cards
from icl_lib.recipes.cards import Recipe

MODULES = (
    "regression",
    "linear_attention",
    "deep_attention",
    "regression_pool",
    "regression_limits",
    "regression_long",
    "functions",
    "language",
    "alignment",
    "scale",
    "lab",
)


def recipes() -> dict[str, Recipe]:
    """Return all trainings by name, in the order of the chapters."""
    found: dict[str, Recipe] = {}
    for module in MODULES:
        found |= importlib.import_module(f"icl_lib.recipes.{module}").RECIPES
    return found


def find(name: str) -> Recipe:
    """Return the training called ``name``.

    Raises
    ------
    KeyError
        If there is none; the message lists those there are.
    """
    return cards.named(recipes(), name)
