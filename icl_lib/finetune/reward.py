"""A reward model: a GPT whose last layer gives one number for a text instead of a next token."""

import copy

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from icl_lib.finetune.preferences import bradley_terry_loss
from icl_lib.models.gpt import GPT


class RewardModel(nn.Module):
    """A copy of a GPT and a linear head on its hidden states: r(text) = w · h.

    The head begins at zero, so before training all texts are worth the same. It has no bias:
    preferences decide differences only.

    Parameters
    ----------
    model
        Copied; usually the fine-tuned model that wrote the texts.
    read
        ``"last"``: h is the hidden state at the last token of the answer, as in the paper.
        ``"mean"``: its mean over all tokens of the answer, which a small model learns from far
        fewer pairs, since it need not carry what it saw to the end.

    Raises
    ------
    ValueError
        If the model has no token table, ``read`` is neither of the two, or a row has no answer.

    Source: Ouyang et al. (2022), section 3.5 (their second step).

    Explained in: 09_chatgpt
    """

    def __init__(self, model: GPT, *, read: str = "last"):
        super().__init__()
        if read not in ("last", "mean"):
            raise ValueError(f"read must be 'last' or 'mean', got {read!r}")
        self.read = read
        if model.config.vocab_size is None:
            raise ValueError("a reward model reads tokens; this model has no token table")
        self.trunk = copy.deepcopy(model)
        like = self.trunk.tokens.weight
        self.head = nn.Linear(model.config.width, 1, bias=False, dtype=like.dtype)
        self.head.to(like.device)
        nn.init.zeros_(self.head.weight)

    def forward(
        self, tokens: Int[Tensor, "B T"], answer: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B"]:
        """Return one reward for each row; what follows the answer does not count."""
        if not bool(answer.any(dim=1).all()):
            raise ValueError("every row needs an answer to be rewarded; one has none")
        x = self.trunk.tokens(tokens) * self.trunk.config.embed_scale
        hidden = self.trunk.run(x)
        if self.read == "mean":
            said = answer[..., None].to(hidden.dtype)
            return self.head((hidden * said).sum(1) / said.sum(1))[:, 0]
        last = (answer * torch.arange(tokens.shape[1], device=tokens.device)).argmax(dim=1)
        return self.head(hidden[torch.arange(len(tokens)), last])[:, 0]


def pairwise_loss(
    model: RewardModel,
    batch: tuple[Int[Tensor, "B T"], Bool[Tensor, "B T"], Int[Tensor, "B T"], Bool[Tensor, "B T"]],
) -> Float[Tensor, ""]:
    """Return the Bradley–Terry loss of a batch ``(chosen, its answer, rejected, its answer)``.

    A loss for :func:`icl_lib.optim.train`. Both texts go through the model in one pass.

    Explained in: 09_chatgpt
    """
    chosen, chosen_answer, rejected, rejected_answer = batch
    rewards = model(torch.cat([chosen, rejected]), torch.cat([chosen_answer, rejected_answer]))
    return bradley_terry_loss(*rewards.chunk(2))


@torch.no_grad()
def rewards(
    model: RewardModel,
    tokens: Int[Tensor, "N T"],
    answer: Bool[Tensor, "N T"],
    *,
    batch: int = 256,
) -> Float[Tensor, "N"]:
    """Return the rewards of many rows, ``batch`` at a time and without gradients.

    Explained in: 09_chatgpt
    """
    pieces = zip(tokens.split(batch), answer.split(batch), strict=True)
    return torch.cat([model(row, said) for row, said in pieces])
