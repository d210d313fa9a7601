"""From text to tokens: byte-pair encoding, by the ``tokenizers`` library and by twenty lines.

A text is cut into words, a word into its UTF-8 bytes, and the neighbours that occur most often are
merged, again and again. Since any text is bytes, every text of every language has tokens.

The three special tokens come first in every vocabulary. In a text they are plain characters unless
``specials=True`` asks for more, so that nobody can smuggle the end of a text into a text.
"""

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor

from icl_lib.tasks.text import CharTokenizer, check_errors

SPECIALS = ("<|end|>", "<|user|>", "<|assistant|>")
"""End of a text; and who speaks, from chapter 9 on. Their tokens are 0, 1 and 2."""
WORDS = "|".join(
    (
        r"'(?:s|t|re|ve|m|ll|d)",  # she's
        r" ?\p{Han}+[はがを]?",  # 今日は
        r" ?[\p{Katakana}ー]+[はがを]?",
        r" ?\p{Hiragana}+",
        r" ?(?:(?![\p{Han}\p{Hiragana}\p{Katakana}ー])\p{L})+",  # letters of other scripts
        r" ?\p{N}+",
        r" ?[^\s\p{L}\p{N}]+",
        r"\s+(?!\S)|\s+",
    )
)
"""How a text is cut into words, within which pairs are merged.

GPT-2's expression, with one addition. It would take a whole Japanese sentence for one word, since
there are no spaces, and merge over the end of 「今日は」: then a prompt that stops there is cut
otherwise than in the text that was learnt. Here a word ends where the script changes; the particles
は, が and を stay with the noun.
"""
BASE = len(SPECIALS) + 256
"""Tokens before the first merge: the specials and one for each byte."""
Pair = tuple[int, int]


@runtime_checkable
class TextTokenizer(Protocol):
    """What every tokenizer of the book does, that of characters and that of byte pairs.

    Attributes
    ----------
    end
        The token that ends a text, or ``None`` if there is none.
    fingerprint
        Twelve hexadecimal digits; two tokenizers share them only if they are the same.
    """

    end: int | None
    fingerprint: str

    def __len__(self) -> int:
        """Return the number of tokens V."""

    def encode(self, text: str, *, specials: bool = False) -> Int[Tensor, "T"]:
        """Return the tokens of ``text``."""

    def decode(self, tokens: Int[Tensor, "T"], *, errors: str = "strict") -> str:
        """Return the text of ``tokens``."""

    def to_json(self) -> str:
        """Return the whole tokenizer as JSON."""


@cache
def _bytes() -> MappingProxyType[str, int]:
    """Return the byte that each character of the library's byte alphabet stands for, in its order.

    Printable bytes of Latin-1 stand for themselves, the others for the characters from 256 on
    (GPT-2's convention); sorted by character, they are the tokens 3 to 258.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    others = iter(byte for byte in range(256) if chr(byte) not in alphabet)
    return MappingProxyType({c: ord(c) if ord(c) < 256 else next(others) for c in alphabet})


def _splitter() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def count_words(text: str) -> Counter[tuple[int, ...]]:
    """Return how often each word occurs; a word is the tokens of its bytes.

    Words are runs of letters of one script, of digits or of other signs, each with the space before
    it: see :data:`WORDS`.

    Explained in: 07_pretraining
    """
    tokens = {character: len(SPECIALS) + i for i, character in enumerate(_bytes())}
    words = Counter()
    for part in _texts(text):
        words.update(word for word, _ in _splitter().pre_tokenize_str(part))
    return Counter({tuple(tokens[c] for c in word): times for word, times in words.items()})


def merge_loop(text: str, merges: int, *, at_least: int = 2) -> list[Pair]:
    """Learn byte pairs: merge the two neighbours that occur most often, again and again.

    Parameters
    ----------
    text
        What to learn from.
    merges
        How many merges.
    at_least
        Stop when no pair occurs so often.

    Returns
    -------
    list of pairs
        The merges in their order, each as the two tokens it joins. Of pairs that occur equally
        often, the one with the smaller numbers comes first, as in the ``tokenizers`` library. A
        merge makes the next new token, unless its bytes have one already.

    Source: Sennrich, Haddow and Birch (2016), algorithm 1; over bytes as in Radford et al. (2019).

    Explained in: 07_pretraining
    """
    words = dict(count_words(text))
    tokens = {piece: number for number, piece in enumerate(_pieces(()))}
    pieces, learnt = list(tokens), []
    while len(learnt) < merges:
        counts: Counter[Pair] = Counter()
        for word, times in words.items():
            for pair in pairwise(word):
                counts[pair] += times
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if best is None or counts[best] < at_least:
            break
        joined = pieces[best[0]] + pieces[best[1]]
        new = tokens.setdefault(joined, len(tokens))
        pieces = list(tokens)
        words = {merged(word, best, new): times for word, times in words.items()}
        learnt.append(best)
    return learnt


def merged(word: tuple[int, ...], pair: Pair, new: int) -> tuple[int, ...]:
    """Replace a pair by its token, from left to right: (a, a, a) becomes (aa, a).

    Explained in: 07_pretraining
    """
    done, at = [], 0
    while at < len(word):
        here = word[at : at + 2] == pair
        done.append(new if here else word[at])
        at += 2 if here else 1
    return tuple(done)


def check_utf8(text: str) -> None:
    """Raise ``ValueError`` if a text holds half of a surrogate pair, which UTF-8 cannot write."""
    for at, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise ValueError(
                f"character {character!r} at position {at} is half of a pair and cannot be "
                "written as UTF-8; was the text read with errors='surrogateescape'?"
            )


def _texts(text: str) -> list[str]:
    """Cut at the special tokens and check that the rest can be written as UTF-8."""
    check_utf8(text)
    return [part for part in re.split("|".join(map(re.escape, SPECIALS)), text) if part]


def _pieces(merges: tuple[Pair, ...]) -> list[bytes]:
    """Return the bytes of every token."""
    pieces = [special.encode() for special in SPECIALS]
    pieces += [bytes([byte]) for byte in _bytes().values()]
    known = set(pieces)
    for left, right in merges:
        joined = pieces[left] + pieces[right]
        if joined not in known:
            known.add(joined)
            pieces.append(joined)
    return pieces


def unfinished(data: bytes) -> bytes | None:
    """Return the beginning of a character that stands at the end of ``data``.

    Empty if the last character is whole; ``None`` if the bytes are no UTF-8 and no more bytes could
    make them so.

    Explained in: 07_pretraining
    """
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as problem:
        cut = problem.reason == "unexpected end of data" and problem.end == len(data)
        return data[problem.start :] if cut else None
    return b""


class Spelling:
    """Which tokens may come next so that the bytes stay UTF-8.

    Parameters
    ----------
    table
        The bytes of every token.
    """

    def __init__(self, table: tuple[bytes, ...]):
        self.table = table
        self._rows: dict[bytes, Bool[Tensor, " V"]] = {}

    def allowed(self, begun: list[bytes]) -> Bool[Tensor, "B V"]:
        """Return for each text, of which so much of a character is written, the possible tokens."""
        for rest in set(begun) - set(self._rows):
            fits = [unfinished(rest + piece) is not None for piece in self.table]
            self._rows[rest] = torch.tensor(fits)
        return torch.stack([self._rows[rest] for rest in begun])

    def after(self, begun: bytes, token: int) -> bytes:
        """Return what of a character is written after one more token."""
        return unfinished(begun + self.table[token]) or b""


@dataclass(frozen=True)
class BytePairTokenizer:
    """Byte-pair encoding with the ``tokenizers`` library.

    Attributes
    ----------
    merges
        Pairs of tokens in the order in which they are merged. Tokens 0 to 2 are the specials, 3 to
        258 the bytes, the others are made by the merges.

    Source: Sennrich, Haddow and Birch (2016); Radford et al. (2019), section 2.2.

    Explained in: 07_pretraining
    """

    merges: tuple[Pair, ...]

    @classmethod
    def train(cls, text: str, vocab_size: int, *, at_least: int = 2) -> "BytePairTokenizer":
        """Learn the merges of a text.

        Parameters
        ----------
        text
            What to learn from; special tokens in it separate texts and are not learnt.
        vocab_size
            Number of tokens V, the 3 specials and the 256 bytes included.
        at_least
            How often a pair must occur to be merged.

        Raises
        ------
        ValueError
            If the text is empty, V is smaller than 259, or the text has too few pairs for V.
        """
        if vocab_size < BASE:
            raise ValueError(
                f"vocab_size {vocab_size} is too small: {len(SPECIALS)} special tokens and 256 "
                f"bytes need {BASE}"
            )
        parts = _texts(text)
        if not parts:
            raise ValueError("the corpus is empty: there is nothing to learn byte pairs from")
        library = Tokenizer(models.BPE())
        library.pre_tokenizer = _splitter()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=at_least,
            special_tokens=list(SPECIALS),
            initial_alphabet=list(_bytes()),
            show_progress=False,
        )
        library.train_from_iterator(parts, trainer)
        found = library.get_vocab_size()
        if found < vocab_size:
            raise ValueError(
                f"the corpus has pairs for only {found} tokens that occur at least {at_least} "
                f"times, vocab_size is {vocab_size}; ask for at most {found}"
            )
        numbers = library.get_vocab()
        learnt = json.loads(library.to_str())["model"]["merges"]
        return cls(tuple((numbers[left], numbers[right]) for left, right in learnt))

    @cached_property
    def table(self) -> tuple[bytes, ...]:
        """The bytes of every token."""
        return tuple(_pieces(self.merges))

    @cached_property
    def spelling(self) -> Spelling:
        """Which tokens keep a text UTF-8."""
        return Spelling(self.table)

    @cached_property
    def _library(self) -> Tokenizer:
        letters = {byte: character for character, byte in _bytes().items()}
        names = ["".join(letters[byte] for byte in piece) for piece in self.table]
        vocab = {name: token for token, name in enumerate(names) if token >= len(SPECIALS)}
        pairs = [(names[left], names[right]) for left, right in self.merges]
        library = Tokenizer(models.BPE(vocab=vocab, merges=pairs))
        library.pre_tokenizer = _splitter()
        return library

    def __len__(self) -> int:
        return len(self.table)

    @property
    def end(self) -> int:
        """The token that ends a text."""
        return 0

    def special(self, name: str) -> int:
        """Return the number of a special token: ``special("<|user|>")``.

        Raises
        ------
        ValueError
            If there is no such special token.
        """
        if name not in SPECIALS:
            raise ValueError(f"{name!r} is no special token; there are {', '.join(SPECIALS)}")
        return SPECIALS.index(name)

    def encode(self, text: str, *, specials: bool = False) -> Int[Tensor, "T"]:
        """Return the tokens of ``text``.

        Parameters
        ----------
        text
            Any text.
        specials
            Turn ``<|end|>`` and its like into special tokens. By default they are characters like
            any others: a text from outside must not be able to end a text or to speak for the user.

        Raises
        ------
        ValueError
            If the text cannot be written as UTF-8; the message names the place.
        """
        _texts(text)
        parts = re.split(f"({'|'.join(map(re.escape, SPECIALS))})", text) if specials else [text]
        numbers: list[int] = []
        for part in parts:
            if specials and part in SPECIALS:
                numbers.append(SPECIALS.index(part))
            else:
                numbers += self._library.encode(part).ids
        return torch.tensor(numbers, dtype=torch.long)

    def decode(self, tokens: Int[Tensor, "T"], *, errors: str = "strict") -> str:
        """Return the text of ``tokens``, special tokens by their names.

        Parameters
        ----------
        tokens
            Token numbers.
        errors
            ``"strict"``, or ``"replace"`` for text that a model has written or that was cut in
            the middle of a character: what is no UTF-8 becomes �.

        Raises
        ------
        ValueError
            If a token lies outside the vocabulary, or the bytes are no UTF-8; the message names
            the place.
        """
        check_errors(errors)
        numbers = tokens.tolist()
        for token in numbers:
            if not 0 <= token < len(self):
                raise ValueError(f"token {token} is outside the vocabulary of {len(self)} tokens")
        pieces = [self.table[token] for token in numbers]
        try:
            return b"".join(pieces).decode("utf-8", errors)
        except UnicodeDecodeError as problem:
            left, at = problem.start, 0
            while left >= len(pieces[at]):
                left, at = left - len(pieces[at]), at + 1
            raise ValueError(
                f"the tokens are no UTF-8: {problem.reason} at token {at} ({numbers[at]}, bytes "
                f"{pieces[at]!r}); errors='replace' shows the rest"
            ) from None

    def pieces(self, text: str) -> list[str]:
        """Return what each token of ``text`` stands for; parts of a character as ``\\xe3``."""
        tokens = self.encode(text).tolist()
        return [self.table[token].decode("utf-8", "backslashreplace") for token in tokens]

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that no other tokenizer has."""
        return fingerprint(self.to_json())

    def to_json(self) -> str:
        """Return the whole tokenizer as JSON."""
        content = {
            "kind": "byte_pair",
            "specials": list(SPECIALS),
            "words": WORDS,
            "merges": list(self.merges),
        }
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "BytePairTokenizer":
        """Return the tokenizer that :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is not what it should be; the message says what is wrong.
        """
        content = _content(text, "byte_pair")
        for name, ours in (("specials", list(SPECIALS)), ("words", WORDS)):
            if content.get(name) != ours:
                raise ValueError(
                    f"the tokenizer was made by another version: its {name} are "
                    f"{content.get(name)!r}, expected {ours!r}"
                )
        merges = tuple(tuple(pair) for pair in content.get("merges", ()))
        known = BASE
        for place, pair in enumerate(merges):
            if len(pair) != 2 or not all(len(SPECIALS) <= token < known for token in pair):
                raise ValueError(
                    f"merge {place} is {pair}; expected two tokens from 3 to {known - 1}"
                )
            known += 1
        return cls(merges)


def _content(text: str, kind: str) -> dict:
    try:
        content = json.loads(text)
    except ValueError as problem:
        raise ValueError(f"the tokenizer is no JSON: {problem}") from None
    found = content.get("kind") if isinstance(content, dict) else None
    if found != kind:
        raise ValueError(f"expected a tokenizer of kind {kind!r}, got {found!r}")
    return content


def fingerprint(text: str) -> str:
    """Return the first twelve hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def from_json(text: str) -> TextTokenizer:
    """Return the tokenizer that its ``to_json`` wrote, of whichever kind.

    Raises
    ------
    ValueError
        If the text describes no tokenizer of this library.

    Explained in: 07_pretraining
    """
    kinds = {"byte_pair": BytePairTokenizer, "characters": CharTokenizer}
    try:
        kind = json.loads(text)["kind"]
        return kinds[kind].from_json(text)
    except (KeyError, TypeError, json.JSONDecodeError):
        known = ", ".join(kinds)
        raise ValueError(f"no tokenizer: expected JSON with one of the kinds {known}") from None
