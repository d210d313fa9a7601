"""InContextRegression with all readers at once, against torch."""

import base64
import zlib

import torch
from live.harness import Case, Move

from icl_lib import learners
from icl_lib.live import InContextRegression
from icl_lib.models.regressor import InContextRegressor, RegressorConfig
from icl_lib.recipes.regression import Portable, answers

PAIRS = [[-1.5, -2.2], [0.4, 1.1], [1.3, 2.4], [-0.6, 0.2], [2.0, 3.9]]


def network() -> InContextRegressor:
    config = RegressorConfig(dimension=2, points=8, layers=2, heads=2, width=8)
    return InContextRegressor(config, seed=1)


def make() -> InContextRegression:
    return InContextRegression(
        Portable(network()), PAIRS, shown=2, question=0.7, steps=3, together=True
    )


def reference(state: dict) -> dict:
    pairs = torch.tensor(state["pairs"][: state["shown"]], dtype=torch.float64)
    said = answers(network().double(), pairs.tolist(), [state["question"]])[0]
    x, y = torch.stack([pairs[:, 0], torch.ones(len(pairs))], dim=1).double(), pairs[:, 1]
    asked = torch.tensor([state["question"], 1.0], dtype=torch.float64)
    rules = {
        "descent": learners.gradient_descent(x, y, state["steps"], state["step_size"]),
        "squares": learners.least_squares(x, y),
        "ridge": learners.ridge(x, y, state["penalty"]),
    }
    checksum = zlib.crc32(base64.b64decode(state["network"]["data"]))
    told = {name: (weights[-1] @ asked).item() for name, weights in rules.items()}
    return {"network": said, "checksum": checksum, **told}


CASE = Case(
    make=make,
    moves=(
        Move("slider", "Demonstrations in the prompt", "ArrowRight", 2),
        Move("slider", "Question x", "ArrowRight", 5),
        Move("button", "Demonstration 2: drag, or use the arrow keys", "ArrowUp", 7),
        Move("button", "Swap the answers", "Enter"),
        Move("slider", "Steps of gradient descent", "ArrowRight", 4),
    ),
    reference=reference,
)
