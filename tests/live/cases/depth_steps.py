"""Depth against steps: every learner of the figure against the library's, on inputs diag(√λ)."""

import torch
from live.harness import Case, Move

from icl_lib.learners.iterative import conjugate_gradient, gd_plus_plus, gradient_descent, newton
from icl_lib.live import DepthSteps

LEARNERS = ("gradient descent", "momentum", "GD++", "Newton", "conjugate gradient")


def make() -> DepthSteps:
    generator = torch.Generator().manual_seed(0)
    spectra = torch.rand(7, 5, generator=generator, dtype=torch.float64) + 0.05
    constants = {
        "gradient descent": [[1.2, 0.0], [1.4, 0.0], [1.5, 0.0], [1.5, 0.0], [1.5, 0.0]],
        "momentum": [[1.2, 0.0], [1.5, 0.2], [1.6, 0.3], [1.7, 0.3], [1.7, 0.4]],
        "GD++": [[1.2, 0.0], [2.2, 0.4], [2.5, 0.5], [3.0, 0.5], [3.1, 0.5]],
    }
    return DepthSteps(spectra, constants, [[2, 0.2], [3, 0.1]], condition=20.0, taken=4)


def _rows(state: dict) -> torch.Tensor:
    if state["all_prompts"]:
        return torch.tensor(state["spectra"], dtype=torch.float64)
    powers = torch.linspace(-1, 0, len(state["spectra"][0]), dtype=torch.float64)
    return (state["condition"] ** powers)[None]


def _shrinks(row: torch.Tensor, steps: int) -> tuple[list[float], list[float]]:
    """Return η and γ (of the unnormalised sum, as d pairs stand for it) of each greedy layer."""
    seen, rates, shrinks = row, [], []
    for _ in range(steps):
        share = torch.arange(100, dtype=torch.float64)[:, None] / 100
        after = seen * (1 - share * seen / seen.max()) ** 2
        best = int((after.amax(1) / after.amin(1)).argmin())
        rates.append((2 / (seen.min() + seen.max())).item())
        shrinks.append((share[best, 0] / seen.max()).item())
        seen = after[best]
    return rates, shrinks


def _weights(state: dict, learner: str, row: torch.Tensor, steps: int) -> torch.Tensor:
    """Return what the library's learner says after ``steps`` on inputs with this spectrum."""
    x = torch.diag(row.sqrt())
    y, d = x.sum(-1), len(row)
    if learner == "Newton":
        return newton(x, y, steps)[-1]
    if learner == "conjugate gradient":
        return conjugate_gradient(x, y, steps)[-1]
    pair = (0.0, 0.0)
    if state["all_prompts"] and steps:
        pair = state["constants"][learner][steps - 1]
    if learner == "GD++":
        shared = [pair[0]] * steps, [pair[1]] * steps
        rates, shrinks = shared if state["all_prompts"] else _shrinks(row, steps)
        return gd_plus_plus(x, y, [d * rate for rate in rates], shrinks)[-1]
    if not state["all_prompts"]:
        low, high = row.min().sqrt().item(), row.max().sqrt().item()
        pair = 2 / (low**2 + high**2), 0.0
        if learner == "momentum":
            pair = 4 / (low + high) ** 2, ((high - low) / (low + high)) ** 2
    return gradient_descent(x, y, steps, d * pair[0], momentum=pair[1])[-1]


def error(state: dict, learner: str, steps: int) -> float:
    """Return the mean squared distance to the true weights, all of them 1."""
    found = torch.stack([_weights(state, learner, row, steps) for row in _rows(state)])
    return (found - 1).square().mean().item()


def reference(state: dict) -> dict:
    taken, own = state["taken"], state["learner"]
    last = len(state["constants"]["momentum"])
    far = last if state["all_prompts"] else 2000 if own == "gradient descent" else 200
    reached = (t for t in range(far + 1) if error(state, own, t) <= 0.01)
    return {
        "error": error(state, own, taken),
        "descent": error(state, "gradient descent", taken),
        "best": min(error(state, name, taken) for name in LEARNERS),
        "to_percent": next(reached, -1),
    }


CASE = Case(
    make=make,
    moves=(
        Move("slider", "Condition number κ", "ArrowRight", 3),
        Move("combobox", "Learner", "ArrowUp"),
        Move("slider", "Steps", "ArrowLeft"),
        Move("checkbox", "All prompts of the chapter, one set of constants", "Space"),
        Move("button", "One step", "Enter"),
    ),
    reference=reference,
)
