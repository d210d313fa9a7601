"""The book's run of the paper's experiment on its own model, and the numbers that it gave.

Six tasks of the lab language, five seeds, 16 demonstrations, 256 queries, every control, at the
position of the prediction; the published position with fewer controls. The step size of finetuning
is chosen on the practice tasks; what every step size gives on the reported tasks, with the first
seed, is kept for comparison. Beside the model stands the best possible reader. To make the shipped
numbers again, within minutes::

    python -m icl_lib.recipes.lab_measured

The table is the one of :func:`icl_lib.meta.compare`, with four kinds of rows more:
``accuracy_bayes_zero_shot`` and ``accuracy_bayes_in_context``, and ``simaou`` and ``simaou_raw``
under the control ``uniform``, the random vector of the paper's code.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib.meta import CONTROLS, Finetuning, Result, compare
from icl_lib.meta.choice import PAPER_STEP_SIZES, best_on, step_size_accuracies
from icl_lib.meta.observe import observe
from icl_lib.meta.prompts import (
    choose_demonstrations,
    choose_queries,
    make_batches,
    opening,
    with_demonstrations,
)
from icl_lib.meta.rates import share
from icl_lib.meta.result import VALUES, examples_path, make_table
from icl_lib.meta.similarity import cosine, unit
from icl_lib.meta.tabulate import metric_rows, share_row
from icl_lib.meta.walk import read_prefix
from icl_lib.models.checkpoint import weights_hash
from icl_lib.models.gpt import GPT
from icl_lib.recipes import cards, lab
from icl_lib.tasks.lab import Lab
from icl_lib.tasks.lab_bayes import Reader
from icl_lib.tasks.lab_tasks import LabTask, measured_tasks, practice_tasks

SEEDS = (0, 1, 2, 3, 4)
"""Of demonstrations and their order."""

DEMONSTRATIONS = lab.DEMONSTRATIONS
"""In the prompt, and to finetune on."""

QUERIES = 256
"""Validation examples of each task, the same for all seeds."""

WRONG_TASKS = {
    "lab-sst2": "lab-agnews",
    "lab-sst5": "lab-subj",
    "lab-mr": "lab-agnews",
    "lab-subj": "lab-sst5",
    "lab-agnews": "lab-sst2",
    "lab-cb": "lab-subj",
}
"""Whose demonstrations the control of the wrong task trains on: another attribute is asked."""

PUBLISHED_CONTROLS = ("none", "untrained", "shuffled-pairing", "closed-form")
"""What is measured at the published position as well."""

FILE = cards.FOLDER / "lab_measured.parquet"
"""The shipped numbers; the answers to single queries stand beside them."""

COMMAND = "python -m icl_lib.recipes.lab_measured"
"""Makes them again."""

Progress = Callable[[str], None]


def quiet(text: str) -> None:
    """Say nothing."""


def measured() -> Result:
    """Return the shipped numbers.

    Raises
    ------
    FileNotFoundError
        If the book does not ship them.

    Explained in: 16_paper_experiment
    """
    return Result.load(FILE)


def cell(
    model: GPT,
    task: str,
    seeds: Sequence[int] = SEEDS,
    *,
    lr: float,
    controls: Sequence[str] = tuple(CONTROLS),
    position: str = "prediction",
    language: Lab | None = None,
) -> Result:
    """Return the comparison on one task, exactly as the shipped run makes it.

    Parameters
    ----------
    model
        Reads the lab language.
    task
        Name of a measured task.
    seeds, controls, position
        As in :func:`icl_lib.meta.compare`.
    lr
        Step size of finetuning.
    language
        The lab language; that of the shipped model, if not given.

    Explained in: 16_paper_experiment
    """
    tasks = measured_tasks(language or lab.RECIPES["lab"].lab)
    wrong = tasks[WRONG_TASKS[task]] if "wrong-task" in controls else None
    return compare(
        model,
        tasks[task],
        demonstrations=DEMONSTRATIONS,
        seeds=seeds,
        queries=QUERIES,
        finetuning=Finetuning(lr=lr),
        controls=controls,
        wrong_task=wrong,
        position=position,
        name="lab",
    )


def step_sizes(
    model: GPT,
    tasks: Sequence[LabTask],
    *,
    seeds: Sequence[int] = SEEDS,
    candidates: Sequence[float] = PAPER_STEP_SIZES,
    progress: Progress = quiet,
) -> dict[str, dict[float, float]]:
    """Return the accuracy after finetuning by task and step size, the mean over seeds.

    Explained in: 16_paper_experiment
    """
    return step_size_accuracies(
        model,
        tasks,
        candidates=candidates,
        demonstrations=DEMONSTRATIONS,
        seeds=seeds,
        queries=QUERIES,
        progress=progress,
    )


# ---- what compare does not measure --------------------------------------------------------------


def bayes_rows(task: LabTask, seed: int) -> Iterator[dict]:
    """Yield the accuracies of the best possible reader on the same examples.

    Explained in: 16_paper_experiment
    """
    reader, width = Reader.of(task), task.lab.text_length(task.asked)
    asked = choose_queries(task, QUERIES)
    queries = torch.stack([task.render(e)[:width] for e in asked])
    gold = torch.tensor([e.gold for e in asked])
    shown = choose_demonstrations(task, DEMONSTRATIONS, seed)
    told = torch.stack([d.text[:width] for d in shown]), torch.tensor([d.gold for d in shown])
    for name, known in (("zero_shot", ()), ("in_context", told)):
        right = reader.probabilities(queries, *known).argmax(1) == gold
        yield share_row("none", f"accuracy_bayes_{name}", share(right))


def uniform_similarity(
    zero: Float[Tensor, "E L D"], icl: Float[Tensor, "E L D"], seed: int, *, normalised: bool
) -> Float[Tensor, "E L"]:
    """Return SimAOU with a random vector in place of finetuning's update.

    Source: Dai et al.'s code draws every entry from 0 to 1, so that all are positive.

    Explained in: 16_paper_experiment
    """
    if normalised:
        zero, icl = unit(zero), unit(icl)
    generator = torch.Generator().manual_seed(seed)
    return cosine(icl - zero, torch.rand(zero.shape, generator=generator))


@torch.no_grad()
def attention_outputs(model: GPT, task: LabTask, seed: int) -> dict[str, Float[Tensor, "E L D"]]:
    """Return the attention outputs without and with demonstrations for all queries.

    Explained in: 16_paper_experiment
    """
    shown = choose_demonstrations(task, DEMONSTRATIONS, seed)
    texts = [task.render(e) for e in choose_queries(task, QUERIES)]
    found = {}
    starts = {"zero-shot": opening(task), "in-context": with_demonstrations(task, shown)}
    for name, start in starts.items():
        prefix = read_prefix(model, start.tokens, start.demonstration)
        batches = make_batches(texts, tokens_at_once=2048)
        seen = [observe(model, b, prefix, task.label_tokens).attention_output for b in batches]
        found[name] = torch.cat(seen)
    return found


def _more_rows(model: GPT, task: LabTask, seed: int) -> Iterator[dict]:
    yield from bayes_rows(task, seed)
    outputs = attention_outputs(model, task, seed).values()
    for metric, normalised in (("simaou", True), ("simaou_raw", False)):
        value = uniform_similarity(*outputs, seed, normalised=normalised)
        yield from metric_rows("uniform", metric, value, heads=False)


# ---- the whole run ------------------------------------------------------------------------------


def run(
    model: GPT,
    *,
    language: Lab | None = None,
    tasks: Sequence[str] | None = None,
    seeds: Sequence[int] = SEEDS,
    lr: float | None = None,
    candidates: Sequence[float] = PAPER_STEP_SIZES,
    progress: Progress = quiet,
) -> Result:
    """Return everything that is shipped; see the module.

    Parameters
    ----------
    model
        Reads the lab language.
    language
        The lab language; that of the shipped model, if not given.
    tasks
        Names of measured tasks; all six, if not given.
    seeds
        Of demonstrations.
    lr
        Step size; chosen on the practice tasks, if not given.
    candidates
        Step sizes to choose from.
    progress
        Called with a line of text before each part.

    Explained in: 16_paper_experiment
    """
    language = language or lab.RECIPES["lab"].lab
    known = measured_tasks(language)
    tasks = list(known) if tasks is None else list(tasks)
    practice, reported = {}, {}
    if lr is None:
        how = {"candidates": candidates, "progress": progress}
        practice = step_sizes(model, list(practice_tasks(language).values()), seeds=seeds, **how)
        lr = best_on(practice, list(practice)).lr
        reported = step_sizes(model, [known[name] for name in tasks], seeds=seeds[:1], **how)
    parts = []
    for name in tasks:
        progress(name)
        how = {"lr": lr, "language": language}
        parts.append(cell(model, name, seeds, **how))
        extra = PUBLISHED_CONTROLS
        parts.append(cell(model, name, seeds, **how, controls=extra, position="published"))
        parts.append(_extras(model, known[name], seeds, lr))
    whole = Result.concat(parts)
    settings = {
        "command": COMMAND,
        "weights": weights_hash(model),
        "lr": lr,
        "demonstrations": DEMONSTRATIONS,
        "queries": QUERIES,
        "seeds": list(seeds),
        "wrong_tasks": WRONG_TASKS,
        "practice": _plain(practice),
        "reported": _plain(reported),
    }
    return Result(whole.table, answers(whole.examples), settings)


def _plain(accuracies: dict[str, dict[float, float]]) -> dict[str, dict[str, float]]:
    return {
        task: {str(lr): round(value, 5) for lr, value in found.items()}
        for task, found in accuracies.items()
    }


def _extras(model: GPT, task: LabTask, seeds: Sequence[int], lr: float) -> Result:
    about = {"model": "lab", "task": task.name, "lr": lr}
    about |= {"position": "prediction", "descent": "plain"}
    rows = [about | {"seed": s} | row for s in seeds for row in _more_rows(model, task, s)]
    return Result(make_table(rows), pd.DataFrame(), {})


def answers(examples: pd.DataFrame) -> pd.DataFrame:
    """Return what each condition of the comparison itself answered, without log-probabilities.

    Explained in: 16_paper_experiment
    """
    kept = examples[(examples.control == "none") & (examples.position == "prediction")]
    names = ["task", "seed", "control", "condition", "query", "gold", "predicted"]
    return kept[names].reset_index(drop=True)


def ship(result: Result, path: str | Path = FILE) -> Path:
    """Write a result as small as it gets: single precision, packed.

    :meth:`icl_lib.meta.Result.load` reads it as any other.
    """
    table = result.table.astype(dict.fromkeys(VALUES[:3], "float32"))
    small = dict.fromkeys(("seed", "query", "gold", "predicted"), "int16")
    path = Result(table, result.examples.astype(small), result.settings).save(path)
    for file in (path, examples_path(path)):
        whole = pq.read_table(file)
        floats = [f.name for f in whole.schema if str(f.type) == "float"]
        texts = [f.name for f in whole.schema if f.name not in floats]
        pq.write_table(
            whole, file, compression="zstd", compression_level=19, use_dictionary=texts,
            use_byte_stream_split=floats,
        )  # fmt: skip
    return path


@cache
def step_size() -> float:
    """Return the step size of the shipped run."""
    return float(measured().settings["lr"])


def main() -> int:
    """Measure the shipped model and write the shipped files."""
    torch.set_num_threads(1)
    model, _ = lab.shipped()
    path = ship(run(model, progress=lambda text: print(text, flush=True)))
    size = sum(file.stat().st_size for file in (path, examples_path(path)))
    print(f"{path.name} and its examples: {size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
