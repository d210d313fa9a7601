"""Figures of the dual-form chapter: what counts of old steps, ranks, and whom one leans on."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from numpy.typing import ArrayLike

from icl_lib.palette import Theme, color
from icl_lib.plots.themed import figure

ROLES = ("neutral", "query", "key", "predicted")
DASHES = ("-", "--", "-.", ":")


@figure(size=(6.4, 3.6))
def step_weights(fig, theme: Theme, weights: Mapping[str, ArrayLike]) -> None:
    """Draw how much each step's gradient counts in the final weight, in units of the step size.

    Parameters
    ----------
    weights
        Name of the rule and ``[T]`` numbers s_t / η.
    """
    axes = fig.subplots()
    for (name, values), role, dash in zip(weights.items(), ROLES, DASHES, strict=False):
        values = np.asarray(values)
        steps = np.arange(1, len(values) + 1)
        axes.plot(steps, values, dash, color=color(role, theme), label=name)
    axes.set_xlabel("step t in which the example was used")
    axes.set_ylabel("weight in the final layer,\nin units of η")
    axes.axhline(0, color=color("muted", theme), linewidth=1)
    axes.legend()


@figure(size=(6.4, 3.6))
def update_spectra(fig, theme: Theme, spectra: Mapping[str, ArrayLike], examples: int) -> None:
    """Draw the singular values of weight updates, each relative to its largest.

    Parameters
    ----------
    spectra
        Name of the rule and its singular values, largest first.
    examples
        N, the number of examples behind each update: a sum of N outer products has rank ≤ N.
    """
    axes = fig.subplots()
    floor = 1e-17
    styles = zip(spectra.items(), ("query", "error"), ("o", "s"), strict=False)
    for (name, values), role, marker in styles:
        values = np.maximum(np.asarray(values) / np.asarray(values)[0], floor)
        places = np.arange(1, len(values) + 1)
        axes.semilogy(places, values, marker, color=color(role, theme), label=name)
    axes.axvline(examples + 0.5, color=color("muted", theme), linestyle="--")
    axes.text(examples + 0.7, 3e-9, f"{examples} examples", color=color("muted", theme))
    axes.set_ylim(floor / 10, 10)
    axes.set_xlabel("singular value, from the largest")
    axes.set_ylabel("size, relative to the largest")
    axes.legend(loc="center right")


@figure(size=(7.4, 4.8))
def leaning(
    fig,
    theme: Theme,
    queries: ArrayLike,
    titles: Sequence[str],
    examples: ArrayLike,
    contributions: ArrayLike,
    labels: Sequence[Sequence[str]],
) -> None:
    """Draw queries and, beside each, the training images that pull it most and push it most.

    Parameters
    ----------
    queries
        Images ``[R, H, W]``, one row of the figure each.
    titles
        What stands above each query.
    examples
        Images ``[R, C, H, W]``.
    contributions
        Signed numbers ``[R, C]``, written under the images.
    labels
        The class of each example, ``[R][C]``.
    """
    queries, examples = np.asarray(queries), np.asarray(examples)
    contributions = np.asarray(contributions)
    rows, columns = contributions.shape
    grid = fig.subplots(rows, columns + 1, squeeze=False)
    ink = {role: _ink(theme, role) for role in ("query", "value", "error")}
    for r in range(rows):
        _image(grid[r, 0], queries[r], ink["query"], titles[r], color("query", theme))
        for c in range(columns):
            value = contributions[r, c]
            role = "value" if value > 0 else "error"
            words = f"{labels[r][c]}: {value:+.2f}".replace("-", "−")
            _image(grid[r, c + 1], examples[r, c], ink[role], words, color(role, theme))


def _ink(theme: Theme, role: str) -> mpl.colors.Colormap:
    ends = [color("background", theme), color(role, theme)]
    return mpl.colors.LinearSegmentedColormap.from_list(f"{role}-{theme}", ends)


def _image(axes, picture: np.ndarray, ink: mpl.colors.Colormap, words: str, paint: str) -> None:
    axes.imshow(picture, cmap=ink)
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_title(words, fontsize=10, color=paint)


@figure(size=(6.4, 3.4))
def digit_agreement(fig, theme: Theme, shares: Mapping[str, Sequence[float]]) -> None:
    """Draw how often each way of adding up names the class that the layer predicts.

    Parameters
    ----------
    shares
        Name of the way and its share of test digits, one number per seed.
    """
    axes = fig.subplots()
    names = list(shares)
    means = [float(np.mean(shares[name])) for name in names]
    places = np.arange(len(names))[::-1]
    axes.barh(places, means, 0.55, color=color("query", theme))
    for place, name, mean in zip(places, names, means, strict=True):
        axes.plot(shares[name], [place] * len(shares[name]), "o", color=color("text", theme), ms=3)
        axes.text(mean + 0.02, place, f"{mean:.3f}", va="center", color=color("text", theme))
    axes.set_yticks(places, names)
    axes.set_xlim(0, 1.15)
    axes.set_xlabel("agreement with the layer's prediction")
    axes.grid(axis="y", visible=False)
