"""OneHead against the layers of the library: losses by an average over queries, slopes by torch."""

import torch
from live.harness import Case, Move

from icl_lib import learners
from icl_lib.learners import constructions
from icl_lib.live import OneHead
from icl_lib.models.linear_transformer import LinearTransformer


def made() -> OneHead:
    g = torch.Generator().manual_seed(2)
    d, n = 3, 5
    key_query, value_out = constructions.one_step(d, n, 4.0).merged()
    noise = torch.randn(2, d + 1, d + 1, generator=g, dtype=torch.float64)
    return OneHead(
        -2 * (key_query + 0.1 * noise[0]), -(value_out + 0.05 * noise[1]) / 2,
        torch.rand(7, n, d, generator=g) - 0.5, torch.randn(7, d, generator=g),
        torch.rand(7, d, generator=g) - 0.5, variance=1 / 12, fourth=1 / 80, way=0.4,
        step_size=4.02, rescale=False,
    )  # fmt: skip


def reference(state: dict) -> dict:
    names = ("key_query", "value", "inputs", "weights")
    matrix, value, x, w = (torch.tensor(state[name], dtype=torch.float64) for name in names)
    alpha, eta, t = state["input_scale"], state["step_size"], state["way"]
    d = w.shape[-1]
    key_query, value_out = torch.zeros(2, d + 1, d + 1, dtype=torch.float64)
    key_query[:, :-1], value_out[-1] = matrix, value
    trained = (key_query, value_out)
    if state["rescale"]:
        trained = constructions.rescaled(trained)
    built = constructions.one_step(d, x.shape[1], eta).merged()
    mixed = tuple((1 - t) * a + t * b for a, b in zip(trained, built, strict=True))
    inputs = alpha * x
    targets = torch.einsum("bnd,bd->bn", inputs, w)
    # the answers to the d unit vectors are the weights that the layer uses
    units = torch.eye(d, dtype=torch.float64).expand(len(x), d, d)
    used = LinearTransformer.from_layers([mixed])(inputs, targets, units).detach()
    step = learners.gradient_descent(inputs, targets, 1, eta)[:, -1]
    v, m4 = alpha**2 * state["variance"], alpha**4 * state["fourth"]
    n = x.shape[1]
    trace = n * (d * m4 + d * (d - 1) * v**2) + n * (n - 1) * d * v**2
    return {
        "layer": v / 2 * (used - w).square().sum(-1).mean(),
        "step": v / 2 * (step - w).square().sum(-1).mean(),
        "closed": v / 2 * (d - 2 * eta * v * d + (eta / n) ** 2 * trace),
        "cosine": torch.cosine_similarity(used, step, dim=-1).mean(),
    }


CASE = Case(
    make=made,
    moves=(
        Move("slider", "Way from trained (0) to constructed (1)", "ArrowRight", 5),
        Move("slider", "Step size η of the constructed layer", "ArrowLeft", 12),
        Move("slider", "Inputs scaled by α", "ArrowRight", 6),
        Move("checkbox", "Rescale the trained matrices first", "Space"),
    ),
    reference=reference,
)
