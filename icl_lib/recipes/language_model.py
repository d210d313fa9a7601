"""A GPT together with its tokenizer: continuing texts, scoring them, and loading it from a file.

A text stands between two ``<|end|>`` tokens: the first tells the model that a text begins, the last
that it is over. So the model can also be asked for a text from nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from icl_lib.models import checkpoint
from icl_lib.models.config import GPTConfig
from icl_lib.models.gpt import GPT
from icl_lib.models.sampling import check_sampling, choose, next_token_distribution
from icl_lib.recipes import cards
from icl_lib.tasks import tokenizers
from icl_lib.tasks.tokenizers import BytePairTokenizer, TextTokenizer, unfinished


@dataclass(frozen=True)
class LanguageModel:
    """A GPT with the tokenizer that it was trained with.

    Attributes
    ----------
    model
        The network.
    tokenizer
        Must be the one of the training.
    card
        What the checkpoint says of itself; empty for a model that was not loaded.

    Raises
    ------
    ValueError
        If tokenizer and network, or tokenizer and card, do not belong together.

    Explained in: 07_pretraining
    """

    model: GPT
    tokenizer: TextTokenizer
    card: dict = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        rows, expected = self.model.config.vocab_size, self.card.get("fingerprint")
        if len(self.tokenizer) != rows:
            raise ValueError(
                f"the tokenizer has {len(self.tokenizer)} tokens, the network {rows}; they do not "
                "belong together"
            )
        if expected is not None and self.tokenizer.fingerprint != expected:
            raise ValueError(
                f"the tokenizer has fingerprint {self.tokenizer.fingerprint}, the checkpoint was "
                f"trained with {expected}; load the tokenizer that the checkpoint brings"
            )

    def encode(self, prompt: str, *, specials: bool = False) -> Int[Tensor, "T"]:
        """Return the tokens of a prompt, after the token that says that a text begins.

        Parameters
        ----------
        prompt
            The beginning of a text, possibly empty.
        specials
            Read ``<|user|>`` and its like as special tokens, see
            :meth:`icl_lib.tasks.tokenizers.BytePairTokenizer.encode`.

        Raises
        ------
        ValueError
            If the prompt is empty and the tokenizer has no token to begin with.
        """
        tokens = self.tokenizer.encode(prompt, specials=specials)
        if self.tokenizer.end is not None:
            return torch.cat([torch.tensor([self.tokenizer.end]), tokens])
        if not len(tokens):
            raise ValueError("the prompt is empty, and this tokenizer has no token to begin with")
        return tokens

    def complete(
        self,
        prompt: str,
        steps: int | None = None,
        *,
        count: int = 1,
        seed: int = 0,
        specials: bool = False,
        **how: Any,
    ) -> list[str]:
        """Continue a prompt, each time to the end of the text.

        Parameters
        ----------
        prompt
            The beginning of a text.
        steps
            At most so many tokens; as many as the context holds if left out.
        count
            How many continuations.
        seed
            Decides them.
        specials
            See :meth:`encode`.
        how
            ``greedy``, ``temperature``, ``top_k``, ``top_p``: see
            :meth:`icl_lib.models.gpt.GPT.generate`.

        Returns
        -------
        list of str
            Prompt and continuation, up to the first ``<|end|>``. Tokens after which the bytes could
            no longer become UTF-8 are left out of each draw, so a model that has learnt little
            writes nonsense but no �; a character that the last step cuts is left out.

        Raises
        ------
        ValueError
            If prompt and steps do not fit the context, or ``count`` is not positive.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        tokens = self.encode(prompt, specials=specials).to(self.device)
        room = max(0, self.model.config.context - len(tokens))
        steps, how["generator"] = room if steps is None else steps, _seeded(seed)
        if isinstance(self.tokenizer, BytePairTokenizer):
            rows = _spelled(self.model, self.tokenizer, tokens, count, steps, how)
            return [prompt + row for row in rows]
        out = self.model.generate(tokens.repeat(count, 1), steps, **how)
        return [prompt + self.text(row) for row in out[:, len(tokens) :].cpu()]

    def text(self, tokens: Int[Tensor, "T"]) -> str:
        """Return the text of generated tokens, up to the first ``<|end|>``."""
        ends = (tokens == self.tokenizer.end).nonzero() if self.tokenizer.end is not None else []
        kept = tokens[: int(ends[0])] if len(ends) else tokens
        return self.tokenizer.decode(kept, errors="replace")

    @torch.no_grad()
    def next_tokens(
        self, prompt: str, *, top: int = 10, specials: bool = False, **how: Any
    ) -> list[tuple[str, float]]:
        """Return the likeliest next tokens with their probabilities.

        Parameters
        ----------
        prompt
            The beginning of a text.
        top
            How many.
        specials
            See :meth:`encode`.
        how
            ``temperature``, ``top_k``, ``top_p``: see
            :func:`icl_lib.models.sampling.next_token_distribution`.
        """
        p = next_token_distribution(self.logits(prompt, specials=specials), **how)
        best = p.topk(min(top, len(p)))
        return [
            (self.piece(token), value)
            for value, token in zip(*map(torch.Tensor.tolist, best), strict=True)
        ]

    @torch.no_grad()
    def logits(self, prompt: str, *, specials: bool = False) -> Float[Tensor, " V"]:
        """Return the logits of the token after a prompt."""
        tokens = self.encode(prompt, specials=specials).to(self.device)
        training = self.model.training
        self.model.eval()
        logits = self.model(tokens[None], last_only=True)[0, -1]
        self.model.train(training)
        return logits

    def piece(self, token: int) -> str:
        """Return what one token stands for; part of a character as ``\\xe3``."""
        if isinstance(self.tokenizer, BytePairTokenizer):
            return self.tokenizer.table[token].decode("utf-8", "backslashreplace")
        return self.tokenizer.decode(torch.tensor([token]))

    @torch.no_grad()
    def log_probs(
        self, texts: Sequence[str], *, prompt: str = "", closed: bool = True, batch: int = 64
    ) -> Float[Tensor, " B"]:
        """Return the logarithm of the probability of each text.

        Parameters
        ----------
        texts
            What follows the prompt.
        prompt
            Known beforehand; its own probability is not counted.
        closed
            Count the ``<|end|>`` after each text, too.
        batch
            How many texts at a time.

        Raises
        ------
        ValueError
            If there is no text, or one is longer than the context.
        """
        if not texts:
            raise ValueError("expected at least one text, got none")
        before = self.encode(prompt)
        close = [self.tokenizer.end] if closed and self.tokenizer.end is not None else []
        rows = [
            torch.cat([before, self.tokenizer.encode(text), torch.tensor(close, dtype=torch.long)])
            for text in texts
        ]
        parts = [rows[at : at + batch] for at in range(0, len(rows), batch)]
        return torch.cat([_log_probs(self.model, part, len(before)) for part in parts])

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.model.tokens.weight.device


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.inference_mode()
def _spelled(
    model: GPT, tokenizer: BytePairTokenizer, prompt: Tensor, count: int, steps: int, how: dict
) -> list[str]:
    """Continue a prompt by tokens that keep the text UTF-8, until all texts have ended."""
    total, context = len(prompt) + steps, model.config.context
    if total > context or steps < 0:
        raise ValueError(
            f"prompt of {len(prompt)} tokens and {steps} steps do not fit a context of {context} "
            f"tokens ({max(0, total - context)} too many)"
        )
    sampling = {name: how[name] for name in ("temperature", "top_k", "top_p") if name in how}
    check_sampling(**{"temperature": 1.0, "top_k": None, "top_p": None} | sampling)
    written, begun, open_ = [b""] * count, [b""] * count, [True] * count
    training, cache, new = model.training, model.new_cache(count), prompt.repeat(count, 1)
    model.eval()
    for _ in range(steps):
        logits = model(new, cache=cache, last_only=True)[:, -1]
        allowed = tokenizer.spelling.allowed(begun).to(logits.device)
        new = choose(logits.masked_fill(~allowed, float("-inf")), **how)
        for row, token in enumerate(new[:, 0].tolist()):
            begun[row] = tokenizer.spelling.after(begun[row], token)
            open_[row] = open_[row] and token != tokenizer.end
            if open_[row]:
                written[row] += tokenizer.table[token]
        if not any(open_):
            break
    model.train(training)
    return [text[: len(text) - len(unfinished(text) or b"")].decode() for text in written]


def _log_probs(model: GPT, rows: list[Tensor], known: int) -> Float[Tensor, " B"]:
    """Sum the log-probabilities of all tokens after the first ``known``, padding on the right."""
    longest, context = max(map(len, rows)), model.config.context
    if longest > context + 1:
        raise ValueError(f"a text has {longest - 1} tokens, the context {context}")
    device = model.tokens.weight.device
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
    training = model.training
    model.eval()
    logits = model(padded[:, :-1])
    model.train(training)
    each = logits.log_softmax(-1).gather(-1, padded[:, 1:, None])[..., 0]
    places = torch.arange(1, longest, device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    counted = (places >= known) & (places < lengths[:, None])
    return torch.where(counted, each, 0.0).sum(1).cpu()


def describe_model(config: GPTConfig, tokenizer: TextTokenizer) -> dict:
    """Return what a card needs so that :func:`load` can make the model again."""
    return {
        "model": asdict(config),
        "tokenizer": tokenizer.to_json(),
        "fingerprint": tokenizer.fingerprint,
    }


def load(path: Path | str, *, tokenizer: TextTokenizer | None = None) -> LanguageModel:
    """Load a language model from its checkpoint.

    Parameters
    ----------
    path
        A file that ``icl-lib train`` or ``icl-lib pretrain`` wrote.
    tokenizer
        To be used instead of the one in the file; it must be the same.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    icl_lib.models.checkpoint.CheckpointError
        If the file is damaged, of another version, or holds no language model.
    ValueError
        If the tokenizer does not belong to the checkpoint.

    Explained in: 07_pretraining
    """
    state, card = checkpoint.load(path)
    missing = [name for name in ("model", "tokenizer", "fingerprint") if name not in card]
    if missing:
        raise checkpoint.CheckpointError(
            f"{path} holds no language model: no {missing[0]} in its card"
        )
    try:
        model = GPT(GPTConfig(**card["model"]))
    except TypeError as problem:
        raise checkpoint.CheckpointError(f"{path} is of another version: {problem}") from None
    cards.fits(model, state, path)
    model.load_state_dict(state)
    return LanguageModel(model.eval(), tokenizer or tokenizers.from_json(card["tokenizer"]), card)
