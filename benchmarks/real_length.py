"""The whole protocol at real length: real data sets, a model of GPT-2's shape, from a terminal.

Run ``python -m benchmarks.real_length DATA``, where ``DATA`` holds the folders ``sst2``, ``subj``,
``agnews`` and ``cb``. It writes ``icl_lib/meta/real_length.json``, which chapter 19 reads, and
prints a table. With ``--tasks`` only some are run, and the rows of the others stay.

The model has random weights, so its accuracies mean nothing: what is measured is whether everything
goes through, the seconds, and the memory. It is made by ``transformers``, saved together with a
byte-level BPE tokenizer that is made of the data sets' own prompts, and then each data set is one
``icl-lib compare`` in a process of its own: the model is converted, all three conditions and all
controls that need nothing else are measured, and the result is written and read again.

Of some seeds the first is taken whose demonstrations all fit the context; the lengths decide that,
and nothing else. Where none is, ``icl-lib compare`` refuses. Its words are kept, and the run is
repeated with the number that :func:`icl_lib.meta.count_that_fits` gives for the first seed. With
``--context 2048`` a model of the same shape has as many positions as the paper's models.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.learners import table
from benchmarks.speed import hardware
from icl_lib.meta import Result, TooLong, cost, count_that_fits
from icl_lib.meta.prompts import (
    check_lengths,
    choose_demonstrations,
    choose_queries,
    with_demonstrations,
)
from icl_lib.tasks.catalogue import find_task
from icl_lib.tasks.classification import TextTask

RESULTS = Path(cost.__file__).with_name("real_length.json")
TASKS = ("sst2", "subj", "agnews", "cb")
END = "<|endoftext|>"
CONDITIONS = ("zero_shot", "in_context", "finetuned")


class Letters:
    """A tokenizer of bytes, to load a data set before its own tokenizer is made."""

    def encode(self, text: str) -> list[int]:
        return list(text.encode())


@dataclass(frozen=True)
class Settings:
    """What is the same for all data sets."""

    data: Path
    folder: Path
    demonstrations: int
    queries: int
    seeds: tuple[int, ...]
    threads: int


def make_tokenizer(texts: list[str], vocabulary: int):
    """Return a byte-level BPE tokenizer for ``transformers``, made of some texts."""
    import tokenizers
    import transformers

    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    ends = {"bos_token": END, "eos_token": END}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, **ends)


def prompts(task: TextTask) -> list[str]:
    """Return every text of a data set as it is written in a prompt, with its label."""
    examples = [*task.split("train"), *task.split("validation")]
    write, label = task.template.write, task.template.label
    return [write(e.parts) + label.format(task.labels[e.gold]) for e in examples]


def make_model(folder: Path, tokenizer, shape: tuple[int, int, int], context: int) -> int:
    """Save a model of GPT-2's kind with random weights and its tokenizer; return its size."""
    import transformers

    layers, width, heads = shape
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_positions=context, n_layer=layers, n_embd=width, n_head=heads,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.num_parameters()


def command(
    settings: Settings, model: Path, task: str, demonstrations: int, seed: int, out: Path
) -> list:
    """Return the command that a reader would type."""
    return [
        sys.executable, "-m", "icl_lib.cli", "compare",
        "--model", str(model), "--task", task, "--data", str(settings.data), "--out", str(out),
        "--demonstrations", str(demonstrations), "--queries", str(settings.queries),
        "--seeds", str(seed), "--threads", str(settings.threads), "--wrong-task", "none",
        "--lr", "0.01",
    ]  # fmt: skip


def run(words: list) -> tuple[int, str, dict]:
    """Run a command by itself; return its status, its error, its seconds and its peak memory."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=errors, env=environment, text=True
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
        errors.seek(0)
        said = errors.read().strip()
    scale = 1 if sys.platform == "darwin" else 1024  # ru_maxrss counts bytes there
    spent = {
        "seconds": wall,
        "processor seconds": used.ru_utime + used.ru_stime,
        "peak memory, GiB": used.ru_maxrss * scale / 2**30,
    }
    return process.returncode, said, spent


def libraries() -> dict:
    """Return the seconds and the memory of a process that imports everything and does nothing."""
    code = "import transformers, icl_lib.meta, icl_lib.models.convert, icl_lib.recipes.registry"
    status, said, spent = run([sys.executable, "-c", f"{code}; transformers.AutoModelForCausalLM"])
    if status:
        raise RuntimeError(said)
    return spent


def fitting_seed(task: TextTask, settings: Settings, context: int) -> int | None:
    """Return the first seed whose demonstrations all fit the context."""
    texts = [task.render(example) for example in choose_queries(task, settings.queries)]
    for seed in settings.seeds:
        shown = choose_demonstrations(task, settings.demonstrations, seed)
        try:
            check_lengths(context, task, shown, texts)
        except TooLong:
            continue
        return seed
    return None


def measure(settings: Settings, model: Path, task: TextTask, context: int) -> tuple[dict, dict]:
    """Return the row of one data set, and what else is known: refusal, accuracies."""
    used, refused, seed = settings.demonstrations, None, fitting_seed(task, settings, context)
    out = settings.folder / f"{task.name}-{context}.parquet"
    if seed is None:
        seed = settings.seeds[0]
        status, refused, _ = run(command(settings, model, task.name, used, seed, out))
        if status != 1 or out.exists():
            raise RuntimeError(f"{task.name}: too long, and yet status {status}")
        refused = refused.splitlines()[-1].removeprefix("icl-lib: ")
        used = count_that_fits(context, task, most=used, seeds=(seed,), queries=settings.queries)
    status, said, spent = run(command(settings, model, task.name, used, seed, out))
    if status:
        raise RuntimeError(f"{task.name}: status {status}: {said}")
    found, shown = Result.load(out), choose_demonstrations(task, used, seed)
    queries = [task.render(example) for example in choose_queries(task, settings.queries)]
    row = {
        "data set": task.name,
        "context": context,
        "seed": seed,
        "demonstrations": used,
        "prompt tokens": len(with_demonstrations(task, shown).tokens),
        "queries": len(queries),
        "query tokens": sum(map(len, queries)),
        "longest query": max(map(len, queries)),
        "controls": found.table.control.nunique() - 1,
        **spent,
    }
    accuracy = {n.replace("_", "-"): found.value(f"accuracy_{n}") for n in CONDITIONS}
    return row, {"refused": refused, "rows written": len(found.table), "accuracies": accuracy}


def known(path: Path, setting: dict) -> dict:
    """Return what was measured before in the same setting, else nothing."""
    found = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found if found.get("setting") == setting else {"rows": [], "more": {}}


def write(path: Path, setting: dict, alone: dict, row: dict, more: dict) -> None:
    """Write a row in its place among those that are there; each says when it was measured."""
    before = known(path, setting)
    key = (row["data set"], row["context"])
    rows = {(r["data set"], r["context"]): r for r in before["rows"]} | {key: row}
    content = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "setting": setting,
        "libraries alone": alone,
        "rows": [rows[k] for k in sorted(rows, key=lambda k: (k[1], TASKS.index(k[0])))],
        "more": before["more"] | {f"{key[0]}, context {key[1]}": more},
    }
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def main() -> None:
    """Make model and tokenizer, run every data set, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with a folder for each data set")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--demonstrations", type=int, default=32)
    parser.add_argument("--queries", type=int, default=64, help="at most; cb has 56 (64)")
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--shape", type=int, nargs=3, default=(12, 768, 12), metavar="N",
                        help="layers, width, heads (GPT-2's smallest)")  # fmt: skip
    parser.add_argument("--vocabulary", type=int, default=8192, help="of the tokenizer (8192)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    alone = libraries()  # first: a child's peak begins with what its parent holds
    texts = [find_task(name, Letters(), source=options.data) for name in TASKS]
    tokenizer = make_tokenizer([p for t in texts for p in prompts(t)], options.vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        model, shape = Path(folder) / "model", tuple(options.shape)
        parameters = make_model(model, tokenizer, shape, options.context)
        setting = {
            "shape": dict(zip(("layers", "width", "heads"), shape, strict=True)),
            "parameters without positions": parameters - options.context * shape[1],
            "weights": "random",
            "vocabulary of the tokenizer": len(tokenizer),
            "demonstrations wanted": options.demonstrations,
            "threads": options.threads,
            "dtype": "float32",
        }
        rows = []
        for name in options.tasks:
            task = find_task(name, tokenizer, source=options.data)
            queries = min(options.queries, len(task.split("validation")))
            settings = Settings(
                options.data, Path(folder), options.demonstrations, queries,
                tuple(options.seeds), options.threads,
            )  # fmt: skip
            row, more = measure(settings, model, task, options.context)
            rows.append(row)
            print(json.dumps(row | more), flush=True)
            write(options.out, setting, alone, row, more)
    print(f"\n{table(rows)}")


if __name__ == "__main__":
    main()
