r"""Weights, chosen by hand, that make attention an algorithm.

A token is e = (x, y), of width D = d + 1; a query is (x_q, 0). One layer of linear attention adds

.. math:: e_j \leftarrow e_j + V \sum_{i \le N} e_i\,(e_i^\top M\, e_j), \qquad
          M = W_K^\top W_Q, \quad V = P W_V

to every token, and the answer is −1 times the last place of the query. Each function here returns
layers as pairs (M, V), called key_query and value_out; with one step in each layer, a list of them.
They are plain tensors: :meth:`icl_lib.models.linear_transformer.LinearTransformer.from_layers`
makes a network of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Layer = tuple[Tensor, Tensor]
SECOND_HEADS = ("opposite", "uniform")


class Projections(NamedTuple):
    """The four matrices of one head, each ``[D, D]``."""

    key: Tensor
    query: Tensor
    value: Tensor
    out: Tensor

    def merged(self) -> Layer:
        """Return the two products that matter, W_KᵀW_Q and P W_V."""
        return self.key.mT @ self.query, self.out @ self.value


def one_step(
    dimension: int,
    examples: int,
    step_size: float,
    *,
    start: Float[Tensor, " d"] | None = None,
    dtype: torch.dtype = torch.float64,
) -> Projections:
    r"""Return the head that takes one step of gradient descent on ½N⁻¹Σ(w·x_i − y_i)².

    .. math:: W_K = W_Q = \begin{pmatrix} I & 0 \\ 0 & 0 \end{pmatrix}, \quad
              W_V = \begin{pmatrix} 0 & 0 \\ W_0 & -1 \end{pmatrix}, \quad
              P = \frac{\eta}{N} I

    The head writes W₀·x_i − y_i, the slope of the loss of example i, times x_i·x_j into the last
    place of token j. So y_j becomes y_j − Δw·x_j: the targets are moved instead of the weights.

    Parameters
    ----------
    dimension, examples
        d and N.
    step_size
        η.
    start
        W₀, 0 if not given. The query's token must then hold −W₀·x_q in its last place.
    dtype
        Of the matrices.

    Raises
    ------
    ValueError
        If a size is not positive, or ``start`` does not have d entries.

    Source: von Oswald et al. (2023).

    Explained in: 11_one_step
    """
    _check_sizes(dimension=dimension, examples=examples)
    reads = torch.eye(dimension + 1, dtype=dtype)
    reads[-1, -1] = 0.0
    value = torch.zeros_like(reads)
    value[-1, -1] = -1.0
    if start is not None:
        if start.shape != (dimension,):
            raise ValueError(f"start has shape {tuple(start.shape)}, expected ({dimension},)")
        value[-1, :-1] = start
    return Projections(reads, reads, value, step_size / examples * torch.eye(len(reads)).to(reads))


def descent_layers(
    dimension: int,
    examples: int,
    step_sizes: Sequence[float],
    *,
    preconditioners: Sequence[Float[Tensor, "d d"]] | None = None,
    start: Float[Tensor, " d"] | None = None,
    dtype: torch.dtype = torch.float64,
) -> list[Layer]:
    r"""Return layers that take one step of gradient descent each.

    .. math:: w \leftarrow w - \frac{\eta_l}{N} A_l \sum_i (w · x_i - y_i)\,x_i

    A_l goes into key_query: token i is compared with token j by (A_l x_i)·x_j.

    Parameters
    ----------
    dimension, examples
        d and N.
    step_sizes
        η_l, one for each layer.
    preconditioners
        A_l, one for each layer; the identity if not given.
    start
        W₀, see :func:`one_step`; each layer subtracts the same W₀·x.
    dtype
        Of the matrices.

    Raises
    ------
    ValueError
        As :func:`one_step`, or if there is no layer, or not one A_l of shape [d, d] for each.

    Source: von Oswald et al. (2023); Ahn et al. (2023) for A_l.

    Explained in: 11_one_step
    """
    if not step_sizes:
        raise ValueError("expected at least one step size, got none")
    layers = []
    for step_size in step_sizes:
        layers.append(one_step(dimension, examples, step_size, start=start, dtype=dtype).merged())
    if preconditioners is None:
        return layers
    shapes = [tuple(matrix.shape) for matrix in preconditioners]
    if shapes != [(dimension, dimension)] * len(layers):
        raise ValueError(
            f"expected {len(layers)} preconditioners of shape {(dimension, dimension)}, "
            f"got {shapes}"
        )
    pad = torch.nn.functional.pad
    return [
        (pad(matrix.mT.to(dtype), (0, 1, 0, 1)), value_out)
        for matrix, (_, value_out) in zip(preconditioners, layers, strict=True)
    ]


def gd_plus_plus_layers(
    dimension: int,
    examples: int,
    step_sizes: Sequence[float],
    shrinks: Sequence[float],
    *,
    dtype: torch.dtype = torch.float64,
) -> list[Layer]:
    r"""Return layers that take a step and reshape the inputs for the next one: GD++.

    .. math:: x_j \leftarrow (I - \gamma_l X^\top X)\, x_j, \qquad
              V = \begin{pmatrix} -\gamma_l I & 0 \\ 0 & -\eta_l / N \end{pmatrix}

    The first block of V acts on the same sum over demonstrations as the last: with Σ x_i (x_i·x_j)
    in place of Σ y_i (x_i·x_j), token j loses γ XᵀX x_j. Directions in which the inputs vary much
    shrink most, so the next step sees a rounder bowl.

    Parameters
    ----------
    dimension, examples
        d and N.
    step_sizes, shrinks
        η_l and γ_l, one of each for every layer; γ multiplies the unnormalised XᵀX = Σ x_i x_iᵀ.
    dtype
        Of the matrices.

    Raises
    ------
    ValueError
        As :func:`descent_layers`, or if there are not as many γ as η.

    Source: von Oswald et al. (2023).

    Explained in: 12_deeper
    """
    if len(step_sizes) != len(shrinks):
        raise ValueError(f"got {len(step_sizes)} step sizes and {len(shrinks)} shrinks")
    layers = descent_layers(dimension, examples, step_sizes, dtype=dtype)
    for (_, value_out), shrink in zip(layers, shrinks, strict=True):
        value_out.diagonal()[:-1] = -shrink
    return layers


def softmax_step(
    dimension: int,
    examples: int,
    step_size: float,
    temperature: float,
    *,
    second: str = "opposite",
    sink: float = 0.0,
    dtype: torch.dtype = torch.float64,
) -> Layer:
    r"""Return two softmax heads whose difference tends to one step as the temperature grows.

    With scores s_i = x_i·x_j and p the softmax of s/τ, in which a sink of weight S takes part,

    .. math:: \frac{(N + S)\,\tau}{2}\,\bigl(p_i(s/\tau) - p_i(-s/\tau)\bigr)
              \;=\; s_i - \frac{\sum_k s_k}{N + S} + O(\tau^{-2}).

    Without a sink the limit is a step on inputs from which their mean was taken. With S = Nτ² it is
    the plain step. A second head of equal weights, with the factor (N + S) τ, has error O(1/τ).

    Parameters
    ----------
    dimension, examples
        d and N; for another number of demonstrations the factor is wrong.
    step_size
        η.
    temperature
        τ, positive; it divides the scores.
    second
        ``opposite``: the second head has the scores −s; ``uniform``: it has none.
    sink
        S; the network must be built with the same.
    dtype
        Of the matrices.

    Returns
    -------
    tuple
        key_query and value_out, ``[2, D, D]`` each.

    Raises
    ------
    ValueError
        As :func:`one_step`, or if τ is not positive, S negative, or the word unknown.

    Source: the expansion of the softmax around equal weights, derived in the chapter; that one
    softmax layer needs two heads is an observation of von Oswald et al. (2023).

    Explained in: 11_one_step
    """
    if second not in SECOND_HEADS:
        raise ValueError(f"second must be one of {SECOND_HEADS}, got {second!r}")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if not sink >= 0:
        raise ValueError(f"sink must not be negative, got {sink}")
    key_query, value_out = one_step(dimension, examples, step_size, dtype=dtype).merged()
    other, factor = (-1.0, 0.5) if second == "opposite" else (0.0, 1.0)
    factor *= (examples + sink) * temperature
    scores = torch.stack([key_query, other * key_query]) / temperature
    return scores, factor * torch.stack([value_out, -value_out])


def rescaled(layer: Layer) -> Layer:
    r"""Return an equal layer whose key_query has 1 as the mean of its input diagonal.

    M and V enter as a product: M/c and cV are the same layer for every c ≠ 0. With this c two
    layers can be compared entry by entry.

    Parameters
    ----------
    layer
        key_query and value_out, ``[D, D]`` each, or with heads in front.

    Raises
    ------
    ValueError
        If that mean is 0: then no factor makes it 1.

    Source: von Oswald et al. (2023), who rescale before they compare and average.

    Explained in: 11_one_step
    """
    key_query, value_out = layer
    scale = key_query.diagonal(dim1=-2, dim2=-1)[..., :-1].mean()
    if scale == 0:
        raise ValueError("the mean of key_query's input diagonal is 0; it cannot be made 1")
    return key_query / scale, value_out * scale


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
