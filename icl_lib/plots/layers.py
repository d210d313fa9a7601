"""Figures of the chapter on layers: information flow, similarity by layer, heads, training."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import ArrayLike

from icl_lib.palette import Theme, color
from icl_lib.plots.themed import figure

WAYS = (("key", "o", "-"), ("query", "s", "--"), ("value", "D", ":"))
"""Colour, mark and dash of the ways to finetune, in their order."""
NULLS = (("error", "_"), ("gold", "x"), ("neutral", "|"))
"""Colour and mark of controls."""


@figure(size=(7.8, 3.5))
def information_flow(
    fig, theme: Theme, panels: Mapping[str, ArrayLike], places: Sequence[str]
) -> None:
    """Draw how far each layer's update moves when the network is changed in one place.

    Parameters
    ----------
    panels
        Learner; relative changes, ``[places, layers]``. An exact 0 is left white and written 0.
    places
        Name of each row.
    """
    shades = LinearSegmentedColormap.from_list(
        "flow", [color("background", theme), color("error", theme)]
    )
    grid = np.atleast_1d(fig.subplots(1, len(panels), sharey=True))
    top = max(float(np.max(np.asarray(m, dtype=float))) for m in panels.values())
    for axes, (title, values) in zip(grid, panels.items(), strict=True):
        table = np.asarray(values, dtype=float)
        axes.imshow(np.sqrt(table), cmap=shades, vmin=0, vmax=1.8 * np.sqrt(top), aspect="auto")
        for (i, j), value in np.ndenumerate(table):
            words = "0" if value == 0 else f"{value:.2g}"
            axes.text(j, i, words, ha="center", va="center", color=color("text", theme))
        axes.set_title(title)
        axes.set_xticks(range(table.shape[1]), [str(j) for j in range(table.shape[1])])
        axes.set_xlabel("update of layer")
        axes.grid(visible=False)
    grid[0].set_yticks(range(len(places)), places)
    grid[0].set_ylabel("changed place")


def _looks(nulls: Mapping[str, Mapping[str, ArrayLike]]) -> dict[str, tuple[str, str]]:
    """Return colour and mark of each control, the same in every panel."""
    names = dict.fromkeys(name for panel in nulls.values() for name in panel)
    return dict(zip(names, NULLS, strict=False))


@figure(size=(7.8, 3.9))
def similarity_by_layer(
    fig,
    theme: Theme,
    panels: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]],
    nulls: Mapping[str, Mapping[str, ArrayLike]] | None = None,
) -> None:
    """Draw similarities layer by layer, with intervals, one panel a metric.

    Parameters
    ----------
    panels
        Metric; way to finetune; means and half-widths of intervals, ``[layers]`` each.
    nulls
        Metric; name of a control; means, ``[layers]``.
    """
    grid = np.atleast_1d(fig.subplots(1, len(panels)))
    handles: dict[str, object] = {}
    looks = _looks(nulls or {})
    for axes, (metric, ways) in zip(grid, panels.items(), strict=True):
        for i, (way, (means, halves)) in enumerate(ways.items()):
            role, mark, dash = WAYS[i]
            x = np.arange(len(means)) + 0.1 * (i - (len(ways) - 1) / 2)
            handles[way] = axes.errorbar(
                x, means, yerr=halves, marker=mark, markersize=5, linestyle=dash, capsize=3,
                color=color(role, theme),
            )  # fmt: skip
        for name, means in (nulls or {}).get(metric, {}).items():
            role, mark = looks[name]
            (handles[name],) = axes.plot(
                range(len(means)), means, mark, markersize=13, markeredgewidth=2.2,
                color=color(role, theme),
            )  # fmt: skip
        axes.axhline(0, color=color("muted", theme), linewidth=1)
        axes.set_xticks(range(len(means)))
        axes.set_xlim(-0.4, len(means) - 0.6)
        axes.set_title(metric)
        axes.set_xlabel("layer")
    fig.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=3, fontsize=10
    )


@figure(size=(7.8, 4.0))
def similarity_by_task(
    fig,
    theme: Theme,
    panels: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]],
    tasks: Sequence[str],
    nulls: Mapping[str, Mapping[str, ArrayLike]] | None = None,
) -> None:
    """Draw similarities task by task, with intervals over seeds, one panel a metric.

    Parameters
    ----------
    panels
        Metric; way to finetune; means and half-widths of intervals, ``[tasks]`` each.
    tasks
        Their names.
    nulls
        Metric; name of a control; means, ``[tasks]``.
    """
    grid = np.atleast_1d(fig.subplots(1, len(panels), sharey=True))
    handles: dict[str, object] = {}
    looks = _looks(nulls or {})
    for axes, (metric, ways) in zip(grid, panels.items(), strict=True):
        for i, (way, (means, halves)) in enumerate(ways.items()):
            role, mark, _ = WAYS[i]
            y = np.arange(len(tasks)) + 0.22 * (i - (len(ways) - 1) / 2)
            handles[way] = axes.errorbar(
                means, y, xerr=halves, marker=mark, markersize=5, linestyle="none", capsize=3,
                color=color(role, theme),
            )  # fmt: skip
        for name, means in (nulls or {}).get(metric, {}).items():
            role, mark = looks[name]
            (handles[name],) = axes.plot(
                means, range(len(tasks)), "|" if mark == "_" else mark, markersize=13,
                markeredgewidth=2.2, color=color(role, theme),
            )  # fmt: skip
        axes.axvline(0, color=color("muted", theme), linewidth=1)
        axes.set_title(metric)
    grid[0].set_yticks(range(len(tasks)), tasks)
    grid[0].invert_yaxis()
    fig.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=3, fontsize=10
    )


@figure(size=(7.8, 3.8))
def head_cosines(
    fig, theme: Theme, groups: Mapping[str, ArrayLike], *, spread: float, xlabel: str
) -> None:
    """Draw one dot for each head of each prompt, layer by layer, and the spread of chance.

    Parameters
    ----------
    groups
        Whose update; cosines, ``[layers, dots]``.
    spread
        Standard deviation of the cosine of unrelated directions; the band is twice as wide.
    xlabel
        What is compared.
    """
    layers = len(next(iter(groups.values())))
    generator = np.random.default_rng(0)
    grid = np.atleast_1d(fig.subplots(1, layers, sharey=True, sharex=True))
    roles = ("query", "value", "gold", "neutral")
    for layer, axes in enumerate(grid):
        axes.axvspan(-2 * spread, 2 * spread, color=color("grid", theme), alpha=0.8, linewidth=0)
        for row, values in enumerate(groups.values()):
            x = np.asarray(values, dtype=float)[layer].ravel()
            y = row + generator.uniform(-0.24, 0.24, len(x))
            axes.plot(x, y, "o", markersize=2.6, alpha=0.55, color=color(roles[row % 4], theme))
            axes.plot([x.mean()] * 2, [row - 0.36, row + 0.36], color=color("text", theme))
        axes.set_title(f"layer {layer}")
        axes.grid(axis="y", visible=False)
    grid[0].set_yticks(range(len(groups)), list(groups))
    grid[0].invert_yaxis()
    grid[len(grid) // 2].set_xlabel(xlabel)


@figure(size=(7.8, 3.4))
def update_shapes(
    fig, theme: Theme, spectra: Mapping[str, ArrayLike], *, ranks: Mapping[str, ArrayLike]
) -> None:
    """Draw the spectra of updates, largest singular value 1, layer by layer.

    Parameters
    ----------
    spectra
        Name of the update; mean singular values divided by the largest, ``[layers, K]``.
    ranks
        Name; mean effective rank, ``[layers]``, written into the legend's panel.
    """
    layers = len(next(iter(spectra.values())))
    grid = np.atleast_1d(fig.subplots(1, layers, sharey=True))
    for layer, axes in enumerate(grid):
        for i, (name, values) in enumerate(spectra.items()):
            role, mark, dash = (("predicted", "o", "-"), *WAYS)[i]
            y = np.asarray(values, dtype=float)[layer]
            axes.plot(
                range(1, len(y) + 1), y, marker=mark, markersize=4, linestyle=dash,
                color=color(role, theme), label=f"{name}: {ranks[name][layer]:.1f}",
            )  # fmt: skip
        axes.set_yscale("log")
        axes.set_ylim(1e-3, 1.4)
        axes.set_title(f"layer {layer}")
        axes.set_xlabel("singular value no.")
        axes.legend(fontsize=9, title="effective rank", title_fontsize=9)
    grid[0].set_ylabel("share of the largest")


@figure(size=(7.8, 8.2))
def similarity_in_training(
    fig,
    theme: Theme,
    steps: Sequence[int],
    shares: Mapping[str, Mapping[str, ArrayLike]],
    panels: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]],
) -> None:
    """Draw shares of three conditions, and similarities with their controls, over the training.

    Parameters
    ----------
    steps
        Where networks were kept; drawn evenly, so that early ones can be told apart.
    shares
        What is counted; condition; ``[steps]``.
    panels
        Metric; name, the measured one first and then controls; means and half-widths, ``[steps]``.
    """
    x, count = np.arange(len(steps)), len(shares) + len(panels)
    rows = -(-count // 2)
    grid = list(np.atleast_1d(fig.subplots(rows, -(-count // rows))).ravel())
    for spare in grid[count:]:
        spare.set_axis_off()
    looks = (("neutral", ":"), ("predicted", "-"), ("key", "--"))
    for axes, (title, lines) in zip(grid, shares.items(), strict=False):
        axes.set_title(title)
        axes.set_ylim(0, 1.03)
        for (name, values), (role, dash) in zip(lines.items(), looks, strict=False):
            axes.plot(x, values, linestyle=dash, color=color(role, theme), label=name)
    names = dict.fromkeys(name for curves in panels.values() for name in curves)
    looks = (("query", "-"), ("error", ":"), ("gold", "--"), ("neutral", "-."), ("value", "--"))
    inks = dict(zip(names, looks, strict=False))
    for axes, (metric, curves) in zip(grid[len(shares) :], panels.items(), strict=False):
        for name, (means, halves) in curves.items():
            role, dash = inks[name]
            m, w = np.asarray(means, dtype=float), np.nan_to_num(np.asarray(halves, dtype=float))
            axes.fill_between(x, m - w, m + w, color=color(role, theme), alpha=0.16, linewidth=0)
            axes.plot(x, m, linestyle=dash, color=color(role, theme), label=name)
        axes.axhline(0, color=color("muted", theme), linewidth=1)
        axes.set_title(metric)
    for axes in grid[:count]:
        shown = x[:: max(1, -(-len(x) // 6))]
        axes.set_xticks(shown, [f"{steps[i]:,}" for i in shown], fontsize=9)
        axes.set_xlabel("training step")
        longest = max(map(len, axes.get_legend_handles_labels()[1]))
        columns = 3 if longest < 14 else 2
        axes.legend(
            fontsize=8.5, ncols=columns, loc="upper center", bbox_to_anchor=(0.5, -0.3),
            columnspacing=1.0,
        )  # fmt: skip
