"""Pre-training a small GPT on the stories: the recipe of the book's own language model."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from icl_lib import optim
from icl_lib.models.config import GPTConfig
from icl_lib.models.gpt import GPT
from icl_lib.recipes import cards
from icl_lib.recipes.language_model import LanguageModel, describe_model, load
from icl_lib.tasks import stories as grammar
from icl_lib.tasks import story_reading
from icl_lib.tasks.stories import Story
from icl_lib.tasks.text import ngram_loss
from icl_lib.tasks.tokenizers import BytePairTokenizer, TextTokenizer


@dataclass(frozen=True)
class LanguageRecipe:
    """Everything that decides the pre-training of a model on our stories.

    Attributes
    ----------
    name
        What ``icl-lib train`` calls it.
    model
        Shape of the GPT; its vocabulary is that of the byte-pair tokenizer.
    texts, held_out
        Number of stories for training, and of others that are only measured.
    steps, batch, step_size, warmup, final
        AdamW with a linear warm-up and a cosine down to ``final`` times the step size.
    weight_decay, betas
        Of AdamW.
    every
        Steps between two measurements of the validation loss.
    seed
        Decides weights, stories and batches.
    """

    name: str
    model: GPTConfig
    texts: int
    steps: int
    held_out: int = 500
    batch: int = 16
    step_size: float = 3e-3
    warmup: int = 100
    final: float = 0.05
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    every: int = 250
    seed: int = 0

    data = "stories of icl_lib.tasks.stories, made by the recipe itself"

    @cached_property
    def training_stories(self) -> list[Story]:
        """The stories that the model learns from."""
        return grammar.stories(self.texts, seed=self.seed)

    @cached_property
    def held_out_stories(self) -> list[Story]:
        """Stories none of which is among those for training."""
        known = {story.text for story in self.training_stories}
        others = grammar.stories(2 * self.held_out, seed=optim.derive_seed(self.seed, 1))
        unseen = [story for story in others if story.text not in known]
        if len(unseen) < self.held_out:
            raise ValueError(
                f"only {len(unseen)} of {len(others)} fresh stories are not among the {self.texts} "
                f"for training; held_out asks for {self.held_out}"
            )
        return unseen[: self.held_out]

    @cached_property
    def tokenizer(self) -> BytePairTokenizer:
        """Byte pairs of the first 8,000 training stories."""
        written = "".join(story.text + grammar.END for story in self.training_stories[:8000])
        return BytePairTokenizer.train(written, self.model.vocab_size)

    @cached_property
    def tokens(self) -> Int[Tensor, "n"]:
        """All training stories as one row of tokens, an ``<|end|>`` before and after each."""
        written = grammar.END + "".join(s.text + grammar.END for s in self.training_stories)
        return self.tokenizer.encode(written, specials=True)

    def untrained(self) -> GPT:
        """Return the network before its first step."""
        return GPT(self.model, seed=self.seed)

    def train(self, model: GPT, *, steps: int | None = None, callbacks: Sequence = ()) -> optim.Run:
        """Train ``model`` in place, for all steps or only the first ones of the same course.

        Parameters
        ----------
        model
            From :meth:`untrained`.
        steps
            Stop after so many; the schedule is that of the whole course.
        callbacks
            Passed to :func:`icl_lib.optim.train`, after one that measures the validation loss.
        """
        starts = (self.tokens == self.tokenizer.end).nonzero()[:, 0]
        starts = starts[starts < len(self.tokens) - self.model.context]
        return optim.train(
            model,
            next_token_loss,
            Windows(self.tokens, starts, self.batch, self.model.context, self.seed),
            optim.AdamW(groups(model, self.weight_decay), self.step_size, betas=self.betas),
            steps=self.steps if steps is None else steps,
            schedule=optim.Warmup(self.warmup, optim.Cosine(self.steps - self.warmup, self.final)),
            clip=1.0,
            callbacks=[optim.Evaluate(self._validate, every=self.every), *callbacks],
            seed=self.seed,
        )

    def describe(self) -> dict:
        """Return everything that decides the training, as plain data."""
        return asdict(self)

    def metrics(self, model: GPT) -> dict[str, float]:
        """Return the loss on held-out stories in several units, and what it is compared with."""
        return measure(
            LanguageModel(model, self.tokenizer), self.held_out_stories, self.tokens, seed=self.seed
        )

    def extras(self) -> dict:
        """Return shape and tokenizer, so that the checkpoint can be used without the recipe."""
        return describe_model(self.model, self.tokenizer)

    def _validate(self, model: GPT) -> dict[str, float]:
        some = [story.text for story in self.held_out_stories[:200]]
        return {"validation": loss_per_token(LanguageModel(model, self.tokenizer), some)}


class Windows:
    """Batches of windows that begin at given places of a text, drawn at random.

    Parameters
    ----------
    tokens
        The text.
    starts
        Where a window may begin.
    batch, context
        Number of windows and their length.
    seed
        Decides the windows, together with the step.
    """

    def __init__(
        self,
        tokens: Int[Tensor, "n"],
        starts: Int[Tensor, "m"],
        batch: int,
        context: int,
        seed: int,
    ):
        if not len(starts):
            raise ValueError(
                f"the text has {len(tokens)} tokens and no room for a window of {context} and its "
                "last target; give more text or a shorter context"
            )
        self.tokens, self.starts, self.seed = tokens, starts, seed
        self.batch, self.context = batch, context
        self.checksum = hashlib.sha256(tokens.cpu().numpy().tobytes()).hexdigest()[:12]

    def __repr__(self) -> str:
        return (
            f"Windows({len(self.tokens)} tokens {self.checksum}, {len(self.starts)} starts, "
            f"batch={self.batch}, context={self.context}, seed={self.seed})"
        )

    def __call__(self, step: int) -> Int[Tensor, "B T"]:
        generator = torch.Generator().manual_seed(optim.derive_seed(self.seed, step))
        drawn = torch.randint(len(self.starts), (self.batch,), generator=generator)
        return self.tokens[self.starts[drawn][:, None] + torch.arange(self.context + 1)]


def next_token_loss(model: GPT, windows: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    r"""Return the mean surprise at the next token, in nats.

    .. math:: -\tfrac1{BT}\sum_{b,t} \log p(x_{b,t+1} \mid x_{b,1}, …, x_{b,t})

    Parameters
    ----------
    model
        The network.
    windows
        One token longer than what the model reads.

    Explained in: 07_pretraining
    """
    windows = windows.to(model.tokens.weight.device)
    logits = model(windows[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


def groups(model: GPT, weight_decay: float) -> list[dict]:
    """Return the parameters in two groups: matrices, which decay, and vectors, which do not.

    Explained in: 07_pretraining
    """
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


def loss_per_token(language: LanguageModel, texts: Sequence[str]) -> float:
    """Return the mean surprise at the tokens of some texts, each with its ``<|end|>``, in nats.

    Explained in: 07_pretraining
    """
    return -language.log_probs(texts).double().sum().item() / _count(language.tokenizer, texts)


def _count(tokenizer: TextTokenizer, texts: Sequence[str]) -> int:
    return sum(len(tokenizer.encode(text)) + 1 for text in texts)


def measure(
    language: LanguageModel, held_out: Sequence[Story], train: Int[Tensor, "n"], *, seed: int
) -> dict[str, float]:
    """Return how well a model predicts held-out stories, and how well it writes its own.

    Parameters
    ----------
    language
        The model.
    held_out
        Stories that it has not seen.
    train
        The tokens it was trained on, for the counting model that it is compared with.
    seed
        Decides the texts that it writes.

    Returns
    -------
    dict
        ``loss`` in nats per token, ``perplexity``, ``bits_per_byte``; ``bigram_loss`` of a model
        that counts pairs of tokens; ``nats_per_text`` and ``grammar_nats_per_text``, what the
        choices of the grammar cost and so about the least that is possible; and the share of 200
        written texts that keep all that :func:`icl_lib.tasks.story_reading.agreement` can check.

    Explained in: 07_pretraining
    """
    texts = [story.text for story in held_out]
    tokenizer = language.tokenizer
    nats = -language.log_probs(texts).double().sum().item()
    stream = tokenizer.encode(grammar.END + "".join(t + grammar.END for t in texts), specials=True)
    loss = nats / (len(stream) - 1)
    written = language.complete("", count=200, seed=seed)
    kept = [story_reading.agreement(text) for text in written]
    return {
        "loss": loss,
        "perplexity": math.exp(loss),
        "bits_per_byte": nats / math.log(2) / sum(len(text.encode()) for text in texts),
        "bigram_loss": ngram_loss(
            train, stream[None, :-1], stream[None, 1:], len(tokenizer), order=2
        ),
        "nats_per_text": nats / len(texts),
        "grammar_nats_per_text": sum(story.nats for story in held_out) / len(texts),
        "texts_that_agree": sum(False not in row.values() for row in kept) / len(kept),
    }


def shipped(name: str) -> LanguageModel:
    """Load a language model that the book ships.

    Parameters
    ----------
    name
        Of its recipe, such as ``"stories"``.

    Raises
    ------
    KeyError
        If there is no such recipe.
    FileNotFoundError
        If the book does not ship it.

    Explained in: 07_pretraining
    """
    return load(cards.FOLDER / f"{find(name).name}.safetensors")


RECIPES = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            LanguageRecipe(
                "stories",
                GPTConfig(1024, 128, 4, 4, 96, init="fan_in"),
                texts=40_000,
                steps=3000,
                step_size=4e-3,
            ),
        )
    }
)
"""The trainings by name."""


def find(name: str) -> LanguageRecipe:
    """Return the recipe called ``name``.

    Raises
    ------
    KeyError
        If there is none; the message lists those there are.
    """
    return cards.named(RECIPES, name)
