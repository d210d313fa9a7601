"""Figures of the GPT chapter: sizes, a training run, ways to choose a token, maps of heads."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from icl_lib.palette import Theme, color
from icl_lib.plots.attention import weight_map
from icl_lib.plots.themed import figure

PARTS = ("gold", "predicted", "query", "key", "neutral", "value", "error")


@figure(size=(7.2, 4.6))
def parameter_parts(
    fig, theme: Theme, models: Sequence[str], parts: Mapping[str, ArrayLike]
) -> None:
    """Draw which part of each model its parameters sit in, as shares of one.

    Parameters
    ----------
    models
        Names, top to bottom; the caller writes the totals into them.
    parts
        Name of a part and its number of parameters in each model.
    """
    axes = fig.subplots()
    table = np.array([np.asarray(counts, dtype=float) for counts in parts.values()])
    shares = table / table.sum(0)
    left = np.zeros(len(models))
    for (part, share), role in zip(zip(parts, shares, strict=True), PARTS, strict=False):
        axes.barh(models, share, left=left, color=color(role, theme), label=part)
        left += share
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the parameters")
    axes.grid(axis="y", visible=False)
    fig.legend(loc="outside upper center", ncols=len(parts))


@figure(size=(7.2, 4.0))
def training_curve(
    fig,
    theme: Theme,
    losses: ArrayLike,
    validation: Mapping[int, float],
    references: Mapping[str, float],
) -> None:
    """Draw a training run among its references.

    Parameters
    ----------
    losses
        Training loss of every step, in nats per token.
    validation
        Step and loss on the held-out text.
    references
        Names and losses of models that one has for nothing: drawn as lines.
    """
    axes = fig.subplots()
    losses = np.asarray(losses)
    axes.plot(np.arange(len(losses)), losses, color=color("query", theme), lw=1.0, label="training")
    axes.plot(
        list(validation),
        list(validation.values()),
        "o-",
        color=color("error", theme),
        label="held out",
    )
    for name, value in references.items():
        below = value < losses[-1]  # the curves end above this line: keep clear of them
        axes.axhline(value, color=color("neutral", theme), linestyle="--", lw=1.2)
        axes.annotate(
            name,
            (len(losses), value),
            xytext=(-2, -4 if below else 3),
            textcoords="offset points",
            ha="right",
            va="top" if below else "bottom",
            color=color("muted", theme),
        )
    axes.set_ylim(0, 1.08 * max(losses.max(), *references.values()))
    axes.set_xlabel("step")
    axes.set_ylabel("loss in nats per character")
    axes.legend(loc="center right", bbox_to_anchor=(1, 0.6))


@figure(size=(7.2, 3.4))
def next_token(
    fig, theme: Theme, characters: Sequence[str], choices: Mapping[str, ArrayLike]
) -> None:
    """Draw how ways of choosing reshape the distribution of the next character.

    Parameters
    ----------
    characters
        The candidates shown.
    choices
        Name of a way and the probability of each candidate under it.
    """
    all_axes = fig.subplots(1, len(choices), sharey=True, squeeze=False)[0]
    for axes, (name, probabilities) in zip(all_axes, choices.items(), strict=True):
        axes.bar(range(len(characters)), probabilities, color=color("predicted", theme))
        axes.set_xticks(range(len(characters)), characters)
        axes.set_title(name)
        axes.grid(axis="x", visible=False)
    all_axes[0].set_ylabel("probability")
    all_axes[0].set_ylim(0, 1)


@figure(size=(8.0, 4.4))
def head_maps(
    fig, theme: Theme, weights: ArrayLike, characters: Sequence[str], titles: Sequence[str]
) -> None:
    """Draw the attention maps of several heads over one text.

    Parameters
    ----------
    weights
        `[H, T, T]`, rows summing to one.
    characters
        The T characters of the text.
    titles
        One for each head.
    """
    weights = np.asarray(weights)
    shown = ["␣" if character == " " else character for character in characters]
    all_axes = fig.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    for axes, head, title in zip(all_axes, weights, titles, strict=True):
        weight_map(axes, theme, head, shown, shown, numbers=False)
        axes.set_aspect("equal")
        axes.tick_params(labelsize=8)
        axes.set_title(title)
        axes.set_xlabel("key", color=color("key", theme))
    all_axes[0].set_ylabel("query", color=color("query", theme))


@figure(size=(6.4, 3.4))
def cache_seconds(
    fig, theme: Theme, lengths: ArrayLike, cached: ArrayLike, recomputed: ArrayLike
) -> None:
    """Draw the seconds that generation takes, with a cache and without.

    Parameters
    ----------
    lengths
        Numbers of generated tokens.
    cached, recomputed
        Seconds with remembered keys and values, and with everything computed anew.
    """
    axes = fig.subplots()
    axes.plot(lengths, recomputed, "s--", color=color("error", theme), label="everything anew")
    axes.plot(lengths, cached, "o-", color=color("query", theme), label="with a cache")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("tokens generated")
    axes.set_ylabel("seconds")
    axes.legend()
