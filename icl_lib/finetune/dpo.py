"""Direct preference optimisation: learn from the pairs themselves, with no reward model between."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from icl_lib.finetune.chat import answer_log_probs
from icl_lib.models.gpt import GPT


def implicit_reward(
    log_probs: Float[Tensor, "*N"], reference: Float[Tensor, "*N"], beta: float
) -> Float[Tensor, "*N"]:
    r"""Return the reward for which a policy would be the best one on its leash.

    .. math:: \hat r(x) = β \log\frac{π(x)}{π_\text{ref}(x)}

    The closed form of the optimum, solved for r; the constant β log Z is missing and cancels in
    every difference.

    Source: Rafailov et al. (2023), eq. 5.

    Explained in: 09_chatgpt
    """
    return beta * (log_probs - reference)


def dpo_loss(
    chosen: Float[Tensor, "N"],
    rejected: Float[Tensor, "N"],
    reference_chosen: Float[Tensor, "N"],
    reference_rejected: Float[Tensor, "N"],
    *,
    beta: float,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    r"""Return the Bradley–Terry loss of the implicit rewards.

    .. math:: L = -\frac1N \sum_i \log σ\Bigl(β\log\frac{π(c_i)}{π_\text{ref}(c_i)}
        − β\log\frac{π(j_i)}{π_\text{ref}(j_i)}\Bigr)

    Parameters
    ----------
    chosen, rejected
        log π of the chosen and of the rejected answers c_i and j_i, whole sequences.
    reference_chosen, reference_rejected
        The same under π_ref.
    beta
        β > 0, the leash.
    label_smoothing
        ε, the share of decisions taken to be wrong: (1 − ε) of the loss as given and ε of the loss
        with the roles exchanged.

    Raises
    ------
    ValueError
        If shapes differ, β is not above 0 or ε is not in [0, 0.5).

    Source: Rafailov et al. (2023), eq. 7; Mitchell (2023) for the smoothed labels.

    Explained in: 09_chatgpt
    """
    shapes = {tuple(t.shape) for t in (chosen, rejected, reference_chosen, reference_rejected)}
    if len(shapes) != 1 or not chosen.numel():
        raise ValueError(f"expected four equal shapes with at least one pair, got {sorted(shapes)}")
    if not beta > 0:
        raise ValueError(f"beta must be above 0, got {beta}")
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing must be in [0, 0.5), got {label_smoothing}")
    gap = implicit_reward(chosen, reference_chosen, beta) - implicit_reward(
        rejected, reference_rejected, beta
    )
    right, wrong = -F.logsigmoid(gap), -F.logsigmoid(-gap)
    return ((1 - label_smoothing) * right + label_smoothing * wrong).mean()


@torch.no_grad()
def sequence_log_probs(
    model: GPT, tokens: Int[Tensor, "N T"], answer: Bool[Tensor, "N T"], *, batch: int = 256
) -> Float[Tensor, "N"]:
    """Return log π of whole answers, ``batch`` rows at a time and without gradients.

    Explained in: 09_chatgpt
    """
    pieces = zip(tokens.split(batch), answer.split(batch), strict=True)
    return torch.cat([answer_log_probs(model(row), row, said).sum(1) for row, said in pieces])


class DPO:
    """The loss of direct preference optimisation for :func:`icl_lib.optim.train`.

    Batches are ``(chosen, its answer, rejected, its answer, log π_ref of chosen, of rejected)``;
    the last two come from :func:`sequence_log_probs`, once, since the reference never changes.

    Parameters
    ----------
    beta, label_smoothing
        As in :func:`dpo_loss`.

    Source: Rafailov et al. (2023), eq. 7.

    Explained in: 09_chatgpt
    """

    def __init__(self, beta: float, *, label_smoothing: float = 0.0):
        self.beta, self.label_smoothing = beta, label_smoothing

    def __call__(self, model: GPT, batch: tuple[Tensor, ...]) -> Float[Tensor, ""]:
        chosen, chosen_answer, rejected, rejected_answer, *reference = batch
        tokens = torch.cat([chosen, rejected])
        answer = torch.cat([chosen_answer, rejected_answer])
        log_probs = answer_log_probs(model(tokens), tokens, answer).sum(1)
        return dpo_loss(
            *log_probs.chunk(2),
            *reference,
            beta=self.beta,
            label_smoothing=self.label_smoothing,
        )
