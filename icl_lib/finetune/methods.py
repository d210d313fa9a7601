"""Which weights fine-tuning may change: named choices, their counts, and how far weights moved."""

import copy
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icl_lib.finetune.lora import TARGETS, add_lora, fold
from icl_lib.models.gpt import GPT


def _last_layer(name: str, layers: int) -> bool:
    return name.startswith((f"blocks.{layers - 1}.", "final_norm.", "head."))


CHOICES: Mapping[str, Callable[[str, int], bool]] = MappingProxyType(
    {
        "full": lambda name, layers: True,
        "last-layer": _last_layer,
        "keys-values": lambda name, layers: "k_proj" in name or "v_proj" in name,
        "biases": lambda name, layers: name.endswith("bias"),
    }
)
"""Name of a method and whether it trains a parameter, told by its name and the number of layers."""

METHODS = (*CHOICES, "lora")
"""All methods: ``full`` every weight; ``last-layer`` the last block, the norm behind it and an
untied head; ``keys-values`` key and value projections with their biases; ``biases`` every bias;
``lora`` a low-rank product beside some frozen matrices."""


def prepare(
    base: GPT,
    method: str,
    *,
    rank: int = 4,
    alpha: float | None = None,
    targets: Sequence[str] = TARGETS,
    seed: int = 0,
) -> tuple[GPT, list[nn.Parameter]]:
    """Return a copy of a model in which one method's parameters can be trained, and these.

    Parameters
    ----------
    base
        Left as it is.
    method
        One of ``METHODS``.
    rank, alpha, targets, seed
        For ``lora``, see :func:`icl_lib.finetune.lora.add_lora`.

    Raises
    ------
    ValueError
        If the method is unknown (the message lists the known ones) or trains nothing in this
        model, as ``biases`` in a model without any.

    Source: ``keys-values`` is what Dai et al. (2023), section 4.1, train; their code includes the
    biases. ``lora``: Hu et al. (2022).

    Explained in: 08_fine_tuning
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; there are {', '.join(METHODS)}")
    model = copy.deepcopy(base)
    if method == "lora":
        return model, add_lora(model, rank, alpha=alpha, targets=targets, seed=seed)
    chosen = []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(CHOICES[method](name, model.config.layers))
        if parameter.requires_grad:
            chosen.append(parameter)
    if not chosen:
        raise ValueError(f"this model has no parameters that {method!r} would train")
    return model, chosen


def count_trainable(model: nn.Module) -> int:
    """Return how many numbers of a model can change.

    Explained in: 08_fine_tuning
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Return every weight by its name in a plain model, LoRA's products added in.

    Explained in: 08_fine_tuning
    """
    return {name: p.detach() for name, p in fold(model).named_parameters()}


def weight_updates(before: nn.Module, after: nn.Module) -> dict[str, Tensor]:
    """Return W_after − W_before of every weight by name.

    Raises
    ------
    ValueError
        If the two models do not have the same weights.

    Explained in: 08_fine_tuning
    """
    first, last = weights(before), weights(after)
    if {n: w.shape for n, w in first.items()} != {n: w.shape for n, w in last.items()}:
        raise ValueError("the two models have different weights; compare a model with its copy")
    return {name: last[name] - first[name] for name in first}


def relative_change(before: nn.Module, after: nn.Module) -> float:
    r"""Return :math:`\lVert ΔW\rVert / \lVert W\rVert`, over all weights taken as one long vector.

    Raises
    ------
    ValueError
        If the two models do not have the same weights, or all those before are zero.

    Explained in: 08_fine_tuning
    """
    size = _norm(weights(before))
    if not size > 0:
        raise ValueError(f"the weights before must not all be zero, got the length {size.item()}")
    return (_norm(weight_updates(before, after)) / size).item()


def _norm(tensors: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    return torch.stack([t.norm() for t in tensors.values()]).norm()
