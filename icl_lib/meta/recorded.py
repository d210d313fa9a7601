"""Everything that the three conditions do on a few queries, as tensors, for looking at."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from icl_lib.meta.finetuning import Finetuning, Trace, finetune
from icl_lib.meta.observe import POSITIONS, Observation, observe
from icl_lib.meta.prompts import (
    Batch,
    Beginning,
    Demonstration,
    check_lengths,
    check_vocabulary,
    choose_demonstrations,
    choose_queries,
    make_batches,
    opening,
    with_demonstrations,
)
from icl_lib.meta.walk import check_model, read_prefix
from icl_lib.models.gpt import GPT
from icl_lib.tasks.classification import ClassificationTask, Example


@dataclass(frozen=True, eq=False)
class Record:
    """What :func:`record` returns; the first axis of all tensors is the query.

    Attributes
    ----------
    conditions
        Of ``zero-shot``, ``in-context`` and ``finetuned``: attention outputs, scores before and
        weights after the softmax, queries, keys, values, label log-probabilities; by layer and
        head, at the measured position.
    trace
        What finetuning left behind.
    shown, asked
        Demonstrations in the order of the prompt; queries in the order of the rows.
    prompt
        Opening and demonstrations as tokens.
    batch
        The queries as tokens.
    gold
        Right labels.
    """

    conditions: Mapping[str, Observation]
    trace: Trace
    shown: list[Demonstration]
    asked: list[Example]
    prompt: Beginning
    batch: Batch
    gold: Int[Tensor, "B"]


def record(
    model: GPT,
    task: ClassificationTask,
    *,
    demonstrations: int = 32,
    seed: int = 0,
    queries: int = 8,
    finetuning: Finetuning | None = None,
    position: str = "prediction",
    balanced: bool = False,
) -> Record:
    """Return what :func:`icl_lib.meta.compare` looks at, for a few queries and all at once.

    The same seed shows the same demonstrations and asks the same queries.

    Parameters
    ----------
    model, task, demonstrations, finetuning, position, balanced
        See :func:`icl_lib.meta.compare`.
    seed
        Of the demonstrations.
    queries
        How many; everything about them is kept in memory.

    Raises
    ------
    TooLong, ValueError, ArithmeticError
        As :func:`icl_lib.meta.compare`.

    Source: Dai et al. (2023), section 4.2.

    Explained in: 16_paper_experiment
    """
    if position not in POSITIONS:
        raise ValueError(f"position must be {' or '.join(POSITIONS)}, got {position!r}")
    check_model(model)
    shown = choose_demonstrations(task, demonstrations, seed, balanced=balanced)
    asked = choose_queries(task, queries)
    texts = [task.render(example) for example in asked]
    check_vocabulary(model.config.vocab_size, task, shown, texts)
    check_lengths(model.config.context, task, shown, texts)
    how = Finetuning() if finetuning is None else finetuning
    start, prompt = opening(task), with_demonstrations(task, shown)
    twin, trace = finetune(model, shown, how, opening=task.prefix)
    ending = task.label_tokens[0] if position == "published" else None
    most = len(texts) * (max(map(len, texts)) + (0 if ending is None else len(ending)))
    (batch,) = make_batches(texts, tokens_at_once=most, ending=ending)
    ways = {"zero-shot": (model, start), "in-context": (model, prompt), "finetuned": (twin, start)}
    seen = {
        name: observe(net, batch, read_prefix(net, b.tokens, b.demonstration), task.label_tokens)
        for name, (net, b) in ways.items()
    }
    asked = [asked[i] for i in batch.numbers.tolist()]
    gold = torch.tensor([example.gold for example in asked])
    return Record(seen, trace, shown, asked, prompt, batch, gold)
