"""Which update of which layer depends on what: change the network in one place and look.

In context, what demonstrations add to a layer is made by the layers below it. The error signal of
backpropagation has come down through the layers above. Letters as everywhere: ``L`` layers, ``H``
heads, ``K`` head width, ``D`` width.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib.meta.finetuning import Finetuning, finetune
from icl_lib.meta.prompts import Demonstration, with_demonstrations
from icl_lib.meta.updates import in_context_update
from icl_lib.meta.walk import read_prefix
from icl_lib.models.gpt import GPT
from icl_lib.tasks.classification import ClassificationTask

LEARNERS = ("in context", "plain", "layer-causal")
"""Whose updates are compared: attention's, and those of two ways to finetune."""


def perturbed(model: GPT, place: int, size: float, seed: int = 0) -> GPT:
    r"""Return a copy that is changed in one place and shares all else.

    .. math:: W \leftarrow W + s\,\lVert W\rVert\,Z / \lVert Z\rVert, \quad Z_{ij} \sim N(0, 1)

    Parameters
    ----------
    model
        Left as it is.
    place
        The number of a block, of whose MLP the second matrix is changed: what comes out of the
        block, nothing inside its attention. L changes the gain of the norm before the head.
    size
        s, how long the change is beside the matrix.
    seed
        Of Z.

    Raises
    ------
    ValueError
        If there is no such place.

    Explained in: 18_layer_by_layer
    """
    layers = len(model.blocks)
    if not 0 <= place <= layers:
        raise ValueError(f"a place is 0 to {layers}, got {place}")
    name = "final_norm.weight" if place == layers else f"blocks.{place}.mlp.down.weight"
    shared = {id(p): p for n, p in model.named_parameters() if n != name}
    shared |= {id(b): b for b in model.buffers()}
    other = copy.deepcopy(model, shared)
    weight = other.get_parameter(name)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64).to(weight)
    with torch.no_grad():
        weight += size * weight.norm() / noise.norm() * noise
    return other


def finetuned_changes(before: GPT, after: GPT) -> Float[Tensor, "L n"]:
    """Return what finetuning added to the key and value projections of each layer, in one row.

    Explained in: 18_layer_by_layer
    """
    rows = []
    for old, new in zip(before.blocks, after.blocks, strict=True):
        pairs = [
            (getattr(old.attention, name), getattr(new.attention, name))
            for name in ("k_proj", "v_proj")
        ]
        rows.append(torch.cat([(b.weight - a.weight).detach().flatten() for a, b in pairs]))
    return torch.stack(rows)


def layer_updates(
    model: GPT,
    task: ClassificationTask,
    demonstrations: Sequence[Demonstration],
    finetuning: Finetuning,
) -> dict[str, Float[Tensor, "L n"]]:
    """Return what the same demonstrations add to each layer, for every one of ``LEARNERS``.

    In context it is ΔW_ICL of all heads, finetuned it is ΔW_K and ΔW_V.

    Parameters
    ----------
    model, task
        Who learns what.
    demonstrations
        In the order of the prompt.
    finetuning
        How; its ``descent`` is replaced.

    Source: Dai et al. (2023), eqs. 8 and 12; Deutch et al. (2024) for the layer-causal descent.

    Explained in: 18_layer_by_layer
    """
    prompt = with_demonstrations(task, demonstrations)
    shown = read_prefix(model, prompt.tokens, prompt.demonstration)
    found = {"in context": in_context_update(shown).flatten(1)}
    for descent in LEARNERS[1:]:
        how = replace(finetuning, descent=descent)
        twin, _ = finetune(model, demonstrations, how, opening=task.prefix, trace=False)
        found[descent] = finetuned_changes(model, twin)
    return found


def information_flow(
    model: GPT,
    task: ClassificationTask,
    demonstrations: Sequence[Demonstration],
    finetuning: Finetuning,
    *,
    size: float = 0.1,
    seed: int = 0,
) -> dict[str, Float[Tensor, "P L"]]:
    r"""Return how far each layer's update moves when the network is changed in one place.

    .. math:: M_{pl} = \frac{\lVert U_l(\text{changed at } p) - U_l \rVert}{\lVert U_l \rVert}

    Parameters
    ----------
    model, task, demonstrations, finetuning
        As in :func:`layer_updates`.
    size, seed
        As in :func:`perturbed`.

    Returns
    -------
    dict
        For each of ``LEARNERS`` a row for every place, P = L + 1, and a column for every layer.
        An entry is 0 exactly where no information flows.

    Source: this book, after an argument of Deutch et al. (2024).

    Explained in: 18_layer_by_layer
    """
    before = layer_updates(model, task, demonstrations, finetuning)
    rows: dict[str, list[Tensor]] = {name: [] for name in before}
    for place in range(len(model.blocks) + 1):
        other = perturbed(model, place, size, seed)
        for name, after in layer_updates(other, task, demonstrations, finetuning).items():
            gap = (after - before[name]).norm(dim=1)
            rows[name].append(gap / before[name].norm(dim=1))
    return {name: torch.stack(moved) for name, moved in rows.items()}
