"""ParameterCount against the parameters of a torch model without memory."""

import torch
from live.harness import Case, Move

from icl_lib.live import ParameterCount

ROWS = (
    ("GPT-1", 12, 768, 12, 40478, 512),
    ("GPT-2", 12, 768, 12, 50257, 1024),
    ("GPT-3", 96, 12288, 96, 50257, 2048),
)
FIELDS = ("name", "layers", "width", "heads", "vocabulary", "context")
MODELS = [dict(zip(FIELDS, row, strict=True)) for row in ROWS]


def make() -> ParameterCount:
    return ParameterCount(MODELS, start="GPT-2", marks=["GPT-1", "GPT-3"])


def reference(state: dict) -> dict:
    from icl_lib.models.gpt import GPT, GPTConfig

    # heads share out the width, so a model with one head has as many parameters
    config = GPTConfig(
        vocab_size=state["vocabulary"], context=state["context"], layers=state["layers"],
        heads=1, width=state["width"],
    )  # fmt: skip
    model = GPT(config, device="meta")
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    total = sum(sizes.values())

    def part(*words: str) -> int:
        return sum(size for name, size in sizes.items() if any(word in name for word in words))

    projections = part("q_proj", "k_proj", "v_proj", "out_proj")
    norms = sum(p.numel() for m in model.modules() if isinstance(m, torch.nn.LayerNorm)
                for p in m.parameters())  # fmt: skip
    token = state["vocabulary"] * state["width"]
    position = state["context"] * state["width"]
    return {
        "token": token,
        "position": position,
        "attention": projections,
        "mlp": total - projections - norms - token - position,
        "norms": norms,
        "total": total,
        "gigabytes_32": 4 * total / 1e9,
        "gigabytes_16": 2 * total / 1e9,
        "head_width": state["width"] / state["heads"],
    }


CASE = Case(
    make=make,
    moves=(
        Move("slider", "Layers L", "ArrowLeft", 3),
        Move("slider", "Width D", "ArrowRight", 2),
        Move("slider", "Heads H", "ArrowLeft", 1),
        Move("slider", "Vocabulary V", "ArrowLeft", 4),
        Move("slider", "Context T", "ArrowRight", 3),
        Move("combobox", "Sizes of", "ArrowDown", 1),
    ),
    reference=reference,
)
