"""Figures of the chapter on limits: errors as prompts leave the training, and rows of measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike

from icl_lib.palette import Theme, color
from icl_lib.plots.themed import figure

LIMIT_LOOKS = {
    "measured": ("predicted", "-", "o"),
    "trained layer": ("predicted", "-", "o"),
    "GPT": ("predicted", "-", "o"),
    "GPT, sinusoidal": ("value", "-", "s"),
    "GPT, noisy prompts": ("value", "-", "s"),
    "untrained GPT": ("neutral", ":", "X"),
    "least squares": ("gold", "--", "D"),
    "ridge": ("value", ":", "P"),
    "one step": ("query", "-.", "^"),
    "best step": ("query", "-.", "^"),
    "GD++": ("query", "-.", "^"),
    "plain steps": ("key", (0, (5, 1)), "v"),
    "3 nearest": ("key", (0, (5, 1)), "v"),
    "floor": ("neutral", ":", ""),
    "2 layers": ("query", "--", "^"),
    "3 layers": ("key", "-.", "s"),
    "5 layers": ("value", (0, (5, 1)), "v"),
    "1 layer": ("predicted", "-", "o"),
}
"""Colour, dash and mark of each learner in every figure of the chapter."""


@dataclass(frozen=True)
class Curves:
    """One panel: errors against something that changes.

    Attributes
    ----------
    label
        What changes, written under the axis.
    xs
        Its values, positive.
    lines
        Learner (a key of ``LIMIT_LOOKS``) and its errors, ``[xs]`` or ``[seeds, xs]``: the line is
        the mean, the band runs from the lowest seed to the highest.
    exact
        The same for closed forms at ``fine``, drawn as lines; the lines of ``lines`` with the same
        name are then drawn as marks alone.
    fine
        Where the closed forms were evaluated; ``xs`` if empty.
    marks
        Words and the place on the axis that they mark.
    log
        Whether errors are on a logarithmic scale.
    limits
        Lowest and highest error shown; what lies beyond leaves the picture.
    ticks
        Values written under the axis.
    """

    label: str
    xs: Sequence[float]
    lines: Mapping[str, ArrayLike]
    exact: Mapping[str, ArrayLike] = field(default_factory=dict)
    fine: Sequence[float] = ()
    marks: Mapping[str, float] = field(default_factory=dict)
    log: bool = False
    limits: tuple[float, float] = (0.0, 2.0)
    ticks: Sequence[float] = ()


@figure(size=(7.4, 3.9))
def shift_curves(fig, theme: Theme, panels: Sequence[Curves]) -> None:
    """Draw errors against the length, the scale or the noise of a prompt, one panel each.

    Parameters
    ----------
    panels
        From left to right.
    """
    handles: dict[str, object] = {}
    for axes, panel in zip(np.atleast_1d(fig.subplots(1, len(panels))), panels, strict=True):
        for name, values in panel.exact.items():
            role, dash, _ = LIMIT_LOOKS[name]
            places = panel.fine or panel.xs
            (line,) = axes.plot(places, values, linestyle=dash, color=color(role, theme))
            handles.setdefault(f"{name}, exact", line)
        for name, values in panel.lines.items():
            handles.setdefault(name, _line(axes, theme, panel, name, np.atleast_2d(values)))
        axes.axhline(1, color=color("muted", theme), linewidth=1, linestyle=(0, (1, 3)))
        _axis(axes, panel)
        for words, place in panel.marks.items():
            axes.axvline(place, color=color("muted", theme), linestyle=":", linewidth=1)
            axes.annotate(
                words, (place, 0.98), xycoords=("data", "axes fraction"), rotation=90, va="top",
                ha="right", fontsize=9, color=color("muted", theme),
            )  # fmt: skip
    fig.axes[0].set_ylabel("error (guessing 0 = 1)")
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, fontsize=10)


@figure(size=(7.4, 4.6))
def measure_rows(
    fig,
    theme: Theme,
    rows: Sequence[str],
    panels: Mapping[str, Mapping[str, ArrayLike]],
    *,
    log: Sequence[str] = (),
    references: Mapping[str, Sequence[float]] | None = None,
    reference_label: str = "exact",
) -> None:
    """Draw measures as marks, one row for each case, one panel for each measure.

    Parameters
    ----------
    rows
        Names, the first on top.
    panels
        Title of each measure; learner (a key of ``LIMIT_LOOKS``) and ``[rows]`` or
        ``[seeds, rows]``, where NaN leaves a mark out.
    log
        Titles of the panels with a logarithmic scale.
    references
        Title of a panel and a value for each row, drawn as upright strokes.
    reference_label
        What the strokes are.

    Raises
    ------
    ValueError
        If a measure does not have one value for each row.
    """
    places, handles = np.arange(len(rows))[::-1], {}
    all_axes = np.atleast_1d(fig.subplots(1, len(panels), sharey=True))
    for axes, (title, learners) in zip(all_axes, panels.items(), strict=True):
        for name, values in learners.items():
            values = np.atleast_2d(np.asarray(values, dtype=float))
            if values.shape[1] != len(rows):
                raise ValueError(f"{title}, {name}: {values.shape[1]} values for {len(rows)} rows")
            role, _, mark = LIMIT_LOOKS[name]
            for one in values:
                (dots,) = axes.plot(
                    one, places, linestyle="none", marker=mark, markersize=6, alpha=0.75,
                    color=color(role, theme),
                )  # fmt: skip
            handles.setdefault(name, dots)
        if title in (references or {}):
            (stroke,) = axes.plot(
                references[title], places, linestyle="none", marker="|", markersize=15,
                markeredgewidth=2, color=color("text", theme),
            )  # fmt: skip
            handles.setdefault(reference_label, stroke)
        if title in log:
            axes.set_xscale("log")
        axes.set_title(title, fontsize=11)
        axes.set_ylim(-0.6, len(rows) - 0.4)
    all_axes[0].set_yticks(places, rows)
    if len(handles) > 1:
        fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)


def _line(axes, theme: Theme, panel: Curves, name: str, values: np.ndarray):
    """Draw a learner: marks alone where an exact line of its name stands, else line and band."""
    role, dash, mark = LIMIT_LOOKS[name]
    ink = color(role, theme)
    if name in panel.exact:
        for one in values:
            (drawn,) = axes.plot(
                panel.xs, one, linestyle="none", marker=mark, markersize=5, alpha=0.7, color=ink
            )
        return drawn
    axes.fill_between(panel.xs, values.min(0), values.max(0), color=ink, alpha=0.2, linewidth=0)
    (drawn,) = axes.plot(
        panel.xs, values.mean(0), linestyle=dash, marker=mark, markersize=4, color=ink
    )
    return drawn


def _axis(axes, panel: Curves) -> None:
    axes.set_xscale("log")
    if panel.log:
        axes.set_yscale("log")
    axes.set_ylim(*panel.limits)
    axes.xaxis.set_major_locator(FixedLocator(list(panel.ticks or panel.xs)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_xlabel(panel.label)
