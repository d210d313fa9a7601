"""The two evaluations of a trained linear layer: how closely they agree, and what each costs.

A layer is trained on N examples by SGD while it is recorded. Then M queries are answered twice:
by the trained matrix and by attention over all N examples. Prints a table and writes
``benchmarks/dual_results.json``.

    python benchmarks/dual_form.py
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from icl_lib.dual import DualForm, fresh_layer, record_linear, relative_difference

RULES = {
    "SGD": {},
    "momentum .9": {"momentum": 0.9},
    "weight decay .01": {"weight_decay": 0.01},
    "both": {"momentum": 0.9, "weight_decay": 0.01},
}
INPUTS, OUTPUTS, QUERIES, BATCH = 64, 32, 1000, 10


def train(n: int, settings: dict, dtype: torch.dtype, seed: int) -> tuple[nn.Linear, DualForm]:
    """Train a layer on ``n`` examples of a noisy linear map and return it with its dual form."""
    g = torch.Generator().manual_seed(seed)
    truth = torch.randn(OUTPUTS, INPUTS, generator=g)
    layer = fresh_layer(INPUTS, OUTPUTS, std=INPUTS**-0.5, generator=g, dtype=dtype)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05, **settings)
    with record_linear(layer, optimizer) as recording:
        for _ in range(n // BATCH):
            x = torch.randn(BATCH, INPUTS, generator=g)
            y = x @ truth.T + torch.randn(BATCH, OUTPUTS, generator=g)
            optimizer.zero_grad()
            (layer(x.to(dtype)) - y.to(dtype)).square().mean().backward()
            optimizer.step()
    return layer, recording.dual_form()


def median_seconds(run: Callable[[], object], repeats: int = 5) -> float:
    """Return the median time of ``run`` after one warm-up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(n: int, rule: str, dtype: torch.dtype, seeds: int) -> dict:
    """Train with several seeds; residuals of all, times of the last."""
    residuals, against_layer = [], []
    for seed in range(seeds):
        layer, form = train(n, RULES[rule], dtype, seed)
        x = torch.randn(QUERIES, INPUTS, generator=torch.Generator().manual_seed(seed)).to(dtype)
        residuals.append(relative_difference(form(x), form.primal(x)))
        against_layer.append(relative_difference(form(x), layer(x).detach()))
    matrix = form.as_matrix()
    return {
        "N": n,
        "rule": rule,
        "dtype": str(dtype).removeprefix("torch."),
        "seeds": seeds,
        "dual against primal, worst": max(residuals),
        "dual against trained layer, worst": max(against_layer),
        "build matrix, s": median_seconds(form.as_matrix),
        "answer by matrix, s": median_seconds(lambda: form._queries(x) @ matrix.T),
        "answer by attention, s": median_seconds(lambda: form(x)),
    }


def table(rows: list[dict]) -> str:
    """Return the rows as a Markdown table."""
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for row in rows:
        cells = [f"{v:.1e}" if isinstance(v, float) else f"{v}" for v in row.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure all rows, print the table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=100_000, help="largest N (default 100000)")
    parser.add_argument("--seeds", type=int, default=3, help="training runs per row")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for n in (100, 1_000, 10_000, 100_000):
        if n <= options.largest:
            for rule in RULES:
                rows.append(measure(n, rule, torch.float64, options.seeds))
            rows.append(measure(n, "SGD", torch.float32, options.seeds))
    print(table(rows))
    worst = max(r["dual against trained layer, worst"] for r in rows if r["dtype"] == "float64")
    print(f"\nworst float64 residual: {worst:.1e}, 1e-12 {'holds' if worst <= 1e-12 else 'FAILS'}")
    result = {
        "layer": {"inputs": INPUTS, "outputs": OUTPUTS, "batch": BATCH, "queries": QUERIES},
        "hardware": {
            "machine": platform.machine(),
            "processor": platform.processor() or "unknown",
            "threads": options.threads,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "rows": rows,
    }
    if options.largest >= 100_000:  # a shorter run is a trial and leaves the published numbers
        target = Path(__file__).with_name("dual_results.json")
        target.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
