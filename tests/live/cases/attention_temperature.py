"""AttentionTemperature against torch."""

import torch
from live.harness import Case, Move

from icl_lib.live import AttentionTemperature

TOKENS = ["the", "cat", "sat", "because", "it", "was", "tired"]


def make() -> AttentionTemperature:
    generator = torch.Generator().manual_seed(3)
    queries, keys = torch.randn(2, len(TOKENS), 8, generator=generator)
    return AttentionTemperature(TOKENS, 2 * queries, 2 * keys, query=4)


def reference(state: dict) -> dict:
    q = torch.tensor(state["query_vectors"], dtype=torch.float64)[state["query"]]
    k = torch.tensor(state["key_vectors"], dtype=torch.float64)
    scores = k @ q / q.numel() ** 0.5 / state["temperature"]
    if state["causal"]:
        scores[state["query"] + 1 :] = -torch.inf
    weights = scores.softmax(0)
    entropy = -torch.xlogy(weights, weights).sum() / torch.log(torch.tensor(2.0)).double()
    shown = {f"weight_{i}": w for i, w in enumerate(weights.tolist())}
    return {**shown, "entropy": entropy.item(), "effective": 2 ** entropy.item()}


CASE = Case(
    make=make,
    moves=(
        Move("slider", "Temperature τ", "ArrowLeft", 25),
        Move("button", "Query token 6: was", "Enter"),
        Move("checkbox", "Causal: later tokens are hidden", "Space"),
    ),
    reference=reference,
)
