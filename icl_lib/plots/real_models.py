"""Figures of the chapter on real models: what fits, what it costs, a reader's numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from icl_lib.palette import SERIES, Theme, color
from icl_lib.plots.themed import figure

MARKS = ("o", "s", "^", "D", "v", "P")


@figure(size=(7.2, 3.6))
def prompt_room(
    fig, theme: Theme, tokens: Mapping[str, tuple[float, float]], contexts: Sequence[int]
) -> None:
    """Draw how many positions the longest prompt of each data set needs, beside contexts.

    Parameters
    ----------
    tokens
        By data set: tokens of all demonstrations with the opening, and of the longest query with
        its label.
    contexts
        Positions that models have, one line each.
    """
    axes = fig.subplots()
    for row, (shown, asked) in enumerate(tokens.values()):
        axes.barh(row, shown, color=color("key", theme), label=None if row else "demonstrations")
        axes.barh(
            row, asked, left=shown, color=color("query", theme), hatch="//",
            edgecolor=color("background", theme), label=None if row else "longest query and label",
        )  # fmt: skip
    for context in contexts:
        axes.axvline(context, color=color("text", theme), linestyle="--", linewidth=1.5)
        axes.text(
            context, len(tokens) - 0.45, f" {context:,}", color=color("text", theme), va="center"
        )
    axes.set_yticks(range(len(tokens)), list(tokens))
    axes.set_ylim(len(tokens) - 0.2, -0.6)
    axes.set_xlabel("positions")
    axes.grid(visible=False, axis="y")
    fig.legend(loc="outside lower center", ncols=2)


@figure(size=(7.4, 3.9))
def cost_lines(fig, theme: Theme, table: pd.DataFrame, *, label: str) -> None:
    """Draw a cost of every model, a line for each data set, on a logarithmic axis.

    Parameters
    ----------
    table
        A row for each model, a column for each data set.
    label
        Of the vertical axis.
    """
    axes = fig.subplots()
    for i, name in enumerate(table.columns):
        ink, mark = color(SERIES[i % len(SERIES)], theme), MARKS[i % len(MARKS)]
        axes.plot(range(len(table)), table[name], marker=mark, color=ink, label=name)
    axes.set_yscale("log")
    axes.set_xticks(range(len(table)), table.index, rotation=20, ha="right")
    axes.set_ylabel(label)
    fig.legend(loc="outside right center")


@figure(size=(7.4, 3.9))
def beside_paper(fig, theme: Theme, table: pd.DataFrame, quantity: str) -> None:
    """Draw one quantity of every data set: the paper's models, and a reader's own.

    Parameters
    ----------
    table
        What :func:`icl_lib.meta.gathered.beside_paper` returns.
    quantity
        A name of its second index.

    Raises
    ------
    KeyError
        If the table has no such quantity; the message lists those it has.
    """
    known = list(dict.fromkeys(table.index.get_level_values(1)))
    if quantity not in known:
        raise KeyError(f"the table has no {quantity!r}; it has {', '.join(known)}")
    rows, axes = table.xs(quantity, level=1), fig.subplots()
    shifts = np.linspace(-0.2, 0.2, len(rows.columns)) if len(rows.columns) > 1 else [0.0]
    for i, (name, shift) in enumerate(zip(rows.columns, shifts, strict=True)):
        axes.plot(
            np.arange(len(rows)) + shift, rows[name], linestyle="none", marker=MARKS[i % 6],
            markersize=8, color=color(SERIES[i % len(SERIES)], theme), label=name,
        )  # fmt: skip
    axes.set_xticks(range(len(rows)), rows.index)
    axes.set_xlim(-0.5, len(rows) - 0.5)
    axes.set_ylabel(quantity)
    fig.legend(loc="outside lower center", ncols=2)
