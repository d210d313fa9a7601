"""The book's GPT against `transformers`' GPT-2: same machine, same run, same weights.

Run ``python -m benchmarks.speed``. It writes ``benchmarks/results.json`` and prints a table.

Both models are float32 and use the fused attention (``sdpa`` there). Calls alternate, so that a
busy machine disturbs both alike; the table shows medians and of how many runs. A training step
is forward, loss, backward and one step of torch's AdamW, the same for both. Generation is greedy,
with cache, 256 new tokens after a prompt of 32; that both write the same tokens is checked.

The last column of a generation row is the largest ratio that any float32 model with these weights
could reach: each token has to be multiplied with every weight, which is timed by itself.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers

from icl_lib.models.convert import from_transformers

RESULTS = Path(__file__).with_name("results.json")
SIZES = {
    "small": {"n_layer": 4, "n_embd": 256, "n_head": 4, "vocab_size": 4096},
    "GPT-2 124M": {"n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257},
}
BATCHES = (1, 4)
TOKENS, PROMPT, NEW = 128, 32, 256


def pair(shape: dict, device: str):
    """Return both models with the same random weights; dropout off, as in all rows."""
    config = transformers.GPT2Config(
        **shape, n_positions=1024, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0,
        bos_token_id=0, eos_token_id=0, attn_implementation="sdpa",
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(config).to(device)
    theirs.generation_config.eos_token_id = None  # never stop early
    return from_transformers(theirs), theirs


def rows(ours, theirs, batch: int, device: str):
    """Yield the name of each row, the two calls, and whether their results must be equal."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch, TOKENS + 1)
    text = torch.randint(ours.config.vocab_size, shape, generator=generator).to(device)
    inputs, targets, prompt = text[:, :-1], text[:, 1:], text[:, :PROMPT]
    present = torch.ones_like(prompt)

    def forward(model, **options):
        model.eval()
        with torch.inference_mode():
            reply = model(inputs, **options)
        return getattr(reply, "logits", reply)

    def step(model, optimiser, **options):
        model.train()
        reply = model(inputs, **options)
        logits = getattr(reply, "logits", reply)
        F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
        optimiser.step()
        optimiser.zero_grad()

    def generate_theirs():
        return theirs.eval().generate(
            prompt, attention_mask=present, max_new_tokens=NEW, min_new_tokens=NEW,
            do_sample=False, use_cache=True, pad_token_id=0,
        )  # fmt: skip

    yield "forward", lambda: forward(ours), lambda: forward(theirs, use_cache=False), True
    yield "generation", lambda: ours.generate(prompt, NEW, greedy=True), generate_theirs, True
    mine, other = (torch.optim.AdamW(m.parameters(), lr=1e-5, foreach=True) for m in (ours, theirs))
    yield (
        "training step",
        lambda: step(ours, mine),
        lambda: step(theirs, other, use_cache=False),
        False,
    )


def timed(call, device: str) -> tuple:
    """Return what the call returns, and its seconds."""
    if device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = call()
    if device != "cpu":
        torch.cuda.synchronize()
    return result, time.perf_counter() - start


def compare(ours, theirs, equal: bool, device: str, budget: float, most: int) -> dict:
    """Time both, in turn, until the budget of seconds is spent; at least three times each."""
    (first, a0), (second, b0) = timed(ours, device), timed(theirs, device)
    is_text = equal and first.dtype == torch.int64
    if is_text:
        same = torch.equal(first, second)
    else:
        same = not equal or torch.allclose(first, second, atol=1e-4)
    if not same:
        raise RuntimeError("the two models disagree; there is nothing to compare")
    a, b, start = [], [], time.perf_counter()
    if is_text and a0 + b0 > budget:
        a, b = [a0], [b0]  # hundreds of passes: the first one's warm-up is lost in them
    while len(a) < 3 or time.perf_counter() - start + a0 + b0 < budget:
        for call, seconds in ((ours, a), (theirs, b))[:: 1 if len(a) % 2 else -1]:
            seconds.append(timed(call, device)[1])
    ours_median, theirs_median = statistics.median(a), statistics.median(b)
    return {
        "ours_seconds": ours_median,
        "transformers_seconds": theirs_median,
        "ratio": theirs_median / ours_median,
        "runs": len(a),
    }


def products_alone(model, batch: int, device: str) -> float:
    """Return the seconds that the weight products alone take for NEW tokens: a floor for all."""
    weights = [m.weight for m in model.modules() if isinstance(m, torch.nn.Linear)]
    weights.append(model.tokens.weight)  # the head
    inputs = {w.shape[1]: torch.randn(batch, 1, w.shape[1], device=device) for w in weights}

    @torch.inference_mode()
    def once() -> None:
        for w in weights:
            F.linear(inputs[w.shape[1]], w)

    return NEW * statistics.median(timed(once, device)[1] for _ in range(12))


def hardware() -> dict:
    """Say on what all this was measured."""
    names = [platform.processor() or platform.machine()]
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = [l.split(":")[1].strip() for l in lines if l.startswith("model name")][:1] or names
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": names[0],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_at_start": load,
    }


def table(results: list[dict]) -> str:
    """Return the results as a Markdown table; a ratio above 1 means that ours is faster."""
    lines = [
        "| device | size | batch | what | ours (ms) | transformers (ms) | ratio | runs | most |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        lines.append(
            f"| {r['device']} | {r['size']} | {r['batch']} | {r['what']} "
            f"| {1e3 * r['ours_seconds']:.1f} | {1e3 * r['transformers_seconds']:.1f} "
            f"| {r['ratio']:.2f} | {r['runs']} "
            f"| {'–' if r['largest_possible'] is None else format(r['largest_possible'], '.2f')} |"
        )
    return "\n".join(lines)


def write(path: Path, about: dict, found: list[dict]) -> None:
    """Write all rows so far, so that a run that is interrupted is not lost."""
    content = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "hardware": about,
        "versions": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "tokens": {"forward and training": TOKENS, "prompt": PROMPT, "new": NEW},
        "rows": found,
    }
    path.write_text(json.dumps(content, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=10.0, help="seconds for each row")
    parser.add_argument("--most", type=int, default=50, help="most runs for each row")
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    found, about = [], hardware()
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        for size in options.sizes:
            ours, theirs = pair(SIZES[size], device)
            for batch in BATCHES:
                for what, a, b, equal in rows(ours, theirs, batch, device):
                    name = {"device": device, "size": size, "batch": batch, "what": what}
                    row = name | compare(a, b, equal, device, options.budget, options.most)
                    row["largest_possible"] = None
                    if what == "generation":
                        floor = products_alone(ours, batch, device)
                        row["largest_possible"] = row["transformers_seconds"] / floor
                    found.append(row)
                    print(table(found[-1:]).splitlines()[-1], flush=True)
                    write(options.out, about, found)
                    torch.manual_seed(0)
                ours = from_transformers(theirs)  # training moved the weights
    print(f"\n{table(found)}\n\nwritten to {options.out}")


if __name__ == "__main__":
    main()
