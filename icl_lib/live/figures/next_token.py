"""The next-token distribution of a model under temperature, top-k and top-p."""

import base64
import math
import struct
from collections.abc import Sequence

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure, plain
from icl_lib.live.codec import readable

ROWS = 12
FULL = (0.1, 0.2, 0.5, 1.0)
CHOICES = (1, 2, 3, 5, 10, 20, 50, 100)


class NextToken(BookFigure):
    """The probabilities of the next token after some texts, and what sampling options do to them.

    ::

        p_i ∝ exp(z_i / τ)               over the k largest logits, or over all
        top-p keeps the likeliest tokens up to the first at which their sum reaches p
        entropy = −Σ_i p_i log₂ p_i      (bits);      perplexity = 2^entropy

    as :func:`icl_lib.models.sampling.next_token_distribution` does. The logits are computed
    beforehand and kept with 32 bits; all else is computed in the page, with 64 bits, over the whole
    vocabulary. Twenty tokens can be drawn: each draw is a seeded uniform number u and the first
    token, counted from the likeliest, at which the summed probability exceeds u. Where a text and
    one token make another text of the list, the page leads from one to the other.

    Parameters
    ----------
    prefixes
        P texts that the model continues.
    logits
        P × V: z of the last position of each.
    tokens
        The V tokens, or the ``BytePairTokenizer`` that has them.
    start
        Which text is shown first.
    temperature
        τ at the start, between 0.05 and 5.
    top_k
        k at the start; all tokens when left out.
    top_p
        p at the start, between 0.01 and 1.

    Raises
    ------
    ValueError
        If the numbers of texts, logits and tokens do not fit, a text stands there twice, or an
        option is out of its range.
    TypeError
        If ``tokens`` is neither.

    Source: Holtzman et al. (2020) for top-p, Fan et al. (2018) for top-k

    Explained in: 07_pretraining
    """

    _module = "next_token"
    prefixes = t.List(t.Unicode()).tag(sync=True)
    prefix = t.Int(0).tag(sync=True)
    logits = t.Unicode().tag(sync=True)
    tokens = t.Unicode().tag(sync=True)
    links = t.List().tag(sync=True)
    temperature = t.Float(1.0).tag(sync=True)
    top_k = t.Int(0).tag(sync=True)
    top_p = t.Float(1.0).tag(sync=True)
    seed = t.Int(0).tag(sync=True)

    def __init__(
        self,
        prefixes: Sequence[str],
        logits,
        tokens,
        *,
        start: int = 0,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
    ):
        prefixes, rows = list(prefixes), plain(logits, "logits")
        names = _names(tokens)
        _check_sizes(prefixes, rows, names)
        _check_options(start, len(prefixes), temperature, top_k, top_p)
        self._rows = rows
        super().__init__(
            prefixes=prefixes, prefix=start, temperature=temperature, top_p=top_p,
            top_k=0 if top_k is None or top_k >= len(names) else top_k,
            logits=_pack(rows), tokens="\n".join(map(readable, names)),
            links=_links(prefixes, names),
        )  # fmt: skip

    def names(self) -> list[str]:
        """Return the V tokens as a reader sees them."""
        return self.tokens.split("\n")

    def distribution(self) -> list[float]:
        """Return the V probabilities from which the next token is drawn."""
        z = [value / self.temperature for value in self._rows[self.prefix]]
        floor = sorted(z)[-self.top_k] if self.top_k else min(z)
        grown = [math.exp(value - max(z)) if value >= floor else 0.0 for value in z]
        p = [value / sum(grown) for value in grown]
        before = 0.0
        for i in sorted(range(len(p)), key=lambda i: -p[i]):
            p[i], before = (p[i] if before < self.top_p or self.top_p == 1 else 0.0), before + p[i]
        return [value / sum(p) for value in p]

    def sentence(self) -> str:
        """Return what may follow the text, in words."""
        p = self.distribution()
        best = max(range(len(p)), key=p.__getitem__)
        bits = -sum(x * math.log2(x) for x in p if x > 0)
        return (
            f"After “{self.prefixes[self.prefix]}”, at temperature {self.temperature:g}, the "
            f"likeliest next token is “{self.names()[best]}” with probability "
            f"{p[best]:.2f}; {sum(x > 0 for x in p)} of {len(p)} tokens may follow, and the "
            f"perplexity is {2**bits:.1f}."
        )

    def picture(self) -> str:
        """Return the bars of the likeliest tokens, up to the next of 0.1, 0.2, 0.5 and 1."""
        p, names, z, step = self.distribution(), self.names(), self._rows[self.prefix], 24
        shown = sorted(range(len(p)), key=lambda i: -z[i])[:ROWS]
        missing = "cut" if self.top_k or self.top_p < 1 else "0"
        full = next(most for most in FULL if most >= p[shown[0]] - 1e-9)
        parts = [
            svg.text(10, 20, f"{self.prefixes[self.prefix]} …", size=14),
            svg.text(114, 40, "0", role="muted", size=11),
            svg.text(394, 40, f"{full:g}", anchor="end", role="muted", size=11),
        ]
        for row, i in enumerate(shown):
            y, length = 46 + row * step, 280 * p[i] / full
            parts += [
                svg.text(106, y + 14, names[i], anchor="end"),
                svg.rect(114, y, length, step - 6, "query"),
                svg.text(120 + length, y + 14, f"{p[i]:.3f}" if p[i] else missing, role="muted"),
            ]
        return svg.svg(460, 52 + step * len(shown), self.sentence(), parts)


def _names(tokens) -> list[bytes]:
    if isinstance(tokens, list | tuple):
        return [token.encode() for token in tokens]
    if hasattr(tokens, "table"):
        return list(tokens.table)
    raise TypeError(
        f"tokens must be a list of words or a byte-pair tokenizer, got {type(tokens).__name__}"
    )


def _pack(rows) -> str:
    return base64.b64encode(b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)).decode()


def _links(prefixes, names) -> list[list[int]]:
    """Return [text, token, longer text] wherever a text and one token make another."""
    ids = {name: i for i, name in reversed(list(enumerate(names)))}
    steps = []
    for i, start in enumerate(prefixes):
        for j, longer in enumerate(prefixes):
            rest = longer.removeprefix(start).encode()
            if longer != start and longer.startswith(start) and rest in ids:
                steps.append([i, ids[rest], j])
    return steps


def _check_sizes(prefixes, rows, names) -> None:
    if not len(prefixes) == len(rows) > 0:
        raise ValueError(
            f"expected one row of logits for each text, got {len(prefixes)} texts, {len(rows)} rows"
        )
    if len(set(prefixes)) != len(prefixes):
        raise ValueError(f"each text must stand in the list once, got {prefixes}")
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise ValueError(
                f"logits[{i}] must have one number for each of {len(names)} tokens, got {len(row)}"
            )


def _check_options(start, count, temperature, top_k, top_p) -> None:
    if not 0 <= start < count:
        raise ValueError(f"start must be a position from 0 to {count - 1}, got {start}")
    if not 0.05 <= temperature <= 5:
        raise ValueError(f"temperature must be between 0.05 and 5, got {temperature}")
    if top_k is not None and top_k not in CHOICES:
        raise ValueError(f"top_k must be one of {', '.join(map(str, CHOICES))}, got {top_k}")
    if not 0.01 <= top_p <= 1:
        raise ValueError(f"top_p must be between 0.01 and 1, got {top_p}")
