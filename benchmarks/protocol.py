"""The paper's protocol: ours against the straightforward way, in one run, with the same numbers.

Run ``python -m benchmarks.protocol``. It writes ``benchmarks/protocol_results.json``.

The straightforward way reads the full prompt of every query, one query at a time, in each of the
three conditions, with :class:`icl_lib.models.record.Record`, and calls the same metrics for each;
it finetunes with ``torch.optim.SGD``. Ours reads demonstrations once, shares their keys and values,
and reads queries in batches. Both must give the same predictions, and metric values that agree to
1e-5. Each row has two ratios: without finetuning, which is sequential by nature, and with it.

The shipped model's context may hold fewer demonstrations than 32. Then it is measured with as many
as fit, and with 32 behind a longer table of positions: these are sinusoids, no weight changes.
"""

import argparse
import copy
import dataclasses
import datetime
import json
import statistics
import time
from collections.abc import Callable, Iterator
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
    Demonstration,
    choose_demonstrations,
    choose_queries,
    count_that_fits,
    make_batches,
    opening,
    with_demonstrations,
)
from icl_lib.meta.similarity import beside, cosine, output_update_similarity
from icl_lib.meta.updates import finetuned_updates, matrix_cosine
from icl_lib.meta.walk import read_prefix
from icl_lib.models.gpt import GPT, GPTConfig
from icl_lib.models.record import QUANTITIES, Record
from icl_lib.recipes import registry
from icl_lib.recipes.cards import FOLDER, load_shipped
from icl_lib.tasks.catalogue import find_task
from icl_lib.tasks.classification import ClassificationTask, Example

RESULTS = Path(__file__).with_name("protocol_results.json")
DEMONSTRATIONS, QUERIES, LR, TOKENS = 32, 256, 0.1, 1024

SHAPE = "small GPT-2 kind"
"""Name of the random model: GPT-2's architecture and context, fewer and narrower layers."""

RANDOM = GPTConfig(
    vocab_size=4096, context=1024, layers=4, heads=4, width=128, activation="gelu_tanh"
)


@dataclasses.dataclass(frozen=True)
class Sentences:
    """Random sentences, for any model that reads tokens; the first word decides.

    Their words number ``shortest`` up to ``longest``.
    """

    vocab_size: int
    shortest: int = 4
    longest: int = 9
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
        lengths = torch.randint(self.shortest, self.longest + 1, (400,), generator=generator)
        lengths = lengths.tolist()
        words = [
            torch.randint(2, self.vocab_size - 4, (n,), generator=generator).tolist()
            for n in lengths
        ]
        return [Example((tuple(w),), w[0] % 4) for w in words]

    def render(self, example: Example) -> torch.Tensor:
        return torch.tensor(list(example.parts[0]))


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """What is measured in one row."""

    name: str
    model: GPT
    task: ClassificationTask
    demonstrations: int
    context: str


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


def cases(name: str) -> Iterator[Case]:
    """Yield what is measured of a model: of one that ships, or of the random one."""
    if name == SHAPE:
        model = GPT(RANDOM, seed=0).eval()
        task = Sentences(RANDOM.vocab_size, shortest=20, longest=32)
        yield Case(name, model, task, DEMONSTRATIONS, str(RANDOM.context))
        return
    model, _ = load_shipped(registry.find(name))
    context, task = model.config.context, Sentences(model.config.vocab_size)
    if name == "lab":
        task = find_task("lab-agnews", None)
    fits = count_that_fits(context, task, most=DEMONSTRATIONS, seeds=(0,), queries=QUERIES)
    yield Case(name, model, task, fits, str(context))
    if fits < DEMONSTRATIONS and model.config.positions == "sinusoidal":
        longer = with_context(model, 512)
        yield Case(name, longer, task, DEMONSTRATIONS, f"{context}, made 512")


def setting(case: Case) -> tuple[Setting, dict[str, float]]:
    """Return a case with its finetuned model, and the seconds of finetuning both ways."""
    model, task = case.model, case.task
    shown = choose_demonstrations(task, case.demonstrations, 0)
    seconds = {}
    for name, way in (("straightforward", finetune_plainly), ("ours", finetune)):
        way(model, shown[:2], Finetuning(lr=LR), opening=task.prefix)  # to warm up
        began = time.process_time()
        twin, trace = way(model, shown, Finetuning(lr=LR), opening=task.prefix)
        seconds[name] = time.process_time() - began
        if name == "straightforward":
            plain = twin, trace
    check_equal(plain, (twin, trace))
    beginning = with_demonstrations(task, shown)
    texts = [task.render(e) for e in choose_queries(task, QUERIES)]
    where = beginning.demonstration.nonzero()[:, 0]
    return Setting(model, twin, trace, task, beginning.tokens, where, texts), seconds


def finetune_plainly(
    model: GPT, shown: list[Demonstration], how: Finetuning, *, opening: torch.Tensor
) -> tuple[GPT, torch.Tensor]:
    """Train a copy on one demonstration after the other, with autograd and an optimiser.

    Returns the attention queries of all training tokens, too, which the paper's Kendall needs.
    """
    twin, queries = copy.deepcopy(model), []
    wanted = [p for n, p in twin.named_parameters() if "k_proj" in n or "v_proj" in n]
    for parameter in twin.parameters():
        parameter.requires_grad_(any(parameter is w for w in wanted))
    rule = torch.optim.SGD(wanted, lr=how.lr)
    for d in shown:
        tokens, record = torch.cat([opening, d.text, d.label])[None], Record("queries")
        logits = twin(tokens, record=record)[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1], tokens[0, 1:])
        rule.zero_grad()
        loss.backward()
        rule.step()
        queries.append(record["queries"][:, 0].permute(2, 0, 1, 3).detach())
    return twin, torch.cat(queries)


@torch.no_grad()
def check_equal(plain: tuple[GPT, torch.Tensor], tuned: tuple[GPT, Trace]) -> None:
    """Raise ``RuntimeError`` if the two ways of finetuning differ."""
    pairs = zip(plain[0].parameters(), tuned[0].parameters(), strict=True)
    gap = max(float((a - b).abs().max()) for a, b in pairs)
    gap = max(gap, float((plain[1] - tuned[1].queries).abs().max()))
    if gap > 1e-5:
        raise RuntimeError(f"the two ways of finetuning differ by {gap:.1e}")


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
    rows["simaou_beside"] = cosine(*(beside(outputs[0], h) for h in outputs[1:]))
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
    rows["simaou_beside"] = cosine(*(beside(outputs[0], h) for h in outputs[1:]))
    rows["update_cosine"] = matrix_cosine(update[None], tuned)
    rows["update_size_ratio"] = size(tuned) / size(update[None])
    return rows


def size(x: torch.Tensor) -> torch.Tensor:
    """Return the Frobenius norm."""
    return x.flatten(-2).norm(dim=-1)


def timed(call: Callable[[Setting], tuple], s: Setting, runs: int) -> tuple[tuple, list[float]]:
    """Return what a call returns and its processor seconds, of several runs."""
    seconds = []
    for _ in range(runs):
        began = time.process_time()
        result = call(s)
        seconds.append(time.process_time() - began)
    return result, seconds


def row_of(case: Case, runs: int) -> dict:
    """Measure a case both ways, check that they agree, and return the row of the table."""
    s, training = setting(case)
    ours(s)  # once, to warm up
    (said, metrics), fast = timed(ours, s, runs)
    (same, slow_metrics), slow = timed(straightforward, s, runs)
    if metrics.keys() != slow_metrics.keys():
        raise RuntimeError(f"one way lacks {metrics.keys() ^ slow_metrics.keys()}")
    gaps = {n: float((metrics[n] - slow_metrics[n]).abs().max()) for n in metrics}
    worst = max(gaps, key=gaps.get)
    if said != same or gaps[worst] > 1e-5:
        raise RuntimeError(f"predictions {said == same}, {worst} differs by {gaps[worst]:.1e}")
    fast, slow = statistics.median(fast), statistics.median(slow)
    return {
        "model": case.name,
        "context": case.context,
        "demonstrations": case.demonstrations,
        "prompt tokens": len(s.prompt),
        "queries": QUERIES,
        "ours, s": fast,
        "straightforward, s": slow,
        "finetuning, ours, s": training["ours"],
        "finetuning, straightforward, s": training["straightforward"],
        "ratio": slow / fast,
        "ratio with finetuning": (slow + training["straightforward"]) / (fast + training["ours"]),
        "metrics": len(gaps),
        "largest difference": gaps[worst],
        "runs": runs,
    }


def main() -> None:
    """Measure both ways, compare what they found, print and write."""
    shipped = "lab" if (FOLDER / "lab.safetensors").is_file() else "scale-xl"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--models", nargs="+", default=[shipped, SHAPE], help=f"that the book ships, or {SHAPE}"
    )
    parser.add_argument("--runs", type=int, default=3, help=f"medians of so many; {SHAPE} has 1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for name in options.models:
        for case in cases(name):
            rows.append(row_of(case, 1 if name == SHAPE else options.runs))
            print("\n".join(f"{key}: {value}" for key, value in rows[-1].items()), "\n")
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = {"date": date, "hardware": hardware(), "torch": torch.__version__}
    options.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
