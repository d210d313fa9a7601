"""Figures of the gradient-descent chapter: walks on a bowl, in a valley, and races of rules."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from icl_lib.palette import SERIES, Theme, color
from icl_lib.plots.themed import figure


@figure(size=(6.4, 3.6))
def taste_curve(
    fig,
    theme: Theme,
    sugar: ArrayLike,
    losses: ArrayLike,
    points: Mapping[str, tuple[float, float, float]],
    *,
    xlabel: str = "sugar, in 100 g",
) -> None:
    """Draw the loss against the sugar, with tangents at some cakes.

    Parameters
    ----------
    sugar, losses
        The curve.
    points
        Label to (sugar, loss, slope).
    """
    axes = fig.subplots()
    sugar, losses = np.asarray(sugar), np.asarray(losses)
    axes.plot(sugar, losses, color=color("neutral", theme))
    reach = 0.12 * (sugar[-1] - sugar[0])
    for role, (label, (x, y, slope)) in zip(("query", "key", "gold"), points.items(), strict=False):
        ends = np.array([x - reach, x + reach])
        axes.plot(ends, y + slope * (ends - x), color=color(role, theme), linewidth=2.5)
        axes.plot([x], [y], "o", color=color(role, theme), markersize=8)
        side = 0 if abs(slope) < 1e-9 else (1 if slope > 0 else -1)
        axes.annotate(
            label,
            (x, y),
            xytext=(12 * side, -4 if side else 12),
            textcoords="offset points",
            ha={-1: "right", 0: "center", 1: "left"}[side],
            color=color(role, theme),
        )
    axes.set(xlabel=xlabel, ylabel="loss", ylim=(losses.min() - 0.8, losses.max() * 1.05))


@figure(size=(6.4, 3.6))
def difference_error(fig, theme: Theme, widths: ArrayLike, errors: Mapping[str, ArrayLike]) -> None:
    """Draw the error of difference quotients against the width of the difference, both in decades.

    Parameters
    ----------
    widths
        h.
    errors
        Label to absolute errors; a zero is drawn at the smallest positive value.
    """
    axes = fig.subplots()
    for role, style, (label, values) in zip(
        ("query", "key"), ("-", "--"), errors.items(), strict=False
    ):
        values = np.asarray(values)
        values = np.maximum(values, values[values > 0].min())
        axes.loglog(widths, values, style, marker="o", ms=4, color=color(role, theme), label=label)
    axes.set(xlabel="width h of the difference", ylabel="error of the slope")
    axes.legend()


@figure(size=(8.0, 3.0))
def bowl_walks(
    fig,
    theme: Theme,
    curve: tuple[ArrayLike, ArrayLike],
    walks: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    xlabel: str = "sugar, in 100 g",
) -> None:
    """Draw walks on one bowl side by side.

    Parameters
    ----------
    curve
        Positions and losses of the bowl; walks are cut where they leave it.
    walks
        Title to positions and losses.
    """
    panels = fig.subplots(1, len(walks), sharey=True)
    xs, ys = (np.asarray(part) for part in curve)
    for axes, (title, (x, y)) in zip(np.atleast_1d(panels), walks.items(), strict=True):
        axes.plot(xs, ys, color=color("neutral", theme), linewidth=1.5)
        axes.plot(x, y, "-o", color=color("query", theme), markersize=4, linewidth=1)
        axes.plot(x[:1], y[:1], "o", color=color("key", theme), markersize=8)
        axes.set(
            title=title, xlabel=xlabel, xlim=(xs[0], xs[-1]), ylim=(-0.04 * ys.max(), ys.max())
        )
    np.atleast_1d(panels)[0].set_ylabel("loss")


@figure(size=(6.4, 3.8))
def shrink_factors(
    fig,
    theme: Theme,
    step_sizes: ArrayLike,
    factors: Mapping[str, ArrayLike],
    marks: Mapping[str, float],
) -> None:
    """Draw by which factor each direction shrinks per step, against the step size.

    Parameters
    ----------
    step_sizes
        η.
    factors
        Label of the direction to |1 − ηλ|.
    marks
        Label to a step size that deserves a vertical line.
    """
    axes = fig.subplots()
    for role, style, (label, values) in zip(
        ("query", "key"), ("-", "--"), factors.items(), strict=False
    ):
        axes.plot(step_sizes, values, style, color=color(role, theme), label=label)
    axes.axhline(1.0, color=color("muted", theme), linewidth=1)
    sides = ["right"] * (len(marks) - 1) + ["left"]
    for side, (label, at) in zip(sides, marks.items(), strict=True):
        axes.axvline(at, color=color("gold", theme), linestyle=":")
        axes.text(at, 1.62, f" {label} ", color=color("gold", theme), va="top", ha=side)
    axes.set(xlabel="step size η", ylabel="factor per step", ylim=(0, 1.65))
    axes.legend(loc="lower left")


def _contours(axes: Axes, theme: Theme, grid: tuple[np.ndarray, ...]) -> None:
    x, y, z = grid
    levels = z.min() + (z.max() - z.min()) * np.array([0.002, 0.01, 0.04, 0.12, 0.3, 0.6])
    axes.contour(x, y, z, levels=levels, colors=[color("neutral", theme)], linewidths=0.8)
    axes.grid(False)


@figure(size=(8.0, 3.2))
def valley_walks(
    fig,
    theme: Theme,
    grid: tuple[ArrayLike, ArrayLike, ArrayLike],
    walks: Mapping[str, ArrayLike],
    minimum: Sequence[float],
    *,
    labels: tuple[str, str] = ("sugar, in 100 g", "butter, in 100 g"),
) -> None:
    """Draw walks in one valley side by side.

    Parameters
    ----------
    grid
        Both coordinates and the loss on a grid.
    walks
        Title to points ``[steps + 1, 2]``.
    minimum
        Marked by a cross.
    """
    grid = tuple(np.asarray(part) for part in grid)
    panels = np.atleast_1d(fig.subplots(1, len(walks), sharex=True, sharey=True))
    for axes, role, (title, walk) in zip(panels, SERIES, walks.items(), strict=False):
        walk = np.asarray(walk)
        _contours(axes, theme, grid)
        axes.plot(walk[:, 0], walk[:, 1], "-o", color=color(role, theme), ms=3, linewidth=1.2)
        axes.plot(*minimum, "x", color=color("gold", theme), markersize=9, markeredgewidth=2.5)
        axes.set(title=title, xlabel=labels[0])
        axes.set_xlim(grid[0].min(), grid[0].max())
        axes.set_ylim(grid[1].min(), grid[1].max())
    panels[0].set_ylabel(labels[1])


@figure(size=(6.4, 3.8))
def descent_losses(
    fig,
    theme: Theme,
    curves: Mapping[str, ArrayLike],
    *,
    xlabel: str = "step",
    ylabel: str = "loss",
) -> None:
    """Draw losses against the step, the loss in decades.

    Parameters
    ----------
    curves
        Label to losses, the first one before any step.
    """
    axes = fig.subplots()
    styles = ("-", "--", "-.", ":")
    for role, style, (label, values) in zip(SERIES, styles * 2, curves.items(), strict=False):
        axes.semilogy(np.asarray(values), style, color=color(role, theme), label=label)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.legend()


@figure(size=(6.8, 4.0))
def rule_race(
    fig,
    theme: Theme,
    results: Mapping[str, Mapping[str, ArrayLike]],
    *,
    share: float = 0.5,
    xlabel: str = "steps until both ingredients are right to 1 %",
) -> None:
    """Draw for each valley and rule the scores of all starts and what a share of them reached.

    Parameters
    ----------
    results
        Valley to rule to scores.
    share
        The large mark stands where this share of the starts is done; 0.5 is the median.
    """
    axes = fig.subplots()
    valleys = list(results)
    rules = list(next(iter(results.values())))
    for i, (rule, role, marker) in enumerate(zip(rules, SERIES, "osD^v", strict=False)):
        for row, valley in enumerate(valleys):
            scores = np.asarray(results[valley][rule])
            at = np.full(len(scores), row + 0.22 * (i - (len(rules) - 1) / 2))
            axes.plot(scores, at, marker, color=color(role, theme), alpha=0.25, ms=4, mew=0)
            axes.plot(
                [np.sort(scores)[math.ceil(share * len(scores)) - 1]],
                at[:1],
                marker,
                color=color(role, theme),
                ms=9,
                label=rule if row == 0 else None,
            )
    axes.set_xscale("log")
    axes.set_yticks(range(len(valleys)), valleys)
    axes.set_ylim(len(valleys) - 0.5, -0.6)
    axes.set_xlabel(xlabel)
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, 1.14), ncols=len(rules))
