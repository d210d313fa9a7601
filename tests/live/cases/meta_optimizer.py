"""MetaOptimizer against the library in torch."""

import math

import torch
from live.harness import Case, Move

from icl_lib.dual.split import relative_error, relaxed_head, softmax_split
from icl_lib.live import MetaOptimizer


def make() -> MetaOptimizer:
    generator = torch.Generator().manual_seed(6)
    demo_keys, demo_values = torch.randn(2, 8, 2, generator=generator, dtype=torch.float64)
    text_keys, text_values = torch.randn(2, 2, 2, generator=generator, dtype=torch.float64)
    return MetaOptimizer(demo_keys, demo_values, text_keys, text_values, count=3)


def reference(state: dict) -> dict:
    names = ("demo_keys", "demo_values", "text_keys", "text_values")
    kd, vd, kt, vt = (torch.tensor(state[n], dtype=torch.float64).reshape(-1, 2) for n in names)
    kd, vd = kd[: state["count"]], vd[: state["count"]]
    turn = math.radians(state["angle"])
    q = state["scale"] * torch.tensor([[math.cos(turn), math.sin(turn)]], dtype=torch.float64)
    head, split = relaxed_head(kd, vd, kt, vt), softmax_split(q, kd, vd, kt, vt, scale=1.0)
    matrix = head.update.as_matrix()
    shown = {f"update_{a}{b}": matrix[a, b].item() for a in (0, 1) for b in (0, 1)}
    return {
        **shown,
        "attention": head.as_attention(q)[0],
        "matrix": head(q)[0],
        "softmax": split.output[0],
        "kept": split.query_text[0],
        "mass": split.mass.item(),
        "error": relative_error(head(q), split.output).item(),
        "cosine": torch.cosine_similarity(head(q), split.output).item(),
    }


CASE = Case(
    make=make,
    moves=(
        Move("slider", "Demonstrations N", "ArrowRight", 3),
        Move("slider", "Score scale ‖q‖", "ArrowRight", 7),
        Move("slider", "Query angle", "ArrowLeft", 5),
    ),
    reference=reference,
)
