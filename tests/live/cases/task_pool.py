"""The pool of known tasks: posterior, both rules and their errors, with torch."""

import torch
from live.harness import Case, Move

from icl_lib.learners import ridge
from icl_lib.learners.pool import finite_pool, pool_posterior
from icl_lib.live import TaskPool


def made() -> TaskPool:
    generator = torch.Generator().manual_seed(0)
    pool = torch.randn(64, 2, generator=generator, dtype=torch.float64)
    inputs = torch.randn(10, 2, generator=generator, dtype=torch.float64)
    errors = torch.randn(10, generator=generator, dtype=torch.float64)
    measured = {"sizes": [4, 16, 64], "to_ridge": [0.6, 0.2, 0.05], "to_pool": [0.1, 0.3, 0.2]}
    return TaskPool(pool, inputs, errors, **measured, exponent=3, shown=3, task=(1.2, -0.4))


def reference(state: dict) -> dict:
    def tensor(value):
        return torch.tensor(value, dtype=torch.float64)

    pool = tensor(state["pool"])[: 2 ** state["exponent"]]
    hidden = tensor([state["task_1"], state["task_2"]])
    x, k = tensor(state["inputs"]), state["shown"]
    y = x @ hidden + state["noise"] * tensor(state["errors"])
    known = finite_pool(x, y, pool, state["noise"])[k]
    fitted = ridge(x, y, state["noise"] ** 2)[k]
    chances = pool_posterior(x, y, pool, state["noise"])[k]
    return {
        "tasks": len(pool),
        "in_play": torch.special.entr(chances).sum().exp(),
        "known": known,
        "fitted": fitted,
        "pool_error": (known - hidden).square().mean(),
        "ridge_error": (fitted - hidden).square().mean(),
        "gap": (known - fitted).square().mean(),
    }


CASE = Case(
    make=made,
    moves=(
        Move("slider", "Tasks in the pool M", "ArrowRight", 2),
        Move("slider", "Demonstrations in the prompt", "ArrowRight", 4),
        Move("button", "Hidden task: drag, or use the arrow keys", "ArrowUp", 9),
        Move("button", "Hide a task of the pool", "Enter"),
        Move("slider", "Demonstrations in the prompt", "Home"),
    ),
    reference=reference,
)
