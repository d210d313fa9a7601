"""InContextRegression against torch: the transformer itself, ridge, least squares, descent."""

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
    return InContextRegression(Portable(network()), PAIRS, shown=3, question=0.7)


def reference(state: dict) -> dict:
    pairs = torch.tensor(state["pairs"][: state["shown"]], dtype=torch.float64).reshape(-1, 2)
    model = network().double()
    said = answers(model, pairs.tolist(), [state["question"]])[0]
    inputs = torch.cat([pairs[:, :1], torch.ones(len(pairs), 1).double()], dim=1)
    weights = torch.zeros(2, dtype=torch.float64)
    if len(pairs):
        rules = {
            "ridge": lambda: learners.ridge(inputs, pairs[:, 1], state["penalty"]),
            "least squares": lambda: learners.least_squares(inputs, pairs[:, 1]),
            "gradient descent": lambda: learners.gradient_descent(
                inputs, pairs[:, 1], state["steps"], state["step_size"]
            ),
        }
        weights = rules[state["rule"]]()[-1]
    other = (weights[0] * state["question"] + weights[1]).item()
    checksum = zlib.crc32(base64.b64decode(state["network"]["data"]))
    return {"network": said, "rule": other, "gap": abs(said - other), "checksum": checksum}


CASE = Case(
    make=make,
    moves=(
        Move("slider", "Demonstrations in the prompt", "ArrowRight", 1),
        Move("slider", "Question x", "ArrowLeft", 12),
        Move("button", "Demonstration 2: drag, or use the arrow keys", "ArrowUp", 7),
        Move("button", "Swap the answers", "Enter"),
        Move("combobox", "Compare with", "ArrowDown", 2),
        Move("slider", "Steps of gradient descent", "ArrowRight", 9),
    ),
    reference=reference,
)
