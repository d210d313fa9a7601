"""Figures of the chapter on depth: polynomials, errors by depth, gains, layers against steps."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import ArrayLike

from icl_lib.palette import Theme, color
from icl_lib.plots.themed import figure

LOOKS = {
    "gradient descent": ("key", "--", "s"),
    "momentum": ("value", (0, (2, 1)), "^"),
    "GD++": ("query", "-", "D"),
    "Newton": ("error", "-.", "v"),
    "conjugate gradient": ("gold", ":", "P"),
    "trained": ("predicted", "-", "o"),
}
"""Colour, dash and mark of each learner in every figure of the chapter."""
DASHES = (":", "--", "-", "-.")


@figure(size=(7.6, 3.6))
def missing_shares(
    fig,
    theme: Theme,
    eigenvalues: ArrayLike,
    panels: Mapping[str, Mapping[str, ArrayLike]],
) -> None:
    """Draw r(λ), the share of the true weight that is still missing, one panel a learner.

    Parameters
    ----------
    eigenvalues
        λ, ``[points]``.
    panels
        Learner; name of each curve, and r ``[points]``.
    """
    for axes, (title, curves) in zip(
        np.atleast_1d(fig.subplots(1, len(panels), sharey=True)), panels.items(), strict=True
    ):
        ink = color(LOOKS[title][0], theme)
        for i, values in enumerate(curves.values()):
            axes.plot(
                eigenvalues, values, color=ink, alpha=0.7 + 0.3 * (i + 1) / len(curves),
                linewidth=1.5 + 0.7 * i, linestyle=DASHES[i % len(DASHES)],
            )  # fmt: skip
        axes.axhline(0, color=color("muted", theme), linewidth=1)
        axes.set_title(title)
        axes.set_xlabel("eigenvalue λ")
        axes.set_ylim(-1.05, 1.05)
    fig.axes[0].set_ylabel("share missing, r(λ)")
    handles = [
        axes.plot([], [], color=color("text", theme), linewidth=1.5 + 0.7 * i, linestyle=dash)[0]
        for i, dash in zip(range(len(curves)), DASHES, strict=False)
    ]
    fig.legend(handles, list(curves), loc="outside lower center", ncols=len(handles))


@figure(size=(6.8, 4.2))
def decay(
    fig, theme: Theme, curves: Mapping[str, Sequence[ArrayLike]], *, stop: float = 1e-7
) -> None:
    """Draw error against steps, both axes logarithmic.

    Parameters
    ----------
    curves
        Learner; steps (at least 1) and errors.
    stop
        Smallest error that is shown.
    """
    axes = fig.subplots()
    for name, (steps, errors) in curves.items():
        role, dash, mark = LOOKS[name]
        axes.plot(
            steps, errors, linestyle=dash, marker=mark, markersize=5, color=color(role, theme),
            label=name,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(stop, 1.5)
    axes.set_xlabel("steps")
    axes.set_ylabel("error, zero guess = 1")
    axes.legend()


@figure(size=(7.4, 4.0))
def errors_by_depth(
    fig,
    theme: Theme,
    depths: Sequence[int],
    references: Mapping[str, ArrayLike],
    trained: ArrayLike,
    *,
    zero: float,
) -> None:
    """Draw the error of learners with tuned constants, and of trained networks, against depth.

    Parameters
    ----------
    depths
        K.
    references
        Learner (a key of ``LOOKS``) and its errors, ``[depths]``.
    trained
        Measured errors, ``[seeds, depths]``, one dot each.
    zero
        What guessing 0 costs.
    """
    axes, table = fig.subplots(), np.atleast_2d(trained)
    axes.axhline(zero, color=color("muted", theme), linestyle=":", label="zero guess")
    for name, values in references.items():
        role, dash, mark = LOOKS[name]
        axes.plot(
            depths, values, linestyle=dash, marker=mark, markersize=5, color=color(role, theme),
            label=f"{name}, tuned",
        )  # fmt: skip
    for i, row in enumerate(table):
        axes.plot(
            np.asarray(depths) + 0.06 * (i - (len(table) - 1) / 2), row, "o", markersize=8,
            markerfacecolor="none", markeredgewidth=1.8, color=color("predicted", theme),
            label=None if i else "trained, one ring a seed",
        )  # fmt: skip
    axes.set_yscale("log")
    ticks = [v for v in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4) if v > 0.5 * table.min()]
    axes.set_yticks(ticks, [f"{v:g}" for v in ticks], minor=False)
    axes.minorticks_off()
    axes.set_xticks(depths, [str(k) for k in depths])
    axes.set_xlabel("layers, or steps")
    axes.set_ylabel("mean squared error")
    fig.legend(loc="outside right center")


@figure(size=(7.4, 3.9))
def gains(
    fig,
    theme: Theme,
    variances: ArrayLike,
    learned: ArrayLike,
    curves: Mapping[str, Sequence[ArrayLike]],
) -> None:
    """Draw how far a learned preconditioner moves along each principal axis of the inputs.

    Parameters
    ----------
    variances
        λ of each axis, ``[d]``.
    learned
        uᵀ A u along each axis, ``[seeds, d]``.
    curves
        Name of each reference, with its variances and gains.
    """
    axes = fig.subplots()
    looks = (("query", "-"), ("gold", "--"), ("key", ":"), ("value", "-."))
    for (name, (xs, ys)), (role, dash) in zip(curves.items(), looks, strict=False):
        axes.plot(xs, ys, linestyle=dash, color=color(role, theme), label=name)
    for i, row in enumerate(np.atleast_2d(learned)):
        axes.plot(
            variances, row, "o", markersize=8, markerfacecolor="none", markeredgewidth=1.8,
            color=color("predicted", theme), label=None if i else "trained, three seeds",
        )  # fmt: skip
    axes.set_xlabel("variance λ of the inputs along an axis")
    axes.set_ylabel("gain along it")
    axes.set_ylim(bottom=0)
    fig.legend(loc="outside right center")


@figure(size=(7.6, 4.6))
def layer_heat(
    fig,
    theme: Theme,
    panels: Mapping[str, ArrayLike],
    steps: Sequence[Sequence[int]],
    rows: Sequence[str],
    *,
    best: Sequence[Sequence[int]],
    span: tuple[float, float] = (0.5, 1.0),
) -> None:
    """Draw the similarity of errors of every layer to a learner after every number of steps.

    Parameters
    ----------
    panels
        Title and similarities, ``[layers, steps]``.
    steps
        The steps of each panel's columns.
    rows
        Name of each layer, the first at the bottom.
    best
        For each panel, the best-matching column of each layer; a ring marks it.
    span
        Similarities of the two ends of the scale; what is outside takes the colour of the end.
    """
    shades = LinearSegmentedColormap.from_list(
        "heat", [color("background", theme), color("query", theme)]
    )
    grid = np.atleast_1d(fig.subplots(1, len(panels), sharey=True))
    for axes, (title, values), columns, marks in zip(
        grid, panels.items(), steps, best, strict=True
    ):
        drawn = axes.imshow(
            np.asarray(values), cmap=shades, vmin=span[0], vmax=span[1], aspect="auto",
            origin="lower", interpolation="nearest",
        )  # fmt: skip
        axes.plot(
            marks, range(len(rows)), "o", markersize=9, markerfacecolor="none",
            markeredgewidth=2.2, color=color("key", theme),
        )  # fmt: skip
        shown = range(0, len(columns), max(1, len(columns) // 5))
        axes.set_xticks(list(shown), [str(columns[i]) for i in shown])
        axes.set_yticks(range(len(rows)), rows)
        axes.grid(visible=False)
        axes.set_title(title)
        axes.set_xlabel("steps")
    bar = fig.colorbar(drawn, ax=list(grid), shrink=0.85, extend="min")
    bar.set_label("similarity of errors")
    bar.outline.set_visible(False)
