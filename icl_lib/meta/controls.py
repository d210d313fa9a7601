"""The controls: comparisons in which the paper's claim could fail, each with a name.

A control replaces one part of the comparison by something that shares all but the claimed cause.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from icl_lib.meta.nulls import normalised_update_similarity
from icl_lib.meta.similarity import beside, cosine, norm_ratio, unit
from icl_lib.models.gpt import GPT

CONTROLS: Mapping[str, str] = MappingProxyType(
    {
        "none": "the comparison itself",
        "untrained": "the same, on the model's initial weights",
        "untrained-blocks": "the same, on initial weights but for the tables of tokens and places",
        "shuffled-pairing": "finetuning's update of another query",
        "other-example": "in place of finetuning's update, the in-context update of another query",
        "shuffled-labels": "finetuned on the demonstrations with their labels dealt out anew",
        "wrong-task": "finetuned on demonstrations of another task",
        "padding": "in context, filler of the same length in place of the demonstrations",
        "position-removed": "the in-context update counted from that filler, not from zero-shot",
        "mean-removed": "updates less their mean over the queries",
        "noise": "in place of finetuning's update, noise of the same length",
        "closed-form": "what independent updates of these lengths would show",
    }
)
"""What each control compares."""

DEFAULT = tuple(name for name in CONTROLS if name != "wrong-task")
"""All that need nothing but the task itself."""


def check_controls(controls: Sequence[str], *, wrong_task: bool) -> tuple[str, ...]:
    """Return the controls in their order here, the comparison itself always among them.

    Raises
    ------
    ValueError
        If one is unknown, or the wrong task is asked for and none is given.

    Explained in: 17_chance
    """
    unknown = sorted(set(controls) - set(CONTROLS))
    if unknown:
        raise ValueError(f"controls are {', '.join(CONTROLS)}; got {', '.join(unknown)}")
    if "wrong-task" in controls and not wrong_task:
        raise ValueError("the control wrong-task needs another task: wrong_task=…")
    return tuple(name for name in CONTROLS if name in controls or name == "none")


def untrained(model: GPT, seed: int, *, keep_tables: bool = False) -> GPT:
    """Return a model of the same shape with fresh weights.

    Parameters
    ----------
    model
        Gives shape, device and precision.
    seed
        Of the fresh weights.
    keep_tables
        Keep the trained tables of tokens and positions, and a head of its own.

    Source: Deutch et al. (2024), whose models are "trained embeddings only" and "no training".

    Explained in: 17_chance
    """
    weight = model.tokens.weight
    fresh = GPT(model.config, seed=seed, device=weight.device, dtype=weight.dtype).eval()
    if keep_tables:
        kept = {n: p for n, p in model.state_dict().items() if not n.startswith("blocks.")}
        fresh.load_state_dict({n: p for n, p in kept.items() if "norm" not in n}, strict=False)
    return fresh


def partners(count: int, seed: int) -> Int[Tensor, "E"]:
    """Return another query for each: all move on by the same random number of places.

    Queries are sorted by length beforehand, and no query is its own partner, unless it is alone.

    Explained in: 17_chance
    """
    if count < 2:
        return torch.zeros(count, dtype=torch.long)
    generator = torch.Generator().manual_seed(seed)
    return torch.arange(count).roll(int(torch.randint(1, count, (), generator=generator)))


def noise_like(
    update: Float[Tensor, "*batch D"], seed: int, numbers: Int[Tensor, "B"] | None = None
) -> Float[Tensor, "*batch D"]:
    """Return Gaussian noise with the norms of ``update`` along its last axis.

    Parameters
    ----------
    update
        One block for each query.
    seed, numbers
        Noise depends on both, so that no query's noise depends on what else is in its batch.

    Explained in: 17_chance
    """
    numbers = torch.arange(len(update)) if numbers is None else numbers
    rows = []
    for number, row in zip(numbers.tolist(), update, strict=True):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        rows.append(torch.randn(row.shape, dtype=torch.float64, generator=generator))
    noise = torch.stack(rows).to(update)
    return unit(noise) * update.norm(dim=-1, keepdim=True)


def output_rows(
    zero: Float[Tensor, "E L D"],
    icl: Float[Tensor, "E L D"],
    ft: Float[Tensor, "E L D"],
    padded: Float[Tensor, "E L D"] | None,
    controls: Sequence[str],
    seed: int,
) -> dict[tuple[str, str], Float[Tensor, "E L"]]:
    """Return the similarity of output updates with every control.

    ``simaou`` is the published one, ``simaou_raw`` does not normalise, ``simaou_beside`` compares
    what is at right angles to the zero-shot output.

    Parameters
    ----------
    zero, icl, ft
        Attention outputs of the three conditions for all queries.
    padded
        Those with filler, if the control of the removed position is wanted.
    controls
        Names; those that need other conditions are not computed here.
    seed
        Of partners and noise.

    Returns
    -------
    dict
        Values by control and metric.

    Source: Dai et al. (2023), section 4.3, for the first; this book for the controls.

    Explained in: 17_chance
    """
    rows, other = {}, partners(len(zero), seed)
    noisy = zero + noise_like(ft - zero, seed) if "noise" in controls else zero
    views = {
        "simaou": lambda h: unit(h) - unit(zero),
        "simaou_raw": lambda h: h - zero,
        "simaou_beside": lambda h: beside(zero, h),
    }
    for metric, view in views.items():
        a, b = view(icl), view(ft)
        found = {
            "shuffled-pairing": lambda a=a, b=b: cosine(a, b[other]),
            "other-example": lambda a=a: cosine(a, a[other]),
            "mean-removed": lambda a=a, b=b: cosine(a - a.mean(0), b - b.mean(0)),
            "noise": lambda a=a, v=view: cosine(a, v(noisy)),
        }
        if padded is not None:
            found["position-removed"] = lambda a=a, b=b, v=view: cosine(a - v(padded), b)
        for control, compute in found.items():
            if control in controls:
                rows[control, metric] = compute()
    if "closed-form" in controls:
        ratios = norm_ratio(zero, icl), norm_ratio(zero, ft)
        rows["closed-form", "simaou"] = normalised_update_similarity(*ratios)
    return rows
