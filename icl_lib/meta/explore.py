"""Every subset of a few demonstrations: what the model says with it, and after training on it.

Letters: ``S`` subsets, ``Q`` queries, ``C`` labels, ``L`` layers, ``H`` heads, ``P`` places of the
prompt with all demonstrations and the longest query. Subset ``s`` holds demonstration ``i`` if
bit ``i`` of ``s`` is 1, so that subset 0 is the zero-shot prompt.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib.meta.finetuning import Finetuning, finetune
from icl_lib.meta.observe import label_log_probs, observe
from icl_lib.meta.prompts import (
    Batch,
    Demonstration,
    check_lengths,
    check_vocabulary,
    make_batches,
    with_demonstrations,
)
from icl_lib.meta.walk import check_model, read_prefix
from icl_lib.models.gpt import GPT
from icl_lib.tasks.classification import ClassificationTask, Example, check_task
from icl_lib.tasks.lab import AGREEMENT, ATTRIBUTES, FIRST_WORD
from icl_lib.tasks.lab_bayes import Reader, texts_of
from icl_lib.tasks.lab_tasks import LabTask
from icl_lib.tasks.lab_words import Words

MOST = 8
"""Most demonstrations, since all their subsets are read."""


@dataclass(frozen=True, eq=False)
class Exploration:
    """What a model says about some queries with every subset of some demonstrations.

    Attributes
    ----------
    task
        Its name.
    labels, meanings
        Label words, and what each stands for, as far as that is known.
    words, owners, is_label
        Of each place before the query, with all demonstrations in: how its token is written,
        whose it is (−1: the opening; else the number of a demonstration), whether it is a label's.
    queries
        The words of each query.
    shown, asked
        Numbers of the right labels of demonstrations and queries.
    in_context
        Label probabilities with each subset in the prompt; row 0 is zero-shot.
    finetuned
        The same without demonstrations, by a model trained on the subset in its order; row 0 is
        the model itself.
    bayes
        The same by the best possible reader of the prompt, where there is one.
    attention
        Weights of the place that predicts, 0 where a demonstration is not in the prompt.
    """

    task: str
    labels: tuple[str, ...]
    meanings: tuple[str, ...] | None
    words: tuple[str, ...]
    owners: tuple[int, ...]
    is_label: tuple[bool, ...]
    queries: tuple[tuple[str, ...], ...]
    shown: tuple[int, ...]
    asked: tuple[int, ...]
    in_context: Float[Tensor, "S Q C"]
    finetuned: Float[Tensor, "S Q C"]
    bayes: Float[Tensor, "S Q C"] | None
    attention: Float[Tensor, "S Q L H P"]


def in_turn(examples: Sequence[Example], count: int, *, seed: int = 0) -> list[Example]:
    """Return ``count`` examples, one of each class in turn, in an order that the seed decides.

    Raises
    ------
    ValueError
        If there are fewer.

    Explained in: 16_paper_experiment
    """
    if not 1 <= count <= len(examples):
        raise ValueError(f"asked were {count} of {len(examples)} examples")
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed)).tolist()
    turn: dict[int, int] = {}
    rank = {}
    for i in order:
        rank[i] = turn.setdefault(examples[i].gold, 0)
        turn[examples[i].gold] += 1
    return [examples[i] for i in sorted(order, key=rank.__getitem__)[:count]]


def explore(
    model: GPT,
    task: ClassificationTask,
    demonstrations: Sequence[Example],
    queries: Sequence[Example],
    *,
    finetuning: Finetuning | None = None,
    write: Callable[[int], str] | None = None,
) -> Exploration:
    """Read queries behind every subset of demonstrations, and after finetuning on every subset.

    Parameters
    ----------
    model
        Left as it is.
    task
        Writes examples as tokens. For a task of the lab language the best possible reader answers,
        too.
    demonstrations
        At most ``MOST``; every subset keeps their order.
    queries
        All are read behind each subset.
    finetuning
        How a subset is learned; the paper's way with a step size of 0.01, if not given.
    write
        How a token is written; the lab language has its own way, any other writes its number.

    Raises
    ------
    ValueError
        If there are no queries, no demonstrations or too many, or tokens that the model lacks.
    TooLong
        If the prompt with all demonstrations exceeds the context.
    Diverged
        If training on a subset does.

    Source: the three conditions of Dai et al. (2023), section 4.1.

    Explained in: 16_paper_experiment
    """
    check_task(task)
    check_model(model)
    if not 1 <= len(demonstrations) <= MOST or not queries:
        raise ValueError(
            f"expected 1 to {MOST} demonstrations and a query, got {len(demonstrations)} "
            f"demonstrations and {len(queries)} queries"
        )
    labels = task.label_tokens
    shown = [Demonstration(task.render(e), labels[e.gold], e.gold) for e in demonstrations]
    texts = [task.render(e) for e in queries]
    check_vocabulary(model.config.vocab_size, task, shown, texts)
    check_lengths(model.config.context, task, shown, texts)
    room = len(texts) * max(map(len, texts))
    (batch,) = make_batches(texts, tokens_at_once=room)
    training = model.training
    model.eval()
    try:
        in_context, attention = _in_context(model, task, shown, batch)
        finetuned = _finetuned(model, task, shown, batch, finetuning or Finetuning())
    finally:
        model.train(training)
    lab = isinstance(task, LabTask)
    write = write or (_lab_words(task) if lab else str)
    return Exploration(
        task=task.name,
        labels=tuple(" ".join(map(write, t.tolist())) for t in labels) if lab else task.labels,
        meanings=meanings(task) if lab else None,
        **_places(task, shown, texts, write),
        shown=tuple(d.gold for d in shown),
        asked=tuple(e.gold for e in queries),
        in_context=in_context,
        finetuned=finetuned,
        bayes=_bayes(task, demonstrations, queries) if lab else None,
        attention=attention,
    )


def subsets(count: int) -> Iterator[list[int]]:
    """Yield the members of each subset in the order of its number.

    >>> list(subsets(2))
    [[], [0], [1], [0, 1]]

    Explained in: 16_paper_experiment
    """
    for number in range(2**count):
        yield [i for i in range(count) if number >> i & 1]


def _in_context(
    model: GPT, task: ClassificationTask, shown: Sequence[Demonstration], batch: Batch
) -> tuple[Float[Tensor, "S Q C"], Float[Tensor, "S Q L H P"]]:
    """Read all queries behind each subset; put its attention where the whole prompt has it."""
    owners = torch.tensor(_owners(task, shown))
    back, probabilities, attention = batch.numbers.argsort(), [], []
    for members in subsets(len(shown)):
        tokens = with_demonstrations(task, [shown[i] for i in members]).tokens
        prefix = read_prefix(model, tokens, torch.ones(len(tokens), dtype=torch.bool))
        seen = observe(model, batch, prefix, task.label_tokens)
        probabilities.append(seen.label_log_probs.softmax(1)[back])
        there = torch.isin(owners, torch.tensor([-1, *members]))
        before = seen.weights_demo.new_zeros(*seen.weights_demo.shape[:3], len(owners))
        before[..., there] = seen.weights_demo
        attention.append(torch.cat([before, seen.weights], -1)[back])
    return torch.stack(probabilities).cpu(), torch.stack(attention).cpu()


def _finetuned(
    model: GPT,
    task: ClassificationTask,
    shown: Sequence[Demonstration],
    batch: Batch,
    how: Finetuning,
) -> Float[Tensor, "S Q C"]:
    """Ask a model trained on each subset; where steps come one by one, beginnings are shared."""
    one_by_one = how.passes == how.batch == 1 and not how.momentum
    twins, found = [model], []
    for number, members in enumerate(subsets(len(shown))):
        if members and one_by_one:
            before = twins[number - 2 ** members[-1]]
            twins.append(_trained(before, task, [shown[members[-1]]], how))
        elif members:
            twins = [*twins[:1], _trained(model, task, [shown[i] for i in members], how)]
        prefix = read_prefix(twins[-1], task.prefix)
        log_p = label_log_probs(twins[-1], batch, prefix, task.label_tokens)
        found.append(log_p.softmax(1)[batch.numbers.argsort()])
    return torch.stack(found).cpu()


def _trained(
    model: GPT, task: ClassificationTask, shown: Sequence[Demonstration], how: Finetuning
) -> GPT:
    return finetune(model, shown, how, opening=task.prefix, trace=False)[0]


def _bayes(
    task: LabTask, demonstrations: Sequence[Example], queries: Sequence[Example]
) -> Float[Tensor, "S Q C"]:
    reader, (asked, _) = Reader.of(task), texts_of(queries, task.lab)
    texts, answers = texts_of(demonstrations, task.lab)
    return torch.stack(
        [reader.probabilities(asked, texts[m], answers[m]) for m in subsets(len(texts))]
    )


def _owners(task: ClassificationTask, shown: Sequence[Demonstration]) -> list[int]:
    owners = [-1] * len(task.prefix)
    for i, one in enumerate(shown):
        owners += [i] * (len(one.tokens) + len(task.separator))
    return owners


def _places(
    task: ClassificationTask,
    shown: Sequence[Demonstration],
    texts: Sequence[Tensor],
    write: Callable[[int], str],
) -> dict[str, tuple]:
    """Return what stands at each place of the whole prompt, and in each query."""
    is_label = [False] * len(task.prefix)
    for one in shown:
        is_label += [False] * len(one.text) + [True] * len(one.label)
        is_label += [False] * len(task.separator)
    whole = with_demonstrations(task, shown).tokens.tolist()
    return {
        "words": tuple(map(write, whole)),
        "owners": tuple(_owners(task, shown)),
        "is_label": tuple(is_label),
        "queries": tuple(tuple(map(write, text.tolist())) for text in texts),
    }


def meanings(task: LabTask) -> tuple[str, ...]:
    """Return what each label of a task stands for, which no reader is told.

    Explained in: 16_paper_experiment
    """
    if task.asked == AGREEMENT:
        return tuple(" or ".join(map(_agreement, values)) for values in task.classes)
    spell = Words(task.lab).syllable
    signs = (" or ".join(spell(task.asked, v) for v in sorted(values)) for values in task.classes)
    return tuple(f"{ATTRIBUTES[task.asked]} {sign}" for sign in signs)


def _agreement(number: int) -> str:
    same = [name for bit, name in enumerate(ATTRIBUTES) if number >> bit & 1]
    return f"same {' and '.join(same)}" if same else "nothing in common"


def _lab_words(task: LabTask) -> Callable[[int], str]:
    """Return how tokens are written; in a word the syllable that is asked stands between stars."""
    lab, spell = task.lab, Words(task.lab)

    def write(token: int) -> str:
        if task.asked == AGREEMENT or not FIRST_WORD <= token < FIRST_WORD + lab.vocabulary:
            return spell.say(token)
        signs = [
            spell.syllable(*pair) for pair in enumerate(lab.values(torch.tensor(token)).tolist())
        ]
        signs[task.asked] = f"*{signs[task.asked]}*"
        return "".join(signs)

    return write
