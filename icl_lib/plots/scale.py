"""Figures of the chapter on scale: power laws, answers after demonstrations, scores in training."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike

from icl_lib.palette import Theme, color
from icl_lib.plots.themed import figure

SIZE_INKS = ("neutral", "key", "query", "predicted", "value", "gold")
"""Colour of each size, the smallest first, in every figure of the chapter."""
MARKS = ("s", "^", "o", "D", "v", "P")
DASHES = (":", "-.", "--", "-", (0, (5, 1)), (0, (1, 1)))


@figure(size=(7.2, 3.9))
def scaling_law(
    fig,
    theme: Theme,
    sizes: ArrayLike,
    losses: ArrayLike,
    floor: float,
    laws: Mapping[str, Sequence[ArrayLike]],
    *,
    marks: Mapping[str, float] | None = None,
) -> None:
    """Draw loss against parameters: the measured seeds, fitted laws, the irreducible loss.

    Parameters
    ----------
    sizes
        N, ``[points]``.
    losses
        ``[seeds, points]``.
    floor
        The exact entropy of the texts.
    laws
        Name of each fit, and the sizes and losses of its curve.
    marks
        Name and height of other reference lines.
    """
    left, right = fig.subplots(1, 2)
    table, ink = np.atleast_2d(losses), color("predicted", theme)
    for axes, down in ((left, 0.0), (right, floor)):
        for name, (xs, ys), role, dash in zip(
            laws, laws.values(), ("gold", "query", "key"), ("-", "--", ":"), strict=False
        ):
            above = np.asarray(ys) - down
            axes.plot(
                np.asarray(xs)[above > 0], above[above > 0], linestyle=dash,
                color=color(role, theme), label=name,
            )  # fmt: skip
        for row in table:
            axes.plot(sizes, row - down, "o", color=ink, markersize=5, alpha=0.8)
        axes.set_xscale("log")
        axes.set_xlabel("parameters N, tables not counted")
    left.axhline(floor, color=color("error", theme), linestyle="-.", label="entropy of the text")
    for name, height in (marks or {}).items():
        left.axhline(height, color=color("value", theme), linestyle=(0, (1, 1)), label=name)
        right.axhline(height - floor, color=color("value", theme), linestyle=(0, (1, 1)))
    left.set_ylabel("loss on texts (nats)")
    right.set_yscale("log")
    right.set_ylim(bottom=0.5 * (table.min() - floor))
    right.set_ylabel("loss − entropy (nats)")
    ticks = [t for t in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2) if t > 0.3 * (table.min() - floor)]
    right.yaxis.set_major_locator(FixedLocator(ticks))
    right.yaxis.set_minor_locator(NullLocator())
    right.set_yticks(ticks, [f"{t:g}" for t in ticks])
    right.xaxis.set_minor_formatter(NullFormatter())
    handles, labels = left.get_legend_handles_labels()
    handles.append(left.plot([], [], "o", color=ink)[0])
    fig.legend(handles, [*labels, "measured, one dot a seed"], loc="outside lower center", ncols=2)


@figure(size=(7.2, 3.9))
def few_shot(
    fig,
    theme: Theme,
    shots: Sequence[int],
    accuracies: Mapping[str, ArrayLike],
    best: ArrayLike,
    chance: float,
    *,
    nulls: Mapping[str, ArrayLike] | None = None,
) -> None:
    """Draw accuracy against the number of demonstrations, one line a size.

    Parameters
    ----------
    shots
        k.
    accuracies
        Size and ``[seeds, shots]``: the line is the mean, the band runs from lowest to highest.
    best
        Of a reader who binds each category at first sight, ``[shots]``.
    chance
        One over the classes.
    nulls
        Name and accuracies of controls, drawn thin.
    """
    axes, where = fig.subplots(), np.arange(len(shots))
    axes.plot(where, best, "--", color=color("gold", theme), label="binds at first sight, exact")
    axes.axhline(chance, color=color("muted", theme), linestyle=":", label="chance")
    for i, (name, values) in enumerate(accuracies.items()):
        values, ink = np.atleast_2d(values), color(SIZE_INKS[i], theme)
        axes.fill_between(where, values.min(0), values.max(0), color=ink, alpha=0.18, linewidth=0)
        axes.plot(where, values.mean(0), marker=MARKS[i], markersize=6, color=ink, label=name)
    for i, (name, values) in enumerate((nulls or {}).items()):
        values = np.atleast_2d(values).mean(0)
        axes.plot(
            where, values, marker="x" if i else "+", markersize=7, linewidth=1,
            linestyle="-.", color=color("error" if i else "text", theme), label=name,
        )  # fmt: skip
    axes.set_xticks(where, [str(k) for k in shots])
    axes.set_ylim(0, 1.04)
    axes.set_xlabel("demonstrations in the prompt")
    axes.set_ylabel("share of right answers")
    fig.legend(loc="outside right center")


@figure(size=(7.4, 3.8))
def appearance(
    fig,
    theme: Theme,
    steps: Sequence[int],
    panels: Mapping[str, Mapping[str, ArrayLike]],
    *,
    references: Mapping[str, float] | None = None,
) -> None:
    """Draw measured quantities over the training, one panel each, one line a size.

    Parameters
    ----------
    steps
        When they were measured.
    panels
        Name of the quantity; size and ``[seeds, steps]``.
    references
        Name of a panel and a level to be marked in it.
    """
    for axes, (title, curves) in zip(
        np.atleast_1d(fig.subplots(1, len(panels))), panels.items(), strict=True
    ):
        for i, (name, values) in enumerate(curves.items()):
            values, ink = np.atleast_2d(values), color(SIZE_INKS[i], theme)
            axes.fill_between(
                steps, values.min(0), values.max(0), color=ink, alpha=0.15, linewidth=0
            )
            axes.plot(steps, values.mean(0), linestyle=DASHES[i], color=ink, label=name)
        if title in (references or {}):
            axes.axhline(references[title], color=color("gold", theme), linestyle="--", linewidth=1)
        axes.set_title(title)
        axes.set_xlabel("training step")
    handles, labels = axes.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))


@figure(size=(7.4, 3.6))
def two_metrics(
    fig,
    theme: Theme,
    sizes: ArrayLike,
    panels: Mapping[str, ArrayLike],
    *,
    chance: Mapping[str, float] | None = None,
) -> None:
    """Draw several metrics of the same answers against parameters, one panel each.

    Parameters
    ----------
    sizes
        N, ``[points]``.
    panels
        Name of the metric and ``[seeds, points]``.
    chance
        Name of a panel and what guessing reaches.
    """
    ink = color("predicted", theme)
    for axes, (title, values) in zip(
        np.atleast_1d(fig.subplots(1, len(panels))), panels.items(), strict=True
    ):
        values = np.atleast_2d(values)
        for row in values:
            axes.plot(sizes, row, "o", color=ink, markersize=4, alpha=0.6)
        axes.plot(sizes, values.mean(0), color=ink)
        if title in (chance or {}):
            axes.axhline(chance[title], color=color("muted", theme), linestyle=":")
        axes.set_xscale("log")
        axes.set_title(title)
        axes.set_xlabel("parameters")
