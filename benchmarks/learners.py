"""Every learner on all prefixes of many prompts in one call, against a loop over them.

Run ``python -m benchmarks.learners``. It writes ``benchmarks/learners_results.json`` and prints a
table. The loop is the way in which the published comparisons are usually written: for each prompt,
for each prefix, one fit, plainly in torch (scikit-learn for the Lasso). Both run in the same
process, on one thread, in turn, in float64; seconds are those of the processor, so that other
programs on the machine disturb less. The loop runs on a part of the prompts, by default 64 of
4,096, and its seconds are scaled up to all; ``--loop 4096`` runs it on all of them.
"""

import argparse
import datetime
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import sklearn
import torch
from sklearn.linear_model import Lasso
from torch import Tensor

from benchmarks.speed import hardware
from icl_lib import learners
from icl_lib.tasks.regression import linear_prompts

RESULTS = Path(__file__).with_name("learners_results.json")
PROMPTS, POINTS, DIMENSION, NOISE = 4096, 40, 20, 0.5
PENALTY, STEPS, STEP_SIZE, MOMENTUM, SCALE = 0.25, 10, 0.2, 0.5, 1.9
LAYERS, SHRINK, ALPHA, NEIGHBOURS = 3, 0.002, 0.1, 3
GOAL = 30


def averaging(x: Tensor, y: Tensor) -> Tensor:
    return x.T @ y / len(x)


def least_squares(x: Tensor, y: Tensor) -> Tensor:
    return torch.linalg.lstsq(x, y[:, None]).solution[:, 0]


def ridge(x: Tensor, y: Tensor) -> Tensor:
    identity = torch.eye(x.shape[1], dtype=x.dtype)
    return torch.linalg.solve(x.T @ x + PENALTY * identity, x.T @ y)


def gradient_descent(x: Tensor, y: Tensor) -> Tensor:
    w = x.new_zeros(x.shape[1])
    for _ in range(STEPS):
        w = w - STEP_SIZE * (x.T @ (x @ w - y)) / len(x)
    return w


def momentum(x: Tensor, y: Tensor) -> Tensor:
    w = v = x.new_zeros(x.shape[1])
    for _ in range(STEPS):
        v = MOMENTUM * v + x.T @ (x @ w - y) / len(x)
        w = w - STEP_SIZE * v
    return w


def gd_plus_plus(x: Tensor, y: Tensor) -> Tensor:
    """Carry all d unit vectors along as queries: their guesses are the weights."""
    queries, guesses = torch.eye(x.shape[1], dtype=x.dtype), x.new_zeros(x.shape[1])
    for _ in range(LAYERS):
        moment, gram = x.T @ y, x.T @ x
        y, guesses = (
            y - STEP_SIZE / len(x) * x @ moment,
            guesses + STEP_SIZE / len(x) * queries @ moment,
        )
        x, queries = x - SHRINK * x @ gram, queries - SHRINK * queries @ gram
    return guesses


def newton(x: Tensor, y: Tensor) -> Tensor:
    s = x.T @ x
    m = SCALE / torch.linalg.matrix_norm(s, 2) ** 2 * s
    for _ in range(STEPS):
        m = 2 * m - m @ s @ m
    return m @ (x.T @ y)


def conjugate_gradient(x: Tensor, y: Tensor) -> Tensor:
    w, missed = x.new_zeros(x.shape[1]), y
    p = x.T @ missed
    size, limit = p @ p, 10 * torch.finfo(x.dtype).eps * x.norm()
    for _ in range(STEPS):
        if size.sqrt() <= limit * (missed.norm() + y.norm()):
            break
        image = x @ p
        rate = size / (image @ image)
        w, missed = w + rate * p, missed - rate * image
        slope = x.T @ missed
        before, size = size, slope @ slope
        p = slope + size / before * p
    return w


def lasso(x: Tensor, y: Tensor) -> Tensor:
    model = Lasso(alpha=ALPHA, fit_intercept=False, tol=1e-12, max_iter=100_000)
    return torch.from_numpy(model.fit(x.numpy(), y.numpy()).coef_)


def nearest_neighbours(x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    nearest = (x - query).square().sum(1).topk(min(NEIGHBOURS, len(x)), largest=False).indices
    return y[nearest].mean()


PAIRS: dict[str, tuple[Callable, Callable]] = {
    "averaging": (averaging, learners.averaging),
    "least squares": (least_squares, learners.least_squares),
    "ridge": (ridge, lambda x, y: learners.ridge(x, y, PENALTY)),
    f"gradient descent, {STEPS} steps": (
        gradient_descent,
        lambda x, y: learners.gradient_descent(x, y, STEPS, STEP_SIZE),
    ),
    f"with momentum, {STEPS} steps": (
        momentum,
        lambda x, y: learners.gradient_descent(x, y, STEPS, STEP_SIZE, momentum=MOMENTUM),
    ),
    f"GD++, {LAYERS} layers": (
        gd_plus_plus,
        lambda x, y: learners.gd_plus_plus(x, y, [STEP_SIZE] * LAYERS, [SHRINK] * LAYERS),
    ),
    f"Newton, {STEPS} steps": (newton, lambda x, y: learners.newton(x, y, STEPS, scale=SCALE)),
    f"conjugate gradient, {STEPS} steps": (
        conjugate_gradient,
        lambda x, y: learners.conjugate_gradient(x, y, STEPS),
    ),
    "Lasso": (lasso, lambda x, y: learners.lasso(x, y, ALPHA)),
    f"{NEIGHBOURS} nearest neighbours": (
        nearest_neighbours,
        lambda x, y: learners.nearest_neighbours(x, y, NEIGHBOURS),
    ),
}


def loop(fit: Callable, x: Tensor, y: Tensor) -> Tensor:
    """Fit every prefix of every prompt by itself, the empty one excepted."""
    guesses = fit is nearest_neighbours
    prompts, points, dimension = x.shape
    found = x.new_zeros((prompts, points) if guesses else (prompts, points + 1, dimension))
    for prompt in range(prompts):
        for k in range(1, points if guesses else points + 1):
            query = (x[prompt, k],) if guesses else ()
            found[prompt, k] = fit(x[prompt, :k], y[prompt, :k], *query)
    return found


def timed(call: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """Return the result and the processor's seconds."""
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def measure(name: str, x: Tensor, y: Tensor, part: int, runs: int) -> dict:
    """Time both ways in turn; the medians, and how far the results are apart."""
    one_by_one, at_once = PAIRS[name]
    ours, theirs = [], []
    at_once(x[:8], y[:8])  # warm
    loop(one_by_one, x[:1], y[:1])
    for _ in range(runs):
        all_found, seconds = timed(lambda: at_once(x, y))
        ours.append(seconds)
        some, seconds = timed(lambda: loop(one_by_one, x[:part], y[:part]))
        theirs.append(seconds * len(x) / part)
    ratio = statistics.median(theirs) / statistics.median(ours)
    return {
        "learner": name,
        "loop, s": statistics.median(theirs),
        "one call, s": statistics.median(ours),
        "ratio": ratio,
        f"at least {GOAL} times": "yes" if ratio >= GOAL else "no",
        "largest difference": (all_found[:part] - some).abs().max().item(),
        "prompts in the loop": part,
        "runs": runs,
    }


def table(rows: list[dict]) -> str:
    """Return the rows as a Markdown table."""
    lines = [f"| {' | '.join(rows[0])} |", "|" + "---|" * len(rows[0])]
    for row in rows:
        cells = [f"{v:.3g}" if isinstance(v, float) else f"{v}" for v in row.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write(path: Path, about: dict, rows: list[dict]) -> None:
    """Write what has been measured."""
    content = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "hardware": about,
        "versions": {
            "torch": torch.__version__,
            "scikit-learn": sklearn.__version__,
            "python": platform.python_version(),
        },
        "setting": {
            "prompts": PROMPTS, "pairs": POINTS, "dimension": DIMENSION, "noise": NOISE,
            "dtype": "float64", "seconds": "of the processor, one thread",
        },
        "rows": rows,
    }  # fmt: skip
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loop", type=int, default=64, help="prompts for the loop (default 64)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each way (default 3)")
    parser.add_argument("--only", nargs="*", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    prompts = linear_prompts(
        PROMPTS, POINTS, DIMENSION, noise=NOISE,
        generator=torch.Generator().manual_seed(0), dtype=torch.float64,
    )  # fmt: skip
    about, rows = hardware(), []
    for name in options.only:
        part = min(options.loop, PROMPTS)
        rows.append(measure(name, prompts.inputs, prompts.targets, part, options.runs))
        print(table(rows).splitlines()[-1], flush=True)
        if list(options.only) == list(PAIRS):  # a run of some rows is a trial
            write(options.out, about, rows)
    print(f"\n{table(rows)}")


if __name__ == "__main__":
    main()
