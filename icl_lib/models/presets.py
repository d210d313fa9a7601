"""Every model that the book names, and how to count its parameters by hand.

Build one without memory by ``GPT(preset("gpt2-xl"), device="meta")``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from icl_lib.models.config import GPTConfig

GPT2_REPORT = "Radford et al. (2019), table 2; released configurations"
GPT3_PAPER = "Brown et al. (2020), table 2.1"
FAIRSEQ = "Artetxe et al. (2021), table 1; fairseq's released dense models"


@dataclass(frozen=True)
class Preset:
    """One published model.

    Attributes
    ----------
    config
        Its shape.
    published
        Parameters as published, ``None`` if the source gives none.
    rounding
        Half of the last digit that the source prints: 0 for a count to the last parameter.
    source
        Where shape and count were read.
    note
        What is odd about it.
    """

    config: GPTConfig
    published: float | None
    rounding: float
    source: str
    note: str = ""


def _gpt2(layers: int, heads: int, width: int, published: int) -> Preset:
    return Preset(GPTConfig(50_257, 1024, layers, heads, width), published, 0, GPT2_REPORT)


def _gpt3(
    layers: int, width: int, heads: int, head_width: int, published: float, digit: float, note=""
) -> Preset:
    config = GPTConfig(50_257, 2048, layers, heads, width, head_width=head_width)
    note = f"{_SPARSE}; {note}" if note else _SPARSE
    return Preset(config, published, digit / 2, GPT3_PAPER, note)


def _fairseq(layers: int, width: int, heads: int) -> Preset:
    config = GPTConfig(
        51_200,
        2048,
        layers,
        heads,
        width,
        positions="sinusoidal",
        position_offset=2,
        embed_scale=math.sqrt(width),
        activation="gelu",
    )
    note = "shape from the release; the padded size of its token table is the book's assumption"
    return Preset(config, None, 0, FAIRSEQ, note)


_SPARSE = "the paper alternates dense and sparse attention layers; counts do not change"
_NAME = "counted 174.6 billion: the paper's 175 billion, though its table prints 175.0"
_MEDIUM = "counted 355.9 million, 1.7 % above the 350 million of the paper's table"
_ODD = "heads × head width is not the model width in the paper's table; built as printed"
_13B = f"{_ODD}; counted 12.94 billion, where the table prints 13.0"


def presets() -> Mapping[str, Preset]:
    """Return all presets by name.

    GPT-1 is post-norm. GPT-3's table is built as it is printed, oddities included.

    Explained in: 03_gpt
    """
    gpt1 = GPTConfig(40_478, 512, 12, 12, 768, norm="post", dropout=0.1)
    million, billion = 1e6, 1e9
    return MappingProxyType(
        {
            "gpt1": Preset(gpt1, None, 0, "Radford et al. (2018), section 4.1"),
            "gpt2": _gpt2(12, 12, 768, 124_439_808),
            "gpt2-medium": _gpt2(24, 16, 1024, 354_823_168),
            "gpt2-large": _gpt2(36, 20, 1280, 774_030_080),
            "gpt2-xl": _gpt2(48, 25, 1600, 1_557_611_200),
            "gpt3-small": _gpt3(12, 768, 12, 64, 125 * million, million),
            "gpt3-medium": _gpt3(24, 1024, 16, 64, 350 * million, 10 * million, _MEDIUM),
            "gpt3-large": _gpt3(24, 1536, 16, 96, 760 * million, 10 * million),
            "gpt3-xl": _gpt3(24, 2048, 24, 128, 1.3 * billion, 0.1 * billion, _ODD),
            "gpt3-2.7b": _gpt3(32, 2560, 32, 80, 2.7 * billion, 0.1 * billion),
            "gpt3-6.7b": _gpt3(32, 4096, 32, 128, 6.7 * billion, 0.1 * billion),
            "gpt3-13b": _gpt3(40, 5140, 40, 128, 13.0 * billion, 0.1 * billion, _13B),
            "gpt3-175b": _gpt3(96, 12_288, 96, 128, 175.0 * billion, billion, _NAME),
            "fairseq-125m": _fairseq(12, 768, 12),
            "fairseq-355m": _fairseq(24, 1024, 16),
            "fairseq-1.3b": _fairseq(24, 2048, 32),
            "fairseq-2.7b": _fairseq(32, 2560, 32),
            "fairseq-6.7b": _fairseq(32, 4096, 32),
            "fairseq-13b": _fairseq(40, 5120, 40),
        }
    )


def preset(name: str) -> GPTConfig:
    """Return the shape of one published model.

    Raises
    ------
    KeyError
        If the book has no such model; the message lists those it has.
    """
    known = presets()
    if name not in known:
        raise KeyError(f"no preset is called {name!r}; there are {', '.join(known)}")
    return known[name].config


def count_parameters(config: GPTConfig) -> dict[str, int]:
    r"""Return the number of trained parameters, item by item, by formula.

    With inner width I = H·K, hidden width M and biases:

    - token table :math:`V D`, positions :math:`C D` (a sinusoidal table is not trained)
    - attention :math:`L\,(3 (D I + I) + I D + D)`
    - MLP :math:`L\,(D M + M + M D + D)`
    - norms :math:`L · 2 · 2 D`, and :math:`2 D` at the end of a pre-norm model
    - head :math:`V D` unless tied

    Explained in: 03_gpt
    """
    d, m, layers = config.width, config.mlp_width, config.layers
    inner, bias = config.heads * config.head_width, int(config.bias)
    vocabulary = config.vocab_size or 0
    return {
        "token table": vocabulary * d,
        "positions": config.context * d if config.positions == "learned" else 0,
        "attention": layers * (3 * (d * inner + bias * inner) + inner * d + bias * d),
        "mlp": layers * (d * m + bias * m + m * d + bias * d),
        "norms": (2 * layers + (config.norm == "pre")) * (1 + bias) * d,
        "head": 0 if config.tied else vocabulary * d,
    }
