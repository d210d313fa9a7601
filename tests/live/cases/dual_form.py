"""DualForm against a recorded training run in torch."""

import torch
from live.harness import Case, Move
from torch import nn

from icl_lib.dual import train_recorded
from icl_lib.live import DualForm


def make() -> DualForm:
    generator = torch.Generator().manual_seed(3)
    inputs, targets = torch.randn(2, 8, 2, generator=generator, dtype=torch.float64)
    return DualForm(inputs, targets, count=3, step_size=0.3, query=(1.0, 0.5))


def half_square(output, target):
    return 0.5 * (output - target).square().sum()


def reference(state: dict) -> dict:
    n = state["count"]
    inputs, targets = (
        torch.tensor(state[name], dtype=torch.float64)[:n] for name in ("inputs", "targets")
    )
    layer = nn.Linear(2, 2, bias=False, dtype=torch.float64)
    nn.init.zeros_(layer.weight)
    optimizer = torch.optim.SGD(layer.parameters(), lr=state["step_size"])
    form, _ = train_recorded(layer, optimizer, half_square, inputs, targets, batch=1)
    query = torch.tensor([state["query_1"], state["query_2"]], dtype=torch.float64)
    weight = layer.weight.detach()
    return {
        **{f"weight_{a}{b}": weight[a, b].item() for a in (0, 1) for b in (0, 1)},
        "matrix": weight @ query,
        "attention": form(query),
        "scores": form.scores(query),
        "gap": 0.0,
    }


CASE = Case(
    make=make,
    moves=(
        Move("slider", "Examples N", "ArrowRight", 4),
        Move("slider", "Step size η", "ArrowRight", 5),
        Move("slider", "Query x, first input", "ArrowLeft", 7),
        Move("slider", "Query x, second input", "ArrowRight", 6),
    ),
    reference=reference,
)
