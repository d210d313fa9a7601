"""Gradient descent, written out: rules, schedules, data order and one training loop.

The rules are torch optimisers: they take parameters or groups of them, and keep their settings in
``rule.param_groups`` under torch's names (``lr``, ``momentum``, ``dampening``, ``weight_decay``,
``betas``, ``eps``, …). The loop is one function::

    from icl_lib import optim

    run = optim.train(
        model,
        loss_fn,                                        # loss_fn(model, batch) -> one number
        optim.Shuffled((inputs, targets), 32, seed=0),  # or Generated(make, seed=0), or any f(step)
        optim.AdamW(model.parameters(), 1e-3),
        steps=1000,
        schedule=optim.Warmup(100, optim.Cosine(900)),
        clip=1.0,
        callbacks=[optim.Progress(), optim.Checkpoint("run.pt", every=100)],
    )
    run.losses, run.records

A killed run goes on from its checkpoint when the same call is made again.

:mod:`icl_lib.optim.landscapes` holds small quadratics with their closed forms, and
:mod:`icl_lib.optim.race` compares rules on them, each with a tuned step size.
"""

from icl_lib.optim.callbacks import Callback, Checkpoint, Evaluate, Progress
from icl_lib.optim.clipping import clip_by_norm
from icl_lib.optim.order import Generated, Shuffled, derive_seed
from icl_lib.optim.parallel import process_group
from icl_lib.optim.rules import SGD, Adam, AdamW, Momentum, Nesterov, Rule
from icl_lib.optim.run import Diverged, Run
from icl_lib.optim.schedules import Constant, Cosine, Polynomial, Schedule, Staircase, Warmup
from icl_lib.optim.training import train

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Callback",
    "Checkpoint",
    "Constant",
    "Cosine",
    "Diverged",
    "Evaluate",
    "Generated",
    "Momentum",
    "Nesterov",
    "Polynomial",
    "Progress",
    "Rule",
    "Run",
    "Schedule",
    "Shuffled",
    "Staircase",
    "Warmup",
    "clip_by_norm",
    "derive_seed",
    "process_group",
    "train",
]
