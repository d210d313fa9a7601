"""Ability and similarity in training: means, controls and half-way steps, with torch."""

import torch
from live.harness import Case, Move

from icl_lib.live import SimilarityInTraining

STEPS = [0, 100, 250, 500, 1000, 4000]
WAYS = ("plain", "layer-causal")


def made() -> SimilarityInTraining:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    rise = torch.linspace(0, 1, 6, dtype=torch.float64)[:, None]
    accuracies = {
        way: torch.cat([0.4 + 0.1 * draw(6, 1), 0.4 + 0.5 * rise, 0.4 + 0.2 * rise], 1)
        for way in WAYS
    }
    metrics = {
        "SimAOU, as published": {way: 0.3 + 0.1 * draw(6, 3) for way in WAYS},
        "SimAOU, raw": {way: 0.4 * rise - 0.1 * draw(6, 3) for way in WAYS},
    }
    nulls = {
        "SimAOU, as published": {
            "independent": {way: 0.2 * draw(6, 3) for way in WAYS},
            "another query": {way: 0.4 * draw(6, 3) for way in WAYS},
        },
        "SimAOU, raw": {"another query": {way: 0.3 * draw(6, 3) for way in WAYS}},
    }
    return SimilarityInTraining(STEPS, accuracies, metrics, nulls)


def reference(state: dict) -> dict:
    way, at, metric = state["way"], state["moment"], state["metric"]
    told = torch.tensor(state["accuracies"], dtype=torch.float64)[way]
    course = torch.tensor(state["similarity"][metric][way], dtype=torch.float64).mean(1)
    nulls = torch.tensor(state["nulls"][metric], dtype=torch.float64)[:, way].mean(2)

    def half(values):
        reached = values >= values[-1] / 2
        return state["steps"][int(reached.int().argmax())] if values[-1] > 0 else -1

    return {
        "step": state["steps"][at],
        "zero_shot": told[at, 0],
        "in_context": told[at, 1],
        "finetuned": told[at, 2],
        "similarity": course[at],
        "control": nulls.amax(0)[at],
        "excess": course[at] - nulls.amax(0)[at],
        "half_ability": half(told[:, 1] - told[:, 0]),
        "half_similarity": half(course),
    }


CASE = Case(
    make=made,
    moves=(
        Move("slider", "Training step", "ArrowLeft", 3),
        Move("combobox", "Similarity", "ArrowDown"),
        Move("combobox", "Finetuning", "ArrowDown"),
        Move("button", "One measurement", "Enter"),
    ),
    reference=reference,
)
