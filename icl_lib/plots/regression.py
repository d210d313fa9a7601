"""Figures of the first chapter: points and guesses, and errors that fall with demonstrations."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from icl_lib.palette import Theme, color
from icl_lib.plots.themed import figure

LOOKS = {
    "trained": ("predicted", "-", "o"),
    "untrained": ("neutral", ":", "s"),
    "pairs broken": ("error", "-.", "v"),
    "averaging": ("key", "--", "^"),
    "least squares": ("gold", "--", "D"),
    "ridge": ("gold", "--", "D"),
}
"""Colour, dash and mark of each learner in every figure of the chapter."""


@figure(size=(7.6, 3.3))
def guesses(
    fig,
    theme: Theme,
    panels: Sequence[ArrayLike],
    xs: ArrayLike,
    network: Sequence[ArrayLike],
    ridge: Sequence[ArrayLike],
) -> None:
    """Draw demonstrations with the network's guesses at all x, one panel for each prompt.

    Parameters
    ----------
    panels
        Demonstrations of each prompt, ``[k, 2]``.
    xs
        Where the guesses were made.
    network, ridge
        Guesses of each prompt at ``xs``.
    """
    all_axes = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, pairs, ours, best in zip(all_axes, panels, network, ridge, strict=True):
        pairs = np.asarray(pairs).reshape(-1, 2)
        axes.plot(xs, best, "--", color=color("neutral", theme), label="ridge")
        axes.plot(xs, ours, color=color("predicted", theme), linewidth=2.5, label="network")
        axes.plot(*pairs.T, "o", color=color("gold", theme), markersize=7, label="demonstration")
        count = len(pairs)
        axes.set_title(f"{count} demonstration{'s' * (count != 1)}")
        axes.set_xlabel("x")
        axes.set_ylim(-5, 5)
    all_axes[0].set_ylabel("y")
    handles, labels = all_axes[-1].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3)


@figure(size=(6.8, 4.4))
def error_curves(
    fig,
    theme: Theme,
    curves: Mapping[str, ArrayLike],
    *,
    exact: Mapping[str, ArrayLike] | None = None,
    dimension: int | None = None,
) -> None:
    """Draw errors against the number of demonstrations; 1 is what guessing 0 costs.

    Parameters
    ----------
    curves
        Learner (a key of ``LOOKS``) and its errors, ``[seeds, N]`` or ``[N]``: the line is
        the mean, the band runs from the lowest seed to the highest.
    exact
        The same for closed forms ``[N]``, drawn as lines without marks.
    dimension
        d, marked on the axis.
    """
    axes = fig.subplots()
    for name, values in curves.items():
        role, dash, mark = LOOKS[name]
        values = np.atleast_2d(np.asarray(values))
        steps = np.arange(values.shape[1])
        ink = color(role, theme)
        axes.fill_between(steps, values.min(0), values.max(0), color=ink, alpha=0.2, linewidth=0)
        axes.plot(steps, values.mean(0), dash, marker=mark, markersize=5, color=ink, label=name)
    for name, values in (exact or {}).items():
        ink = color(LOOKS[name][0], theme)
        axes.plot(np.arange(len(values)), values, "-", color=ink, label=f"{name}, closed form")
    if dimension is not None:
        axes.axvline(dimension, color=color("muted", theme), linestyle=":", linewidth=1)
        axes.annotate("k = d", (dimension + 0.1, 2.3), color=color("text", theme))
    axes.set_ylim(-0.05, 2.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("demonstrations in the prompt")
    axes.set_ylabel("error (guessing 0 = 1)")
    fig.legend(ncols=3, fontsize=10, loc="outside upper center")


@figure(size=(6.4, 3.2))
def training_loss(fig, theme: Theme, losses: ArrayLike, floor: float, *, window: int = 25) -> None:
    """Draw the loss of a training, smoothed, with the range of single steps and the best possible.

    The picture holds a point for every fifth step and a range for every tenth, to stay small.

    Parameters
    ----------
    losses
        One for each step.
    floor
        Expected loss of the best possible reader of the prompts.
    window
        Steps that are averaged.
    """
    losses = np.asarray(losses)
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    tens = losses[: len(losses) // 10 * 10].reshape(-1, 10)
    axes = fig.subplots()
    axes.fill_between(
        np.arange(len(tens)) * 10 + 5,
        tens.min(axis=1),
        tens.max(axis=1),
        color=color("grid", theme),
        linewidth=0,
        label="range of ten single steps",
    )
    axes.plot(
        np.arange(len(smooth))[::5] + window - 1,
        smooth[::5],
        color=color("predicted", theme),
        label=f"network, mean of {window} steps",
    )
    axes.axhline(floor, color=color("gold", theme), linestyle="--", label="best possible")
    axes.set_ylim(0, float(losses[:window].max()) * 1.05)
    axes.set_xlabel("training step")
    axes.set_ylabel("mean squared error")
    axes.legend()
