"""nanoGPT's configuration for a CPU, on the reader's own copy of tiny Shakespeare.

Run ``python -m benchmarks.tinyshakespeare FILE``. Several seeds, at our step size and at theirs.
The result is written to ``icl_lib/recipes/tinyshakespeare.json``, where chapter 7 reads it; a run
that was interrupted goes on with the trainings that are missing. The text itself stays outside.
"""

import argparse
import datetime
import hashlib
import json
import time
from pathlib import Path

import torch

from benchmarks.speed import hardware
from icl_lib import optim
from icl_lib.recipes.own_text import OwnText, sampled_loss, validation_loss
from icl_lib.tasks.sources import load_text

RESULTS = Path(__file__).parents[1] / "icl_lib" / "recipes" / "tinyshakespeare.json"
STEP_SIZES, SEEDS = (3e-3, 1e-3), (0, 1, 2)


def measure(texts: tuple[str, ...], step_size: float, seed: int) -> dict:
    """Train once; return the losses on the held-out tenth and the time."""
    recipe = OwnText(texts, step_size=step_size, final_step_size=step_size / 10, seed=seed)
    model, began = recipe.untrained(), time.perf_counter()
    run = recipe.train(model, callbacks=[optim.Progress(f"{step_size:g}, seed {seed}")])
    if run.interrupted:
        raise KeyboardInterrupt
    held_out, context = recipe.held_out, recipe.context
    return {
        "step_size": step_size,
        "seed": seed,
        "validation_loss": validation_loss(model, held_out, context),
        "as_nanogpt_estimates": sampled_loss(
            model, held_out, context, batch=recipe.batch, draws=20, seed=seed
        ),
        "parameters": sum(p.numel() for p in model.parameters()),
        "processor_seconds": run.seconds,
        "seconds": time.perf_counter() - began,
    }


def main() -> None:
    """Measure what is missing, and write after every training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="tiny Shakespeare, 1,115,394 characters")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    texts = tuple(load_text(options.file))
    about = {
        "sha256": hashlib.sha256("".join(texts).encode()).hexdigest(),
        "characters": sum(map(len, texts)),
        "command": "python -m benchmarks.tinyshakespeare FILE",
        "hardware": hardware(),
        "torch": torch.__version__,
    }
    known = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    runs = known.get("runs", []) if known.get("sha256") == about["sha256"] else []
    for step_size in STEP_SIZES:
        for seed in SEEDS:
            if any((r["step_size"], r["seed"]) == (step_size, seed) for r in runs):
                continue
            runs.append(measure(texts, step_size, seed))
            about["date"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            RESULTS.write_text(json.dumps({**about, "runs": runs}, indent=1) + "\n", "utf-8")
            print({key: runs[-1][key] for key in ("step_size", "seed", "validation_loss")})


if __name__ == "__main__":
    main()
