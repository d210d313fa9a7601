"""Attention weights of one token under a temperature."""

import math
import operator
from collections.abc import Sequence

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure, plain


class AttentionTemperature(BookFigure):
    """Attention weights of a sentence under a temperature.

    For the chosen token i, over the tokens j that it may see::

        score_j  = q_i · k_j / √K
        weight_j = exp(score_j / τ) / Σ_l exp(score_l / τ)
        entropy  = −Σ_j weight_j log₂ weight_j           (bits)
        effective number of tokens = 2^entropy

    τ = 1 is plain attention. As τ → 0 all weight goes to the largest score, a look-up; as τ → ∞
    the weights become equal, an average.

    Parameters
    ----------
    tokens
        The T words of the sentence, shown as buttons.
    queries, keys
        Tensors or nested lists, T × K, before scaling.
    temperature
        τ at the start, between 0.05 and 20.
    query
        Position of the token that asks; the last one when left out.
    causal
        Whether a token sees only itself and those before it.

    Raises
    ------
    ValueError
        If the numbers of tokens, queries and keys differ, or their widths do.

    Explained in: 02_attention
    """

    _module = "attention_temperature"
    tokens = t.List(t.Unicode()).tag(sync=True)
    query_vectors = t.List().tag(sync=True)
    key_vectors = t.List().tag(sync=True)
    temperature = t.Float(1.0).tag(sync=True)
    query = t.Int(0).tag(sync=True)
    causal = t.Bool(False).tag(sync=True)

    def __init__(
        self,
        tokens: Sequence[str],
        queries,
        keys,
        *,
        temperature: float = 1.0,
        query: int | None = None,
        causal: bool = False,
    ):
        tokens, queries, keys = list(tokens), plain(queries, "queries"), plain(keys, "keys")
        query = len(tokens) - 1 if query is None else query
        _check(tokens, queries, keys, temperature, query)
        super().__init__(
            tokens=tokens, query_vectors=queries, key_vectors=keys, temperature=temperature,
            query=query, causal=causal,
        )  # fmt: skip

    def weights(self) -> list[float]:
        """Return the weights of the chosen token on all T tokens."""
        q, root = self.query_vectors[self.query], math.sqrt(len(self.query_vectors[0]))
        scores = [sum(map(operator.mul, q, k)) / root for k in self.key_vectors]
        visible = self.query + 1 if self.causal else len(scores)
        top = max(scores[:visible])
        grown = [math.exp((x - top) / self.temperature) for x in scores[:visible]]
        return [x / sum(grown) for x in grown] + [0.0] * (len(scores) - visible)

    def sentence(self) -> str:
        """Return what the bars show, in words."""
        weights = self.weights()
        best = max(range(len(weights)), key=weights.__getitem__)
        bits = -sum(w * math.log2(w) for w in weights if w > 0)
        return (
            f"At temperature {self.temperature:g}, “{self.tokens[self.query]}” spreads its "
            f"attention over {2**bits:.2f} tokens; the largest weight, {weights[best]:.2f}, "
            f"is on “{self.tokens[best]}”."
        )

    def picture(self) -> str:
        """Return the bars."""
        rows, step = [], 26
        for i, (token, weight) in enumerate(zip(self.tokens, self.weights(), strict=True)):
            y = 10 + i * step
            role = "query" if i == self.query else "text"
            rows += [
                svg.text(96, y + 15, token, anchor="end", role=role),
                svg.rect(104, y, 300 * weight, step - 6, "query"),
                svg.text(110 + 300 * weight, y + 15, f"{weight:.3f}", role="muted", size=11),
            ]
        return svg.svg(460, 20 + step * len(self.tokens), self.sentence(), rows)


def _check(tokens, queries, keys, temperature, query) -> None:
    if not len(tokens) == len(queries) == len(keys) > 0:
        raise ValueError(
            f"expected one query and one key for each token, got {len(tokens)} tokens, "
            f"{len(queries)} queries, {len(keys)} keys"
        )
    widths = {len(row) for row in [*queries, *keys]}
    if len(widths) != 1:
        raise ValueError(f"queries and keys must agree in head width, got widths {sorted(widths)}")
    if not 0.05 <= temperature <= 20:
        raise ValueError(f"temperature must be between 0.05 and 20, got {temperature}")
    if not 0 <= query < len(tokens):
        raise ValueError(f"query must be a position from 0 to {len(tokens) - 1}, got {query}")
