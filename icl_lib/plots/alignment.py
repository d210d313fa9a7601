"""Figures of the chapter on instructions, preferences and the leash."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from icl_lib.palette import Theme, color
from icl_lib.plots.themed import figure

LEASHES = (("error", "-"), ("key", "--"), ("query", "-."), ("value", ":"))


@figure(size=(6.6, 4.0))
def instruction_scores(
    fig, theme: Theme, shares: Mapping[str, Mapping[str, Sequence[float]]], chance: Sequence[float]
) -> None:
    """Draw how often answers have what the instruction asked for, one bar for each model.

    Parameters
    ----------
    shares
        Model, then what was asked for, then one share for each seed.
    chance
        What guessing would give, in the order of what was asked for.
    """
    axes = fig.subplots()
    asked = list(next(iter(shares.values())))
    width, roles = 0.8 / len(shares), ("neutral", "query", "value", "key")
    hatches = ("", "//", "..", "xx")
    for i, (name, found) in enumerate(shares.items()):
        places = np.arange(len(asked)) + (i - (len(shares) - 1) / 2) * width
        means = [float(np.mean(found[what])) for what in asked]
        shade = color(roles[i], theme)
        axes.bar(
            places, means, 0.92 * width, label=name, facecolor=shade, alpha=0.85,
            hatch=hatches[i], edgecolor=color("background", theme), linewidth=0,
        )  # fmt: skip
        for place, what in zip(places, asked, strict=True):
            values = found[what]
            axes.plot([place] * len(values), values, "o", color=color("text", theme), ms=3)
    for i, level in enumerate(chance):
        label = "guessing" if i == 0 else None
        axes.plot([i - 0.45, i + 0.45], [level] * 2, "--", color=color("gold", theme), label=label)
    axes.set_xticks(np.arange(len(asked)), asked)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("share of answers")
    axes.grid(axis="x", visible=False)
    fig.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3)


@figure(size=(6.4, 3.8))
def proxy_and_truth(fig, theme: Theme, true: ArrayLike, proxy: ArrayLike) -> None:
    """Draw what the reward model says of texts over what they are worth, one dot for each text.

    Parameters
    ----------
    true, proxy
        Rewards of the same texts; the true ones take few different values.
    """
    axes = fig.subplots()
    true, proxy = np.asarray(true, dtype=float), np.asarray(proxy, dtype=float)
    jitter = np.random.default_rng(0).uniform(-0.18, 0.18, len(true))
    axes.plot(true + jitter, proxy, "o", ms=3, alpha=0.5, color=color("predicted", theme))
    levels = np.unique(true)
    middle = [np.median(proxy[true == level]) for level in levels]
    axes.plot(levels, middle, "D-", color=color("gold", theme), label="median")
    axes.set_xlabel("true reward of a text")
    axes.set_ylabel("what the reward model says")
    axes.legend()


def _mean_over_bins(x: np.ndarray, width: int) -> np.ndarray:
    whole = len(x) // width * width
    return x[:whole].reshape(-1, width).mean(axis=1)


def _root(x: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(x, 0.0))


@figure(size=(7.4, 3.9))
def leash_curves(
    fig, theme: Theme, runs: Mapping[float, Sequence[Mapping[str, ArrayLike]]], *, smooth: int = 3
) -> None:
    """Draw proxy and true reward against the distance from the reference while training goes on.

    The axis of the distance is stretched by its root, in which Gao et al. (2023) state their laws.

    Parameters
    ----------
    runs
        β, then one run for each seed: ``kl``, ``reward`` (the proxy) and ``true``, one number for
        each step.
    smooth
        How many steps one point is the mean of.
    """
    left, right = fig.subplots(1, 2, sharex=True)
    panels = ((left, "reward", "proxy reward"), (right, "true", "true reward"))
    for axes, name, title in panels:
        for (beta, seeds), (role, dash) in zip(runs.items(), LEASHES, strict=False):
            for i, run in enumerate(seeds):
                kl, y = (
                    _mean_over_bins(np.asarray(run[k], dtype=float), smooth) for k in ("kl", name)
                )
                shade = color(role, theme)
                label = (f"β = {beta:g}" if beta else "no leash") if i == 0 else None
                axes.plot(kl, y, dash, color=shade, linewidth=1.4, label=label)
                axes.plot(kl[-1], y[-1], "o", color=shade, ms=5)
        axes.set_title(title)
        axes.set_xscale("function", functions=(_root, np.square))
        axes.set_xlabel("KL from the reference, nats")
    left.set_ylabel("mean over answers")
    fig.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=4)


@figure(size=(6.6, 3.8))
def reward_over_steps(
    fig, theme: Theme, runs: Sequence[Mapping[str, ArrayLike]], *, smooth: int = 3
) -> None:
    """Draw how proxy and true reward move while a policy is trained without a leash.

    Parameters
    ----------
    runs
        One for each seed, as in :func:`leash_curves`.
    smooth
        How many steps one point is the mean of.
    """
    axes = fig.subplots()
    for name, role, dash, label in (
        ("reward", "predicted", "--", "proxy: what the reward model says"),
        ("true", "gold", "-", "true: what the judge would say"),
    ):
        for i, run in enumerate(runs):
            y = np.asarray(run[name], dtype=float)
            y = _mean_over_bins(y - y[:smooth].mean(), smooth)
            x = (np.arange(len(y)) + 0.5) * smooth
            axes.plot(x, y, dash, color=color(role, theme), label=label if i == 0 else None)
    axes.axhline(0, color=color("muted", theme), linewidth=1)
    axes.set_xlabel("training step")
    axes.set_ylabel("change of the mean reward")
    axes.legend()


@figure(size=(6.6, 3.8))
def methods_by_distance(
    fig, theme: Theme, points: Mapping[str, Sequence[tuple[float, float]]]
) -> None:
    """Draw the true reward over the distance from the reference, one mark for each trained model.

    Parameters
    ----------
    points
        Method, then (KL, true reward) for each of its models.
    """
    axes = fig.subplots()
    roles = ("neutral", "error", "key", "query", "value", "predicted")
    for (name, values), role, marker in zip(points.items(), roles, "sovD^P", strict=False):
        kl, true = np.asarray(values, dtype=float).T
        axes.plot(kl, true, marker, color=color(role, theme), ms=8, label=name)
    axes.set_xlabel("KL from the reference, nats")
    axes.set_ylabel("true reward")
    axes.legend()
