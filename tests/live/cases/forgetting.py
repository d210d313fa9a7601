"""Prices of a gain against the library's interpolation, bits lost against torch."""

import math

import torch
from live.harness import Case, Move

from icl_lib.finetune import cost_at_gain
from icl_lib.live import ForgettingTradeOff


def curve(name: str, seed: int, size: float) -> dict:
    g = torch.Generator().manual_seed(seed)
    gains = (0.5 + size * torch.rand(6, generator=g, dtype=torch.float64)).sort().values
    costs = 4 + torch.rand(6, generator=g, dtype=torch.float64).cumsum(0)
    change = torch.rand(6, generator=g, dtype=torch.float64).sort().values
    return {
        "name": name,
        "step_size": [1e-4 * 3**i for i in range(6)],
        "accuracy": gains,
        "perplexity": costs,
        "change": change,
        "completion": [f"いい天気ですね {i}" for i in range(6)],
    }


def reference(state: dict) -> dict:
    run, i = state["methods"][state["method"]], state["setting"]
    costs = torch.tensor(run["perplexity"], dtype=torch.float64)
    prices = [
        cost_at_gain(m["accuracy"], m["perplexity"], state["target"]) for m in state["methods"]
    ]
    return {
        "step_size": run["step_size"][i],
        "accuracy": run["accuracy"][i],
        "gain": run["accuracy"][i] - state["base_accuracy"],
        "perplexity": costs[i],
        "lost_bits": torch.log2(costs / state["base_perplexity"])[i],
        "change": run["change"][i],
        "price": [-1 if math.isnan(p) else p for p in prices],
    }


CASE = Case(
    make=lambda: ForgettingTradeOff(
        [
            curve("everything", 0, 0.5),
            curve("last layer", 1, 0.3),
            curve("keys, values", 2, 0.42),
            curve("LoRA", 3, 0.45),
        ],
        base=(0.52, 4.0),
        prompt="今日は",
        before="いい天気ですね。",
        setting=2,
        target=0.8,
    ),
    moves=(
        Move("combobox", "Method", "ArrowDown", 2),
        Move("slider", "Step size", "ArrowRight", 2),
        Move("slider", "Accuracy you need", "ArrowLeft", 7),
    ),
    reference=reference,
)
