"""Figures of the pre-training chapter: vocabularies, a training run, what it learned, when."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from icl_lib.palette import SERIES, Theme, color
from icl_lib.plots.themed import figure


@figure(size=(6.8, 3.6))
def tokens_per_character(
    fig,
    theme: Theme,
    sizes: ArrayLike,
    languages: Mapping[str, ArrayLike],
    note: str = "one token per character",
) -> None:
    """Draw how many tokens a character costs as the vocabulary grows.

    Parameters
    ----------
    sizes
        Numbers of tokens in the vocabulary; the first one is that of single bytes.
    languages
        Name of a language and its tokens per character at each size.
    note
        Says what the line at one stands for.
    """
    axes = fig.subplots()
    for role, marker, (name, values) in zip(SERIES, "os^", languages.items(), strict=False):
        axes.plot(sizes, values, f"{marker}-", color=color(role, theme), label=name)
    axes.axhline(1.0, color=color("neutral", theme), linestyle="--", lw=1.2)
    axes.annotate(
        note, (max(sizes), 1.0), xytext=(-2, 4), textcoords="offset points", ha="right",
        color=color("muted", theme),
    )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("vocabulary size V")
    axes.set_ylabel("tokens per character")
    axes.legend(loc="center right")


@figure(size=(7.2, 3.2))
def two_rulers(
    fig,
    theme: Theme,
    names: Sequence[str],
    perplexity: ArrayLike,
    bits_per_byte: ArrayLike,
) -> None:
    """Draw the same models on two rulers: perplexity per token and bits per byte.

    Parameters
    ----------
    names
        One for each tokenizer.
    perplexity, bits_per_byte
        Of the same kind of model, trained on the same text cut by that tokenizer.
    """
    left, right = fig.subplots(1, 2)
    rulers = ((left, perplexity, "perplexity per token", "query", ".3g"),
              (right, bits_per_byte, "bits per byte", "value", ".3g"))  # fmt: skip
    for axes, values, title, role, digits in rulers:
        values = np.asarray(values, dtype=float)
        bars = axes.bar(range(len(names)), values, color=color(role, theme), width=0.6)
        axes.bar_label(
            bars, [f"{v:{digits}}" for v in values], padding=2, color=color("text", theme)
        )
        axes.set_xticks(range(len(names)), names)
        axes.set_ylim(0, 1.15 * values.max())
        axes.set_title(title)
        axes.grid(axis="x", visible=False)


@figure(size=(7.2, 5.0))
def pretraining_run(
    fig,
    theme: Theme,
    losses: Sequence[ArrayLike],
    held_out: Sequence[Mapping[int, float]],
    references: Mapping[str, float],
    step_sizes: ArrayLike,
) -> None:
    """Draw runs of one course among their references, with the step size underneath.

    Parameters
    ----------
    losses
        Training loss of every step, in nats per token; one list for each seed.
    held_out
        Step and loss on texts that were held out; one mapping for each seed.
    references
        Names and losses of models that one has for nothing: drawn as lines.
    step_sizes
        Step size of every step.
    """
    axes, below = fig.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    steps = max(len(np.asarray(run)) for run in losses)
    for n, (run, outside) in enumerate(zip(losses, held_out, strict=True)):
        names = ("training", "held out") if n == 0 else (None, None)
        axes.plot(np.arange(len(run)), run, lw=0.8, alpha=0.7, color=color("query", theme),
                  label=names[0])  # fmt: skip
        axes.plot(list(outside), list(outside.values()), "o-", ms=4, color=color("error", theme),
                  label=names[1])  # fmt: skip
    for name, value in references.items():
        axes.axhline(value, color=color("neutral", theme), linestyle="--", lw=1.2)
        under = value < losses[0][-1]  # the curves end above this line: keep clear of them
        axes.annotate(
            name, (steps, value), xytext=(-2, -4 if under else 3), textcoords="offset points",
            ha="right", va="top" if under else "bottom", color=color("muted", theme),
        )  # fmt: skip
    axes.set_ylim(0, 1.1 * max(max(np.max(run) for run in losses), *references.values()))
    axes.set_ylabel("loss in nats per token")
    axes.legend(loc="upper center", bbox_to_anchor=(0.42, 0.93))
    below.plot(np.arange(len(step_sizes)), step_sizes, color=color("gold", theme))
    below.set_ylim(bottom=0)
    below.set_ylabel("step size")
    below.set_xlabel("step")


@figure(size=(7.6, 3.8))
def learned_when(
    fig,
    theme: Theme,
    steps: ArrayLike,
    shares: Mapping[str, ArrayLike],
    nulls: Mapping[str, Mapping[str, float]],
) -> None:
    """Draw how often generated texts keep a rule, as training goes on.

    Parameters
    ----------
    steps
        Where texts were generated, from 0.
    shares
        Name of a rule and a table ``[seeds, steps]``: how often it is kept, from 0 to 1; NaN where
        no text could be judged.
    nulls
        Name of a way to write without having learned, and the share for each rule.
    """
    all_axes = fig.subplots(1, len(shares), sharey=True, squeeze=False)[0]
    for axes, role, (name, table) in zip(all_axes, SERIES, shares.items(), strict=False):
        for row in np.atleast_2d(np.asarray(table, dtype=float)):
            axes.plot(steps, row, "o-", ms=4, lw=1.2, alpha=0.75, color=color(role, theme))
        for style, (null, values) in zip(("--", ":", "-."), nulls.items(), strict=False):
            axes.axhline(
                values[name], color=color("neutral", theme), linestyle=style, lw=1.6, label=null
            )
        axes.set_title(name)
        axes.set_xlabel("step")
        axes.set_ylim(-0.03, 1.05)
    all_axes[0].set_ylabel("how often it is kept")
    handles, labels = all_axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=len(nulls))


@figure(size=(7.2, 4.0))
def continuations(
    fig,
    theme: Theme,
    categories: Sequence[str],
    shares: Mapping[str, ArrayLike],
    errors: Mapping[str, ArrayLike] | None = None,
) -> None:
    """Draw with what kinds of text each model continues one prompt.

    Parameters
    ----------
    categories
        Kinds of continuation, top to bottom.
    shares
        Name of a source and the share of its continuations of each kind.
    errors
        Standard error of each share, where it was sampled.
    """
    axes = fig.subplots()
    height, places = 0.8 / len(shares), np.arange(len(categories))
    roles = ("neutral", "query", "predicted", "value")
    for n, ((name, values), role) in enumerate(zip(shares.items(), roles, strict=False)):
        spread = None if errors is None else errors.get(name)
        axes.barh(
            places + (n - (len(shares) - 1) / 2) * height, values, 0.9 * height, xerr=spread,
            ecolor=color("text", theme), error_kw={"lw": 1}, color=color(role, theme), label=name,
        )  # fmt: skip
    axes.set_yticks(places, categories)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("share of the continuations")
    axes.grid(axis="y", visible=False)
    fig.legend(loc="outside upper center", ncols=len(shares))


@figure(size=(7.2, 3.6))
def candidate_probabilities(
    fig, theme: Theme, candidates: Sequence[str], models: Mapping[str, ArrayLike]
) -> None:
    """Draw the probability that models give to whole continuations, on a logarithmic ruler.

    Parameters
    ----------
    candidates
        What is continued, in the words of the page, top to bottom.
    models
        Name of a model and its probability of each candidate.
    """
    axes = fig.subplots()
    places = np.arange(len(candidates))
    looks = (("neutral", "o"), ("query", "s"), ("predicted", "D"), ("value", "^"))
    for (role, marker), (name, values) in zip(looks, models.items(), strict=False):
        axes.plot(values, places, marker, ms=8, color=color(role, theme), label=name)
    axes.set_xscale("log")
    axes.set_yticks(places, candidates)
    axes.set_ylim(len(candidates) - 0.5, -0.5)
    axes.set_xlabel("probability of the whole continuation")
    fig.legend(loc="outside upper center", ncols=len(models))
