"""From logits to the next token: greedy, temperature, top-k, top-p."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise ``ValueError`` if a sampling option is out of range."""
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}; use greedy=True for 0")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p}")


def next_token_distribution(
    logits: Float[Tensor, "*batch V"],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, "*batch V"]:
    r"""Return the probabilities from which the next token is drawn.

    .. math:: p ∝ \exp(z / τ), restricted to the allowed tokens

    Parameters
    ----------
    logits
        z.
    temperature
        τ > 0; below 1 sharper, above 1 flatter.
    top_k
        Keep the k likeliest tokens; all tokens tied with the k-th stay.
    top_p
        Keep the likeliest tokens up to the first at which their sum reaches p (nucleus sampling).
        Applied after temperature and top-k. The likeliest token always stays.

    Raises
    ------
    ValueError
        If an option is out of range.

    Source: Holtzman et al. (2020) for top-p, Fan et al. (2018) for top-k.

    Explained in: 03_gpt
    """
    check_sampling(temperature, top_k, top_p)
    z = logits / temperature
    if top_k is not None and top_k < z.shape[-1]:
        z = z.masked_fill(z < z.topk(top_k).values[..., -1:], float("-inf"))
    p = torch.softmax(z, dim=-1)
    if top_p is None or top_p == 1:
        return p
    ordered, order = p.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    kept = torch.where(before < top_p, ordered, 0.0)
    p = torch.zeros_like(p).scatter(-1, order, kept)
    return p / p.sum(-1, keepdim=True)


def choose(
    logits: Float[Tensor, "B V"],
    *,
    greedy: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "B 1"]:
    """Return one next token for each sequence.

    Parameters
    ----------
    logits
        Logits of the last position.
    greedy
        Take the likeliest token; the other options are then not used.
    temperature, top_k, top_p
        As in :func:`next_token_distribution`.
    generator
        Source of randomness; needed unless ``greedy``, so that a text can be made again. The draw
        happens on its device, so a generator on the CPU serves every model.

    Raises
    ------
    ValueError
        If neither ``greedy`` nor ``generator`` is given.

    Explained in: 03_gpt
    """
    if greedy:
        return logits.argmax(dim=-1, keepdim=True)
    if generator is None:
        raise ValueError("sampling needs a generator=torch.Generator().manual_seed(…), got none")
    p = next_token_distribution(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    return torch.multinomial(p.to(generator.device), 1, generator=generator).to(p.device)
