"""Few-shot classification: what a task is, whatever its texts are made of.

A task knows its examples, writes each one as tokens up to the place where the label is to follow,
and says which tokens each label word has. That is all that :mod:`icl_lib.meta` asks of it, so a
synthetic language and a data set of the hub are measured by the same code. :class:`TextTask` makes
a task of texts, a :class:`Template` and a tokenizer.

A prompt is ``prefix``, then each demonstration (text, its label, ``separator``), then the text of
the query. The label of the query is predicted at the last token of the query's text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class Example:
    """One text, or several that belong together, with the number of its right label.

    Attributes
    ----------
    parts
        The texts, such as a sentence or a premise and a hypothesis; in a language whose words are
        tokens already, tuples of tokens.
    gold
        The right label, from 0 on.
    """

    parts: tuple[str, ...] | tuple[tuple[int, ...], ...]
    gold: int


@runtime_checkable
class ClassificationTask(Protocol):
    """What :mod:`icl_lib.meta` asks of a task.

    Attributes
    ----------
    name
        Short name, such as ``sst2``.
    labels
        Label words, as a person reads them.
    label_tokens
        Tokens of each label word, one row each; one token or several.
    prefix
        Tokens that open every prompt, with demonstrations or without; may be none.
    separator
        Tokens behind each demonstration's label; may be none.
    filler
        At least one token that says nothing, to be repeated where demonstrations would stand.
    """

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def label_tokens(self) -> tuple[Tensor, ...]: ...
    @property
    def prefix(self) -> Tensor: ...
    @property
    def separator(self) -> Tensor: ...
    @property
    def filler(self) -> Tensor: ...

    def split(self, name: str) -> Sequence[Example]:
        """Return the examples of ``train`` (demonstrations) or ``validation`` (queries)."""

    def render(self, example: Example) -> Tensor:
        """Return an example's tokens, up to the place where its label is predicted."""


def render_demonstration(
    task: ClassificationTask, example: Example, *, label: int | None = None
) -> Int[Tensor, "T"]:
    """Return an example's tokens with its label and the separator behind them.

    Parameters
    ----------
    task
        Knows how.
    example
        What to write.
    label
        Another label in place of the right one.

    Explained in: 16_paper_experiment
    """
    label = example.gold if label is None else label
    return torch.cat([task.render(example), task.label_tokens[label], task.separator])


def check_task(task: object) -> None:
    """Raise an exception if a task is none, naming what it lacks.

    Raises
    ------
    TypeError
        If an attribute of :class:`ClassificationTask` is missing.
    ValueError
        If there are fewer than two labels, labels and their tokens do not match, a label has no
        tokens, or two have the same.

    Explained in: 16_paper_experiment
    """
    wanted = ("name", "labels", "label_tokens", "prefix", "separator", "filler", "split", "render")
    missing = [name for name in wanted if not hasattr(task, name)]
    if missing:
        raise TypeError(f"a task needs {', '.join(wanted)}; this one lacks {', '.join(missing)}")
    if len(task.labels) < 2 or len(task.labels) != len(task.label_tokens):
        raise ValueError(
            f"a task needs two labels or more and tokens for each, {task.name!r} has "
            f"{len(task.labels)} labels and tokens of {len(task.label_tokens)}"
        )
    for word, tokens in zip(task.labels, task.label_tokens, strict=True):
        if tokens.ndim != 1 or not len(tokens):
            raise ValueError(f"label {word!r} of {task.name!r} has no tokens")
    if len({tuple(t.tolist()) for t in task.label_tokens}) < len(task.labels):
        raise ValueError(f"two labels of {task.name!r} have the same tokens: {task.labels}")
    if not len(task.filler):
        raise ValueError(f"{task.name!r} needs at least one token of filler")


@dataclass(frozen=True)
class Template:
    """How the texts of an example become one prompt.

    Attributes
    ----------
    text
        The prompt up to the label, with ``{0}``, ``{1}`` for the parts of the example.
    label
        How a label word follows, with ``{0}`` for the word; its space belongs to it.
    """

    text: str
    label: str = " {0}"

    def write(self, parts: Sequence[str]) -> str:
        """Return the prompt of some texts."""
        return self.text.format(*parts)


@runtime_checkable
class Tokenizer(Protocol):
    """Anything with ``encode(text)`` that returns tokens, as a list or as a tensor."""

    def encode(self, text: str) -> Tensor | list[int]: ...


@dataclass(frozen=True, eq=False)
class TextTask:
    """A task of texts, written by a template and cut into tokens by a tokenizer.

    Attributes
    ----------
    name, labels
        See :class:`ClassificationTask`.
    splits
        The examples of each split by its name.
    template
        How a text becomes a prompt.
    tokenizer
        Of this library or of ``transformers``.
    begin, between, neutral
        Tokens that open a prompt, that separate demonstrations, and that say nothing. ``None``
        takes the tokenizer's own first and last special token where it has them; else nothing, a
        line break, a line break. Dai et al.'s code has ``<s>`` first and ``</s>`` between.
    """

    name: str
    labels: tuple[str, ...]
    splits: Mapping[str, Sequence[Example]]
    template: Template
    tokenizer: Tokenizer
    begin: Sequence[int] | None = None
    between: Sequence[int] | None = None
    neutral: Sequence[int] | None = None
    _tokens: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    def split(self, name: str) -> Sequence[Example]:
        """Return the examples of a split.

        Raises
        ------
        KeyError
            If there is no such split; the message lists those there are.
        """
        if name not in self.splits:
            raise KeyError(f"{self.name} has no split {name!r}; there are {', '.join(self.splits)}")
        return self.splits[name]

    def render(self, example: Example) -> Tensor:
        """Return the tokens of the prompt of one example."""
        return self._encode(self.template.write(example.parts))

    @property
    def label_tokens(self) -> tuple[Tensor, ...]:
        """Tokens of each label word as it follows the prompt."""
        return tuple(self._encode(self.template.label.format(word)) for word in self.labels)

    @property
    def prefix(self) -> Tensor:
        """Tokens that open a prompt."""
        return self._special(self.begin, "bos_token_id", "")

    @property
    def separator(self) -> Tensor:
        """Tokens between two demonstrations."""
        return self._special(self.between, "eos_token_id", "\n")

    @property
    def filler(self) -> Tensor:
        """Tokens that say nothing: a line break; a full stop where a tokenizer drops it."""
        found = self._special(self.neutral, "", "\n")
        return found if len(found) or self.neutral is not None else self._encode(".")

    def _special(self, given: Sequence[int] | None, name: str, text: str) -> Tensor:
        if given is not None:
            return torch.tensor(list(given), dtype=torch.long)
        number = getattr(self.tokenizer, name, None) if name else None
        if number is None and name:
            number = getattr(self.tokenizer, "end", None)  # of this library's tokenizers
        if number is not None:
            return torch.tensor([number], dtype=torch.long)
        return self._encode(text) if text else torch.empty(0, dtype=torch.long)

    def _encode(self, text: str) -> Tensor:
        if text not in self._tokens:
            self._tokens[text] = _tokens(self.tokenizer, text)
        return self._tokens[text]


def _tokens(tokenizer: Tokenizer, text: str) -> Tensor:
    if hasattr(tokenizer, "add_special_tokens"):  # of transformers, which adds its own unasked
        return torch.tensor(tokenizer.encode(text, add_special_tokens=False), dtype=torch.long)
    return torch.as_tensor(tokenizer.encode(text), dtype=torch.long)
