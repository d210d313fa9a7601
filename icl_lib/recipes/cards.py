"""From a recipe to a checkpoint with its card, and back: the same for every training we ship."""

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from icl_lib import optim
from icl_lib.models import checkpoint

FOLDER = Path(__file__).parents[1] / "checkpoints"

SEEDS = (0, 1, 2)
"""Of a training that is repeated; see :func:`name_of`."""


@runtime_checkable
class Recipe(Protocol):
    """What every training has: a name, a seed, a network, a course, and how it is measured.

    Attributes
    ----------
    name
        What ``icl-lib train`` calls it, and the stem of its checkpoint.
    seed
        Decides weights and data.
    data
        One sentence for the card: what it is trained on.
    """

    name: str
    seed: int
    data: str

    def untrained(self) -> nn.Module:
        """Return the network before its first step."""

    def train(
        self, model: nn.Module, *, steps: int | None = None, callbacks: Sequence = ()
    ) -> optim.Run:
        """Train ``model`` in place, for all steps or only the first ones of the same course."""

    def describe(self) -> dict[str, Any]:
        """Return everything that decides the training, as plain JSON data."""

    def metrics(self, model: nn.Module) -> dict[str, float]:
        """Return what the card promises of the trained network; the same when measured again."""

    def extras(self) -> dict[str, Any]:
        """Return what else the card holds, such as a tokenizer."""


def train_and_save(
    recipe: Recipe,
    path: str | Path,
    *,
    callbacks: Sequence = (),
    device: torch.device | str = "cpu",
) -> tuple[optim.Run, dict]:
    """Run a recipe to its end and write the network with its card.

    Parameters
    ----------
    recipe
        Which one.
    path
        A ``.safetensors`` file.
    callbacks
        Passed to :func:`icl_lib.optim.train`; an :class:`icl_lib.optim.Checkpoint` among them lets
        an interrupted run go on.
    device
        Where to train; the data are the same everywhere, rounding is not.

    Returns
    -------
    tuple
        The run and the card: recipe, seed, command, versions, CPU seconds, the losses of the first
        steps, what callbacks recorded, and metrics. An interrupted run writes nothing and has no
        card.
    """
    model = recipe.untrained().to(device)
    run = recipe.train(model, callbacks=callbacks)
    if run.interrupted:
        return run, {}
    card = {
        "command": f"icl-lib train {recipe.name}",
        "recipe": recipe.describe(),
        "data": recipe.data,
        "seed": recipe.seed,
        "seconds": round(run.seconds, 1),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "first_losses": run.losses[:50],
        "records": run.records,
        "metrics": recipe.metrics(model),
        **recipe.extras(),
    }
    checkpoint.save(path, model, card)
    return run, card


def named(recipes: Mapping[str, Recipe], name: str) -> Any:
    """Return the recipe called ``name``.

    Raises
    ------
    KeyError
        If there is none; the message lists those there are.
    """
    if name not in recipes:
        raise KeyError(f"no training is called {name!r}; there are {', '.join(recipes)}")
    return recipes[name]


def name_of(family: str, seed: int = 0) -> str:
    """Return what the training of a family with this seed is called; seed 0 has the plain name."""
    return f"{family}-seed{seed}" if seed else family


def seeded(make: Callable[..., Recipe], family: str, *arguments, **settings) -> list[Recipe]:
    """Return one training for each of :data:`SEEDS`, alike in everything else."""
    return [make(name_of(family, seed), *arguments, seed=seed, **settings) for seed in SEEDS]


def by_name(recipes: Iterable[Recipe]) -> Mapping[str, Recipe]:
    """Return trainings by name, in the order given, not to be changed."""
    return MappingProxyType({recipe.name: recipe for recipe in recipes})


@dataclass(frozen=True)
class Shelf:
    """The trainings of one module by name, and the networks among them that the book ships.

    Attributes
    ----------
    recipes
        See :func:`by_name`.
    """

    recipes: Mapping[str, Recipe]

    def find(self, name: str) -> Any:
        """Return the recipe called ``name``.

        Raises
        ------
        KeyError
            If there is none; the message lists those there are.
        """
        return named(self.recipes, name)

    def shipped(self, name: str) -> tuple[Any, dict]:
        """Load a network that the book ships; errors of the file as in :func:`load_shipped`.

        Parameters
        ----------
        name
            Of its recipe.

        Returns
        -------
        tuple
            The network in evaluation mode, and its card.

        Raises
        ------
        KeyError
            If no recipe is called so; the message lists those there are.
        """
        return load_shipped(self.find(name))


def load_shipped(recipe: Recipe) -> tuple[nn.Module, dict]:
    """Load the network of a recipe that the book ships.

    Returns
    -------
    tuple
        The network in evaluation mode, and its card.

    Raises
    ------
    FileNotFoundError
        If the book does not ship this one.
    icl_lib.models.checkpoint.CheckpointError
        If the file is damaged or its weights do not fit the recipe.
    """
    path = FOLDER / f"{recipe.name}.safetensors"
    state, card = checkpoint.load(path)
    model = recipe.untrained()
    fits(model, state, path)
    model.load_state_dict(state)
    return model.eval(), card


def fits(model: nn.Module, state: Mapping[str, torch.Tensor], path: Path | str) -> None:
    """Raise :class:`~icl_lib.models.checkpoint.CheckpointError` unless weights fit a network."""
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if wrong:
        name = wrong[0]
        raise checkpoint.CheckpointError(
            f"{path} does not fit the network: {name} is {found.get(name, 'missing')}, expected "
            f"{wanted.get(name, 'no such weight')} ({len(wrong)} differences)"
        )
