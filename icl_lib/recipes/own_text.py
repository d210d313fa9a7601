"""Pre-training on a text of your own: ``icl-lib pretrain FILE``.

The defaults are the configuration that nanoGPT documents for a CPU: 4 layers, 4 heads, width 128,
context 64, batches of 12, 2,000 steps, no dropout, and characters as tokens. The last tenth of the
text is held out.

Source: the README and ``train.py`` of nanoGPT (Karpathy, 2022). Differs from them: the step size
is 3e-3, three times theirs, which lowers the loss of so small a model; ``--lr 1e-3`` is theirs.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from icl_lib import optim
from icl_lib.models.config import GPTConfig
from icl_lib.models.gpt import GPT
from icl_lib.recipes.language import Windows, groups, next_token_loss
from icl_lib.recipes.language_model import describe_model
from icl_lib.tasks.text import CharTokenizer, all_windows
from icl_lib.tasks.tokenizers import SPECIALS, BytePairTokenizer, TextTokenizer, check_utf8

TOKENIZERS = ("char", "bpe")


@dataclass(frozen=True)
class OwnText:
    """Everything that decides a pre-training on a text from outside.

    Attributes
    ----------
    texts
        One text or many; the last tenth is held out, of one text by characters, of many by texts.
    tokenizer_kind
        ``"char"`` or ``"bpe"``.
    vocab
        Number of tokens of the byte-pair tokenizer; that of characters counts its own.
    layers, heads, width, context, dropout
        Of the GPT.
    batch, steps, step_size, final_step_size, warmup, weight_decay, betas
        AdamW with a linear warm-up and a cosine down to the final step size.
    every
        Steps between two measurements of the validation loss, during training on the beginning of
        the held-out text only: 20 batches of windows. :meth:`metrics` takes all of it.
    seed
        Decides weights, batches and dropout.
    origin, command
        What the card says about where the text comes from, and how to repeat the training.

    Raises
    ------
    ValueError
        If a number is out of range, a text cannot be written as UTF-8, or the text is too short
        for the context.

    Explained in: 07_pretraining
    """

    texts: tuple[str, ...] = field(repr=False)
    tokenizer_kind: str = "char"
    vocab: int = 1024
    layers: int = 4
    heads: int = 4
    width: int = 128
    context: int = 64
    dropout: float = 0.0
    batch: int = 12
    steps: int = 2000
    step_size: float = 3e-3
    final_step_size: float = 3e-4
    warmup: int = 100
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    every: int = 250
    seed: int = 0
    origin: str = "a text of the reader's own"
    command: str = "icl-lib pretrain FILE"

    name = "own-text"

    def __post_init__(self) -> None:
        if self.tokenizer_kind not in TOKENIZERS:
            raise ValueError(
                f"tokenizer_kind must be one of {', '.join(TOKENIZERS)}, "
                f"got {self.tokenizer_kind!r}"
            )
        if not self.texts or not any(text.strip() for text in self.texts):
            raise ValueError("the corpus is empty: there is nothing to learn from")
        for text in self.texts:
            check_utf8(text)
        self._check_step_sizes()
        for name in ("batch", "steps", "every", "warmup"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name, tokens in (("training", self.training), ("held-out", self.held_out)):
            if len(tokens) < self.context + 1:
                raise ValueError(
                    f"the {name} text has {len(tokens)} tokens; a context of {self.context} needs "
                    f"at least {self.context + 1}. Give more text or a shorter context"
                )

    def _check_step_sizes(self) -> None:
        if not (0 < self.step_size < math.inf and 0 <= self.final_step_size < math.inf):
            raise ValueError(
                "step_size must be above 0 and final_step_size at least 0, both finite; "
                f"got {self.step_size} and {self.final_step_size}"
            )

    @property
    def data(self) -> str:
        """What the card says about the text."""
        return f"{self.origin}; {sum(map(len, self.texts)):,} characters, a tenth of it held out"

    @cached_property
    def split(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Training texts and held-out texts: the first nine tenths and the rest."""
        if len(self.texts) == 1:
            (text,) = self.texts
            cut = int(0.9 * len(text))
            return (text[:cut],), (text[cut:],)
        cut = min(len(self.texts) - 1, max(1, int(0.9 * len(self.texts))))
        return self.texts[:cut], self.texts[cut:]

    @cached_property
    def tokenizer(self) -> TextTokenizer:
        """The tokenizer: the alphabet of the whole text, or byte pairs of the training part."""
        if self.tokenizer_kind == "char":
            return CharTokenizer.of(self._joined(self.texts))
        return BytePairTokenizer.train(SPECIALS[0].join(self.split[0]), self.vocab)

    @cached_property
    def training(self) -> Int[Tensor, "n"]:
        """The training texts as one row of tokens."""
        return self._row(self.split[0])

    @cached_property
    def held_out(self) -> Int[Tensor, "m"]:
        """The held-out texts as one row of tokens."""
        return self._row(self.split[1])

    @property
    def model(self) -> GPTConfig:
        """Shape of the GPT, without biases and with the exact GELU, as in nanoGPT."""
        return GPTConfig(
            len(self.tokenizer),
            self.context,
            self.layers,
            self.heads,
            self.width,
            dropout=self.dropout,
            bias=False,
            activation="gelu",
        )

    def untrained(self) -> GPT:
        """Return the network before its first step."""
        return GPT(self.model, seed=self.seed)

    def train(self, model: GPT, *, steps: int | None = None, callbacks: Sequence = ()) -> optim.Run:
        """Train ``model`` in place, see :meth:`icl_lib.recipes.language.LanguageRecipe.train`."""
        starts = torch.arange(len(self.training) - self.context)
        cosine = optim.Cosine(
            max(1, self.steps - self.warmup), self.final_step_size / self.step_size
        )
        return optim.train(
            model,
            next_token_loss,
            Windows(self.training, starts, self.batch, self.context, self.seed),
            optim.AdamW(groups(model, self.weight_decay), self.step_size, betas=self.betas),
            steps=self.steps if steps is None else steps,
            schedule=optim.Warmup(self.warmup, cosine),
            clip=1.0,
            callbacks=[optim.Evaluate(self._validate, every=self.every), *callbacks],
            seed=self.seed,
        )

    def describe(self) -> dict:
        """Return everything that decides the training but the text itself."""
        others = [known.name for known in fields(self) if known.name != "texts"]
        return {"texts": len(self.texts)} | {name: getattr(self, name) for name in others}

    def metrics(self, model: GPT) -> dict[str, float]:
        """Return loss, perplexity and bits per byte on the held-out text.

        What is left of it after the last whole window is not measured.
        """
        loss = validation_loss(model, self.held_out, self.context)
        size = sum(len(text.encode()) for text in self.split[1])
        return {
            "validation_loss": loss,
            "perplexity": math.exp(loss),
            "bits_per_byte": loss * len(self.held_out) / math.log(2) / size,
        }

    def extras(self) -> dict:
        """Return shape, tokenizer and command: the checkpoint can be used without the text."""
        return describe_model(self.model, self.tokenizer) | {"command": self.command}

    def _validate(self, model: GPT) -> dict[str, float]:
        some = self.held_out[: 200 * self.batch * self.context // 10 + 1]
        return {"validation": validation_loss(model, some, self.context)}

    def _joined(self, texts: Sequence[str]) -> str:
        return "\n\n".join(texts)

    def _row(self, texts: Sequence[str]) -> Int[Tensor, "n"]:
        """Encode texts in a row, between ``<|end|>`` tokens or, without them, empty lines."""
        if self.tokenizer.end is None:
            return self.tokenizer.encode(self._joined(texts))
        end = torch.tensor([self.tokenizer.end])
        parts = [part for text in texts for part in (self.tokenizer.encode(text), end)]
        return torch.cat([end, *parts])


def tiny_shakespeare() -> dict:
    """Return what ``python -m benchmarks.tinyshakespeare FILE`` measured and wrote down.

    Returns
    -------
    dict
        ``runs``, one for each step size and seed, with ``validation_loss`` over the whole held-out
        tenth, ``as_nanogpt_estimates`` and ``processor_seconds``; further the hash of the text, the
        hardware and the date.

    Explained in: 07_pretraining
    """
    record = Path(__file__).with_name("tinyshakespeare.json")
    return json.loads(record.read_text("utf-8"))


@torch.no_grad()
def validation_loss(model: GPT, tokens: Int[Tensor, "n"], context: int) -> float:
    """Return the mean surprise over a whole text, cut into neighbouring windows, in nats per token.

    Parameters
    ----------
    model
        The network; measured in evaluation mode.
    tokens
        The text.
    context
        Length of the windows. The first tokens of each see little before them, as in training.

    Raises
    ------
    ValueError
        If the text is shorter than a window.

    Explained in: 07_pretraining
    """
    inputs, targets = all_windows(tokens, context)
    training = model.training
    model.eval()
    total = 0.0
    for some, wanted in zip(inputs.split(64), targets.split(64), strict=True):
        windows = torch.cat([some, wanted[:, -1:]], dim=1)
        total += next_token_loss(model, windows).item() * wanted.numel()
    model.train(training)
    return total / targets.numel()


@torch.no_grad()
def sampled_loss(
    model: GPT, tokens: Int[Tensor, "n"], context: int, *, batch: int, draws: int, seed: int
) -> float:
    """Estimate the mean surprise from random windows, the way nanoGPT does.

    Parameters
    ----------
    model, tokens, context
        As in :func:`validation_loss`.
    batch, draws
        Windows at a time, and how often.
    seed
        Decides the windows.

    Explained in: 07_pretraining
    """
    windows = Windows(tokens, torch.arange(len(tokens) - context), batch, context, seed)
    training = model.training
    model.eval()
    losses = [next_token_loss(model, windows(draw)).item() for draw in range(draws)]
    model.train(training)
    return sum(losses) / draws
