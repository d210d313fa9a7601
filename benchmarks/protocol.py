"""The paper's protocol: ours against the straightforward way, in one run, with the same numbers.

Run ``python -m benchmarks.protocol``. It writes ``benchmarks/protocol_results.json``.

The straightforward way reads the full prompt of every query, one query at a time, in each of the
three conditions, with :class:`icl_lib.models.record.Record`, and calls the same metrics for each.
Ours reads demonstrations once, shares their keys and values, and reads queries in batches.
Finetuning is the same 32 steps in both and is timed by itself. Both must give the same
predictions, and metric values that agree to 1e-5.
"""

import argparse
import dataclasses
import datetime
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.speed import hardware
from icl_lib.meta.finetuning import Finetuning, Trace, finetune
from icl_lib.meta.measure import (
    Comparison,
    Condition,
    Measured,
    Options,
    map_metrics,
    measure,
    rank_metrics,
)
from icl_lib.meta.observe import Observation
from icl_lib.meta.prompts import (
    choose_demonstrations,
    choose_queries,
    make_batches,
    opening,
    with_demonstrations,
)
from icl_lib.meta.similarity import output_update_similarity
from icl_lib.meta.updates import finetuned_updates, matrix_cosine
from icl_lib.meta.walk import read_prefix
from icl_lib.models.gpt import GPT
from icl_lib.models.record import QUANTITIES, Record
from icl_lib.recipes import registry
from icl_lib.recipes.cards import FOLDER, load_shipped
from icl_lib.tasks.classification import ClassificationTask, Example
from icl_lib.tasks.lab_tasks import measured_tasks

RESULTS = Path(__file__).with_name("protocol_results.json")
DEMONSTRATIONS, QUERIES, LR, TOKENS = 32, 256, 0.1, 1024


@dataclasses.dataclass(frozen=True)
class Sentences:
    """Random sentences of 4 to 9 words, for any model that reads tokens; the first decides."""

    vocab_size: int
    name: str = "sentences"
    labels: tuple[str, ...] = ("a", "b", "c", "d")
    prefix = torch.tensor([0])
    separator = torch.tensor([], dtype=torch.long)
    filler = torch.tensor([1])

    @property
    def label_tokens(self) -> tuple[torch.Tensor, ...]:
        return tuple(torch.tensor([self.vocab_size - 1 - i]) for i in range(4))

    def split(self, name: str) -> list[Example]:
        generator = torch.Generator().manual_seed(len(name))
        lengths = torch.randint(4, 10, (400,), generator=generator).tolist()
        words = [
            torch.randint(2, self.vocab_size - 4, (n,), generator=generator).tolist()
            for n in lengths
        ]
        return [Example((tuple(w),), w[0] % 4) for w in words]

    def render(self, example: Example) -> torch.Tensor:
        return torch.tensor(list(example.parts[0]))


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    """Both ways get the same models, demonstrations and queries."""

    model: GPT
    tuned: GPT
    trace: Trace
    task: ClassificationTask
    prompt: torch.Tensor
    places: torch.Tensor
    texts: list[torch.Tensor]


def with_context(model: GPT, context: int) -> GPT:
    """Return a model with sinusoidal positions for longer prompts; its weights do not change."""
    longer = GPT(dataclasses.replace(model.config, context=context))
    longer.load_state_dict(model.state_dict())
    return longer.eval()


def setting(name: str) -> tuple[Setting, float]:
    """Return a shipped model, finetuned, and the seconds that finetuning took."""
    model, _ = load_shipped(registry.find(name))
    if model.config.context < 512 and model.config.positions == "sinusoidal":
        model = with_context(model, 512)
    task = Sentences(model.config.vocab_size)
    if name == "lab":
        task = measured_tasks()["lab-agnews"]
    shown = choose_demonstrations(task, DEMONSTRATIONS, 0)
    began = time.perf_counter()
    tuned, trace = finetune(model, shown, Finetuning(lr=LR), opening=task.prefix)
    seconds = time.perf_counter() - began
    beginning = with_demonstrations(task, shown)
    texts = [task.render(e) for e in choose_queries(task, QUERIES)]
    where = beginning.demonstration.nonzero()[:, 0]
    return Setting(model, tuned, trace, task, beginning.tokens, where, texts), seconds


def ours(s: Setting) -> tuple[dict[str, list[int]], dict[str, torch.Tensor]]:
    """Return predictions of each condition, and every metric by layer."""
    start, shown = opening(s.task), torch.zeros_like(s.prompt, dtype=torch.bool)
    shown[s.places] = True
    conditions = {
        "zero-shot": Condition(s.model, read_prefix(s.model, start.tokens)),
        "in-context": Condition(s.model, read_prefix(s.model, s.prompt, shown)),
        "finetuned": Condition(s.tuned, read_prefix(s.tuned, start.tokens)),
    }
    batches = make_batches(s.texts, tokens_at_once=TOKENS)
    comparison = Comparison("none", *conditions, s.trace)
    labels = s.task.label_tokens
    found: Measured = measure(conditions, [comparison], batches, labels, QUERIES, Options())
    said = {name: rows.argmax(1).tolist() for name, rows in found.log_probs.items()}
    outputs = [found.outputs[name] for name in conditions]
    rows = {name: value for (_, name), value in found.metrics.items()}
    rows["simaou"] = output_update_similarity(*outputs)
    rows["simaou_raw"] = output_update_similarity(*outputs, normalised=False)
    return said, {name: by_layer(value) for name, value in rows.items()}


def by_layer(values: torch.Tensor) -> torch.Tensor:
    """Return the mean over heads, then over queries."""
    return (values.nanmean(2) if values.ndim == 3 else values).double().nanmean(0)


@torch.no_grad()
def straightforward(s: Setting) -> tuple[dict[str, list[int]], dict[str, torch.Tensor]]:
    """Return the same, query by query, each prompt read whole."""
    start, said, kept = s.task.prefix, {}, {}
    ways = {"zero-shot": (s.model, start), "in-context": (s.model, s.prompt)}
    ways |= {"finetuned": (s.tuned, start)}
    update = None
    for text in s.texts:
        seen = {}
        for name, (model, before) in ways.items():
            places = s.places if name == "in-context" else s.places[:0]
            seen[name] = read_whole(model, torch.cat([before, text]), len(text), places, s.task)
            said.setdefault(name, []).append(int(seen[name][0].label_log_probs[0].argmax()))
        keys, values = seen["in-context"][1]  # of the demonstrations: equal for all queries
        update = values.mT @ keys if update is None else update
        for name, value in one_query(s, [o for o, _ in seen.values()], update).items():
            kept.setdefault(name, []).append(value)
    return said, {n: by_layer(torch.cat(v)) for n, v in kept.items()}


def read_whole(
    model: GPT, tokens: torch.Tensor, length: int, places: torch.Tensor, task: ClassificationTask
) -> tuple[Observation, tuple[torch.Tensor, torch.Tensor]]:
    """Read one whole prompt; return what is seen at its end, and the demonstrations' k and v."""
    record, inputs, own = Record(*QUANTITIES), [], slice(-length, None)
    hooks = [
        b.attention.k_proj.register_forward_pre_hook(lambda m, x: inputs.append(x[0]))
        for b in model.blocks
    ]
    logits = model(tokens[None], record=record, last_only=True)[0, -1]
    for hook in hooks:
        hook.remove()
    found = {name: record[name].transpose(0, 1) for name in QUANTITIES}  # B L H T …
    x = torch.stack(inputs, 1)
    seen = Observation(
        attention_output=found["attention_output"][:, :, -1],
        head_output=found["head_output"][..., -1, :],
        inputs=x[:, :, -1],
        queries=found["queries"][..., -1, :],
        text_inputs=x[:, :, own],
        keys=found["keys"][..., own, :],
        values=found["values"][..., own, :],
        scores=found["scores"][..., -1, own],
        weights=found["weights"][..., -1, own],
        scores_demo=found["scores"][..., -1, places],
        weights_demo=found["weights"][..., -1, places],
        seen=torch.ones(1, length, dtype=torch.bool),
        label_log_probs=logits.log_softmax(-1)[torch.cat(list(task.label_tokens))][None],
    )
    return seen, (found["keys"][0, :, :, places], found["values"][0, :, :, places])


def one_query(
    s: Setting, three: list[Observation], update: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return every metric of one query."""
    rows = map_metrics(*three) | rank_metrics(s.trace, three[1], three[2], biases=True)
    heads = [o.head_output for o in three]
    outputs = [o.attention_output for o in three]
    tuned = finetuned_updates(s.model, s.tuned, three[0].text_inputs, three[0].seen)
    rows["simaou_head"] = output_update_similarity(*heads, normalised=False)
    rows["simaou"] = output_update_similarity(*outputs)
    rows["simaou_raw"] = output_update_similarity(*outputs, normalised=False)
    rows["update_cosine"] = matrix_cosine(update[None], tuned)
    rows["update_size_ratio"] = size(tuned) / size(update[None])
    return rows


def size(x: torch.Tensor) -> torch.Tensor:
    """Return the Frobenius norm."""
    return x.flatten(-2).norm(dim=-1)


def timed(call: Callable[[Setting], tuple], s: Setting, runs: int) -> tuple[tuple, list[float]]:
    """Return what a call returns and its seconds, of several runs."""
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        result = call(s)
        seconds.append(time.perf_counter() - began)
    return result, seconds


def main() -> None:
    """Measure both ways, compare what they found, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model", default="lab" if (FOLDER / "lab.safetensors").is_file() else "scale-xl"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    s, finetuning = setting(options.model)
    ours(s)  # once, to warm up
    (said, metrics), fast = timed(ours, s, options.runs)
    (same, slow_metrics), slow = timed(straightforward, s, options.runs)
    if metrics.keys() != slow_metrics.keys():
        raise RuntimeError(f"one way lacks {metrics.keys() ^ slow_metrics.keys()}")
    gaps = {n: float((metrics[n] - slow_metrics[n]).abs().max()) for n in metrics}
    worst = max(gaps, key=gaps.get)
    if said != same or gaps[worst] > 1e-5:
        raise RuntimeError(f"predictions {said == same}, {worst} differs by {gaps[worst]:.1e}")
    row = {
        "model": options.model,
        "task": s.task.name,
        "demonstrations": DEMONSTRATIONS,
        "prompt tokens": len(s.prompt),
        "queries": QUERIES,
        "ours, s": statistics.median(fast),
        "straightforward, s": statistics.median(slow),
        "ratio": statistics.median(slow) / statistics.median(fast),
        "finetuning, s": finetuning,
        "metrics": len(gaps),
        "largest difference": gaps[worst],
        "runs": options.runs,
    }
    print("\n".join(f"{name}: {value}" for name, value in row.items()))
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = {"date": date, "hardware": hardware(), "torch": torch.__version__}
    options.out.write_text(json.dumps({**about, "rows": [row]}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
