"""Sizes in training: means, scores and the moment of the fall, with torch."""

import torch
from live.harness import Case, Move

from icl_lib.live import ScaleCurves


def made() -> ScaleCurves:
    generator = torch.Generator().manual_seed(0)
    steps = [0, 50, 100, 200, 400, 800]
    fall = torch.linspace(0, 1, 6)[:, None] * torch.linspace(0, 1, 8)
    losses = 4 + 0.1 * torch.rand(3, 6, 8, generator=generator)
    losses = losses - torch.tensor([0.0, 1.0, 2.0])[:, None, None] * fall
    accuracies = torch.rand(3, 6, 4, generator=generator)
    sizes = {"small": 6_592, "middle": 25_472, "large": 100_096}
    return ScaleCurves(sizes, steps, losses, accuracies, [0, 1, 4, 8], width=4, size=1)


def reference(state: dict) -> dict:
    losses = torch.tensor(state["losses"], dtype=torch.float64)[state["size"]]
    early, late = losses[:, :2].mean(1), losses[:, -2:].mean(1)
    score, at = late - early, state["moment"]
    fall = score - score[0] <= (score[-1] - score[0]) / 2
    falls = bool(score[-1] < score[0])
    return {
        "step": state["steps"][at],
        "early": early[at],
        "late": late[at],
        "score": score[at],
        "accuracy": state["accuracies"][state["size"]][at][state["shot"]],
        "half_way": state["steps"][int(fall.int().argmax())] if falls else -1,
    }


CASE = Case(
    make=made,
    moves=(
        Move("slider", "Training step", "ArrowLeft", 3),
        Move("combobox", "Size", "ArrowDown"),
        Move("combobox", "Demonstrations in the prompt", "ArrowUp", 2),
        Move("button", "One measurement", "Enter"),
    ),
    reference=reference,
)
