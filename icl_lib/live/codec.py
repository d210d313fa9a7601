"""What the live figures need of a byte-pair tokenizer: its bytes, its rules, readable names."""

import base64
import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥"}
HIDDEN = {"Cc", "Cf", "Cn", "Co", "Zs", "Zl", "Zp"}


@runtime_checkable
class ByteTokenizer(Protocol):
    """What is needed of a tokenizer: ``BytePairTokenizer`` has it.

    Attributes
    ----------
    table
        The bytes of every token.
    merges
        The pairs of tokens that are joined, in their order.
    """

    table: tuple[bytes, ...]
    merges: tuple[tuple[int, int], ...]

    def to_json(self) -> str:
        """Return JSON with ``words``, the expression that cuts a text into words."""


@dataclass(frozen=True)
class Codec:
    """A byte-pair tokenizer, taken apart.

    Attributes
    ----------
    names
        The bytes of every token.
    rules
        The merges in their order: (left token, right token, joined token).
    singles
        The token of each of the 256 bytes.
    words
        The regular expression that cuts a text into words, as the ``tokenizers`` library writes it.
    """

    names: tuple[bytes, ...]
    rules: tuple[tuple[int, int, int], ...]
    singles: tuple[int, ...]
    words: str

    @classmethod
    def read(cls, tokenizer) -> "Codec":
        """Take a tokenizer apart; it must have what :class:`ByteTokenizer` names.

        Raises
        ------
        TypeError
            If it is no byte-pair tokenizer.
        ValueError
            If a byte has no token.
        """
        if not isinstance(tokenizer, ByteTokenizer):
            raise TypeError(
                "expected a byte-pair tokenizer with table, merges and to_json, "
                f"got {type(tokenizer).__name__}"
            )
        names = tuple(tokenizer.table)
        number = {name: i for i, name in reversed(list(enumerate(names)))}
        missing = [byte for byte in range(256) if bytes([byte]) not in number]
        if missing:
            raise ValueError(f"each of the 256 bytes needs a token; {missing} have none")
        rules = tuple((a, b, number[names[a] + names[b]]) for a, b in tokenizer.merges)
        singles = tuple(number[bytes([byte])] for byte in range(256))
        return cls(names, rules, singles, json.loads(tokenizer.to_json())["words"])

    def library(self, count: int | None = None) -> Tokenizer:
        """Return a tokenizer of the ``tokenizers`` library with the first ``count`` merges."""
        letters = alphabet()
        written = ["".join(letters[byte] for byte in name) for name in self.names]
        pairs = [(written[a], written[b]) for a, b, _ in self.rules[:count]]
        used = [*self.singles, *(made for _, _, made in self.rules)]
        made = Tokenizer(models.BPE(vocab={written[i]: i for i in used}, merges=pairs))
        made.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(self.words), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        return made

    def packed(self) -> dict:
        """Return what the page needs: 16-bit numbers, little-endian, in base64, and the words."""
        return {
            "bytes": _pack(self.singles),
            "rules": _pack([i for rule in self.rules for i in rule]),
            "words": javascript(self.words),
        }


def javascript(expression: str) -> str:
    """Return the expression of the ``tokenizers`` library as JavaScript writes it.

    White space is Unicode's there, and scripts are named by ``Script=``.
    """
    for ours, theirs in ((r"\s", r"\p{White_Space}"), (r"\S", r"\P{White_Space}")):
        expression = expression.replace(ours, theirs)
    return re.sub(r"\\p\{(Han|Hiragana|Katakana)\}", r"\\p{Script=\1}", expression)


def alphabet() -> list[str]:
    """Return the letter with which the ``tokenizers`` library writes each byte."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    shifted = iter(range(256, 512))
    return [chr(byte if byte in plain else next(shifted)) for byte in range(256)]


def readable(name: bytes) -> str:
    """Return a token for reading: whole characters as they are, broken ones as hexadecimal bytes.

    >>> readable("今日".encode())
    '今日'
    >>> readable(b" the"), readable(b"\\xe4\\xbb"), readable("。".encode() + b"\\xe3")
    ('␣the', 'E4 BB', '。 E3')
    """
    parts, last = [], None
    for text, whole in characters(name):
        shown = sign(text) if whole else text
        parts.append(shown if last is None or (whole and last) else f" {shown}")
        last = whole
    return "".join(parts)


def characters(name: bytes) -> list[tuple[str, bool]]:
    """Return the characters of some bytes in order; a byte that belongs to none is (hex, False)."""
    found, at = [], 0
    while at < len(name):
        for width in (1, 2, 3, 4):
            try:
                found.append((name[at : at + width].decode(), True))
                break
            except UnicodeDecodeError:
                continue
        else:
            found.append((f"{name[at]:02X}", False))
            width = 1
        at += width
    return found


def sign(character: str) -> str:
    """Return a sign for a character that cannot be seen, and the character itself otherwise."""
    kind = unicodedata.category(character)
    if character in SIGNS:
        return SIGNS[character]
    if kind in HIDDEN:
        return f"U+{ord(character):04X}"
    return f"◌{character}" if kind.startswith("M") else character


def _pack(numbers) -> str:
    if max(numbers, default=0) > 0xFFFF:
        raise ValueError(f"token numbers must fit into 16 bits, got {max(numbers)}")
    return base64.b64encode(b"".join(n.to_bytes(2, "little") for n in numbers)).decode()
