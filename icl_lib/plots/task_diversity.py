"""Figures of the chapter on task diversity: two rules, and networks between them."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import ArrayLike

from icl_lib.palette import Theme, color
from icl_lib.plots.themed import figure

RULES = {
    "to ridge": ("query", "-", "o"),
    "to the pool rule": ("value", "--", "s"),
    "between the rules": ("muted", ":", ""),
}
"""Colour, dash and mark of each distance in every figure of the chapter."""


def _sizes(axes, sizes: Sequence[int | None]) -> np.ndarray:
    """Label the axis of pool sizes; ``None`` is unlimited and stands one step to the right."""
    known = [np.log2(m) for m in sizes if m is not None]
    step = known[-1] - known[-2] if len(known) > 1 else 1
    where = np.array([np.log2(m) if m is not None else known[-1] + step for m in sizes])
    names = ["∞" if m is None else f"{m:,}" for m in sizes]
    axes.set_xticks(where, names, rotation=45 if len(sizes) > 6 else 0)
    axes.set_xlabel("tasks in the pool, M")
    return where


def _band(axes, where, values, ink, dash, mark, label) -> None:
    """Draw the mean over seeds, each seed as a small dot; NaN where there is nothing."""
    values = np.atleast_2d(np.asarray(values, dtype=float))
    for row in values if len(values) > 1 else ():
        axes.plot(where, row, ".", color=ink, markersize=5, alpha=0.7)
    axes.plot(where, _mean(values), dash, marker=mark, markersize=6, color=ink, label=label)


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over the seeds that there are, NaN where there are none."""
    told = np.isfinite(values)
    total = np.where(told, values, 0.0).sum(0)
    return np.divide(total, told.sum(0), out=np.full(len(total), np.nan), where=told.any(0))


@figure(size=(7.4, 4.2))
def rule_errors(
    fig,
    theme: Theme,
    sizes: Sequence[int],
    new: Mapping[str, ArrayLike],
    pool: Mapping[str, ArrayLike],
    *,
    noise: float,
    table: Mapping[str, ArrayLike] | None = None,
) -> None:
    """Draw the exact errors of both rules against M, on new tasks and on the pool's.

    Parameters
    ----------
    sizes
        M.
    new, pool
        ``"ridge"`` and ``"pool rule"``: errors on prompts of that kind, ``[sizes]``.
    noise
        The part of every error that is noise.
    table
        ``"new"`` and ``"pool"``: values of the pool rule from elsewhere, drawn as crosses.
    """
    left, right = fig.subplots(1, 2, sharey=True)
    for axes, errors, title, key in (
        (left, new, "new tasks", "new"),
        (right, pool, "tasks of the pool", "pool"),
    ):
        where = _sizes(axes, sizes)
        looks = {"ridge": RULES["to ridge"], "pool rule": RULES["to the pool rule"]}
        for name, (role, dash, mark) in looks.items():
            _band(axes, where, errors[name], color(role, theme), dash, mark, name)
        if table is not None:
            axes.plot(
                where, table[key], "x", color=color("error", theme), markersize=9,
                markeredgewidth=2, label="pool rule, computed before",
            )  # fmt: skip
        axes.axhline(noise, color=color("muted", theme), linestyle=":", label="noise alone")
        axes.set_title(title)
        axes.set_ylim(bottom=0)
    left.set_ylabel("squared error / d")
    handles, labels = left.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=4)


@figure(size=(7.4, 4.0))
def pool_distances(
    fig,
    theme: Theme,
    sizes: Sequence[int | None],
    panels: Mapping[str, Mapping[str, ArrayLike]],
    *,
    untrained: Mapping[str, float] | None = None,
) -> None:
    """Draw how far networks are from each rule, against the size of their pool.

    Parameters
    ----------
    sizes
        M of each network; ``None`` is unlimited.
    panels
        Title; names of :data:`RULES` and distances ``[seeds, sizes]``, NaN where there are none.
    untrained
        Title and the distance to ridge of networks before training.
    """
    all_axes = np.atleast_1d(fig.subplots(1, len(panels), sharey=True))
    for axes, (title, curves) in zip(all_axes, panels.items(), strict=True):
        where = _sizes(axes, sizes)
        for name, values in curves.items():
            role, dash, mark = RULES[name]
            _band(axes, where, values, color(role, theme), dash, mark, name)
        if title in (untrained or {}):
            axes.axhline(
                untrained[title], color=color("error", theme), linestyle="-.", linewidth=1.2,
                label="untrained",
            )  # fmt: skip
        axes.set_yscale("log")
        axes.set_title(title)
        axes.yaxis.set_minor_locator(NullLocator())
    _plain_log(all_axes[0], [v for c in panels.values() for x in c.values() for v in np.ravel(x)])
    all_axes[0].set_ylabel("squared distance / d")
    handles, labels = all_axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))


@figure(size=(7.4, 3.8))
def distances_in_training(
    fig,
    theme: Theme,
    steps: Sequence[int],
    panels: Mapping[str, Mapping[str, ArrayLike]],
) -> None:
    """Draw distances to the rules over the training, one panel for each pool.

    Parameters
    ----------
    steps
        When they were measured; step 0 is left out, the axis is logarithmic.
    panels
        Title; names of :data:`RULES` and distances ``[seeds, steps]``.
    """
    at = np.asarray(steps, dtype=float)
    all_axes = np.atleast_1d(fig.subplots(1, len(panels), sharey=True))
    for axes, (title, curves) in zip(all_axes, panels.items(), strict=True):
        for name, values in curves.items():
            role, dash, _ = RULES[name]
            values, ink = np.atleast_2d(values)[:, at > 0], color(role, theme)
            axes.fill_between(
                at[at > 0], values.min(0), values.max(0), color=ink, alpha=0.18, linewidth=0
            )
            axes.plot(at[at > 0], values.mean(0), dash, color=ink, label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(title)
        axes.set_xlabel("training step")
        axes.yaxis.set_minor_locator(NullLocator())
    _plain_log(all_axes[0], [v for c in panels.values() for x in c.values() for v in np.ravel(x)])
    all_axes[0].set_ylabel("squared distance / d")
    handles, labels = all_axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))


@figure(size=(7.4, 4.0))
def price_and_gain(
    fig,
    theme: Theme,
    sizes: Sequence[int | None],
    panels: Mapping[str, Mapping[str, ArrayLike]],
) -> None:
    """Draw errors of networks and of both rules, on new tasks and on the pool's.

    Parameters
    ----------
    sizes
        M of each network; ``None`` is unlimited.
    panels
        Title; ``"network"``, ``"ridge"`` and ``"pool rule"`` with errors ``[seeds, sizes]``, NaN
        where there are none.
    """
    looks = {
        "network": ("predicted", "-", "D"),
        "ridge": RULES["to ridge"],
        "pool rule": RULES["to the pool rule"],
    }
    all_axes = np.atleast_1d(fig.subplots(1, len(panels)))
    for axes, (title, curves) in zip(all_axes, panels.items(), strict=True):
        where = _sizes(axes, sizes)
        for name, values in curves.items():
            role, dash, mark = looks[name]
            _band(axes, where, values, color(role, theme), dash, mark, name)
        axes.set_title(title)
        axes.set_ylim(bottom=0)
    all_axes[0].set_ylabel("squared error / d")
    handles, labels = all_axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def _plain_log(axes, values: Sequence[float]) -> None:
    """Give a logarithmic axis a few plain numbers."""
    known = [v for v in values if np.isfinite(v) and v > 0]
    low, high = min(known) / 1.4, max(known) * 1.4
    places = [p * 10.0**e for e in range(-5, 2) for p in (1, 3)]
    places = [v for v in places if low <= v <= high]
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(places))
    axes.set_yticks(places, [f"{v:g}" for v in places])
