"""Cells for the tests of sweeps: importable in other processes, slow enough to be killed."""

import os
import signal
import time
from pathlib import Path

import pandas as pd

from icl_lib.meta.result import Result, make_table
from icl_lib.meta.sweep import Cell


def tell(what, name):
    with Path(os.environ["SWEEP_LOG"]).open("a") as file:
        file.write(f"{what} {name}\n")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def prepare(model, task, seed):
    """Write a line for each thing that begins and ends; fail or die where asked to."""
    tell("prepare", f"{task}-{seed}")
    if task == "unreadable":
        raise FileNotFoundError("there is no such task")

    def compare(lr):
        cell = Cell(model, task, seed, lr)
        tell("begin", cell.name)
        time.sleep(float(os.environ.get("SWEEP_SECONDS", "0")))
        if task == "broken" and lr == 0.1:
            raise RuntimeError("this cell is broken\nand has a long story")
        spent = Path(os.environ["SWEEP_LOG"]).with_name("spent")
        if task == "once" and lr == 0.1 and not spent.exists():
            spent.touch()
            die()
        if task == "deadly" and lr == 0.1:
            limit = time.monotonic() + 20
            while not spent.exists() and time.monotonic() < limit:  # let the other die first
                time.sleep(0.02)
            die()
        row = {"model": model, "task": task, "seed": seed, "lr": lr}
        row |= {"position": "prediction", "descent": "plain", "control": "none"}
        row |= {"metric": "simaou", "layer": None, "head": None}
        row |= {"value": seed * lr, "low": 0, "high": 1, "n": 1}
        tell("end", cell.name)
        return Result(make_table([row]), pd.DataFrame([{"query": 0}]), {"cell": cell.name})

    return compare


if __name__ == "__main__":
    import sys

    from icl_lib.meta.sweep import grid, sweep

    sys.path.insert(0, str(Path(__file__).parent))
    from sweep_work import prepare as importable

    sweep(importable, grid(["m"], ["a", "b"], [1, 2], [0.1, 0.2]), sys.argv[1], jobs=2)
