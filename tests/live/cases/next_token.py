"""NextToken against icl_lib.models.sampling.next_token_distribution in float64."""

import base64

import numpy as np
import torch
from live.harness import Case, Move

from icl_lib.live import NextToken
from icl_lib.models.sampling import next_token_distribution

PREFIXES = ["今日は", "今日はいい", "The sea is"]
WORDS = ["いい", " calm", " blue", "雨", "。", " the", " weather", "天気"]
TOKENS = [*WORDS, *(f"t{i}" for i in range(len(WORDS), 300))]


def make() -> NextToken:
    generator = torch.Generator().manual_seed(5)
    logits = 1.5 * torch.randn(len(PREFIXES), len(TOKENS), generator=generator)
    logits[:, : len(WORDS)] += 4
    logits[0, 0] = 7.0
    return NextToken(PREFIXES, logits, TOKENS, start=2)


def uniform(seed: int, count: int) -> list[float]:
    """Return numbers in [0, 1) from the generator mulberry32."""
    found, state, mask = [], seed, 0xFFFFFFFF
    for _ in range(count):
        state = (state + 0x6D2B79F5) & mask
        x = ((state ^ (state >> 15)) * (state | 1)) & mask
        x ^= (x + (((x ^ (x >> 7)) * (x | 61)) & mask)) & mask
        found.append((x ^ (x >> 14)) / 2**32)
    return found


def bits(p: torch.Tensor) -> float:
    return -(torch.xlogy(p, p).sum() / torch.log(torch.tensor(2.0, dtype=p.dtype))).item()


def reference(state: dict) -> dict:
    packed = np.frombuffer(base64.b64decode(state["logits"]), dtype="<f4")
    logits = torch.tensor(packed, dtype=torch.float64).view(len(state["prefixes"]), -1)
    z = logits[state["prefix"]]
    before = next_token_distribution(z, temperature=state["temperature"])
    p = next_token_distribution(
        z, temperature=state["temperature"], top_k=state["top_k"] or None, top_p=state["top_p"]
    )
    order = z.argsort(descending=True, stable=True)
    u = torch.tensor(uniform(state["seed"], 20), dtype=torch.float64)
    draws = order[torch.searchsorted(p[order].cumsum(0), u, right=True)]
    return {
        **{f"p_{i}": p[token].item() for i, token in enumerate(order[:12])},
        "others": p[order[12:]].sum().item(),
        "kept": (p > 0).sum().item(),
        "share": before[p > 0].sum().item(),
        "entropy_before": bits(before),
        "entropy": bits(p),
        "perplexity": 2 ** bits(p),
        "draws": draws if state["seed"] else [],
    }


CASE = Case(
    make=make,
    moves=(
        Move("slider", "Temperature τ", "ArrowRight", 6),
        Move("slider", "Top-p", "ArrowLeft", 8),
        Move("combobox", "Text so far", "ArrowUp", 2),
        Move("button", "Draw 20 tokens", "Enter", 2),
        Move("button", "Append いい", "Enter"),
        Move("button", "Plain: τ = 1, no cut", "Space"),
        Move("combobox", "Top-k keeps", "ArrowDown", 6),
        Move("slider", "Top-p", "ArrowLeft", 7),
        Move("slider", "Temperature τ", "ArrowLeft", 11),
    ),
    reference=reference,
)
