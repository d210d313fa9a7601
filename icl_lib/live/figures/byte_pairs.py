"""Byte-pair merging on the reader's own sentence."""

import unicodedata
from collections.abc import Mapping

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure
from icl_lib.live.codec import Codec, characters, readable

ROW = 400
MOST_DRAWN = 60


class BytePairs(BookFigure):
    """A text becomes bytes, and the bytes tokens, by the merge rules of a tokenizer.

    The tokenizer cuts the text into words, writes each word as UTF-8 bytes, and joins neighbours
    inside a word: always by the earliest rule that fits, the leftmost place first. With the first k
    rules in use, the result is that of a tokenizer that learnt only k. Special tokens that somebody
    types are characters like any others. The browser knows letters that Unicode added after the
    library was built; they alone may fall into other words. ::

        bytes per token      = bytes / tokens
        characters that fit  = context · characters / tokens

    Parameters
    ----------
    tokenizer
        A ``BytePairTokenizer``.
    text
        The sentence at the start; the first example when left out.
    examples
        Name and text of the sentences that the reader can choose.
    used
        k at the start; all rules when left out.
    context
        Tokens that the model reads at once.

    Raises
    ------
    ValueError
        If there is no example, or a number is out of its range.
    TypeError
        If the tokenizer is of another kind.

    Source: Sennrich et al. (2016); bytes as in Radford et al. (2019)

    Explained in: 07_pretraining
    """

    _module = "byte_pairs"
    codec = t.Dict().tag(sync=True)
    text = t.Unicode().tag(sync=True)
    examples = t.List().tag(sync=True)
    used = t.Int(0).tag(sync=True)
    specials = t.Int(0).tag(sync=True)
    context = t.Int(128).tag(sync=True)

    def __init__(
        self,
        tokenizer,
        text: str | None = None,
        *,
        examples: Mapping[str, str],
        used: int | None = None,
        context: int = 128,
    ):
        self._read = Codec.read(tokenizer)
        rules = len(self._read.rules)
        used = rules if used is None else used
        if not examples:
            raise ValueError("examples must name at least one sentence, got none")
        if not 0 <= used <= rules:
            raise ValueError(f"used must be between 0 and {rules} (the rules), got {used}")
        if context < 1:
            raise ValueError(f"context must be at least 1 token, got {context}")
        text = next(iter(examples.values())) if text is None else text
        super().__init__(
            codec=self._read.packed(), text=text, used=used, context=context,
            specials=len(self._read.names) - 256 - len({made for _, _, made in self._read.rules}),
            examples=[[name, words] for name, words in examples.items()],
        )  # fmt: skip

    def tokens(self) -> list[tuple[int, bool]]:
        """Return id and "starts a word" of every token of the text, with the rules in use."""
        made = self._read.library(self.used).encode(self.text)
        words = made.word_ids
        return [(token, i == 0 or words[i] != words[i - 1]) for i, token in enumerate(made.ids)]

    def sentence(self) -> str:
        """Return how far the text shrinks, in words."""
        return (
            f"“{self.text}” has {len(self.text)} characters, which are {len(self.text.encode())} "
            f"bytes and, with {self.used} of {len(self._read.rules)} merge rules, "
            f"{len(self.tokens())} tokens."
        )

    def picture(self) -> str:
        """Return the tokens as boxes, with their numbers."""
        x, y, parts = 10.0, 10.0, []
        tokens = self.tokens()
        for i, first in tokens[:MOST_DRAWN]:
            name = readable(self._read.names[i])
            width = 12 + max(_width(name, 13), _width(str(i), 10))
            x += 8 if first and x > 10 else 0
            if x + width > ROW + 10:
                x, y = 10.0, y + 48
            parts += self._box(x, y, width, i, name)
            x += width + 2
        if len(tokens) > MOST_DRAWN:
            parts.append(svg.text(10, y + 62, f"… and {len(tokens) - MOST_DRAWN} more tokens"))
        height = y + (70 if len(tokens) > MOST_DRAWN else 50)
        return svg.svg(ROW + 20, height, self.sentence(), parts)

    def _box(self, x: float, y: float, width: float, i: int, name: str) -> list[str]:
        whole = all(is_whole for _, is_whole in characters(self._read.names[i]))
        return [
            svg.node(
                "rect", x=x, y=y, width=width, height=40, rx=4, fill="none",
                stroke=svg.paint("query" if whole else "muted"),
                stroke_dasharray=None if whole else "4 3",
            ),
            svg.text(x + width / 2, y + 18, name, anchor="middle", size=13),
            svg.text(x + width / 2, y + 33, i, anchor="middle", role="muted", size=10),
        ]  # fmt: skip


def _width(words: str, size: float) -> float:
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in words)
    return size * (wide + 0.62 * (len(words) - wide))
