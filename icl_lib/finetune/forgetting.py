"""What fine-tuning costs on old text, and how that is measured.

Old text comes as windows ``N T``: rows of tokens, each read from its start; every token but the
first is a target.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from icl_lib.finetune.labels import LabelTask, accuracy
from icl_lib.finetune.methods import relative_change
from icl_lib.models.gpt import GPT


def text_loss(model: GPT, windows: Int[Tensor, "N T"]) -> Float[Tensor, ""]:
    """Return the mean of −log p(token | tokens before it in its window), in nats per token.

    Explained in: 08_fine_tuning
    """
    logits = model(windows[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


@torch.no_grad()
def held_out_loss(model: GPT, windows: Int[Tensor, "N T"], *, chunk: int = 32) -> float:
    """Return :func:`text_loss` over many windows, ``chunk`` at a time, as a number.

    Raises
    ------
    ValueError
        If there is no window, no token in it to predict, or ``chunk`` is below 1.

    Explained in: 08_fine_tuning
    """
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    if windows.ndim != 2 or not len(windows) or windows.shape[1] < 2:
        raise ValueError(
            f"old text needs at least one window of two tokens, got shape {tuple(windows.shape)}"
        )
    losses = [text_loss(model, part).item() * len(part) for part in windows.split(chunk)]
    return sum(losses) / len(windows)


def perplexity(model: GPT, windows: Int[Tensor, "N T"], *, chunk: int = 32) -> float:
    r"""Return exp of the loss on text: among how many equally likely tokens it seems to choose.

    .. math:: \exp\Bigl(-\frac{1}{N (T - 1)} \sum_{i,t} \log p(x_{i,t} \mid x_{i,<t})\Bigr)

    Raises
    ------
    ValueError
        If there is no window, no token in it to predict, or ``chunk`` is below 1.

    Explained in: 08_fine_tuning
    """
    return math.exp(held_out_loss(model, windows, chunk=chunk))


def bits_per_byte(nats_per_token: float, tokens: int, size: int) -> float:
    r"""Return the loss in bits per byte of text: a unit that no tokenizer changes.

    .. math:: \frac{\text{nats per token} \cdot \text{tokens}}{\ln 2 \cdot \text{bytes}}

    Parameters
    ----------
    nats_per_token
        Mean loss of the tokens.
    tokens
        How many were predicted.
    size
        Bytes of the text that they spell. Special tokens are predicted but spell no text.

    Raises
    ------
    ValueError
        If there are no tokens or no bytes.

    Explained in: 08_fine_tuning
    """
    if tokens < 1 or size < 1:
        raise ValueError(f"tokens and bytes must be at least 1, got {tokens} and {size}")
    return nats_per_token * tokens / (math.log(2) * size)


def kl_divergence(
    reference: Float[Tensor, "*n V"], logits: Float[Tensor, "*n V"]
) -> Float[Tensor, "*n"]:
    r"""Return, for each place, how far one next-token distribution is from another.

    .. math::
        \mathrm{KL}(π_0 ‖ π) = \sum_v π_0(v)\,\bigl(\log π_0(v) - \log π(v)\bigr),
        \qquad \frac{∂\,\mathrm{KL}}{∂\,\text{logits}} = π - π_0

    Parameters
    ----------
    reference
        Logits of the original model π_0.
    logits
        Logits of the model that is trained, π.

    Source: the definition; as a penalty on a model's own earlier outputs, Li and Hoiem (2016).

    Explained in: 08_fine_tuning
    """
    log_p0, log_p = reference.log_softmax(-1), logits.log_softmax(-1)
    return (log_p0.exp() * (log_p0 - log_p)).sum(-1)


@dataclass(frozen=True)
class Outcome:
    """What a fine-tuned model gained and lost.

    Attributes
    ----------
    accuracy
        On unseen examples of the task.
    perplexity
        On held-out old text.
    change
        ‖ΔW‖ / ‖W‖ over all weights.
    """

    accuracy: float
    perplexity: float
    change: float


def outcome(base: GPT, tuned: GPT, test: LabelTask, old: Int[Tensor, "N T"]) -> Outcome:
    """Measure a model after fine-tuning; ``tuned`` may be ``base`` itself.

    Explained in: 08_fine_tuning
    """
    return Outcome(accuracy(tuned, test), perplexity(tuned, old), relative_change(base, tuned))


def cost_at_gain(gains: Sequence[float], costs: Sequence[float], target: float) -> float:
    """Return what a curve has cost where it first reaches a gain.

    Parameters
    ----------
    gains, costs
        Points of the curve in the order in which it is walked, as from small to large step sizes.
    target
        The gain asked for. Between the first point that has it and the one before, the logarithm
        of the cost is interpolated along a straight line: that line is straight where costs are
        drawn on a logarithmic axis, and the logarithm of a perplexity is a loss.

    Returns
    -------
    float
        NaN if the curve never gets there.

    Raises
    ------
    ValueError
        If there are no points, not as many gains as costs, or one of them is no finite number or
        a cost not positive.

    Explained in: 08_fine_tuning
    """
    gains, costs = [float(g) for g in gains], [float(c) for c in costs]
    if not gains or len(gains) != len(costs):
        raise ValueError(f"got {len(gains)} gains and {len(costs)} costs; one of each per point")
    if not all(map(math.isfinite, (*gains, *costs, target))) or min(costs) <= 0:
        raise ValueError(
            f"gains and target must be finite, costs finite and positive, got gains {gains}, "
            f"costs {costs} and target {target}"
        )
    there = next((i for i, gain in enumerate(gains) if gain >= target), None)
    if there is None:
        return math.nan
    if there == 0:
        return costs[0]
    way = (target - gains[there - 1]) / (gains[there] - gains[there - 1])
    return costs[there - 1] * (costs[there] / costs[there - 1]) ** way
