"""RewardLeash against the library's closed form in torch."""

import torch
from live.harness import Case, Move

from icl_lib.finetune.policy import leashed_objective, leashed_optimum
from icl_lib.live import RewardLeash

ANSWERS = [
    "The sea is calm today.",
    "The sea is bright and the wind is warm.",
    "Bright, bright, bright, bright sea!",
    "The waves were grey.",
]


def make() -> RewardLeash:
    reference = torch.tensor([0.45, 0.25, 0.01, 0.29], dtype=torch.float64)
    return RewardLeash(ANSWERS, reference, [0.5, 1.5, 3.0, -1.0], [0.5, 2.0, -1.0, -1.0])


def reference(state: dict) -> dict:
    log_reference = torch.tensor(state["reference"], dtype=torch.float64).log()
    proxy, true = (torch.tensor(state[name], dtype=torch.float64) for name in ("proxy", "true"))
    reward, beta = true if state["use_true"] else proxy, state["beta"]
    best = leashed_optimum(log_reference, reward, beta)
    p = best.exp()
    return {
        **{f"policy_{i}": x for i, x in enumerate(p.tolist())},
        "kl": torch.distributions.kl_divergence(
            torch.distributions.Categorical(logits=best),
            torch.distributions.Categorical(logits=log_reference),
        ).item(),
        "proxy": (p @ proxy).item(),
        "true": (p @ true).item(),
        "objective": leashed_objective(best, log_reference, reward, beta).item(),
    }


CASE = Case(
    make=make,
    moves=(
        Move("slider", "Leash β", "ArrowLeft", 37),
        Move("checkbox", "Maximise the true reward", "Space"),
    ),
    reference=reference,
)
