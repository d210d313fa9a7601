"""The shape of a GPT, checked when it is written down."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
}


@dataclass(frozen=True)
class GPTConfig:
    """Everything that fixes the shape of a GPT.

    Parameters
    ----------
    vocab_size
        V, or ``None`` for a model without token table and head, fed with vectors (:meth:`GPT.run`).
    context
        Largest number of positions.
    layers, heads, width
        L, H, D.
    head_width, mlp_width
        K, ``width / heads`` if not given; hidden width of the MLP, ``4 · width`` if not given.
    positions
        ``learned`` table, fixed ``sinusoidal`` table, or ``none``.
    position_offset, embed_scale
        First row of the sinusoidal table, factor on the token embedding (fairseq: 2 and √D).
    activation
        ``gelu`` (exact), ``gelu_tanh`` (GPT-2's approximation), ``relu``.
    norm
        ``pre``: normalise before attention and MLP and once at the end (GPT-2 on); ``post``: after
        each residual sum (GPT-1).
    tied
        Use the token table as the head, too.
    bias
        Biases in projections and norms.
    dropout
        Probability, on embeddings and both residual branches while training. Differs from GPT-1
        and GPT-2, which also drop attention weights: the fused and the readable attention stay
        the same function.
    layer_norm_eps
        ε in the layer norms.
    init
        ``gpt2``: standard deviation 0.02, residual projections divided by √(2L); ``fan_in``:
        1/√(inputs), better for small widths.

    Raises
    ------
    ValueError
        If a number is out of range, or the width does not split into the heads.
    """

    vocab_size: int | None
    context: int
    layers: int
    heads: int
    width: int
    head_width: int | None = None
    mlp_width: int | None = None
    positions: str = "learned"
    position_offset: int = 0
    embed_scale: float = 1.0
    activation: str = "gelu_tanh"
    norm: str = "pre"
    tied: bool = True
    bias: bool = True
    dropout: float = 0.0
    layer_norm_eps: float = 1e-5
    init: str = "gpt2"

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context", "layers", "heads", "width"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.head_width is None:
            if self.width % self.heads:
                raise ValueError(f"width {self.width} does not split into {self.heads} heads")
            object.__setattr__(self, "head_width", self.width // self.heads)
        if self.mlp_width is None:
            object.__setattr__(self, "mlp_width", 4 * self.width)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")
        choices = {
            "positions": ("learned", "sinusoidal", "none"),
            "activation": tuple(ACTIVATIONS),
            "norm": ("pre", "post"),
            "init": ("gpt2", "fan_in"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")


def sinusoids(config: GPTConfig) -> Float[Tensor, "context D"]:
    r"""Return the fixed table of positions: sines in the first half, cosines in the second.

    .. math:: \sin(t\,ω_j), \cos(t\,ω_j), \qquad ω_j = 10000^{-j/(D/2-1)}

    Computed in float32, as the trained models had it; an odd width leaves the last column 0.

    Source: the convention of fairseq, which Dai et al. (2023) use; Vaswani et al. (2017) interleave
    sines and cosines and divide by D/2.

    Explained in: 03_gpt
    """
    half = config.width // 2
    rate = torch.exp(torch.arange(half).float() * (-math.log(10_000) / max(1, half - 1)))
    place = torch.arange(config.context).float() + config.position_offset
    angle = place[:, None] * rate
    table = torch.zeros(config.context, config.width, dtype=torch.float32)
    table[:, :half], table[:, half : 2 * half] = angle.sin(), angle.cos()
    return table
