"""Figures of the chapter on attention as a meta-optimizer."""

import math

import matplotlib as mpl
import numpy as np

from icl_lib.palette import color
from icl_lib.plots.themed import figure


def _array(x) -> np.ndarray:
    return np.asarray(x.detach() if hasattr(x, "detach") else x, dtype=float)


def _band(ax, x, samples, theme, role, label, **line) -> None:
    low, middle, high = np.quantile(_array(samples), [0.1, 0.5, 0.9], axis=0)
    shade = color(role, theme)
    ax.fill_between(x, low, high, color=shade, alpha=0.18, linewidth=0)
    ax.plot(x, middle, color=shade, label=label, **line)


@figure(size=(6.4, 3.4))
def split_segment(fig, theme, query_text, demonstrations, output, *, mass):
    """Draw the two parts of softmax attention and the output on the segment between them.

    Parameters
    ----------
    query_text, demonstrations, output
        Attn(X), Attn(X') and Attn([X'; X]), two numbers each.
    mass
        λ, where on the segment the output lies.
    """
    a, b, out = _array(query_text), _array(demonstrations), _array(output)
    ax = fig.subplots()
    ax.plot(*zip(a, b, strict=True), color=color("grid", theme), linewidth=3, zorder=1)
    ax.plot(*zip(a, out, strict=True), color=color("neutral", theme), linewidth=3, zorder=2)
    marks = [
        (a, "query", "o", "Attn(X): query text alone, λ = 0"),
        (b, "key", "s", "Attn(X'): demonstrations alone, λ = 1"),
        (out, "gold", "D", f"Attn([X'; X]): λ = {mass:.2f} of the way"),
    ]
    for point, role, marker, label in marks:
        shade = color(role, theme)
        ax.plot(*point, marker, color=shade, markersize=10, zorder=3)
        ax.annotate(
            label, point, xytext=(12, 0), textcoords="offset points", color=shade, va="center"
        )
    low, high = np.minimum(a, b), np.maximum(a, b)
    span = np.maximum(high - low, 1e-6)
    ax.set_xlim(low[0] - 0.2 * span[0], high[0] + 1.4 * span[0])
    ax.set_ylim(low[1] - 0.2 * span[1], high[1] + 0.2 * span[1])
    ax.set(xlabel="first component of the output", ylabel="second component")


@figure(size=(6.4, 4.2))
def relaxation_error(fig, theme, scales, relaxed, rescaled, taylor):
    """Draw the error against softmax attention over the scale of the scores, for three stand-ins.

    Parameters
    ----------
    scales
        Score scales, one number per column.
    relaxed, rescaled, taylor
        Relative errors, one row per draw: the relaxed head, the relaxed head after its best
        rescaling, and the first-order expansion of softmax. Lines are medians, bands hold 80 %.
    """
    x = _array(scales)
    ax = fig.subplots()
    _band(ax, x, relaxed, theme, "predicted", "relaxed head, eq. 11")
    _band(ax, x, rescaled, theme, "error", "the same, best rescaled", linestyle="--")
    _band(ax, x, taylor, theme, "value", "softmax to first order", linestyle="-.")
    ax.axhline(1, color=color("neutral", theme), linewidth=1.2)
    ax.text(x[0], 1.8, "what an output of zero gives", color=color("muted", theme), fontsize=9)
    ax.set(xscale="log", yscale="log", xlabel="standard deviation of the scores")
    ax.set_ylabel("relative error against softmax")
    ax.legend(loc="lower right")


@figure(size=(6.4, 3.8))
def relaxation_agreement(fig, theme, scales, measured, demonstrations):
    """Draw the cosine between the relaxed and the softmax output with its closed form.

    Parameters
    ----------
    scales
        Standard deviations σ of the scores.
    measured
        Cosines, one row per draw.
    demonstrations
        Number of tokens that the head attends to, for the legend.
    """
    x = _array(scales)
    ax = fig.subplots()
    label = f"measured, {demonstrations} tokens"
    _band(ax, x, measured, theme, "predicted", label)
    curve = x * np.exp(-(x**2) / 2)
    shade = color("neutral", theme)
    ax.plot(x, curve, color=shade, linestyle="--", label="many tokens: σ exp(−σ²/2)")
    ax.set(xlabel="standard deviation σ of the scores", ylabel="cosine with softmax attention")
    ax.set_ylim(-0.45, 1)
    ax.legend(loc="upper right")


@figure(size=(6.4, 3.8))
def relaxation_growth(fig, theme, counts, relaxed, softmax):
    """Draw how long the outputs of the relaxed head and of softmax get with more tokens.

    Parameters
    ----------
    counts
        Numbers of tokens.
    relaxed, softmax
        Lengths of the output, one row per draw; lines are medians, bands hold 80 %.
    """
    x = _array(counts)
    ax = fig.subplots()
    _band(ax, x, relaxed, theme, "predicted", "relaxed head", marker="o", markersize=4)
    _band(ax, x, softmax, theme, "gold", "softmax", marker="s", markersize=4)
    ax.set(xscale="log", yscale="log", xlabel="tokens that the head attends to")
    ax.set_ylabel("length of the output")
    ax.legend(loc="upper left")


@figure(size=(6.4, 3.6))
def gradient_cosines(fig, theme, cosines, *, dimensions):
    """Draw the cosines of random heads with the gradient step, and the one of the built head.

    Parameters
    ----------
    cosines
        One cosine per random head.
    dimensions
        Entries of the matrix; 1/√dimensions is the spread that pure chance gives.
    """
    ax = fig.subplots()
    ax.hist(_array(cosines), bins=40, range=(-1, 1), color=color("neutral", theme), alpha=0.75)
    ax.axvline(_array(cosines).mean(), color=color("predicted", theme), label="mean of all")
    ax.axvline(1, color=color("gold", theme), linestyle="--", label="constructed head")
    spread = 1 / math.sqrt(dimensions)
    label = f"± 1/√{dimensions}: spread of random directions"
    ax.axvline(-spread, color=color("error", theme), linewidth=1.5, linestyle=":", label=label)
    ax.axvline(spread, color=color("error", theme), linewidth=1.5, linestyle=":")
    ax.set(xlim=(-1.05, 1.05), xlabel="cosine of ΔW with the gradient step", ylabel="random heads")
    fig.legend(loc="outside lower center", ncols=3, fontsize=9)


@figure(size=(6.4, 3.6))
def head_errors(fig, theme, groups):
    """Draw one dot for each head: how far its relaxed output points from its real one.

    Parameters
    ----------
    groups
        Name of a model → direction errors of its heads.
    """
    ax = fig.subplots()
    rng = np.random.default_rng(0)
    for row, errors in enumerate(groups.values()):
        y = _array(errors).ravel()
        jitter = row + rng.uniform(-0.22, 0.22, len(y))
        shade = color(("neutral", "predicted", "gold")[row % 3], theme)
        ax.plot(y, jitter, "o", color=shade, alpha=0.6, markersize=5)
        ax.plot([np.median(y)] * 2, [row - 0.35, row + 0.35], color=color("text", theme))
    ax.set_yticks(range(len(groups)), list(groups))
    ax.set(xlim=(-0.02, 1.04), xlabel="direction error of the relaxed head: 0 same, 1 unrelated")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)


@figure(size=(5.6, 4.6))
def carry_over_table(fig, theme, table):
    """Draw how an update made for one token serves every other, as a heat map with numbers.

    Parameters
    ----------
    table
        ``M M``: row, the token for which the update was made; column, where it is used.
    """
    values = _array(table)
    ax = fig.subplots()
    ends = [color("background", theme), color("error", theme)]
    shades = mpl.colors.LinearSegmentedColormap.from_list("carry", ends)
    ax.imshow(values, cmap=shades, vmin=0, vmax=2.2 * max(values.max(), 1e-9), aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=9)
    ticks = range(len(values))
    ax.set_xticks(ticks, [str(t + 1) for t in ticks])
    ax.set_yticks(ticks, [str(t + 1) for t in ticks])
    ax.set(xlabel="used at token", ylabel="made for token")
    ax.grid(visible=False)
