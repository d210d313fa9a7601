"""Figures of the chapter on chance: what normalising does, nulls, ranges, controls, verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike

from icl_lib.palette import Theme, color
from icl_lib.plots.themed import figure

MODEL_LOOKS = {"1.3B": ("query", "o"), "2.7B": ("key", "s"), "lab": ("predicted", "D")}
"""Colour and mark of each model."""

VERDICT_LOOKS = {"survives": "value", "in part": "gold", "not shown": "error", "unknown": "neutral"}
"""Colour of what a number does under a control."""


@dataclass(frozen=True)
class NullPanel:
    """One null: a closed form, what drawing gave, and the published levels beside it.

    Attributes
    ----------
    title, label
        Above the panel, and under its horizontal axis.
    xs, closed
        The line.
    drawn_at, drawn
        The rings.
    levels
        Name of a model (a key of ``MODEL_LOOKS``) and the places and heights of its marks.
    log
        Whether the horizontal axis is logarithmic.
    ticks
        Values written under it.
    """

    title: str
    label: str
    xs: Sequence[float]
    closed: Sequence[float]
    drawn_at: Sequence[float]
    drawn: Sequence[float]
    levels: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)
    log: bool = False
    ticks: Sequence[float] = ()


@figure(size=(7.4, 3.9))
def null_curves(fig, theme: Theme, panels: Sequence[NullPanel]) -> None:
    """Draw what a metric shows of things that have nothing in common.

    Parameters
    ----------
    panels
        From left to right.
    """
    handles: dict[str, object] = {}
    for axes, panel in zip(np.atleast_1d(fig.subplots(1, len(panels))), panels, strict=True):
        (line,) = axes.plot(panel.xs, panel.closed, color=color("gold", theme))
        (rings,) = axes.plot(
            panel.drawn_at, panel.drawn, linestyle="none", marker="o", markersize=8,
            markerfacecolor="none", color=color("gold", theme),
        )  # fmt: skip
        handles |= {"closed form": line, "drawn": rings}
        for name, (places, heights) in panel.levels.items():
            role, mark = MODEL_LOOKS[name]
            (dots,) = axes.plot(
                places, heights, linestyle="none", marker=mark, markersize=6, alpha=0.85,
                color=color(role, theme),
            )  # fmt: skip
            handles[f"published, {name}"] = dots
        if panel.log:
            axes.set_xscale("log")
        if panel.ticks:
            axes.xaxis.set_major_locator(FixedLocator(list(panel.ticks)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.set_title(panel.title, fontsize=11)
        axes.set_xlabel(panel.label, fontsize=10)
    fig.axes[0].set_ylabel("score of what has nothing in common")
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=10)


@figure(size=(6.4, 4.0))
def retreat(fig, theme: Theme, lengths: Sequence[float]) -> None:
    """Draw outputs beside the zero-shot one, and where dividing by the length puts them.

    Parameters
    ----------
    lengths
        Of the updates, in lengths of the zero-shot output; each stands at a right angle to it.
    """
    axes = fig.subplots()
    turn = np.linspace(0, np.pi / 2, 100)
    axes.plot(np.cos(turn), np.sin(turn), color=color("grid", theme), linewidth=2)
    axes.plot([0, 1], [0, 0], color=color("neutral", theme), linewidth=3)
    axes.plot(0, 0, "o", color=color("neutral", theme))
    axes.annotate("origin", (0, 0), (0, -0.18), ha="center", color=color("muted", theme))
    words = "zero-shot output, length 1"
    axes.annotate(words, (1, 0), (0.85, -0.2), color=color("muted", theme))
    for length in lengths:
        s = np.hypot(1, length)
        arrow = {"arrowstyle": "->", "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (1, length), (1, 0), arrowprops=arrow | {"color": color("query", theme)})
        axes.plot([0, 1], [0, length], color=color("muted", theme), linewidth=1, linestyle=":")
        there = (1 / s, length / s)
        axes.annotate("", there, (1, 0), arrowprops=arrow | {"color": color("error", theme)})
        axes.plot([1 / s, 1], [-0.05, -0.05], color=color("error", theme), linewidth=1.2, alpha=0.6)
        axes.annotate(f"ρ = {length:.3g}", (1.05, length), va="center", color=color("query", theme))
    axes.plot([], [], color=color("query", theme), label="update as it is")
    axes.plot([], [], color=color("error", theme), label="after normalising: it points back")
    axes.set(xlim=(-0.25, 2.4), ylim=(-0.3, 1.1 * max(lengths)), aspect="equal")
    fig.legend(loc="outside lower center", ncols=2, fontsize=10)
    axes.set_xlabel("along the zero-shot output")
    axes.set_ylabel("beside it")


@dataclass(frozen=True)
class RateRow:
    """A published Rec2FTP and what its base rate can be.

    Attributes
    ----------
    name
        Of the data set.
    published
        The share.
    interval
        Of the published share, 95 %.
    base
        Lowest and highest base rate possible.
    plausible
        Highest base rate under a plausible assumption.
    """

    name: str
    published: float
    interval: tuple[float, float]
    base: tuple[float, float]
    plausible: float


@figure(size=(7.4, 4.2))
def base_rates(fig, theme: Theme, models: Mapping[str, Sequence[RateRow]]) -> None:
    """Draw published Rec2FTP above the range in which its base rate lies, a panel for each model.

    Parameters
    ----------
    models
        Name of the model (a key of ``MODEL_LOOKS``) and its rows.
    """
    handles: dict[str, object] = {}
    for axes, (model, rows) in zip(
        np.atleast_1d(fig.subplots(1, len(models), sharey=True)), models.items(), strict=True
    ):
        role, mark = MODEL_LOOKS[model]
        for place, row in enumerate(reversed(list(rows))):
            (range_,) = axes.plot(
                row.base, [place - 0.17] * 2, color=color("grid", theme), linewidth=8,
                solid_capstyle="butt",
            )  # fmt: skip
            (likely,) = axes.plot(
                [row.base[0], row.plausible], [place - 0.17] * 2, color=color("gold", theme),
                linewidth=3, solid_capstyle="butt",
            )  # fmt: skip
            axes.plot(row.interval, [place + 0.17] * 2, color=color(role, theme), linewidth=1.5)
            (dot,) = axes.plot(row.published, place + 0.17, mark, color=color(role, theme))
            handles[f"Rec2FTP, {model}"] = dot
        handles |= {"base rate: possible": range_, "if ICL is no better on errors": likely}
        axes.set(xlim=(0, 1.03), xlabel="share of examples")
        axes.set_title(model, fontsize=11)
        axes.set_yticks(range(len(rows)), [row.name for row in reversed(list(rows))])
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2, fontsize=10)


@figure(size=(7.4, 5.0))
def control_rows(
    fig, theme: Theme, panels: Mapping[str, Mapping[str, tuple[ArrayLike, str | None]]]
) -> None:
    """Draw a number under each control, a dot for each task, and its mean without any.

    Parameters
    ----------
    panels
        Title of a metric; control, its values by task, and its verdict (a key of
        ``VERDICT_LOOKS``). The first control of each is the number itself, with verdict ``None``.
    """
    for axes, (title, rows) in zip(
        np.atleast_1d(fig.subplots(1, len(panels), sharey=True)), panels.items(), strict=True
    ):
        names = list(rows)
        for place, (name, (values, verdict)) in zip(
            range(len(names))[::-1], rows.items(), strict=True
        ):
            values = np.asarray(values, dtype=float)
            role = "text" if verdict is None else VERDICT_LOOKS[verdict]
            ink = color(role, theme)
            axes.plot(values, np.full(len(values), place), "o", color=ink, alpha=0.55, markersize=5)
            if len(values):
                axes.plot(np.nanmean(values), place, "|", color=ink, markersize=18, mew=2.5)
            if name == names[0]:
                line = color("muted", theme)
                axes.axvline(np.nanmean(values), color=line, linestyle=":", linewidth=1.2)
        axes.axvline(0, color=color("muted", theme), linewidth=0.8)
        axes.set_title(title, fontsize=11)
        axes.set_yticks(range(len(names))[::-1], names)
    for verdict in ("survives", "in part", "not shown"):
        ink = color(VERDICT_LOOKS[verdict], theme)
        fig.axes[0].plot([], [], "o", color=ink, label=verdict)
    fig.legend(loc="outside lower center", ncols=3, title="the number, under this control,")


@figure(size=(7.4, 5.4))
def survival_grid(
    fig,
    theme: Theme,
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], tuple[str, str]],
) -> None:
    """Draw which number survives which control, as a grid of words.

    Parameters
    ----------
    rows, columns
        Names of numbers and of controls.
    cells
        Row and column: a verdict (a key of ``VERDICT_LOOKS``) and a short text under it. What is
        missing was not measured or does not apply.
    """
    axes = fig.subplots()
    for (row, column), (verdict, words) in cells.items():
        x, y = columns.index(column), len(rows) - 1 - rows.index(row)
        ink = color(VERDICT_LOOKS[verdict], theme)
        axes.add_patch(_box(x, y, ink))
        axes.text(x, y + 0.12, verdict, ha="center", va="center", fontsize=10, color=ink)
        axes.text(x, y - 0.2, words, ha="center", va="center", fontsize=9)
    for x in range(len(columns)):
        for y in range(len(rows)):
            if (rows[len(rows) - 1 - y], columns[x]) not in cells:
                axes.text(x, y, "–", ha="center", va="center", color=color("muted", theme))
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-0.5, len(rows) - 0.5))
    axes.set_xticks(range(len(columns)), columns, fontsize=9)
    axes.set_yticks(range(len(rows))[::-1], rows)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _box(x: float, y: float, ink: str) -> Rectangle:
    return Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, facecolor=ink, alpha=0.12, edgecolor=ink)


@figure(size=(7.4, 3.8))
def split_bars(
    fig,
    theme: Theme,
    names: Sequence[str],
    panels: Mapping[str, tuple[ArrayLike, ArrayLike]],
) -> None:
    """Draw a similarity as the sum of chance and agreement, one bar for each name.

    Parameters
    ----------
    names
        Of tasks or layers.
    panels
        Title, and the two parts by name; each may be negative.
    """
    places = np.arange(len(names))[::-1]
    for axes, (title, parts) in zip(
        np.atleast_1d(fig.subplots(1, len(panels), sharey=True)), panels.items(), strict=True
    ):
        chance, agreement = (np.asarray(v, dtype=float) for v in parts)
        first = axes.barh(places + 0.18, chance, 0.32, color=color("gold", theme))
        second = axes.barh(places - 0.18, agreement, 0.32, color=color("query", theme))
        (total,) = axes.plot(
            chance + agreement, places, linestyle="none", marker="D", color=color("text", theme)
        )
        axes.axvline(0, color=color("muted", theme), linewidth=0.8)
        axes.set_yticks(places, names)
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("similarity of output updates", fontsize=10)
    words = ("chance", "agreement", "their sum, the similarity")
    fig.legend([first, second, total], words, loc="outside lower center", ncols=3, fontsize=10)
