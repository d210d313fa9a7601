"""Figures of a comparison, by name: ``plot(result, "simaou")``.

They need nothing but a :class:`icl_lib.meta.Result`: of the lab language or of a data set, of one
seed or of many. Not imported with :mod:`icl_lib.plots`, since a table costs a second to load.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from icl_lib.meta.controls import CONTROLS
from icl_lib.meta.published import PARTS, SIZES, published
from icl_lib.meta.result import Result
from icl_lib.palette import SERIES, Theme, color
from icl_lib.plots.themed import ThemedFigure, figure

LOOKS = {
    "zero-shot": ("neutral", "o"),
    "finetuned": ("error", "s"),
    "in context": ("query", "D"),
    "best reader, zero-shot": ("gold", "_"),
    "best reader, in context": ("gold", "_"),
    "Rec2FTP": ("error", "s"),
    "base rate": ("neutral", "o"),
    "1.3B": ("gold", "^"),
    "2.7B": ("key", "v"),
    "ours": ("predicted", "o"),
}
"""Colour and mark of a series, where they are the same in every figure."""

MARKS = "osD^vPX"

Tables = Mapping[str, pd.DataFrame]


def by_task(
    result: Result, metric: str, *, control: str = "none", position: str | None = None
) -> pd.DataFrame:
    """Return a metric over all layers: a row a seed, a column a task, in the order measured.

    Parameters
    ----------
    result
        May hold several positions or step sizes.
    metric, control
        Names in its table.
    position
        Where it was measured: the prediction's if there is any, else what there is.

    Raises
    ------
    KeyError
        If it was not measured.
    ValueError
        If a task and seed have several numbers, as with several models or step sizes.

    Explained in: 16_paper_experiment
    """
    rows = _at(result.overall(metric, control=control), position)
    if rows.duplicated(["task", "seed"]).any():
        raise ValueError(
            f"{metric} has several numbers for a task and seed: models "
            f"{sorted(set(rows.model))}, step sizes {sorted(set(rows.lr))}; take one of each"
        )
    return rows.pivot(index="seed", columns="task", values="value")[list(dict.fromkeys(rows.task))]


def _at(rows: pd.DataFrame, position: str | None) -> pd.DataFrame:
    there = list(dict.fromkeys(rows.position))
    if position is None:
        position = "prediction" if "prediction" in there else there[0]
    if position not in there:
        raise KeyError(f"nothing was measured at {position!r}; there is {', '.join(there)}")
    return rows[rows.position == position]


# ---- drawing ------------------------------------------------------------------------------------


@figure(size=(7.4, 4.0))
def task_dots(
    fig,
    theme: Theme,
    panels: Mapping[str, Tables],
    *,
    label: str = "",
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw numbers by task: a small dot for each seed, a large mark for their mean.

    Parameters
    ----------
    panels
        Title; series and its table, a row a seed and a column a task.
    label
        Of the upright axis.
    limits
        Of the upright axis.
    """
    handles: dict[str, object] = {}
    all_axes = np.atleast_1d(fig.subplots(1, len(panels), sharey=True))
    for axes, (title, tables) in zip(all_axes, panels.items(), strict=True):
        looks = _looks(tables)
        for i, (name, table) in enumerate(tables.items()):
            shift = 0.7 * ((i + 0.5) / len(tables) - 0.5)
            handles.setdefault(name, _column(axes, theme, table, looks[name], shift))
        tasks = list(next(iter(tables.values())).columns)
        axes.axhline(0, color=color("muted", theme), linewidth=1)
        angle = 0 if len(panels) == 1 else 45
        names = [task.removeprefix("lab-") for task in tasks]
        ends = {"rotation": angle, "ha": "right" if angle else "center"}
        axes.set_xticks(range(len(tasks)), names, **ends)
        axes.grid(axis="x", visible=False)
        axes.set_title(title)
    all_axes[0].set_ylabel(label)
    if limits:
        all_axes[0].set_ylim(*limits)
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)


def _looks(names: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return colour and mark of each series; those without a fixed look take the next free."""
    free = [role for role in SERIES if role not in {LOOKS[n][0] for n in names if n in LOOKS}]
    found = {}
    for i, name in enumerate(names):
        found[name] = LOOKS.get(name) or (free[i % len(free)], MARKS[i % len(MARKS)])
    return found


def _column(axes, theme: Theme, table: pd.DataFrame, look: tuple[str, str], shift: float):
    role, mark = look
    ink, places = color(role, theme), np.arange(table.shape[1]) + shift
    for values in table.to_numpy() if len(table) > 1 else ():
        axes.plot(places, values, linestyle="none", marker=".", markersize=5, alpha=0.5, color=ink)
    size = 12 if mark == "_" else 7
    (drawn,) = axes.plot(
        places, table.mean().to_numpy(), linestyle="none", marker=mark, markersize=size,
        markeredgewidth=2 if mark == "_" else 1, color=ink,
    )  # fmt: skip
    return drawn


@figure(size=(7.0, 4.0))
def layer_lines(fig, theme: Theme, lines: Tables, *, label: str) -> None:
    """Draw a metric layer by layer, the mean and its range over seeds and tasks.

    Parameters
    ----------
    lines
        Name; a table with a row for each seed and task, a column for each layer.
    label
        Of the upright axis.
    """
    axes = fig.subplots()
    axes.axhline(0, color=color("muted", theme), linewidth=1)
    for i, (name, table) in enumerate(lines.items()):
        ink, layers = color(SERIES[i % len(SERIES)], theme), table.columns.to_numpy() + 1
        axes.fill_between(layers, table.min(), table.max(), color=ink, alpha=0.15, linewidth=0)
        mark = MARKS[i % len(MARKS)]
        axes.plot(layers, table.mean(), marker=mark, color=ink, label=_called(name))
    axes.set_xticks(layers, [str(n) for n in layers])
    axes.set_xlabel("layer")
    axes.set_ylabel(label)
    fig.legend(loc="outside lower center", ncols=3)


@figure(size=(7.4, 4.6))
def control_rows(fig, theme: Theme, tables: Tables, *, label: str) -> None:
    """Draw a metric under every control, a row each: small dots tasks, a diamond their mean.

    Parameters
    ----------
    tables
        Control; its table, a row a seed and a column a task.
    label
        Of the metric.
    """
    axes, names = fig.subplots(), list(tables)
    for place, name in zip(range(len(names))[::-1], names, strict=True):
        ink = color("predicted" if name == "none" else "neutral", theme)
        values = tables[name].mean().to_numpy()
        at = np.full(len(values), place)
        axes.plot(values, at, linestyle="none", marker=".", markersize=8, alpha=0.6, color=ink)
        axes.plot([np.nanmean(values)], [place], marker="D", markersize=8, color=ink)
    axes.axvline(0, color=color("muted", theme), linewidth=1)
    axes.set_yticks(range(len(names))[::-1], [_called(name) for name in names])
    axes.set_xlabel(label)


def _called(control: str) -> str:
    return "the comparison itself" if control == "none" else control


@figure(size=(6.6, 4.0))
def shots(
    fig, theme: Theme, counts: Sequence[int], curves: Mapping[str, np.ndarray], *, chance: float
) -> None:
    """Draw accuracy against the number of demonstrations, a line each with the range of seeds.

    Parameters
    ----------
    counts
        Numbers of demonstrations.
    curves
        Reader; its accuracies, ``[seeds, counts]``.
    chance
        What guessing would give.
    """
    axes, places = fig.subplots(), np.arange(len(counts))
    axes.axhline(chance, color=color("muted", theme), linestyle=":", label="chance")
    for (name, values), role, mark in zip(
        curves.items(), ("predicted", "gold"), "oD", strict=False
    ):
        ink = color(role, theme)
        axes.fill_between(places, values.min(0), values.max(0), color=ink, alpha=0.2, linewidth=0)
        axes.plot(places, values.mean(0), marker=mark, color=ink, label=name)
    axes.set_xticks(places, [str(n) for n in counts])
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("demonstrations")
    axes.set_ylabel("accuracy")
    axes.legend(loc="lower right")


@figure(size=(7.0, 4.2))
def step_sizes(
    fig,
    theme: Theme,
    practice: Mapping[float, float],
    reported: Mapping[str, Mapping[float, float]],
    *,
    chosen: float,
) -> None:
    """Draw accuracy after finetuning against the step size.

    Parameters
    ----------
    practice
        Step size; mean accuracy on the tasks that it is chosen on.
    reported
        The same for each reported task; its best is marked.
    chosen
        The step size that was taken.
    """
    axes = fig.subplots()
    for i, (name, found) in enumerate(reported.items()):
        ink, sizes = color(SERIES[i % len(SERIES)], theme), sorted(found)
        values = [found[size] for size in sizes]
        best = int(np.argmax(values))
        axes.plot(sizes, values, color=ink, linewidth=1.3, alpha=0.8, label=name)
        axes.plot([sizes[best]], [values[best]], marker=MARKS[i % len(MARKS)], color=ink)
    sizes = sorted(practice)
    axes.plot(
        sizes, [practice[size] for size in sizes], color=color("text", theme), linewidth=3,
        label="practice tasks",
    )  # fmt: skip
    axes.axvline(chosen, color=color("muted", theme), linestyle="--", linewidth=1.2)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("step size of finetuning")
    axes.set_ylabel("accuracy, finetuned")
    fig.legend(loc="outside lower center", ncols=4)


# ---- by name ------------------------------------------------------------------------------------

WORDS = {
    "accuracy_zero_shot": "zero-shot",
    "accuracy_finetuned": "finetuned",
    "accuracy_in_context": "in context",
    "accuracy_bayes_zero_shot": "best reader, zero-shot",
    "accuracy_bayes_in_context": "best reader, in context",
    "rec2ftp": "Rec2FTP",
    "rec2ftp_base_rate": "base rate",
    "simaou": "normalised, as published",
    "simaou_raw": "raw",
    "simam_before": "before",
    "simam": "after",
    "simam_centred_before": "before",
    "simam_centred": "after",
    "kendall_published": "as published",
    "kendall_a_query": "query·query",
    "kendall_a_input": "input·input",
    "kendall_a_error": "exact contribution",
    "simam_change": "of changes",
    "simam_change_centred": "of changes",
}
"""What a metric is called in a figure."""

_GROUPS: Mapping[str, tuple[str, Mapping[str, tuple[str, ...]]]] = MappingProxyType(
    {
        "accuracy": (
            "accuracy",
            {
                "": (
                    "accuracy_zero_shot",
                    "accuracy_finetuned",
                    "accuracy_in_context",
                    "accuracy_bayes_zero_shot",
                    "accuracy_bayes_in_context",
                )
            },
        ),
        "rec2ftp": (
            "share that ICL gets right",
            {"of what zero-shot gets wrong": ("rec2ftp", "rec2ftp_base_rate")},
        ),
        "simaou": ("cosine of updates", {"SimAOU": ("simaou", "simaou_raw")}),
        "simam": (
            "cosine of scores",
            {
                "as published": ("simam_before", "simam", "simam_change"),
                "centred": ("simam_centred_before", "simam_centred", "simam_change_centred"),
            },
        ),
        "kendall": (
            "Kendall’s τ",
            {
                "attention to demonstrations": (
                    "kendall_published",
                    "kendall_a_query",
                    "kendall_a_input",
                    "kendall_a_error",
                )
            },
        ),
    }
)
"""Figures by task: label, and the metrics of each panel."""

OURS = {
    "zero-shot": ("accuracy_zero_shot", "none", 100.0),
    "finetuned": ("accuracy_finetuned", "none", 100.0),
    "in-context": ("accuracy_in_context", "none", 100.0),
    "rec2ftp": ("rec2ftp", "none", 100.0),
    "simaou-random": ("simaou", "uniform", 1.0),
    "simaou": ("simaou", "none", 1.0),
    "simam-before": ("simam_before", "none", 1.0),
    "simam": ("simam", "none", 1.0),
    "kendall-random": ("kendall_b_query", "noise", 1.0),
    "kendall": ("kendall_published", "none", 1.0),
}
"""Metric, control and unit of ours that stands beside a quantity of the paper's tables."""

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "accuracy": "accuracy of the three conditions, task by task",
        "rec2ftp": "Rec2FTP beside its base rate",
        "simaou": "similarity of the updates of attention outputs, normalised and raw",
        "simam": "similarity of attention maps, raw and centred, and of their changes",
        "kendall": "rank correlation of the attention to demonstrations",
        "paper": "a quantity of the paper’s tables beside ours (lab tasks)",
        "by_layer": "a metric layer by layer (metric=…, controls=…)",
        "controls": "a metric under every control (metric=…)",
    }
)
"""The figures that :func:`plot` draws."""


def plot(
    result: Result, name: str, *, alt: str | None = None, position: str | None = None, **options
) -> ThemedFigure:
    """Draw one figure of a comparison.

    Parameters
    ----------
    result
        What was measured.
    name
        One of ``NAMES``.
    alt
        A sentence for those who cannot see it; by default one with the figure's numbers.
    position
        Where it was measured, see :func:`by_task`.
    **options
        ``metric`` for ``by_layer`` and ``controls``, ``controls`` for ``by_layer``, ``quantity``
        for ``paper``.

    Raises
    ------
    KeyError
        If there is no such figure, or nothing in the result to draw it from.

    Explained in: 16_paper_experiment
    """
    if name not in NAMES:
        raise KeyError(f"there is no figure {name!r}; there are {', '.join(NAMES)}")
    special: dict[str, Callable] = {
        "paper": _paper,
        "by_layer": _by_layer,
        "controls": _controls,
    }
    if name in special:
        return special[name](result, alt, position, **options)
    label, panels = _GROUPS[name]
    tables = {title: _tables(result, metrics, position) for title, metrics in panels.items()}
    tables = {title: found for title, found in tables.items() if found}
    if not tables:
        raise KeyError(f"the result holds nothing for the figure {name!r}")
    words = "; ".join(
        " ".join(part for part in (f"{title}:" if title else "", _told(found)) if part)
        for title, found in tables.items()
    )
    limits = (0.0, 1.03) if name in ("accuracy", "rec2ftp") else None
    alt = alt or f"{_capital(NAMES[name])}. Means over seeds: {words}."
    return task_dots(tables, label=label, limits=limits, alt=alt)


def write(result: Result, name: str, path: str | Path, **options) -> Path:
    """Draw a figure and write its light variant to a file.

    Parameters
    ----------
    result, name, **options
        As in :func:`plot`.
    path
        The file; its ending becomes that of the picture.

    Returns
    -------
    Path
        The file written.
    """
    drawn = plot(result, name, **options)
    path = Path(path).with_suffix(".svg" if "svg" in drawn.mime else ".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(drawn.light)
    return path


def _tables(result: Result, metrics: Sequence[str], position: str | None) -> dict:
    there = set(result.table[result.table.control == "none"].metric)
    return {WORDS[m]: by_task(result, m, position=position) for m in metrics if m in there}


def _told(tables: Tables) -> str:
    """Return the means of all series, task by task, in words."""
    parts = []
    for name, table in tables.items():
        pairs = zip(table.columns, table.mean(), strict=True)
        parts.append(f"{name} " + ", ".join(f"{t.removeprefix('lab-')} {v:.2f}" for t, v in pairs))
    return "; ".join(parts)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def ours(result: Result, quantity: str) -> pd.DataFrame:
    """Return our numbers for a quantity of the paper's tables, in the paper's unit.

    Raises
    ------
    KeyError
        If the paper has no such quantity, or it was not measured.

    Explained in: 16_paper_experiment
    """
    if quantity not in OURS:
        raise KeyError(f"the paper has no {quantity!r}; it has {', '.join(OURS)}")
    metric, control, unit = OURS[quantity]
    table = by_task(result, metric, control=control)
    return unit * table.rename(columns=lambda task: task.removeprefix("lab-"))


def _paper(result: Result, alt: str | None, position: str | None, *, quantity: str) -> ThemedFigure:
    mine = ours(result, quantity)
    parts = [part for part in PARTS if part in mine.columns]
    if not parts:
        raise KeyError("none of the result's tasks plays a part of the paper's data sets")
    tables = {"ours": mine[parts]}
    for size in SIZES:
        row = published(quantity, size)
        tables[size] = pd.DataFrame([[row[part] for part in parts]], columns=parts)
    alt = alt or f"{_capital(quantity)} beside the paper’s: {_told(tables)}."
    return task_dots({quantity: tables}, label=quantity, alt=alt)


def _by_layer(
    result: Result,
    alt: str | None,
    position: str | None,
    *,
    metric: str = "simaou",
    controls: Sequence[str] = ("none",),
) -> ThemedFigure:
    lines = {}
    for control in controls:
        rows = _at(result.rows(metric, control=control), position)
        layers = rows.pivot(index=["task", "seed"], columns="layer", values="value")
        lines[control] = layers.rename(columns=int)
    words = "; ".join(
        f"{_called(name)} " + ", ".join(f"{v:.2f}" for v in table.mean())
        for name, table in lines.items()
    )
    alt = alt or f"{metric} from the first layer to the last, means over tasks and seeds: {words}."
    return layer_lines(lines, label=metric, alt=alt)


def _controls(
    result: Result, alt: str | None, position: str | None, *, metric: str = "simaou"
) -> ThemedFigure:
    tables = {}
    for control in dict.fromkeys((*CONTROLS, *result.table.control)):
        try:
            tables[control] = by_task(result, metric, control=control, position=position)
        except KeyError:  # not every control has every metric
            continue
    if not tables:
        raise KeyError(f"nothing was measured of {metric!r}")
    words = ", ".join(f"{_called(name)} {np.nanmean(t):.2f}" for name, t in tables.items())
    alt = alt or f"{metric} under every control, means over tasks and seeds: {words}."
    return control_rows(tables, label=metric, alt=alt)
