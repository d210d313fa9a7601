"""The smallest transformer that can regress: attention on (x, y) tokens and nothing else.

No embedding, no positions, no MLP, no layer norm. A token is a pair e_j = (x_j, y_j); the query is
(x_q, 0). A layer adds to every token what it reads from the demonstrations, and the answer stands,
with its sign turned, in the last place of the query.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icl_lib.models.attention import linear_attention, softmax_attention

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class LinearTransformerConfig:
    """Everything that fixes the shape of a :class:`LinearTransformer`.

    Attributes
    ----------
    dimension
        d; tokens have width D = d + 1.
    layers
        L, how often attention is applied.
    looped
        One set of matrices for all layers, instead of one each.
    form
        What is trained. ``factored``: W_K, W_Q, W_V and P, as von Oswald et al. do. ``merged``: the
        two products that matter, W_KᵀW_Q and P W_V, as Ahn et al. do. ``sparse``: only the block of
        W_KᵀW_Q that acts on inputs, while values read and write y alone (Ahn et al.'s sparse P).
    heads
        H; the outputs of all heads are added.
    attention
        ``linear``, or ``softmax`` without the factor 1/√D.
    sink
        Weight of a key that matches everything equally and holds nothing, ``softmax`` alone: the
        normaliser is Σ exp(score) + sink.
    average
        Divide what the heads say by N, the number of demonstrations; otherwise it is in P.
    init_scale
        Standard deviation of the initial entries.

    Raises
    ------
    ValueError
        If a number is out of range or a word unknown.
    """

    dimension: int
    layers: int = 1
    looped: bool = False
    form: str = "factored"
    heads: int = 1
    attention: str = "linear"
    sink: float = 0.0
    average: bool = False
    init_scale: float = 0.1

    def __post_init__(self) -> None:
        for name in ("dimension", "layers", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        choices = {"form": ("factored", "merged", "sparse"), "attention": ("linear", "softmax")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        for name in ("sink", "init_scale"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.sink and self.attention == "linear":
            raise ValueError("linear attention has no normaliser, so sink must be 0")

    @property
    def width(self) -> int:
        """D = d + 1, numbers in a token."""
        return self.dimension + 1

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of each weight: sets of matrices, heads, rows, columns."""
        side = self.dimension if self.form == "sparse" else self.width
        return (1 if self.looped else self.layers, self.heads, side, side)


class LinearTransformer(nn.Module):
    r"""Attention layers on tokens (x, y), with a residual path.

    .. math:: e_j \leftarrow e_j + \sum_h P_h W_{V,h} \sum_{i \le N} e_i\,
              (e_i^\top W_{K,h}^\top W_{Q,h}\, e_j), \qquad \hat y = -[e_q]_{d+1}

    Keys and values come from the N demonstrations, never from a query. Only two products of a head
    matter: ``key_query`` = W_KᵀW_Q and ``value_out`` = P W_V.

    Parameters
    ----------
    config
        Its shape.
    seed
        Decides the initial weights; the global generator is neither used nor changed.

    Source: von Oswald et al. (2023); Ahn et al. (2023).

    Explained in: 11_one_step
    """

    def __init__(self, config: LinearTransformerConfig, *, seed: int = 0):
        super().__init__()
        self.config = config
        generator = torch.Generator().manual_seed(seed)
        for name in NAMES[config.form]:
            start = config.init_scale * torch.randn(config.shape, generator=generator)
            setattr(self, name, nn.Parameter(start))

    @classmethod
    def from_layers(
        cls, layers: Sequence[Pair], *, attention: str = "linear", sink: float = 0.0,
        average: bool = False,
    ) -> "LinearTransformer":  # fmt: skip
        """Build a network from chosen matrices, in their dtype.

        Parameters
        ----------
        layers
            For each layer (key_query, value_out), each ``[D, D]``, or ``[H, D, D]`` for H heads.
        attention, sink, average
            As in :class:`LinearTransformerConfig`.

        Raises
        ------
        ValueError
            If there is no layer, or the matrices are not square and of one shape.
        """
        if not layers:
            raise ValueError("expected at least one layer (key_query, value_out), got none")
        stacked = [torch.stack(matrices) for matrices in zip(*_same_shape(layers), strict=True)]
        sets, heads, width, _ = stacked[0].shape
        config = LinearTransformerConfig(
            dimension=width - 1, layers=sets, form="merged", heads=heads,
            attention=attention, sink=sink, average=average,
        )  # fmt: skip
        model = cls(config)
        for name, weight in zip(NAMES["merged"], stacked, strict=True):
            setattr(model, name, nn.Parameter(weight.clone()))
        return model

    def matrices(self) -> list[Pair]:
        """Return (key_query, value_out) of every layer, each ``[H, D, D]``.

        A looped network returns the same pair L times.
        """
        key_query, value_out = self._products()
        if self.config.looped:
            return [(key_query[0], value_out[0])] * self.config.layers
        return list(zip(key_query, value_out, strict=True))

    def forward(
        self,
        inputs: Float[Tensor, "*batch N d"],
        targets: Float[Tensor, "*batch N"],
        query: Float[Tensor, "*asked"],
        *,
        start: Float[Tensor, " d"] | None = None,
    ) -> Float[Tensor, "*answers"]:
        """Return the prediction at each query after the last layer.

        Parameters
        ----------
        inputs, targets
            N demonstrations of each prompt.
        query
            ``[*batch, d]``, or ``[*batch, M, d]`` for M queries that do not see each other.
        start
            W₀, weights that predict before the first layer; 0 if not given. The query's last place
            then holds −W₀·x_q instead of 0.

        Returns
        -------
        Tensor
            ``[*batch]`` or ``[*batch, M]``.

        Raises
        ------
        ValueError
            If shapes do not fit each other or the dimension of the network.
        """
        return self.readouts(inputs, targets, query, start=start)[-1]

    def readouts(
        self,
        inputs: Float[Tensor, "*batch N d"],
        targets: Float[Tensor, "*batch N"],
        query: Float[Tensor, "*asked"],
        *,
        start: Float[Tensor, " d"] | None = None,
    ) -> Float[Tensor, "layers *answers"]:
        """Return the prediction that stands at each query after every layer, ``[L, …]``.

        Parameters and errors as in :meth:`forward`, whose result is the last row.
        """
        states = list(self._run(inputs, targets, query, start, unread=False))[1:]
        said = torch.stack([-asked[..., -1] for _, asked in states])
        return said[..., 0] if query.ndim < inputs.ndim else said

    def states(
        self,
        inputs: Float[Tensor, "*batch N d"],
        targets: Float[Tensor, "*batch N"],
        query: Float[Tensor, "*asked"],
        *,
        start: Float[Tensor, " d"] | None = None,
    ) -> Iterator[Pair]:
        """Yield the tokens before the first layer and after each: demonstrations and queries.

        Parameters and errors as in :meth:`forward`; shapes ``[*batch, N, D]`` and
        ``[*batch, M, D]``, with M = 1 for a single query.
        """
        return self._run(inputs, targets, query, start, unread=True)

    def _run(
        self, inputs: Tensor, targets: Tensor, query: Tensor, start: Tensor | None, *, unread: bool
    ) -> Iterator[Pair]:
        """Do :meth:`states`; demonstrations after the last layer, unread, may stay as they are."""
        self._check(inputs, targets, query)
        points = query[..., None, :] if query.ndim < inputs.ndim else query
        said = torch.zeros_like(points[..., 0]) if start is None else -(points @ start)
        told = torch.cat([inputs, targets[..., None]], dim=-1)
        asked = torch.cat([points, said[..., None]], dim=-1)
        yield told, asked
        for number, (key_query, value_out) in enumerate(self.matrices(), start=1):
            asked = asked + self._attend(asked, told, key_query, value_out)
            if unread or number < self.config.layers:
                told = told + self._attend(told, told, key_query, value_out)
            yield told, asked

    def _attend(self, tokens: Tensor, told: Tensor, key_query: Tensor, value_out: Tensor) -> Tensor:
        """Return what all heads add to ``tokens`` after reading the demonstrations."""
        keys = told[..., None, :, :]
        queries, values = _mapped(tokens, key_query), _mapped(told, value_out)
        keys = keys.expand(*keys.shape[:-3], self.config.heads, *keys.shape[-2:])
        if self.config.attention == "linear":
            read = linear_attention(queries, keys, values)
        else:
            read = _with_sink(queries, keys, values, self.config.sink)
        total = read.sum(dim=-3)
        return total / told.shape[-2] if self.config.average else total

    def _products(self) -> Pair:
        """Return key_query and value_out of every set, ``[sets, H, D, D]``."""
        form = self.config.form
        if form == "merged":
            return self.key_query, self.value_out
        if form == "factored":
            return self.key.mT @ self.query, self.out @ self.value
        key_query = nn.functional.pad(self.preconditioner, (0, 1, 0, 1))
        value_out = torch.zeros_like(key_query)
        value_out[..., -1, -1] = -1.0
        return key_query, value_out

    def _check(self, inputs: Tensor, targets: Tensor, query: Tensor) -> None:
        d = self.config.dimension
        if inputs.shape[-1] != d or inputs.shape[:-1] != targets.shape:
            raise ValueError(
                f"inputs have shape {tuple(inputs.shape)}, targets {tuple(targets.shape)}; "
                f"expected [*batch, N, {d}] and [*batch, N]"
            )
        batch = inputs.shape[:-2]
        if query.shape[-1] != d or query.shape[:-1][: len(batch)] != batch or (
            query.ndim - len(batch) not in (1, 2)
        ):  # fmt: skip
            raise ValueError(
                f"query has shape {tuple(query.shape)}, expected [*batch, {d}] or "
                f"[*batch, M, {d}] with batch {tuple(batch)}"
            )


NAMES = {
    "factored": ("key", "query", "value", "out"),
    "merged": ("key_query", "value_out"),
    "sparse": ("preconditioner",),
}
"""The weights of each form."""


def _mapped(tokens: Tensor, matrix: Tensor) -> Tensor:
    """Return M e_j for every token and head: ``[*batch, H, T, D]``."""
    return tokens[..., None, :, :] @ matrix.mT


def _with_sink(queries: Tensor, keys: Tensor, values: Tensor, sink: float) -> Tensor:
    """Return softmax attention whose normaliser has ``sink`` added."""
    if not sink:
        return softmax_attention(queries, keys, values, scale=1.0)
    scores = queries @ keys.mT
    everything = torch.cat([scores, torch.full_like(scores[..., :1], sink).log()], dim=-1)
    return torch.softmax(everything, dim=-1)[..., :-1] @ values


def _same_shape(layers: Sequence[Pair]) -> list[Pair]:
    """Return the layers with an axis for heads, or say what does not fit."""
    full = [tuple(m[None] if m.ndim == 2 else m for m in layer) for layer in layers]
    shapes = {tuple(m.shape) for layer in full for m in layer}
    shape = next(iter(shapes))
    if len(shapes) > 1 or len(shape) != 3 or shape[-1] != shape[-2] or shape[-1] < 2:
        raise ValueError(
            f"matrices have shapes {sorted(shapes)}; expected all [D, D] or [H, D, D] alike"
        )
    return full
