"""One GPT: a decoder-only transformer that can be read from top to bottom in one sitting.

Letters: ``B`` batch, ``T`` new positions, ``S`` all positions so far, ``D`` width, ``H`` heads,
``K`` head width, ``V`` vocabulary. Scores, keys and the like are recorded through
:class:`icl_lib.models.record.Record`; the mathematics of attention is in ``attention.py``.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from icl_lib.models.attention import (
    attention_scores,
    attention_weights,
    fused_attention,
    softmax_attention,
)
from icl_lib.models.config import ACTIVATIONS, GPTConfig, sinusoids
from icl_lib.models.record import Record
from icl_lib.models.sampling import check_sampling, choose


class Cache:
    """Keys and values of the positions seen so far, so that each is computed once.

    Space for the whole context, 2 · L · B · H · C · K numbers for a context of C positions, is
    taken at the start, however short the text; :meth:`extend` writes into it and returns views.
    Meant for inference: writing in place does not keep gradients, so it refuses them.
    """

    def __init__(self, config: GPTConfig, batch: int, like: Tensor):
        shape = (config.layers, batch, config.heads, config.context, config.head_width)
        self.keys, self.values = like.new_empty(shape), like.new_empty(shape)
        self.length = 0

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store new keys and values ``B H T K`` and return all so far, ``B H S K``."""
        if k.requires_grad:
            raise ValueError("a cache keeps no gradients; call the model under torch.no_grad()")
        if len(k) != self.keys.shape[1]:
            raise ValueError(f"the cache is for a batch of {self.keys.shape[1]}, got {len(k)}")
        end = self.length + k.shape[2]
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def repeat(self, times: int) -> "Cache":
        """Return the cache of ``times`` sequences that share this one's single prompt."""
        if self.keys.shape[1] != 1:
            raise ValueError(f"only one shared prompt can repeat, got {self.keys.shape[1]}")
        other = object.__new__(Cache)
        other.keys, other.values = (t.repeat(1, times, 1, 1, 1) for t in (self.keys, self.values))
        other.length = self.length
        return other


class Attention(nn.Module):
    """Causal multi-head softmax attention with separate query, key and value projections."""

    def __init__(self, config: GPTConfig, attend: Callable[..., Tensor] = fused_attention):
        super().__init__()
        self.attend = attend
        inner = config.heads * config.head_width
        self.heads, self.head_width = config.heads, config.head_width
        self.q_proj = nn.Linear(config.width, inner, config.bias)
        self.k_proj = nn.Linear(config.width, inner, config.bias)
        self.v_proj = nn.Linear(config.width, inner, config.bias)
        self.out_proj = nn.Linear(inner, config.width, config.bias)

    def split(self, x: Float[Tensor, "B T inner"]) -> Float[Tensor, "B H T K"]:
        """Cut the last axis into heads and bring them in front of the positions."""
        return x.unflatten(-1, (self.heads, self.head_width)).transpose(1, 2)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        layer: int = 0,
        mask: Bool[Tensor, "B 1 1 S"] | None = None,
        cache: Cache | None = None,
        record: Record | None = None,
    ) -> Float[Tensor, "B T D"]:
        q, k, v = self.split(self.q_proj(x)), self.split(self.k_proj(x)), self.split(self.v_proj(x))
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        if record is not None and record.needs_scores(layer):
            if self.attend not in (fused_attention, softmax_attention):
                raise ValueError("scores and weights can be recorded of softmax attention only")
            scores = attention_scores(q, k)
            weights = attention_weights(scores, causal=True, mask=mask)
            mixed = weights @ v
            record.put(layer, scores=scores, weights=weights)
        else:
            mixed = self.attend(q, k, v, causal=True, mask=mask)
        out = self.out_proj(mixed.transpose(1, 2).flatten(2))
        if record is not None:
            record.put(layer, queries=q, keys=k, values=v, head_output=mixed, attention_output=out)
        return out


class MLP(nn.Module):
    """Two linear layers with a non-linearity between them, applied to each position alone."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.up = nn.Linear(config.width, config.mlp_width, config.bias)
        self.down = nn.Linear(config.mlp_width, config.width, config.bias)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self.down(self.activation(self.up(x)))


class Block(nn.Module):
    """Attention, then an MLP; each adds to the residual stream."""

    def __init__(self, config: GPTConfig, attend: Callable[..., Tensor] = fused_attention):
        super().__init__()
        self.attention, self.mlp = Attention(config, attend), MLP(config)
        self.attention_norm = nn.LayerNorm(config.width, config.layer_norm_eps, bias=config.bias)
        self.mlp_norm = nn.LayerNorm(config.width, config.layer_norm_eps, bias=config.bias)
        self.dropout, self.pre = nn.Dropout(config.dropout), config.norm == "pre"

    def forward(self, x: Float[Tensor, "B T D"], *inputs) -> Float[Tensor, "B T D"]:
        if self.pre:
            x = x + self.dropout(self.attention(self.attention_norm(x), *inputs))
            return x + self.dropout(self.mlp(self.mlp_norm(x)))
        x = self.attention_norm(x + self.dropout(self.attention(x, *inputs)))
        return self.mlp_norm(x + self.dropout(self.mlp(x)))


class GPT(nn.Module):
    """A decoder-only transformer language model.

    Parameters
    ----------
    config
        Its shape.
    seed
        Seed of the initial weights; the global generator is neither used nor changed.
    device, dtype
        Where and in which precision the weights live; ``device="meta"`` takes no memory.
    attend
        The attention function, called as :func:`icl_lib.models.attention.softmax_attention` is;
        the fused form of it if not given.

    Source: Radford et al. (2018, 2019); Brown et al. (2020).

    Explained in: 03_gpt
    """

    def __init__(
        self,
        config: GPTConfig,
        *,
        seed: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        attend: Callable[..., Tensor] = fused_attention,
    ):
        super().__init__()
        self.config = config
        device = torch.get_default_device() if device is None else torch.device(device)
        with torch.device("meta"):
            if config.vocab_size is not None:
                self.tokens = nn.Embedding(config.vocab_size, config.width)
                if not config.tied:
                    self.head = nn.Linear(config.width, config.vocab_size, bias=False)
            if config.positions == "learned":
                self.places = nn.Embedding(config.context, config.width)
            elif config.positions == "sinusoidal":
                table = torch.empty(config.context, config.width)
                self.register_buffer("sinusoids", table, persistent=False)
            self.dropout = nn.Dropout(config.dropout)
            self.blocks = nn.ModuleList(Block(config, attend) for _ in range(config.layers))
            if config.norm == "pre":
                self.final_norm = nn.LayerNorm(
                    config.width, config.layer_norm_eps, bias=config.bias
                )
        self.to(dtype=dtype or torch.get_default_dtype())
        if device.type != "meta":
            self.to_empty(device=device)
            self.reset(seed)

    @torch.no_grad()
    def reset(self, seed: int) -> None:
        """Draw the initial weights anew, the same on every device."""
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if "norm" in name or name.endswith("bias"):
                weight.fill_(1.0 if name.endswith("weight") else 0.0)
                continue
            std = 0.02
            if self.config.init == "fan_in":
                std = 1.0 / math.sqrt(weight.shape[1])
            if name.endswith(("out_proj.weight", "down.weight")):
                std /= math.sqrt(2 * self.config.layers)
            draw = torch.empty(weight.shape, dtype=torch.float32)
            weight.copy_(draw.normal_(0.0, std, generator=generator))
        if self.config.positions == "sinusoidal":
            self.sinusoids.copy_(sinusoids(self.config))

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        *,
        mask: Bool[Tensor, "B S"] | None = None,
        cache: Cache | None = None,
        record: Record | None = None,
        last_only: bool = False,
    ) -> Float[Tensor, "B T2 V"]:
        """Return the logits of the next token at every position.

        Parameters
        ----------
        tokens
            Token numbers.
        mask
            ``False`` where a position is padding, for all ``S`` positions so far (left padding:
            positions are counted from the first real token).
        cache
            Keys and values of earlier positions, extended by this call.
        record
            What to remember of the pass.
        last_only
            Compute the logits of the last position alone.

        Raises
        ------
        ValueError
            If the positions exceed the context or the model has no token table.
        """
        if self.config.vocab_size is None:
            raise ValueError("this model has no token table (vocab_size=None); use run(vectors)")
        x = self.tokens(tokens)
        if self.config.embed_scale != 1.0:
            x = x * self.config.embed_scale
        x = self.run(x, mask=mask, cache=cache, record=record)
        return self.logits(x[:, -1:] if last_only else x)

    def run(
        self,
        x: Float[Tensor, "B T D"],
        *,
        mask: Bool[Tensor, "B S"] | None = None,
        cache: Cache | None = None,
        record: Record | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Return the final hidden states for embedded inputs ``x``, adding positions first.

        The arguments are those of :meth:`forward`. Inputs need not come from a token table: the
        regression models feed vectors.
        """
        past = 0 if cache is None else cache.length
        total = past + x.shape[1]
        if total > self.config.context:
            raise ValueError(
                f"{total} positions exceed the context of {self.config.context} by "
                f"{total - self.config.context}"
            )
        if record is not None:
            record.check(self.config.layers)
        x = self.dropout(self.add_positions(x, past, mask))
        wide = None if mask is None else mask[:, None, None, :]
        for layer, block in enumerate(self.blocks):
            x = block(x, layer, wide, cache, record)
        if cache is not None:
            cache.length = total
        return self.final_norm(x) if self.config.norm == "pre" else x

    def add_positions(self, x: Tensor, past: int, mask: Tensor | None) -> Tensor:
        """Add a vector that tells each position where it stands."""
        if self.config.positions == "none":
            return x
        learned = self.config.positions == "learned"
        table = self.places.weight if learned else self.sinusoids
        if mask is None:
            return x + table[past : past + x.shape[1]]
        if mask.shape[1] != past + x.shape[1]:
            raise ValueError(f"mask covers {mask.shape[1]} positions, not {past + x.shape[1]}")
        where = (mask.long().cumsum(1) - 1).clamp(min=0)[:, past:]
        return x + table[where]

    def logits(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T V"]:
        """Return the logits of hidden states: one score for each token of the vocabulary."""
        return F.linear(x, self.tokens.weight) if self.config.tied else self.head(x)

    def new_cache(self, batch: int) -> Cache:
        """Return an empty cache for ``batch`` sequences."""
        return Cache(self.config, batch, self.blocks[0].attention.k_proj.weight)

    def generate(
        self,
        prompt: Int[Tensor, "B T"],
        steps: int,
        *,
        greedy: bool = False,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generator: torch.Generator | None = None,
        mask: Bool[Tensor, "B T"] | None = None,
    ) -> Int[Tensor, "B total"]:
        """Continue each prompt by ``steps`` tokens and return prompt and continuation.

        Parameters
        ----------
        prompt
            At least one token for each sequence.
        steps
            Number of new tokens.
        greedy, temperature, top_k, top_p, generator
            How the next token is chosen, see :func:`icl_lib.models.sampling.choose`.
        mask
            ``False`` where a shorter prompt is padded on the left.

        Raises
        ------
        ValueError
            If prompt and steps exceed the context (by how much is said), an option is off, or a
            prompt is padded on the right.
        """
        check_sampling(temperature, top_k, top_p)
        total = prompt.shape[1] + steps
        if total > self.config.context or not prompt.shape[1] or steps < 0:
            raise ValueError(
                f"prompt of {prompt.shape[1]} tokens and {steps} steps do not fit a context of "
                f"{self.config.context} tokens ({max(0, total - self.config.context)} too many)"
            )
        if mask is not None and not bool(mask[:, -1].all()):
            raise ValueError("pad shorter prompts on the left; here a prompt ends in padding")
        out = F.pad(prompt, (0, steps))
        how = {"greedy": greedy, "temperature": temperature, "top_k": top_k, "top_p": top_p}
        training = self.training
        self.eval()
        try:
            with torch.inference_mode():
                self._continue(out, prompt.shape[1], mask, generator=generator, **how)
        finally:
            self.train(training)
        return out

    def _continue(self, out: Tensor, start: int, mask: Tensor | None, **how) -> None:
        """Fill ``out`` from position ``start`` on, each token seen by the model once."""
        cache, new = self.new_cache(len(out)), out[:, :start]
        for place in range(start, out.shape[1]):
            logits = self(new, mask=mask, cache=cache, last_only=True)[:, -1]
            new = choose(logits, **how)
            out[:, place : place + 1] = new
            mask = None if mask is None else F.pad(mask, (0, 1), value=True)
