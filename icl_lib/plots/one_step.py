"""Figures of chapter 11: a layer's training, its matrices, the way to the construction, softmax."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from numpy.typing import ArrayLike

from icl_lib.palette import Theme, color
from icl_lib.plots.themed import figure

DASHES = ("-", "--", "-.", ":")
ROLES = ("predicted", "query", "key", "value")


@figure(size=(6.8, 3.4))
def layer_training(
    fig, theme: Theme, losses: ArrayLike, levels: Mapping[str, float], *, window: int = 25
) -> None:
    """Draw the loss of a training, smoothed, with levels to compare it with.

    Parameters
    ----------
    losses
        One for each step.
    levels
        Name and height of horizontal lines.
    window
        Steps that are averaged.
    """
    losses = np.asarray(losses)
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    axes = fig.subplots()
    label = f"trained layer, mean of {window} steps"
    steps = np.arange(len(smooth))[::5] + window - 1
    axes.plot(steps, smooth[::5], color=color("predicted", theme), label=label)
    for (name, height), role, dash in zip(
        levels.items(), ("gold", "neutral"), ("--", ":"), strict=False
    ):
        axes.axhline(height, color=color(role, theme), linestyle=dash, label=name)
    axes.set_ylim(0, max(*levels.values(), smooth.max()) * 1.12)
    axes.set_xlabel("training step")
    axes.set_ylabel("half mean squared error")
    axes.legend()


@figure(size=(7.6, 4.6))
def layer_maps(
    fig, theme: Theme, columns: Mapping[str, tuple[ArrayLike, ArrayLike]], names: Sequence[str]
) -> None:
    """Draw the two matrices of several layers as heat maps, one layer a column.

    Each row of maps shares one scale; 0 has the colour of the page.

    Parameters
    ----------
    columns
        Title and the matrices (key_query, value_out).
    names
        What is written beside the two rows.
    """
    grid = fig.subplots(2, len(columns), squeeze=False)
    ends = [color("key", theme), color("background", theme), color("query", theme)]
    ink = mpl.colors.LinearSegmentedColormap.from_list(f"signed-{theme}", ends)
    for row, name in enumerate(names):
        matrices = [np.asarray(pair[row]) for pair in columns.values()]
        most = max(np.abs(m).max() for m in matrices)
        for axes, matrix, title in zip(grid[row], matrices, columns, strict=True):
            shown = axes.imshow(matrix, cmap=ink, vmin=-most, vmax=most)
            axes.grid(False)
            _mark_blocks(axes, len(matrix), theme)
            if row == 0:
                axes.set_title(title, fontsize=11)
        grid[row, 0].set_ylabel(name)
        fig.colorbar(shown, ax=list(grid[row]), shrink=0.85)


def _mark_blocks(axes, width: int, theme: Theme) -> None:
    """Draw the border between the places of x and of y, and say which is which."""
    for line in (axes.axhline, axes.axvline):
        line(width - 1.5, color=color("muted", theme), linewidth=0.8)
    places = [(width - 2) / 2, width - 1]
    axes.set_xticks(places, ["x", "y"])
    axes.set_yticks(places, ["x", "y"])
    axes.tick_params(length=0)


@figure(size=(7.2, 3.6))
def way_losses(
    fig, theme: Theme, ways: ArrayLike, curves: Mapping[str, ArrayLike], null: float
) -> None:
    """Draw the loss of layers between a trained and a constructed one.

    Parameters
    ----------
    ways
        Places on the way, 0 trained and 1 constructed.
    curves
        Name of the way of mixing and losses ``[seeds, ways]``; one line for each seed.
    null
        Loss of guessing 0.
    """
    axes = fig.subplots()
    styles = zip(curves.items(), ("predicted", "error"), ("-", "--"), strict=False)
    for (name, losses), role, dash in styles:
        for i, row in enumerate(np.atleast_2d(losses)):
            label = name if i == 0 else None
            axes.plot(ways, row, dash, color=color(role, theme), label=label, linewidth=1.6)
    axes.axhline(null, color=color("neutral", theme), linestyle=":", label="guessing 0")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("way from the trained layer (0) to the constructed one (1)")
    axes.set_ylabel("half mean squared error")
    fig.legend(loc="outside upper center", ncols=3)


@figure(size=(7.6, 3.6))
def scale_losses(fig, theme: Theme, panels: Mapping[str, Mapping[str, ArrayLike]]) -> None:
    """Draw losses at scales that the training never saw, one panel for inputs and one for weights.

    Parameters
    ----------
    panels
        Label of the scale, and for each: ``scales [S]``, ``trained [seeds, S]``, ``step [S]`` (a
        closed form), ``nothing [S]``.
    """
    all_axes = fig.subplots(1, len(panels), squeeze=False)[0]
    for axes, (label, data) in zip(all_axes, panels.items(), strict=True):
        scales = np.asarray(data["scales"])
        axes.plot(scales, data["nothing"], ":", color=color("neutral", theme), label="guessing 0")
        axes.plot(
            scales, data["step"], "--", color=color("gold", theme), label="one step, closed form"
        )
        for i, row in enumerate(np.atleast_2d(data["trained"])):
            axes.plot(
                scales, row, "osv"[i % 3], color=color("predicted", theme), markersize=5,
                fillstyle="none", label="trained layer, three seeds" if i == 0 else None,
            )  # fmt: skip
        axes.set_yscale("log")
        axes.set_xlabel(label)
    all_axes[0].set_ylabel("half mean squared error")
    handles, labels = all_axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=3)


@figure(size=(7.0, 4.2))
def temperature_errors(
    fig, theme: Theme, temperatures: ArrayLike, curves: Mapping[str, ArrayLike]
) -> None:
    """Draw how far softmax heads are from a step of gradient descent, against the temperature.

    Parameters
    ----------
    temperatures
        τ.
    curves
        Name of the construction and its relative errors.
    """
    axes = fig.subplots()
    for (name, errors), role, dash in zip(curves.items(), ROLES, DASHES, strict=False):
        axes.loglog(
            temperatures, errors, dash, marker="o", markersize=4, color=color(role, theme),
            label=name,
        )  # fmt: skip
    axes.set_xlabel("temperature τ")
    axes.set_ylabel("distance, relative")
    fig.legend(loc="outside upper center", ncols=2, fontsize=10)
