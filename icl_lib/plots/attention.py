"""Figures of the attention chapter: who looks at whom, and what a scale or a temperature does."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from icl_lib.palette import Theme, color
from icl_lib.plots.themed import figure


def _ramp(theme: Theme, role: str = "query") -> mpl.colors.Colormap:
    ends = [color("background", theme), color(role, theme)]
    return mpl.colors.LinearSegmentedColormap.from_list(f"{role}-{theme}", ends)


def _cell_text(share: float, theme: Theme) -> str:
    """Colour of a number on a cell that is ``share`` of the way to the full colour."""
    return color("background" if share > 0.55 else "text", theme)


def weight_map(
    axes: Axes,
    theme: Theme,
    weights: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    numbers: bool = True,
    top: float = 1.0,
) -> None:
    """Draw one matrix of attention weights: a row asks, a column answers."""
    axes.imshow(weights, cmap=_ramp(theme), vmin=0.0, vmax=top, aspect="auto")
    axes.grid(False)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if not numbers:
        return
    for (row, column), weight in np.ndenumerate(weights):
        ink = _cell_text(weight / top, theme)
        axes.text(column, row, f"{weight:.2f}", ha="center", va="center", color=ink)


@figure(size=(7.2, 3.0))
def attention_maps(
    fig,
    theme: Theme,
    panels: Mapping[str, ArrayLike],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    numbers: bool = True,
) -> None:
    """Draw heat maps of attention side by side.

    Parameters
    ----------
    panels
        Title and weights `[T, S]` of each map.
    rows, columns
        The words that ask and the words that answer.
    numbers
        Write the weight into each cell.
    """
    all_axes = fig.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, weights) in zip(all_axes, panels.items(), strict=True):
        weights = np.asarray(weights)
        top = max(1.0, weights.max())
        weight_map(axes, theme, weights, rows, columns, numbers=numbers, top=top)
        axes.set_title(title)
        axes.set_xlabel("key: who answers", color=color("key", theme))
    all_axes[0].set_ylabel("query: who asks", color=color("query", theme))


@figure(size=(6.4, 3.4))
def lookup_weights(
    fig, theme: Theme, words: Sequence[str], hard: ArrayLike, soft: ArrayLike
) -> None:
    """Draw the weight that a hard and a soft look-up give to each entry.

    Parameters
    ----------
    words
        The entries.
    hard, soft
        Their weights, each summing to one.
    """
    axes = fig.subplots()
    places = np.arange(len(words))
    pairs = (("hard", hard, "neutral", -0.2), ("soft", soft, "query", 0.2))
    for label, weights, role, shift in pairs:
        bars = axes.bar(places + shift, weights, 0.38, color=color(role, theme), label=label)
        axes.bar_label(bars, fmt="%.2f", padding=2, color=color("text", theme))
    axes.set_xticks(places, words)
    axes.set_ylim(0, 1.15)
    axes.set_ylabel("weight")
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper right")


@figure(size=(6.4, 3.6))
def score_variance(
    fig, theme: Theme, widths: ArrayLike, plain: ArrayLike, scaled: ArrayLike
) -> None:
    """Draw the variance of query-key products against the head width, with and without scale.

    Parameters
    ----------
    widths
        Head widths K.
    plain, scaled
        Measured variances of `q·k` and of `q·k / √K`.
    """
    axes = fig.subplots()
    widths = np.asarray(widths)
    axes.loglog(widths, widths, color=color("neutral", theme), label="K, the closed form")
    axes.loglog(widths, np.ones(len(widths)), "--", color=color("neutral", theme), label="1")
    axes.loglog(widths, plain, "o", color=color("error", theme), label="q·k, measured")
    axes.loglog(widths, scaled, "s", color=color("query", theme), label="q·k / √K, measured")
    axes.set_xticks(widths, [str(width) for width in widths])
    axes.minorticks_off()
    axes.set_xlabel("head width K")
    axes.set_ylabel("variance of the score")
    axes.legend()


@figure(size=(6.4, 3.6))
def temperature_curves(
    fig, theme: Theme, temperatures: ArrayLike, weights: ArrayLike, words: Sequence[str]
) -> None:
    """Draw the attention weights of one query against the temperature.

    Parameters
    ----------
    temperatures
        Values of τ.
    weights
        `[number of τ, S]`.
    words
        The S words that answer.
    """
    axes = fig.subplots()
    weights = np.asarray(weights)
    marks = zip(weights.T, words, ("key", "query", "value"), ("-", "-", "--"), strict=False)
    for line, word, role, dash in marks:
        axes.semilogx(temperatures, line, dash, color=color(role, theme), label=word)
    axes.axhline(1 / weights.shape[1], color=color("neutral", theme), linestyle=":", label="mean")
    axes.axvline(1, color=color("grid", theme))
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("temperature τ")
    axes.set_ylabel("weight")
    axes.legend()
