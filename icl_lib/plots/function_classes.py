"""Figures of the chapter on function classes: errors, distances to algorithms, ridge penalties."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from icl_lib.palette import Theme, color
from icl_lib.plots.themed import figure

CLASS_LOOKS = {
    "GPT": ("predicted", "-", "o"),
    "untrained": ("neutral", ":", "X"),
    "pairs shuffled": ("error", "-.", "v"),
    "least squares": ("gold", "--", "D"),
    "ridge": ("value", "--", "s"),
    "Lasso": ("value", "-.", "s"),
    "3 nearest": ("query", (0, (5, 1)), "^"),
    "averaging": ("key", (0, (3, 1, 1, 1)), "v"),
    "greedy tree": ("value", "-.", "s"),
    "Bayes": ("neutral", "-", "P"),
}
"""Colour, dash and mark of each learner in every figure of errors."""

PENALTY_LOOKS = (("predicted", "-", "o"), ("query", "--", "s"), ("key", "-.", "^"))
"""Of the networks in a figure of penalties, in their order."""


@figure(size=(7.4, 4.4))
def class_errors(
    fig,
    theme: Theme,
    panels: Mapping[str, Mapping[str, ArrayLike]],
    *,
    exact: Mapping[str, ArrayLike] | None = None,
    dimension: int | None = None,
    log: bool = False,
    limits: tuple[float, float] = (0.0, 2.0),
) -> None:
    """Draw errors against the number of demonstrations, one panel for each function class.

    Parameters
    ----------
    panels
        Title; learner (a key of ``CLASS_LOOKS``) and its errors, ``[seeds, N]`` or ``[N]``. The
        line is the mean, the band runs from the lowest seed to the highest.
    exact
        Title of a panel and the closed form of the best possible error, ``[N]``, drawn broad.
    dimension
        d, marked on the axis.
    log
        Whether errors are on a logarithmic scale.
    limits
        Lowest and highest error shown; what lies beyond leaves the picture.
    """
    handles: dict[str, object] = {}
    all_axes = np.atleast_1d(fig.subplots(1, len(panels), sharey=True))
    for axes, (title, curves) in zip(all_axes, panels.items(), strict=True):
        if title in (exact or {}):
            values = np.asarray(exact[title])
            (line,) = axes.plot(
                np.arange(len(values)), values, color=color("grid", theme), linewidth=7
            )
            handles["best possible, closed form"] = line
        for name, values in curves.items():
            handles.setdefault(name, _errors(axes, theme, name, np.atleast_2d(values)))
        axes.axhline(1, color=color("muted", theme), linewidth=1, linestyle=(0, (1, 3)))
        if dimension is not None:
            axes.axvline(dimension, color=color("muted", theme), linestyle=":", linewidth=1)
        if log:
            axes.set_yscale("log")
        axes.set_ylim(*limits)
        axes.set_title(title, fontsize=11)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("demonstrations in the prompt")
    all_axes[0].set_ylabel("error (guessing 0 = 1)")
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=10)


@figure(size=(7.4, 4.6))
def algorithm_distances(
    fig, theme: Theme, columns: Sequence[str], rows: Mapping[str, ArrayLike]
) -> None:
    """Draw a table of squared prediction differences; a frame marks the nearest of each row.

    Parameters
    ----------
    columns
        Names of the algorithms.
    rows
        Name of each network and its distances, one for each column, all positive.

    Raises
    ------
    ValueError
        If a row does not have one positive distance for each column.
    """
    table = np.array([np.asarray(row, dtype=float) for row in rows.values()])
    if table.shape != (len(rows), len(columns)) or not (table > 0).all():
        raise ValueError(f"expected {len(columns)} positive distances in each of {len(rows)} rows")
    axes = fig.subplots()
    norm = LogNorm(table.min(), table.max())
    drawn = axes.imshow(
        table, cmap="Greys" if theme == "light" else "Greys_r", norm=norm, aspect="auto"
    )
    colors = drawn.to_rgba(table)
    for i, row in enumerate(table):
        for j, value in enumerate(row):
            ink = "black" if _light(colors[i, j]) else "white"
            axes.text(j, i, f"{value:.3f}", ha="center", va="center", fontsize=9, color=ink)
        nearest = int(row.argmin())
        axes.add_patch(_frame(nearest, i, color("predicted", theme)))
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="right", fontsize=10)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.grid(False)
    axes.tick_params(length=0)


@figure(size=(6.8, 3.9))
def penalty_valleys(
    fig,
    theme: Theme,
    penalties: ArrayLike,
    networks: Mapping[str, ArrayLike],
    *,
    marks: Mapping[str, float] | None = None,
) -> None:
    """Draw the distance of networks to ridge against the penalty of ridge.

    Parameters
    ----------
    penalties
        Positive, rising.
    networks
        Name and distances, ``[sets, penalties]`` or ``[penalties]``; at most three.
    marks
        Words and the penalty that they mark.

    Raises
    ------
    ValueError
        If there are more networks than looks.
    """
    if len(networks) > len(PENALTY_LOOKS):
        raise ValueError(f"expected at most {len(PENALTY_LOOKS)} networks, got {len(networks)}")
    axes = fig.subplots()
    for (name, values), (role, dash, mark) in zip(networks.items(), PENALTY_LOOKS, strict=False):
        values, ink = np.atleast_2d(np.asarray(values, dtype=float)), color(role, theme)
        mean = values.mean(0)
        axes.fill_between(penalties, values.min(0), values.max(0), color=ink, alpha=0.2, lw=0)
        axes.plot(penalties, mean, linestyle=dash, color=ink, label=name)
        low = int(mean.argmin())
        axes.plot(penalties[low], mean[low], mark, color=ink, markersize=9)
    for words, place in (marks or {}).items():
        axes.axvline(place, color=color("muted", theme), linestyle=":", linewidth=1)
        axes.annotate(
            words, (place, 0.98), xycoords=("data", "axes fraction"), rotation=90, va="top",
            ha="right", fontsize=9, color=color("muted", theme),
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("penalty λ of ridge")
    axes.set_ylabel("squared difference / E y²")
    axes.legend()


def _errors(axes, theme: Theme, name: str, values: np.ndarray):
    role, dash, mark = CLASS_LOOKS[name]
    ink, steps = color(role, theme), np.arange(values.shape[1])
    axes.fill_between(steps, values.min(0), values.max(0), color=ink, alpha=0.2, linewidth=0)
    (line,) = axes.plot(steps, values.mean(0), linestyle=dash, marker=mark, markersize=4, color=ink)
    return line


def _light(rgba: np.ndarray) -> bool:
    """Return whether black text stands out better on a grey than white text."""
    return bool(rgba[0] > 0.46)


def _frame(column: int, row: int, ink: str) -> Rectangle:
    return Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=ink, lw=3)
