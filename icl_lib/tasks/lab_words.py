"""Tokens of the lab language as words that a person can read.

A word is written as three syllables, one for each attribute: the vowel tells the attribute, the
consonant its value. ``bekadi`` would be topic ``be``, tone ``ka``, register ``di``. A label with a
meaning is the syllable that it means, in capitals, or ``=`` and the vowels of the attributes in
which two sentences agree; one without a meaning is a number. Nothing depends on this spelling: the
network sees token numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from icl_lib.tasks.lab import AND, BEGIN, FIRST_WORD, Lab

CONSONANTS = "bdfgklmnprstvzchjqwx"
VOWELS = "eai"
"""Of topic, tone and register."""

ARROW = "→"
"""Written before a label; no token of the language."""


@dataclass(frozen=True)
class Words:
    """The spelling of a lab language.

    Attributes
    ----------
    lab
        The language.

    Raises
    ------
    ValueError
        If an attribute has more values than there are consonants.

    Explained in: 16_paper_experiment
    """

    lab: Lab

    def __post_init__(self) -> None:
        if max(self.lab.sizes) > len(CONSONANTS):
            raise ValueError(
                f"there are {len(CONSONANTS)} consonants, the language has {self.lab.sizes} values"
            )

    def syllable(self, attribute: int, value: int) -> str:
        """Return how a value of an attribute is written."""
        return CONSONANTS[value] + VOWELS[attribute]

    def is_label(self, token: int) -> bool:
        """Tell whether a token is a label."""
        return self.lab.first_meaning <= token < self.lab.vocab_size

    def say(self, token: int) -> str:
        """Return one token as it is written.

        Raises
        ------
        ValueError
            If the language has no such token.
        """
        if not 0 <= token < self.lab.vocab_size:
            raise ValueError(f"the language has {self.lab.vocab_size} tokens, got {token}")
        if token >= self.lab.first_arbitrary:
            return f"#{token - self.lab.first_arbitrary}"
        if token >= self.lab.first_meaning:
            return self._meaning(token - self.lab.first_meaning).upper()
        if token >= FIRST_WORD:
            number, parts = token - FIRST_WORD, []
            for attribute in (2, 1, 0):
                number, value = divmod(number, self.lab.sizes[attribute])
                parts.append(self.syllable(attribute, value))
            return "".join(reversed(parts))
        return {BEGIN: "¶", AND: "|"}.get(token, "·")

    def _meaning(self, number: int) -> str:
        for attribute, size in enumerate(self.lab.sizes):
            if number < size:
                return self.syllable(attribute, number)
            number -= size
        agree = "".join(vowel for bit, vowel in enumerate(VOWELS) if number >> bit & 1)
        return f"={agree or '–'}"

    def text(self, tokens: Int[Tensor, " T"] | Sequence[int]) -> str:
        """Return tokens as one line, with an arrow before each label."""
        parts = []
        for token in _numbers(tokens):
            parts += [ARROW] * self.is_label(token) + [self.say(token)]
        return " ".join(parts)

    def lines(self, tokens: Int[Tensor, " T"] | Sequence[int]) -> list[str]:
        """Return a document as lines, each of which ends behind a label, but perhaps the last."""
        rows: list[list[int]] = [[]]
        for token in _numbers(tokens):
            rows[-1].append(token)
            if self.is_label(token):
                rows.append([])
        return [self.text(row) for row in rows if row]


def _numbers(tokens: Tensor | Sequence[int]) -> list[int]:
    return tokens.tolist() if isinstance(tokens, Tensor) else list(tokens)
