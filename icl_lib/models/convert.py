"""From `transformers` checkpoints to the book's GPT: GPT-2, and the fairseq dense models as XGLM.

Weights are only renamed, cut and transposed, never computed with: the tests compare logits in
float64 to 1e-10. ``transformers`` is an optional extra (``pip install 'icl-lib[hf]'``).
"""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from icl_lib.models.config import GPTConfig
from icl_lib.models.gpt import GPT

GPT2_ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu"}
XGLM_ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "gelu_new": "gelu_tanh"}


class ConversionError(ValueError):
    """A model cannot be had or has a part that the book's GPT lacks; the message says which."""


def load_pretrained(
    name: str | Path,
    *,
    offline: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> GPT:
    """Load a GPT-2 or XGLM checkpoint and return it as a :class:`icl_lib.models.gpt.GPT`.

    Parameters
    ----------
    name
        A hub name such as ``"openai-community/gpt2"``, or a folder written by ``save_pretrained``.
    offline
        Look only at folders and at what was downloaded before.
    device, dtype
        Where and in which precision the result lives.

    Raises
    ------
    ConversionError
        If nothing is found (what was looked for, and how to get it), or the model is of a kind or
        has an option that the book's GPT lacks.

    Source: Radford et al. (2019) for GPT-2; Artetxe et al. (2021) for the fairseq dense models.

    Explained in: 03_gpt
    """
    transformers = _transformers()
    where = str(name)
    try:
        config = transformers.AutoConfig.from_pretrained(where, local_files_only=offline)
        _reader(config)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            where, local_files_only=offline, dtype=dtype
        )
    except ConversionError:
        raise
    except (OSError, ValueError) as problem:
        raise ConversionError(_not_found(where, problem)) from problem
    return from_transformers(model, device=device, dtype=dtype)


def from_transformers(
    model: nn.Module,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> GPT:
    """Return a copy of a ``transformers`` model with the same logits.

    Parameters
    ----------
    model
        A ``GPT2LMHeadModel`` or an ``XGLMForCausalLM``.
    device, dtype
        Those of ``model`` if not given. Dropout is off in the copy.

    Raises
    ------
    ConversionError
        If the model is of another kind or uses an option that the book's GPT lacks.

    Explained in: 03_gpt
    """
    read_config, read_weights = _reader(model.config)
    config = read_config(model.config)
    weight = next(model.parameters())
    copy = GPT(config, device="meta", dtype=dtype or weight.dtype)
    copy.to_empty(device=device or weight.device)
    copy.reset(0)  # fills the table of sinusoids; all else is overwritten
    state = read_weights(model.state_dict(), config)
    copy.load_state_dict(state)
    return copy.eval()


def gpt2_config(source) -> GPTConfig:
    """Return the shape of a GPT-2, given its ``transformers`` configuration."""
    _need(source, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False)
    return GPTConfig(
        vocab_size=source.vocab_size,
        context=source.n_positions,
        layers=source.n_layer,
        heads=source.n_head,
        width=source.n_embd,
        mlp_width=source.n_inner,
        activation=_activation(source, GPT2_ACTIVATIONS),
        tied=source.tie_word_embeddings,
        layer_norm_eps=source.layer_norm_epsilon,
    )


def gpt2_weights(state: Mapping[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
    """Rename GPT-2's weights; its matrices are stored ``in × out`` and q, k, v side by side."""
    new = {
        "tokens.weight": state["transformer.wte.weight"],
        "places.weight": state["transformer.wpe.weight"],
    }
    if not config.tied:
        new["head.weight"] = state["lm_head.weight"]
    names = {"ln_1": "attention_norm", "ln_2": "mlp_norm"}
    linear = {"attn.c_proj": "attention.out_proj", "mlp.c_fc": "mlp.up", "mlp.c_proj": "mlp.down"}
    for kind in ("weight", "bias"):
        new[f"final_norm.{kind}"] = state[f"transformer.ln_f.{kind}"]
        for layer in range(config.layers):
            old, to = f"transformer.h.{layer}.", f"blocks.{layer}."
            for theirs, ours in names.items():
                new[f"{to}{ours}.{kind}"] = state[f"{old}{theirs}.{kind}"]
            for theirs, ours in linear.items():
                new[f"{to}{ours}.{kind}"] = _turned(state[f"{old}{theirs}.{kind}"])
            parts = _turned(state[f"{old}attn.c_attn.{kind}"]).chunk(3)
            for part, ours in zip(parts, ("q_proj", "k_proj", "v_proj"), strict=True):
                new[f"{to}attention.{ours}.{kind}"] = part
    return new


def _turned(x: Tensor) -> Tensor:
    return x.T if x.ndim == 2 else x


def xglm_config(source) -> GPTConfig:
    """Return the shape of an XGLM: sinusoidal positions from row 2, exact GELU, scaled tokens."""
    _need(source, add_cross_attention=False)
    return GPTConfig(
        vocab_size=source.vocab_size,
        context=source.max_position_embeddings,
        layers=source.num_layers,
        heads=source.attention_heads,
        width=source.d_model,
        mlp_width=source.ffn_dim,
        positions="sinusoidal",
        position_offset=2,
        embed_scale=math.sqrt(source.d_model) if source.scale_embedding else 1.0,
        activation=_activation(source, XGLM_ACTIVATIONS),
        tied=source.tie_word_embeddings,
    )


def xglm_weights(state: Mapping[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
    """Rename the weights of an XGLM."""
    new = {"tokens.weight": state["model.embed_tokens.weight"]}
    if not config.tied:
        new["head.weight"] = state["lm_head.weight"]
    names = {
        "self_attn_layer_norm": "attention_norm",
        "final_layer_norm": "mlp_norm",
        "fc1": "mlp.up",
        "fc2": "mlp.down",
    }
    names |= {
        f"self_attn.{p}": f"attention.{p}" for p in ("q_proj", "k_proj", "v_proj", "out_proj")
    }
    for kind in ("weight", "bias"):
        new[f"final_norm.{kind}"] = state[f"model.layer_norm.{kind}"]
        for layer in range(config.layers):
            for theirs, ours in names.items():
                new[f"blocks.{layer}.{ours}.{kind}"] = state[
                    f"model.layers.{layer}.{theirs}.{kind}"
                ]
    return new


def _reader(source):
    readers = {"gpt2": (gpt2_config, gpt2_weights), "xglm": (xglm_config, xglm_weights)}
    if source.model_type not in readers:
        raise ConversionError(
            f"can convert models of type {', '.join(readers)}, got {source.model_type!r}"
        )
    return readers[source.model_type]


def _need(source, **wanted) -> None:
    for name, value in wanted.items():
        found = getattr(source, name, value)
        if found != value:
            raise ConversionError(f"cannot convert a model with {name}={found!r}, only {value!r}")


def _activation(source, known: Mapping[str, str]) -> str:
    if source.activation_function not in known:
        raise ConversionError(
            f"cannot convert activation {source.activation_function!r}, only {', '.join(known)}"
        )
    return known[source.activation_function]


def _transformers():
    try:
        import transformers
    except ImportError as problem:
        raise ConversionError(
            "loading pretrained models needs transformers: pip install 'icl-lib[hf]'"
        ) from problem
    return transformers


def _not_found(name: str, problem: Exception) -> str:
    return (
        f"looked for {name!r} as a local folder, in the download cache, and (unless offline) on "
        f"huggingface.co, and could not load it. With a network, `hf download {name}` fetches "
        "it once. Without one, copy a folder written by save_pretrained (config.json and "
        "model.safetensors) from elsewhere and give its path. "
        f"What went wrong: {str(problem).strip().splitlines()[0] if str(problem) else problem!r}"
    )
