"""ShiftedPrompt against the closed forms of the learners, which are matrices in torch."""

import math

import torch
from live.harness import Case, Move

from icl_lib.learners.shift import best_fixed_step, fixed_step_error
from icl_lib.learners.theory import least_squares_error
from icl_lib.live import ShiftedPrompt


def make() -> ShiftedPrompt:
    return ShiftedPrompt(10, 10, examples=50)


def reference(state: dict) -> dict:
    d, examples, alpha, noise = (state[k] for k in ("dimension", "examples", "scale", "noise"))
    identity = torch.eye(d, dtype=torch.float64)
    layer, shown = best_fixed_step(state["trained"], identity), alpha**2 * identity
    best = best_fixed_step(examples, shown, noise=noise)
    unit = alpha**2 * d
    return {
        "fixed": fixed_step_error(layer, examples, shown, noise=noise) / unit,
        "floor": fixed_step_error(layer, math.inf, shown) / unit,
        "best": fixed_step_error(best, examples, shown, noise=noise) / unit,
        "least": least_squares_error(examples, d, noise=noise / alpha),
        "step": alpha**2 * layer[0, 0].item(),
        "best_step": alpha**2 * best[0, 0].item(),
    }


CASE = Case(
    make=make,
    moves=(
        Move("slider", "Examples in the prompt, M", "ArrowLeft", 35),
        Move("slider", "Input scale α", "ArrowRight", 7),
        Move("slider", "Noise on the targets σ", "ArrowRight", 4),
    ),
    reference=reference,
)
