"""Descent on the cake, up to divergence, against torch.optim.SGD."""

from pathlib import Path
from runpy import run_path

from live.harness import Case, Move

from icl_lib.live import Descent

VALLEY = run_path(str(Path(__file__).with_name("descent.py")))

CASE = Case(
    make=lambda: Descent.cake(120.0, 40.0, curvature=0.02, step_size=30.0),
    moves=(
        Move("slider", "Step size η", "PageUp", 4),  # to 114, above the limit of 100
        Move("slider", "Start: sugar, g", "ArrowRight", 3),
        Move("button", "Restart", "Enter"),
        Move("button", "One step", "Enter", 9),
    ),
    reference=VALLEY["reference"],
)
