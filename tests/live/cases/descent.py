"""Descent in the valley against torch.optim.SGD."""

import torch
from live.harness import Case, Move

from icl_lib.live import Descent


def reference(state: dict) -> dict:
    n, c = len(state["minimum"]), state["curvature"]
    curvature = torch.tensor([c / state["condition"], c][-n:], dtype=torch.float64)
    minimum = torch.tensor(state["minimum"], dtype=torch.float64)
    x = torch.tensor([state["start_x"], state["start_y"]][:n], dtype=torch.float64)
    x.requires_grad_()
    optimizer = torch.optim.SGD([x], lr=state["step_size"], momentum=state["momentum"])
    losses, positions = [], []
    for _ in range(1001):
        optimizer.zero_grad()
        loss = 0.5 * (curvature * (x - minimum) ** 2).sum()
        loss.backward()
        losses.append(loss.item())
        positions.append(x.detach().clone())
        optimizer.step()
    eta, beta = state["step_size"], state["momentum"]
    companions = [
        torch.tensor([[1 + beta - eta * c, -beta], [1.0, 0.0]]).double() for c in curvature
    ]
    below = [t for t, value in enumerate(losses) if value <= 0.01 * losses[0]]
    return {
        "taken": state["taken"],
        "position": positions[state["taken"]],
        "loss": losses[state["taken"]],
        "limit": 2 * (1 + beta) / state["curvature"],
        "rate": max(torch.linalg.eigvals(m).abs().max().item() for m in companions),
        "steps_to_percent": below[0] if below else -1,
    }


CASE = Case(
    make=lambda: Descent.valley(condition=10.0, curvature=0.8, step_size=1.9, momentum=0.3),
    moves=(
        Move("slider", "Momentum β", "ArrowRight", 6),
        Move("slider", "Step size η", "ArrowLeft", 17),
        Move("slider", "Condition number κ", "ArrowRight", 8),
        Move("slider", "Start: across the valley", "ArrowLeft", 5),
        Move("button", "Restart", "Enter"),
        Move("button", "One step", "Space", 12),
    ),
    reference=reference,
)
