"""A forward pass taken apart: one prompt's beginning is read once and shared by all queries.

Letters: ``B`` queries, ``T`` positions of the longest query, ``N`` positions of the shared
beginning, ``L`` layers, ``H`` heads, ``K`` head width, ``D`` width.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from icl_lib.models.attention import fused_attention, softmax_attention
from icl_lib.models.gpt import GPT, Block


@dataclass(frozen=True, eq=False)
class Prefix:
    """The shared beginning of many prompts: its keys and values in every layer.

    Attributes
    ----------
    tokens
        Its tokens, perhaps none.
    demonstration
        Which of them belong to a demonstration's text or label: not the opening, no separators.
    keys, values
        In each layer.
    """

    tokens: Int[Tensor, "N"]
    demonstration: Bool[Tensor, "N"]
    keys: Float[Tensor, "L H N K"]
    values: Float[Tensor, "L H N K"]

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, eq=False)
class Step:
    """What one layer's attention saw and did; the scores are q·k/√K, −∞ for the future.

    ``P`` are the positions that ask: all ``T``, but in the last layer only those that matter.

    Attributes
    ----------
    inputs
        What the projections read: normalised, in a pre-norm model.
    queries, keys, values
        Queries of the positions that ask, keys and values of all.
    scores_prefix, scores
        On the shared beginning and on the new positions.
    weights_prefix, weights
        The same after mask and softmax over both.
    head_output, attention_output
        Before and after the output projection.
    """

    inputs: Float[Tensor, "B T D"]
    queries: Float[Tensor, "B H P K"]
    keys: Float[Tensor, "B H T K"]
    values: Float[Tensor, "B H T K"]
    scores_prefix: Float[Tensor, "B H P N"]
    scores: Float[Tensor, "B H P T"]
    weights_prefix: Float[Tensor, "B H P N"]
    weights: Float[Tensor, "B H P T"]
    head_output: Float[Tensor, "B H P K"]
    attention_output: Float[Tensor, "B P D"]


def check_model(model: GPT) -> None:
    """Raise ``ValueError`` if a model has no token table or another attention than softmax.

    Explained in: 16_paper_experiment
    """
    if model.config.vocab_size is None:
        raise ValueError("this model has no token table; the protocol needs a language model")
    for layer, block in enumerate(model.blocks):
        if block.attention.attend not in (fused_attention, softmax_attention):
            name = getattr(block.attention.attend, "__name__", block.attention.attend)
            raise ValueError(f"the protocol knows softmax attention; layer {layer} has {name}")


def embed(model: GPT, tokens: Int[Tensor, "B T"], past: int = 0) -> Float[Tensor, "B T D"]:
    """Return tokens as vectors with their positions, the first of which is ``past``.

    Raises
    ------
    ValueError
        If the positions exceed the context.

    Explained in: 16_paper_experiment
    """
    total, context = past + tokens.shape[1], model.config.context
    if total > context:
        raise ValueError(f"{total} positions exceed the context of {context} by {total - context}")
    return model.add_positions(model.tokens(tokens) * model.config.embed_scale, past, None)


def attention_input(block: Block, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
    """Return what a block's projections read.

    Explained in: 16_paper_experiment
    """
    return block.attention_norm(x) if block.pre else x


def project(block: Block, inputs: Float[Tensor, "B T D"]) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values, ``B H T K``.

    Explained in: 16_paper_experiment
    """
    a = block.attention
    return a.split(a.q_proj(inputs)), a.split(a.k_proj(inputs)), a.split(a.v_proj(inputs))


def complete(
    block: Block, x: Float[Tensor, "B T D"], mixed: Float[Tensor, "B H T K"]
) -> tuple[Tensor, Tensor]:
    """Return the block's result and its attention output, given the mixed values of each head.

    Explained in: 16_paper_experiment
    """
    out = block.attention.out_proj(mixed.transpose(1, 2).flatten(2))
    if block.pre:
        x = x + out
        return x + block.mlp(block.mlp_norm(x)), out
    x = block.attention_norm(x + out)
    return block.mlp_norm(x + block.mlp(x)), out


def final_norm(model: GPT, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
    """Return what the head reads.

    Explained in: 16_paper_experiment
    """
    return model.final_norm(x) if model.config.norm == "pre" else x


@torch.no_grad()
def read_prefix(
    model: GPT,
    tokens: Int[Tensor, "N"],
    demonstration: Bool[Tensor, "N"] | None = None,
) -> Prefix:
    """Read the beginning of a prompt once and keep its keys and values.

    Parameters
    ----------
    model
        Reads.
    tokens
        The beginning, perhaps empty.
    demonstration
        Which tokens belong to demonstrations; none if not given.

    Raises
    ------
    ValueError
        If it exceeds the context.

    Explained in: 16_paper_experiment
    """
    tokens = tokens.to(model.tokens.weight.device)
    x, keys, values = embed(model, tokens[None]), [], []
    for block in model.blocks:
        q, k, v = project(block, attention_input(block, x))
        x, _ = complete(block, x, fused_attention(q, k, v, causal=True) if len(tokens) else q)
        keys.append(k[0])
        values.append(v[0])
    if demonstration is None:
        demonstration = torch.zeros(len(tokens), dtype=torch.bool)
    return Prefix(tokens, demonstration.to(tokens.device), torch.stack(keys), torch.stack(values))


def attend_after(
    q: Float[Tensor, "B H P K"],
    k: Float[Tensor, "B H T K"],
    v: Float[Tensor, "B H T K"],
    k_prefix: Float[Tensor, "H N K"],
    v_prefix: Float[Tensor, "H N K"],
    places: Int[Tensor, "B P"] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return mixed values, scores and weights of causal attention behind a shared beginning.

    .. math:: p = \mathrm{softmax}([K'; K]\,q/\sqrt{K}), \qquad o = p\,[V'; V]

    The beginning's keys are multiplied with all queries at once and never copied.

    Parameters
    ----------
    q, k, v
        Of the new positions.
    k_prefix, v_prefix
        Of the beginning.
    places
        Where the queries stand among the new positions; query by query if not given.

    Returns
    -------
    mixed, scores, weights
        ``B H P K``, and twice ``B H P (N + T)``; scores of the future are −∞.

    Source: Dai et al. (2023), eq. 10.

    Explained in: 16_paper_experiment
    """
    q, n = q / math.sqrt(q.shape[-1]), k_prefix.shape[1]
    before = torch.einsum("bhtk,hnk->bhtn", q, k_prefix)
    scores = torch.cat([before, q @ k.mT], dim=-1)
    where = torch.arange(k.shape[2], device=q.device)
    last = where if places is None else places[:, None]
    scores[..., n:].masked_fill_(where > last[..., None], -math.inf)
    weights = scores.softmax(-1)
    mixed = weights[..., n:] @ v + torch.einsum("bhtn,hnk->bhtk", weights[..., :n], v_prefix)
    return mixed, scores, weights


@torch.no_grad()
def read_queries(
    model: GPT,
    tokens: Int[Tensor, "B T"],
    prefix: Prefix,
    see: Callable[[int, Step], None] | None = None,
    *,
    places: Int[Tensor, "B P"] | None = None,
) -> Float[Tensor, "B P D"]:
    """Read many queries behind one shared beginning and return their final hidden states.

    Parameters
    ----------
    model
        Reads; the beginning must have been read by it, too.
    tokens
        Queries, padded on the right: no real token sees padding.
    prefix
        The shared beginning.
    see
        Called with the number of each layer and what its attention did.
    places
        Positions whose hidden states matter; the last layer computes no others. All of them, if
        not given.

    Explained in: 16_paper_experiment
    """
    n, final = len(prefix), len(model.blocks) - 1
    x = embed(model, tokens, n)
    for layer, block in enumerate(model.blocks):
        inputs, ask = attention_input(block, x), places if layer == final else None
        q, k, v = project(block, inputs)
        if ask is not None:
            x, q = _at(x, ask, 1), _at(q, ask[:, None], 2)
        keys, values = prefix.keys[layer], prefix.values[layer]
        mixed, scores, weights = attend_after(q, k, v, keys, values, ask)
        x, out = complete(block, x, mixed)
        if see is not None:
            parts = scores[..., :n], scores[..., n:], weights[..., :n], weights[..., n:]
            see(layer, Step(inputs, q, k, v, *parts, mixed, out))
    return final_norm(model, x)


def _at(x: Tensor, places: Tensor, axis: int) -> Tensor:
    return torch.take_along_dim(x, places[..., None], axis)
