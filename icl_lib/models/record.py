"""What a forward pass remembers when it is asked to: no hooks, no copies of the model."""

from collections.abc import Iterable

import torch
from torch import Tensor

QUANTITIES = ("queries", "keys", "values", "scores", "weights", "head_output", "attention_output")


class Record:
    """A list of wishes handed to a model, and afterwards what it put there.

    Use it as ``record = Record("scores", "keys", layers=[0])``, then ``model(tokens,
    record=record)``, then ``record["scores"]``.

    Parameters
    ----------
    what
        Names of the quantities, with their shapes a layer:

        - ``queries``, ``keys``, ``values``: ``B H T K`` (keys and values: of all ``S`` positions
          when a cache is used);
        - ``scores``: ``B H T S``, q·k/√K before mask and softmax;
        - ``weights``: ``B H T S``, after mask and softmax;
        - ``head_output``: ``B H T K``, before the output projection;
        - ``attention_output``: ``B T D``, after it and before the residual sum.
    layers
        Layers to record, counted from 0; all of them if not given.

    Raises
    ------
    ValueError
        For an unknown quantity or none at all.

    Explained in: 03_gpt
    """

    def __init__(self, *what: str, layers: Iterable[int] | None = None):
        unknown = sorted(set(what) - set(QUANTITIES))
        if unknown or not what:
            raise ValueError(f"quantities are {', '.join(QUANTITIES)}; got {unknown or 'none'}")
        self.what = frozenset(what)
        self.layers = None if layers is None else frozenset(layers)
        self._kept: dict[str, dict[int, Tensor]] = {name: {} for name in what}

    def wants(self, name: str, layer: int) -> bool:
        """Tell whether ``name`` is to be recorded in ``layer``."""
        return name in self.what and (self.layers is None or layer in self.layers)

    def needs_scores(self, layer: int) -> bool:
        """Tell whether the layer must form its scores, which the fused kernel never does."""
        return self.wants("scores", layer) or self.wants("weights", layer)

    def put(self, layer: int, **found: Tensor) -> None:
        """Keep those of ``found`` that were asked for; called by the model."""
        for name, tensor in found.items():
            if self.wants(name, layer):
                self._kept[name][layer] = tensor

    def check(self, layers: int) -> None:
        """Raise ``ValueError`` if a layer is asked for that a model of ``layers`` layers lacks."""
        outside = sorted(l for l in self.layers or () if not 0 <= l < layers)
        if outside:
            raise ValueError(f"the model has layers 0 to {layers - 1}, the record asks {outside}")

    def layer(self, name: str, layer: int) -> Tensor:
        """Return one quantity of one layer.

        Raises
        ------
        KeyError
            If it was not recorded.
        """
        if layer not in self._kept.get(name, {}):
            raise KeyError(f"{name!r} of layer {layer} was not recorded")
        return self._kept[name][layer]

    def __getitem__(self, name: str) -> Tensor:
        """Return a quantity of all recorded layers, stacked in front: ``L …``."""
        if not self._kept.get(name):
            raise KeyError(f"{name!r} was not recorded; recorded: {', '.join(sorted(self.what))}")
        return torch.stack([tensor for _, tensor in sorted(self._kept[name].items())])
