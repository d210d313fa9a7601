"""A step size for finetuning, chosen on other tasks than those that are reported."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from icl_lib.meta.finetuning import Finetuning, finetune
from icl_lib.meta.measure import check_finite
from icl_lib.meta.observe import label_log_probs
from icl_lib.meta.prompts import (
    check_lengths,
    choose_demonstrations,
    choose_queries,
    make_batches,
    opening,
)
from icl_lib.meta.walk import check_model, read_prefix
from icl_lib.models.gpt import GPT
from icl_lib.tasks.classification import ClassificationTask

PAPER_STEP_SIZES = tuple(
    float(f"{digit}e-{power}") for power in (1, 2, 3, 4) for digit in range(1, 10)
)
"""The 36 step sizes that Dai et al. (2023) try, of which they keep the best on validation data."""


@dataclass(frozen=True)
class Choice:
    """The step size with the best mean accuracy, and that of all candidates.

    Attributes
    ----------
    lr
        The best; the smaller one of two that are equal.
    accuracies
        Mean over tasks and seeds by step size; 0 where finetuning diverged.
    """

    lr: float
    accuracies: dict[float, float]


@torch.no_grad()
def accuracy_after(
    model: GPT,
    task: ClassificationTask,
    how: Finetuning,
    *,
    demonstrations: int,
    seed: int = 0,
    queries: int | None = 256,
    tokens_at_once: int = 4096,
) -> float:
    """Return the accuracy without demonstrations of a model finetuned on them.

    Raises
    ------
    TooLong
        If a prompt with the same demonstrations would exceed the context.
    ArithmeticError
        If finetuning diverges.

    Explained in: 16_paper_experiment
    """
    shown, asked = choose_demonstrations(task, demonstrations, seed), choose_queries(task, queries)
    texts = [task.render(example) for example in asked]
    check_lengths(model.config.context, task, shown, texts)
    twin, _ = finetune(model, shown, how, opening=task.prefix, trace=False)
    prefix, right = read_prefix(twin, opening(task).tokens), 0
    for batch in make_batches(texts, tokens_at_once=tokens_at_once):
        log_probs = label_log_probs(twin, batch, prefix, task.label_tokens)
        check_finite("finetuned", log_probs)
        said = log_probs.argmax(1).tolist()
        right += sum(asked[i].gold == s for i, s in zip(batch.numbers.tolist(), said, strict=True))
    return right / len(asked)


def step_size_accuracies(
    model: GPT,
    tasks: Sequence[ClassificationTask],
    *,
    candidates: Sequence[float] = PAPER_STEP_SIZES,
    finetuning: Finetuning | None = None,
    demonstrations: int | Mapping[str, int] = 32,
    seeds: Sequence[int] = (0,),
    queries: int | None = 256,
    progress: Callable[[str], None] | None = None,
) -> dict[str, dict[float, float]]:
    """Return the mean accuracy over seeds by task and step size; NaN where finetuning diverged.

    Parameters
    ----------
    model, tasks, candidates, finetuning, seeds, queries
        See :func:`best_step_size`.
    demonstrations
        One number for all, or one for each task by name.
    progress
        Called with a line of text before each task.

    Explained in: 16_paper_experiment
    """
    how, found = Finetuning() if finetuning is None else finetuning, {}
    for task in tasks:
        if progress is not None:
            progress(f"{task.name}: accuracy with {len(candidates)} step sizes")
        count = demonstrations if isinstance(demonstrations, int) else demonstrations[task.name]
        found[task.name] = {}
        for lr in sorted(candidates):
            try:
                shares = [
                    accuracy_after(
                        model, task, replace(how, lr=lr), demonstrations=count, seed=seed,
                        queries=queries,
                    )
                    for seed in seeds
                ]  # fmt: skip
                found[task.name][lr] = sum(shares) / len(shares)
            except ArithmeticError:
                found[task.name][lr] = math.nan
    return found


def best_on(accuracies: Mapping[str, Mapping[float, float]], tasks: Sequence[str]) -> Choice:
    """Return the step size with the best mean over some tasks; one that diverges counts 0.

    Parameters
    ----------
    accuracies
        From :func:`step_size_accuracies`.
    tasks
        Names; not those that are reported.

    Raises
    ------
    ValueError
        If there are no tasks, or finetuning diverges or is never right with all step sizes.

    Explained in: 16_paper_experiment
    """
    if not tasks:
        raise ValueError("there are no tasks to choose a step size on")
    found = {}
    for lr in accuracies[tasks[0]]:
        mean = sum(accuracies[name][lr] for name in tasks) / len(tasks)
        found[lr] = 0.0 if math.isnan(mean) else mean
    if not any(found.values()):
        raise ValueError(f"finetuning diverged or was never right with all of {sorted(found)}")
    return Choice(max(found, key=lambda lr: (found[lr], -lr)), found)


def best_step_size(
    model: GPT,
    tasks: Sequence[ClassificationTask],
    *,
    candidates: Sequence[float] = PAPER_STEP_SIZES,
    finetuning: Finetuning | None = None,
    demonstrations: int = 32,
    seeds: Sequence[int] = (0,),
    queries: int | None = 256,
) -> Choice:
    """Return the step size with which finetuning helps most on some tasks.

    Choose on tasks that are not reported: the best of many on the reported data is better than
    what a new task would show. The paper chooses on the data it reports.

    Parameters
    ----------
    model
        Left as it is.
    tasks
        Not those that are reported.
    candidates
        Step sizes to try.
    finetuning
        All else about it.
    demonstrations, seeds, queries
        As in :func:`icl_lib.meta.compare`.

    Raises
    ------
    ValueError
        If there are no tasks or candidates, or finetuning diverges with all of them.

    Source: Dai et al. (2023), section 4.1, for the candidates.

    Explained in: 16_paper_experiment
    """
    check_model(model)
    if not tasks or not candidates:
        raise ValueError(f"got {len(tasks)} tasks and {len(candidates)} step sizes to choose from")
    found = step_size_accuracies(
        model, tasks, candidates=candidates, finetuning=finetuning,
        demonstrations=demonstrations, seeds=seeds, queries=queries,
    )  # fmt: skip
    return best_on(found, list(found))
