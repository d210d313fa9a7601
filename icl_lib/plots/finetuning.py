"""Figures of the fine-tuning chapter: what is gained on a task against what is lost on old text."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axis import Axis
from numpy.typing import ArrayLike

from icl_lib.palette import SERIES, Theme, color
from icl_lib.plots.themed import figure

MARKERS = "osD^vP*"


def _decades(axis: Axis, low: float, high: float) -> None:
    """Make an axis logarithmic, with plain numbers, closer together if it is short."""
    span = high / low
    wide, middle, short = (1,), (1, 2, 5), (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    choices = wide if span > 1000 else middle if span > 4 else short
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    ticks = [m * p for p in powers for m in choices if low <= m * p <= high]
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_ticks(ticks, [f"{t:,g}" if t < 1e5 else f"{t:.0e}" for t in ticks])
    axis.set_ticks([], minor=True)
    axis.axes.set(**{f"{axis.axis_name}lim": (low, high)})


def _roles(entries: Mapping, most: int = min(len(SERIES), len(MARKERS))) -> None:
    """Refuse more series than there are colours and markers: none may be left out unsaid."""
    if not 1 <= len(entries) <= most:
        raise ValueError(f"expected 1 to {most} series, got {len(entries)}: {', '.join(entries)}")


def _span(values: Sequence[ArrayLike], *others: float) -> tuple[float, float]:
    flat = np.concatenate([np.ravel(v) for v in values] + [np.array(others)])
    flat = flat[np.isfinite(flat)]
    return flat.min() * 0.93, flat.max() * 1.08


@figure(size=(7.2, 4.4))
def forgetting_tradeoff(
    fig,
    theme: Theme,
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    base: tuple[float, float],
    chance: float,
    xlabel: str = "accuracy on the new task",
    ylabel: str = "perplexity on old text",
) -> None:
    """Draw gain against cost, one curve per method, walked from small to large step sizes.

    Parameters
    ----------
    curves
        Label to (accuracy, perplexity), each ``[settings, seeds]``; the line joins the means.
    base
        Accuracy and perplexity before fine-tuning.
    chance
        Accuracy of always naming the commonest label.

    Raises
    ------
    ValueError
        If there are no curves, or more than colours.
    """
    _roles(curves)
    axes = fig.subplots()
    low, high = _span([cost for _, cost in curves.values()], base[1])
    _decades(axes.yaxis, low, high)
    axes.axhline(base[1], color=color("neutral", theme), linestyle=":", linewidth=1.4)
    axes.axvline(chance, color=color("neutral", theme), linestyle="--", linewidth=1.4)
    axes.plot(*base, "X", color=color("text", theme), ms=10, zorder=4, label="before fine-tuning")
    for role, marker, (label, (gain, cost)) in zip(SERIES, MARKERS, curves.items(), strict=False):
        gain, cost = np.asarray(gain), np.asarray(cost)
        axes.plot(gain.ravel(), cost.ravel(), marker, ms=4, mew=0, alpha=0.35,
                  color=color(role, theme))  # fmt: skip
        means = gain.mean(1), np.exp(np.log(cost).mean(1))
        axes.plot(*means, "-" + marker, color=color(role, theme), ms=6, label=label)
    axes.annotate("commonest label", (chance, high), xytext=(4, -12), textcoords="offset points",
                  color=color("muted", theme), fontsize=9)  # fmt: skip
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=3)


@figure(size=(6.8, 4.2))
def change_and_forgetting(
    fig,
    theme: Theme,
    points: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    base: float,
    xlabel: str = "‖ΔW‖ / ‖W‖",
    ylabel: str = "perplexity on old text",
) -> None:
    """Draw perplexity against how far the weights moved, both on logarithmic axes.

    Parameters
    ----------
    points
        Label to (relative changes, perplexities), one entry per run.
    base
        Perplexity before fine-tuning.

    Raises
    ------
    ValueError
        If there are no points, or more labels than colours.
    """
    _roles(points)
    axes = fig.subplots()
    low, high = _span([cost for _, cost in points.values()], base)
    _decades(axes.yaxis, low, high)
    _decades(axes.xaxis, *_span([moved for moved, _ in points.values()]))
    axes.axhline(base, color=color("neutral", theme), linestyle=":", linewidth=1.4)
    for role, marker, (label, (moved, cost)) in zip(SERIES, MARKERS, points.items(), strict=False):
        axes.plot(np.ravel(moved), np.ravel(cost), marker, ms=6, alpha=0.75, mew=0,
                  color=color(role, theme), label=label)  # fmt: skip
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.legend(loc="upper left")


@figure(size=(6.8, 3.4))
def seeds_by_row(
    fig,
    theme: Theme,
    rows: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    mark: tuple[float, str] | None = None,
    log: bool = False,
) -> None:
    """Draw a row of dots for each setting, one dot a seed, with the mean as a bar.

    On a logarithmic axis the mean is the geometric one.

    Parameters
    ----------
    rows
        Label to values. One that is no finite number is no dot: the row says how many were not
        reached, and has no bar, as there is no mean over all seeds.
    xlabel
        What the values are.
    mark
        Value and words of a vertical line.
    log
        Logarithmic axis.

    Raises
    ------
    ValueError
        If there are no rows, or more than twice as many as colours.
    """
    _roles(rows, 2 * len(SERIES))
    axes = fig.subplots()
    for y, (role, values) in enumerate(zip(SERIES * 2, rows.values(), strict=False)):
        values = np.asarray(values, dtype=float)
        finite = values[np.isfinite(values)]
        axes.plot(finite, np.full(len(finite), y), "o", ms=6, alpha=0.6, mew=0,
                  color=color(role, theme))  # fmt: skip
        if not len(finite) or len(finite) < len(values):
            some = f"{len(values) - len(finite)} of {len(values)} " if len(finite) else ""
            axes.text(0.02, y, f"{some}not reached", color=color("muted", theme), va="center",
                      transform=axes.get_yaxis_transform())  # fmt: skip
            continue
        mean = np.exp(np.log(finite).mean()) if log else finite.mean()
        axes.plot([mean], [y], "|", ms=22, mew=3, color=color(role, theme))
    if mark is not None:
        axes.axvline(mark[0], color=color("neutral", theme), linestyle="--", linewidth=1.4)
        axes.annotate(mark[1], (mark[0], -0.62), xytext=(4, 0), textcoords="offset points",
                      color=color("muted", theme), fontsize=9, va="bottom")  # fmt: skip
    if log:
        _decades(axes.xaxis, *_span(list(rows.values()), *([] if mark is None else [mark[0]])))
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.8)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(xlabel)
