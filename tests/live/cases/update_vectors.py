"""UpdateVectors against vectors in torch: what the protocol's own metric says of them."""

import math

import torch
from live.harness import Case, Move

from icl_lib.live import UpdateVectors
from icl_lib.live.figures.update_vectors import DIMENSIONS, PAIRS, SEED, uniform
from icl_lib.meta.nulls import normalised_update_similarity
from icl_lib.meta.similarity import output_update_similarity

Z, SHARED, OWN, ASIDE = torch.eye(4, dtype=torch.float64)


def make() -> UpdateVectors:
    return UpdateVectors(1.5, 2.5, angle=80.0)


def drawn() -> torch.Tensor:
    """Draw the figure's directions again: pairs, two, dimensions."""
    numbers, count = uniform(SEED), PAIRS * 2 * DIMENSIONS * 2
    u = torch.tensor([next(numbers) for _ in range(count)], dtype=torch.float64).view(-1, 2)
    normal = (-2 * (1 - u[:, 0]).log()).sqrt() * (2 * math.pi * u[:, 1]).cos()
    found = normal.view(PAIRS, 2, DIMENSIONS)
    return found / found.norm(dim=-1, keepdim=True)


def similarity(first: torch.Tensor, second: torch.Tensor, *, normalised: bool) -> float:
    zero = torch.zeros_like(first)
    zero[..., 0] = 1.0
    options = {"normalised": normalised}
    return output_update_similarity(zero, zero + first, zero + second, **options).mean().item()


def reference(state: dict) -> dict:
    turn, shift = math.radians(state["angle"]), state["shift"] * SHARED
    first = state["icl"] * OWN + shift
    own = math.cos(turn) * OWN + math.sin(turn) * ASIDE
    second, strange = state["ft"] * own + shift, state["ft"] * ASIDE + shift
    lengths = [v.norm() for v in (first, second)]
    pairs = drawn()
    return {
        "raw": similarity(first, second, normalised=False),
        "normalised": similarity(first, second, normalised=True),
        "chance": normalised_update_similarity(*lengths).item(),
        "simulated": similarity(lengths[0] * pairs[:, 0], lengths[1] * pairs[:, 1],
                                normalised=True),
        "shuffled_raw": similarity(first, strange, normalised=False),
        "shuffled": similarity(first, strange, normalised=True),
        "ratio_icl": lengths[0].item(),
        "ratio_ft": lengths[1].item(),
    }  # fmt: skip


CASE = Case(
    make=make,
    moves=(
        Move("slider", "Length of the ICL update ρ", "ArrowLeft", 9),
        Move("slider", "Length of the finetuning update ρ′", "ArrowRight", 5),
        Move("slider", "Angle between them", "ArrowRight", 4),
        Move("slider", "Length of a shift that both share", "ArrowRight", 6),
    ),
    reference=reference,
)
