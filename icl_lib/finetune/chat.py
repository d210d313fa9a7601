"""A chat template, and instruction fine-tuning: the loss counts the assistant's tokens only.

A conversation is one text: ``<|user|>`` question ``<|assistant|>`` answer ``<|end|>``, and so on.
Everything here works on rows ``tokens B T``, filled up on the right, with ``answer B T``, which
is ``True`` at the tokens that the assistant says, its closing ``<|end|>`` included.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from icl_lib.models.gpt import GPT

USER, ASSISTANT, END = "<|user|>", "<|assistant|>", "<|end|>"


@runtime_checkable
class Tokenizer(Protocol):
    """What a chat template needs of a tokenizer."""

    def encode(self, text: str, *, specials: bool = False) -> Int[Tensor, "T"]:
        """Return the tokens of a text; with ``specials`` a mark is one token."""

    def decode(self, tokens: Int[Tensor, "T"], *, errors: str = "strict") -> str:
        """Return the text of tokens; ``errors="replace"`` for what a model has written."""


@dataclass(frozen=True)
class Turn:
    """One exchange: what the user says and what the assistant answers."""

    user: str
    assistant: str


class ChatTemplate:
    """Turns a conversation into tokens and back.

    ::

        <|user|> question <|assistant|> answer <|end|> <|user|> …

    There is no system message. The three marks are tokens of their own, so that no text that a
    user types can be mistaken for one.

    Parameters
    ----------
    tokenizer
        Knows the three special tokens.

    Raises
    ------
    ValueError
        If the tokenizer does not turn each mark into one token of its own, or a text contains one.

    Source: the marks are ours; the idea is that of the chat formats in use since 2022.

    Explained in: 09_chatgpt
    """

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        marks = [tokenizer.encode(mark, specials=True).tolist() for mark in (USER, ASSISTANT, END)]
        if [len(mark) for mark in marks] != [1, 1, 1] or len({m[0] for m in marks}) != 3:
            raise ValueError(
                f"the tokenizer must have one token for each of {USER}, {ASSISTANT} and {END}; "
                f"it makes {marks} of them"
            )
        self.user, self.assistant, self.end = (mark[0] for mark in marks)

    def prompt(self, question: str, *, history: Sequence[Turn] = ()) -> Int[Tensor, "T"]:
        """Return the tokens after which the assistant speaks."""
        past = [self.conversation(history)[0]] if history else []
        return torch.cat([*past, self._marked(self.user, question), self._one(self.assistant)])

    def conversation(self, turns: Sequence[Turn]) -> tuple[Int[Tensor, "T"], Bool[Tensor, "T"]]:
        """Return the tokens of whole turns, and which of them the assistant says."""
        if not turns:
            raise ValueError("a conversation needs at least one turn, got none")
        tokens, answer = [], []
        for turn in turns:
            question = torch.cat([self._marked(self.user, turn.user), self._one(self.assistant)])
            reply = torch.cat([self._plain(turn.assistant), self._one(self.end)])
            tokens += [question, reply]
            answer += [torch.zeros(len(question)).bool(), torch.ones(len(reply)).bool()]
        return torch.cat(tokens), torch.cat(answer)

    def parse(self, tokens: Int[Tensor, "T"]) -> list[Turn]:
        """Return the turns of a conversation; the inverse of :meth:`conversation`.

        Raises
        ------
        ValueError
            If the marks do not follow each other as the template says.
        """
        row, turns, place = tokens.tolist(), [], 0
        while place < len(row):
            texts = []
            for mark in (self.user, self.assistant):
                if place >= len(row) or row[place] != mark:
                    raise ValueError(
                        f"expected token {mark} at place {place}, got {row[place:][:1]}"
                    )
                stop = self._next_mark(row, place + 1)
                texts.append(self.tokenizer.decode(tokens[place + 1 : stop]))
                place = stop
            if place >= len(row) or row[place] != self.end:
                raise ValueError(
                    f"expected token {self.end} at place {place}, got {row[place:][:1]}"
                )
            turns.append(Turn(*texts))
            place += 1
        return turns

    def answers(self, tokens: Int[Tensor, "B T"], answer: Bool[Tensor, "B T"]) -> list[str]:
        """Return the assistant's words of each row, without the closing mark."""
        rows = (row[said] for row, said in zip(tokens, answer, strict=True))
        return [self.tokenizer.decode(row[row != self.end], errors="replace") for row in rows]

    def _next_mark(self, row: list[int], start: int) -> int:
        marks = {self.user, self.assistant, self.end}
        return next((i for i in range(start, len(row)) if row[i] in marks), len(row))

    def _one(self, mark: int) -> Tensor:
        return torch.tensor([mark])

    def _marked(self, mark: int, text: str) -> Tensor:
        return torch.cat([self._one(mark), self._plain(text)])

    def _plain(self, text: str) -> Tensor:
        found = [mark for mark in (USER, ASSISTANT, END) if mark in text]
        if found:
            raise ValueError(
                f"the text contains {found[0]}, which only the template may write: {text[:60]!r}"
            )
        return self.tokenizer.encode(text).long() if text else torch.zeros(0).long()


def collate(
    rows: Sequence[tuple[Int[Tensor, "_"], Bool[Tensor, "_"]]],
    fill: int,
    *,
    width: int | None = None,
) -> tuple[Int[Tensor, "B T"], Bool[Tensor, "B T"]]:
    """Return rows of different lengths as one batch, filled up on the right.

    A causal model never looks to the right, so the filling changes nothing that counts.

    Parameters
    ----------
    rows
        Tokens, and which of them belong to the answer.
    fill
        The token to fill up with; it is never part of an answer.
    width
        T; the longest row if not given.

    Raises
    ------
    ValueError
        If there is no row, or one is longer than ``width``.

    Explained in: 09_chatgpt
    """
    if not rows:
        raise ValueError("a batch needs at least one row, got none")
    longest = max(len(tokens) for tokens, _ in rows)
    width = longest if width is None else width
    if longest > width:
        raise ValueError(f"a row has {longest} tokens, more than the width of {width}")
    tokens = torch.full((len(rows), width), fill)
    answer = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, (row, said) in enumerate(rows):
        tokens[i, : len(row)], answer[i, : len(said)] = row, said
    return tokens, answer


def answer_log_probs(
    logits: Float[Tensor, "B T V"], tokens: Int[Tensor, "B T"], answer: Bool[Tensor, "B T"]
) -> Float[Tensor, "B T-1"]:
    r"""Return log π of each answer token given all before it; zero at all other places.

    .. math:: \log π(x_{t+1} | x_{≤t}) \quad\text{where } x_{t+1} \text{ is part of the answer}

    Their sum over a row is the log-probability of the whole answer.

    Raises
    ------
    ValueError
        If the shapes do not agree, or a row has no answer or begins with one.

    Explained in: 09_chatgpt
    """
    if logits.shape[:2] != tokens.shape or tokens.shape != answer.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)}, tokens {tuple(tokens.shape)} and answer "
            f"{tuple(answer.shape)} must agree in batch and length"
        )
    if not bool(answer[:, 1:].any(dim=1).all()) or bool(answer[:, 0].any()):
        raise ValueError("every row needs an answer that begins after at least one other token")
    found = -F.cross_entropy(logits[:, :-1].mT, tokens[:, 1:], reduction="none")
    return found * answer[:, 1:]


def assistant_loss(
    model: GPT, batch: tuple[Int[Tensor, "B T"], Bool[Tensor, "B T"]]
) -> Float[Tensor, ""]:
    """Return the mean surprise at the assistant's tokens; the user's words are given, not learnt.

    A loss for :func:`icl_lib.optim.train`; batches are ``(tokens, answer)``.

    Source: Ouyang et al. (2022), the first of their three steps.

    Explained in: 09_chatgpt
    """
    tokens, answer = batch
    return -answer_log_probs(model(tokens), tokens, answer).sum() / answer.sum()
