"""A step size for finetuning, chosen on other tasks than those that are reported."""

from collections.abc import Sequence
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
    how = Finetuning() if finetuning is None else finetuning
    found: dict[float, float] = {}
    for lr in sorted(candidates):
        try:
            shares = [
                accuracy_after(
                    model,
                    task,
                    replace(how, lr=lr),
                    demonstrations=demonstrations,
                    seed=seed,
                    queries=queries,
                )
                for task in tasks
                for seed in seeds
            ]
            found[lr] = sum(shares) / len(shares)
        except ArithmeticError:
            found[lr] = 0.0
    if not any(found.values()):
        raise ValueError(f"finetuning diverged or was never right with all of {sorted(candidates)}")
    return Choice(max(found, key=lambda lr: (found[lr], -lr)), found)
