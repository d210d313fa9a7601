"""Which demonstrations stand in the prompt, which queries follow, and whether all that fits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from icl_lib.tasks.classification import ClassificationTask, Example, check_task

QUERY_SEED = 1
"""Decides which validation examples are asked: one choice for all seeds, as in Dai et al."""


class TooLong(ValueError):
    """A prompt exceeds the context; the message says by how much and what would fit."""


@dataclass(frozen=True, eq=False)
class Demonstration:
    """One solved example as tokens.

    Attributes
    ----------
    text, label
        Tokens of its text up to the label, and of the label.
    gold
        Number of the label.
    """

    text: Int[Tensor, "T"]
    label: Int[Tensor, "W"]
    gold: int

    @property
    def tokens(self) -> Int[Tensor, "T"]:
        """Text and label."""
        return torch.cat([self.text, self.label])


@dataclass(frozen=True, eq=False)
class Beginning:
    """The tokens before the query, and which of them are demonstrations'.

    Attributes
    ----------
    tokens
        Opening, demonstrations, separators.
    demonstration
        True for the tokens of a demonstration's text or label, counted as *slots* 0, 1, 2 … in
        the order of the prompt.
    """

    tokens: Int[Tensor, "N"]
    demonstration: Bool[Tensor, "N"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Queries of similar length, padded on the right.

    Attributes
    ----------
    tokens
        Query texts and, at the published position, the first label behind each.
    lengths
        Tokens of each query's text: the label is predicted at ``lengths − 1``.
    places
        Where everything inside is measured.
    numbers
        Which queries these are.
    """

    tokens: Int[Tensor, "B T"]
    lengths: Int[Tensor, "B"]
    places: Int[Tensor, "B"]
    numbers: Int[Tensor, "B"]

    @property
    def seen(self) -> Bool[Tensor, "B T"]:
        """True for the query's positions up to the measured one."""
        where = torch.arange(self.tokens.shape[1], device=self.tokens.device)
        return where <= self.places[:, None]


def choose_demonstrations(
    task: ClassificationTask, count: int, seed: int, *, balanced: bool = False
) -> list[Demonstration]:
    """Return the first ``count`` training examples in an order that the seed decides.

    Parameters
    ----------
    task
        Has the examples.
    count
        How many; exactly so many are returned.
    seed
        Of the order.
    balanced
        Take classes in turn, as long as each has examples. Differs from Dai et al., who do not.

    Raises
    ------
    ValueError
        If the training split has fewer.

    Source: Dai et al. (2023), section 4.1 and their code.

    Explained in: 16_paper_experiment
    """
    check_task(task)
    examples = task.split("train")
    if not 1 <= count <= len(examples):
        raise ValueError(
            f"{task.name} has {len(examples)} training examples, asked were {count} demonstrations"
        )
    order = _order(len(examples), seed)
    if balanced:
        order = _in_turn([examples[i].gold for i in order], order)
    labels = task.label_tokens
    chosen = [examples[i] for i in order[:count]]
    return [Demonstration(task.render(e), labels[e.gold], e.gold) for e in chosen]


def _order(count: int, seed: int) -> list[int]:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()


def _in_turn(golds: Sequence[int], order: Sequence[int]) -> list[int]:
    """Sort places by how often their class has come before, keeping the order otherwise."""
    seen: dict[int, int] = {}
    turn = []
    for gold in golds:
        turn.append(seen.setdefault(gold, 0))
        seen[gold] += 1
    return [order[i] for i in sorted(range(len(order)), key=turn.__getitem__)]


def choose_queries(
    task: ClassificationTask, count: int | None, *, seed: int = QUERY_SEED
) -> list[Example]:
    """Return ``count`` validation examples, or all, in an order that the seed decides.

    Raises
    ------
    ValueError
        If there are fewer, or none.

    Source: Dai et al.'s code shuffles with seed 1 and takes at most 2,000.

    Explained in: 16_paper_experiment
    """
    examples = task.split("validation")
    count = len(examples) if count is None else count
    if not 1 <= count <= len(examples):
        raise ValueError(
            f"{task.name} has {len(examples)} validation examples, asked were {count} queries"
        )
    return [examples[i] for i in _order(len(examples), seed)[:count]]


def dealt_anew(
    demonstrations: Sequence[Demonstration], task: ClassificationTask, seed: int
) -> list[Demonstration]:
    """Return the same texts with the labels dealt out anew: the control of shuffled labels.

    Explained in: 17_chance
    """
    order, labels = _order(len(demonstrations), seed), task.label_tokens
    golds = [demonstrations[i].gold for i in order]
    return [
        Demonstration(d.text, labels[gold], gold)
        for d, gold in zip(demonstrations, golds, strict=True)
    ]


def opening(task: ClassificationTask) -> Beginning:
    """Return what stands before a query without demonstrations.

    Explained in: 16_paper_experiment
    """
    return Beginning(task.prefix, torch.zeros(len(task.prefix), dtype=torch.bool))


def with_demonstrations(
    task: ClassificationTask, demonstrations: Sequence[Demonstration]
) -> Beginning:
    """Return the opening and all demonstrations, each with the separator behind it.

    Explained in: 16_paper_experiment
    """
    parts, marks = [task.prefix], [torch.zeros(len(task.prefix), dtype=torch.bool)]
    for shown in demonstrations:
        parts += [shown.tokens, task.separator]
        marks += [torch.ones(len(shown.tokens), dtype=torch.bool), task.separator < 0]
    return Beginning(torch.cat(parts), torch.cat(marks))


def with_filler(task: ClassificationTask, like: Beginning) -> Beginning:
    """Return a beginning as long as another, with filler in place of its demonstrations.

    Explained in: 17_chance
    """
    start = len(task.prefix)
    rest = len(like.tokens) - start
    filler = task.filler.repeat(-(-rest // len(task.filler)))[:rest]
    return Beginning(torch.cat([task.prefix, filler]), like.demonstration)


def make_batches(
    texts: Sequence[Tensor], *, tokens_at_once: int, ending: Tensor | None = None
) -> Iterator[Batch]:
    """Yield queries sorted by length, so many at a time that little is padded.

    Parameters
    ----------
    texts
        Tokens of each query.
    tokens_at_once
        Most tokens of a batch, padding included; one query at least.
    ending
        Tokens to be read behind each query, at the last of which is measured: the published
        position. Not given: the last token of the query itself.

    Raises
    ------
    ValueError
        If there is no query, or one is empty.

    Explained in: 16_paper_experiment
    """
    lengths = torch.tensor([len(text) for text in texts])
    if not len(lengths) or not int(lengths.min()):
        raise ValueError("there must be queries, and each must have a token")
    more = 0 if ending is None else len(ending)
    order, start = lengths.argsort(stable=True).tolist(), 0
    while start < len(order):
        end = start + 1
        while end < len(order):
            longest = int(lengths[order[end]]) + more
            if longest * (end + 1 - start) > tokens_at_once:
                break
            end += 1
        numbers = torch.tensor(order[start:end])
        rows = [texts[i] if not more else torch.cat([texts[i], ending]) for i in order[start:end]]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        yield Batch(padded, lengths[numbers], lengths[numbers] + more - 1, numbers)
        start = end


def check_vocabulary(
    vocab_size: int,
    task: ClassificationTask,
    demonstrations: Sequence[Demonstration],
    queries: Sequence[Tensor],
) -> None:
    """Raise ``ValueError`` if a task has tokens that the model's table lacks.

    Explained in: 16_paper_experiment
    """
    parts = [task.prefix, task.separator, task.filler, *task.label_tokens, *queries]
    parts += [d.tokens for d in demonstrations]
    largest = max(int(part.max()) for part in parts if len(part))
    if largest >= vocab_size:
        raise ValueError(
            f"{task.name} has token {largest} where the model has a vocabulary of "
            f"{vocab_size}; do tokenizer and model belong together?"
        )


def check_lengths(
    context: int,
    task: ClassificationTask,
    demonstrations: Sequence[Demonstration],
    queries: Sequence[Tensor],
) -> None:
    """Raise :class:`TooLong` if any prompt with any label exceeds the context.

    Raises
    ------
    TooLong
        Says by how much, and how many demonstrations of this list would fit.

    Explained in: 16_paper_experiment
    """
    label = max(len(t) for t in task.label_tokens)
    query = max(len(q) for q in queries)
    shown = [len(d.tokens) + len(task.separator) for d in demonstrations]
    total = len(task.prefix) + sum(shown) + query + label
    if total > context:
        fits, room = 0, context - len(task.prefix) - query - label
        while fits < len(shown) and sum(shown[: fits + 1]) <= room:
            fits += 1
        raise TooLong(
            f"{len(shown)} demonstrations of {task.name} ({sum(shown)} tokens), the longest query "
            f"({query}) and label ({label}) and the opening ({len(task.prefix)}) need {total} "
            f"positions, {total - context} too many for a context of {context}; "
            f"{fits} of these demonstrations would fit"
        )


def count_that_fits(
    context: int, task: ClassificationTask, *, most: int, seeds: Sequence[int], queries: int | None
) -> int:
    """Return how many demonstrations fit the context with every seed, at most ``most``.

    Ask this before, and say the number: nothing here drops demonstrations by itself.

    Source: Dai et al. (2023) use 32 or what fits; their code drops the rest without a word.

    Explained in: 19_real_models
    """
    texts = [task.render(example) for example in choose_queries(task, queries)]
    for count in range(most, 0, -1):
        try:
            for seed in seeds:
                check_lengths(context, task, choose_demonstrations(task, count, seed), texts)
        except TooLong:
            continue
        return count
    raise TooLong(f"not even one demonstration of {task.name} fits a context of {context}")
