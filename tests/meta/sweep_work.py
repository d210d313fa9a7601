"""Cells for the tests of sweeps: importable in other processes, slow enough to be killed."""

import os
import time
from pathlib import Path

import pandas as pd

from icl_lib.meta.result import Result, make_table


def measure(cell):
    """Write a line when a cell begins and when it ends; fail where asked to."""
    log = Path(os.environ["SWEEP_LOG"])
    with log.open("a") as file:
        file.write(f"begin {cell.name}\n")
    time.sleep(float(os.environ.get("SWEEP_SECONDS", "0")))
    if cell.task == "broken":
        raise RuntimeError("this cell is broken\nand has a long story")
    row = {"model": cell.model, "task": cell.task, "seed": cell.seed, "lr": cell.lr}
    row |= {"position": "prediction", "descent": "plain", "control": "none", "metric": "simaou"}
    row |= {"layer": None, "head": None, "value": cell.seed * cell.lr, "low": 0, "high": 1, "n": 1}
    with log.open("a") as file:
        file.write(f"end {cell.name}\n")
    return Result(make_table([row]), pd.DataFrame([{"query": 0}]), {"cell": cell.name})


if __name__ == "__main__":
    import sys

    from icl_lib.meta.sweep import grid, sweep

    sys.path.insert(0, str(Path(__file__).parent))
    from sweep_work import measure as importable

    sweep(importable, grid(["m"], ["a", "b"], [1, 2, 3], [0.1]), sys.argv[1], jobs=2)
