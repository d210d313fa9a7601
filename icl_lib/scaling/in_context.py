"""Scores of learning in context: loss by position, answers after examples, attention to the past.

Letters: ``B`` documents, ``T`` positions, ``V`` vocabulary, ``C`` candidates, ``L`` layers, ``H``
heads.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from icl_lib.models.gpt import GPT
from icl_lib.models.record import Record


@torch.no_grad()
def prompt_losses(model: GPT, documents: Int[Tensor, "B T1"]) -> Float[Tensor, "B T"]:
    """Return the surprise of the model at every token after the first, in nats.

    Parameters
    ----------
    model
        A language model.
    documents
        ``T + 1`` tokens each.

    Explained in: 10_scale
    """
    logits = model(documents[:, :-1])
    losses = F.cross_entropy(logits.flatten(0, 1), documents[:, 1:].flatten(), reduction="none")
    return losses.view(len(documents), -1)


def loss_by_position(model: GPT, documents: Int[Tensor, "B T1"]) -> Float[Tensor, " T"]:
    r"""Return the mean surprise at each position: :math:`\ell_t = \operatorname{mean}_b \ell_{bt}`.

    Parameters
    ----------
    model, documents
        See :func:`prompt_losses`.

    Explained in: 10_scale
    """
    return prompt_losses(model, documents).mean(0)


def in_context_score(
    losses: Float[Tensor, "*batch T"], *, early: slice, late: slice
) -> Float[Tensor, "*batch"]:
    r"""Return loss late in the document minus loss early in it; negative if context helps.

    .. math:: \text{score} = \operatorname{mean}_{t \in \text{late}} \ell_t
        - \operatorname{mean}_{t \in \text{early}} \ell_t

    Parameters
    ----------
    losses
        By position.
    early, late
        Which positions. Olsson et al. take the single 50th and 500th of 512 tokens; a short
        document needs a mean over several.

    Raises
    ------
    ValueError
        If one of them is empty or they overlap.

    Source: Olsson et al. (2022).

    Explained in: 10_scale
    """
    positions = range(losses.shape[-1])
    first, last = positions[early], positions[late]
    if not len(first) or not len(last) or set(first) & set(last):
        raise ValueError(
            f"early and late must be positions below {len(positions)} that do not overlap, got "
            f"{early} and {late}"
        )
    return losses[..., late].mean(-1) - losses[..., early].mean(-1)


@dataclass(frozen=True)
class Answers:
    """What a model answers to questions with a list of candidates.

    Attributes
    ----------
    right
        Whether the right candidate has the largest logit, ``[B]``.
    log_probability
        Of the right answer among the candidates, ``[B]``.
    """

    right: Tensor
    log_probability: Tensor

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right.double().mean().item()


@torch.no_grad()
def answer(
    model: GPT,
    prompts: Int[Tensor, "B T"],
    candidates: Int[Tensor, "B C"],
    answers: Int[Tensor, " B"],
) -> Answers:
    """Let the model choose among candidates for the next token, as GPT-3 was tested.

    Parameters
    ----------
    model
        A language model.
    prompts
        Tokens before the answer.
    candidates
        Tokens to choose among.
    answers
        Which candidate is right.

    Source: Brown et al. (2020), section 2.4.

    Explained in: 10_scale
    """
    logits = model(prompts, last_only=True)[:, -1].gather(1, candidates)
    told = logits.log_softmax(-1).gather(1, answers[:, None])[:, 0]
    return Answers(logits.argmax(1) == answers, told)


@torch.no_grad()
def prefix_matching(
    model: GPT, documents: Int[Tensor, "B T1"], periods: Int[Tensor, " B"]
) -> Float[Tensor, "L H"]:
    r"""Return how much each head looks at what followed the present token the last time.

    .. math:: \operatorname{mean}_{b,\,t > p_b} A_{b,\,t,\,t - p_b + 1}

    Parameters
    ----------
    model
        A language model.
    documents
        A first token, then tokens repeated with a period.
    periods
        p of each document.

    Source: Olsson et al. (2022), "prefix matching score".

    Explained in: 10_scale
    """
    record = Record("weights")
    model(documents[:, :-1], record=record)
    weights = record["weights"]
    target = torch.arange(weights.shape[-1]) - periods[:, None] + 1
    known = target >= 2  # the token at t − p is a word and not the document's first token
    index = target.clamp(min=0)[None, :, None, :, None]
    index = index.expand(*weights.shape[:1], -1, weights.shape[2], -1, 1)
    found = weights.gather(-1, index)[..., 0]
    return (found * known[:, None]).sum((1, 3)) / known.sum()


def series_right(log_probability: Float[Tensor, " B"], length: int) -> float:
    r"""Return the probability that ``length`` answers in a row are all right.

    .. math:: \Bigl(\operatorname{mean}_b\, p_b\Bigr)^{n}

    for independent questions, answered by drawing from the model. The same answers look smooth on
    the scale of log p and like a jump on this one.

    Parameters
    ----------
    log_probability
        Of single right answers.
    length
        n, at least 1.

    Source: Schaeffer et al. (2023), section 2.

    Explained in: 10_scale
    """
    if length < 1:
        raise ValueError(f"a series has at least 1 answer, got {length}")
    return log_probability.exp().mean().item() ** length
