"""Classification by continuing a text: prompts, label words, their scores and the loss on them.

A classifier made of a language model reads a prompt and compares how likely it finds each label's
tokens as the continuation. Labels may have several tokens. Letters: ``E`` examples, ``C`` labels,
``P`` longest prompt, ``W`` longest label, ``T`` positions of a padded row, ``V`` vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from icl_lib.models.gpt import GPT

COUNTED = ("label", "all")
"""Which tokens of an example can enter the loss: those of its label, or all but the first."""


@dataclass(frozen=True, eq=False)
class LabelTask:
    """Prompts with the numbers of their right labels, padded on the right.

    Rows are padded at the end: attention is causal, so no real token ever sees padding, and what
    is counted is chosen by masks. Make one with :meth:`of`.

    Attributes
    ----------
    prompts, lengths
        Tokens ``E P`` and how many of each row are real.
    labels, widths
        Tokens of the labels, ``C W``, and how many of each row are real.
    gold
        The right label of each example, 0 … C − 1.
    """

    prompts: Int[Tensor, "E P"]
    lengths: Int[Tensor, "E"]
    labels: Int[Tensor, "C W"]
    widths: Int[Tensor, "C"]
    gold: Int[Tensor, "E"]

    @classmethod
    def of(
        cls,
        prompts: Sequence[Int[Tensor, "_"]],
        labels: Sequence[Int[Tensor, "_"]],
        gold: Sequence[int] | Int[Tensor, "E"],
        *,
        context: int,
    ) -> "LabelTask":
        """Return the task of prompts, labels and right answers, each given as tokens.

        Parameters
        ----------
        prompts
            Tokens of each example's text, up to where the label is to follow.
        labels
            Tokens of each label.
        gold
            Number of the right label for each prompt.
        context
            Positions that the model has.

        Raises
        ------
        ValueError
            If there is no label or no prompt, one of them is empty, two labels are the same, the
            numbers do not match, or a prompt with the longest label exceeds the context.
        TypeError
            If tokens or answers are no whole numbers.
        """
        gold = torch.as_tensor(gold)
        _check_parts(prompts, labels, gold)
        padded, lengths = _padded(prompts)
        gold = gold.to(padded.device, torch.long)
        words, widths = _padded(labels)
        longest = int(lengths.max() + widths.max())
        if longest > context:
            raise ValueError(
                f"prompt {int(lengths.argmax())} has {int(lengths.max())} tokens and the longest "
                f"label {int(widths.max())}; together {longest - context} too many for a context "
                f"of {context}"
            )
        return cls(padded, lengths, words, widths, gold)

    def __len__(self) -> int:
        return len(self.gold)

    def __getitem__(self, index: slice | Tensor) -> "LabelTask":
        """Return some of the examples: a slice, a mask, or their numbers.

        Raises
        ------
        TypeError
            If the index is one number: a task stays a task, so write ``task[i : i + 1]``.
        """
        if isinstance(index, int) or (isinstance(index, Tensor) and not index.ndim):
            raise TypeError(f"one example is a slice, task[i : i + 1], got the number {int(index)}")
        lengths = self.lengths[index]
        longest = int(lengths.max()) if len(lengths) else 0
        prompts = self.prompts[index][:, :longest]
        return replace(self, prompts=prompts, lengths=lengths, gold=self.gold[index])

    def shuffled(self, seed: int) -> "LabelTask":
        """Return the same prompts with the answers dealt out anew: nothing is left to learn."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return replace(self, gold=self.gold[order.to(self.gold.device)])

    def rows(
        self, choice: Int[Tensor, "E"], on: str = "label"
    ) -> tuple[Int[Tensor, "E T"], Bool[Tensor, "E T1"]]:
        """Write a label behind each prompt.

        Parameters
        ----------
        choice
            Number of the label for each example.
        on
            Which targets count, one of ``COUNTED``.

        Returns
        -------
        tokens, counted
            Padded rows, and for each place but the first whether it counts as a target.
        """
        if on not in COUNTED:
            raise ValueError(f"the loss counts {' or '.join(COUNTED)} tokens, got {on!r}")
        places = torch.arange(self.labels.shape[1], device=self.lengths.device)
        total = self.lengths + self.widths[choice]
        tokens = torch.nn.functional.pad(self.prompts, (0, len(places)))
        tokens = tokens.scatter(1, self.lengths[:, None] + places, self.labels[choice])
        tokens = tokens[:, : int(total.max())]
        target = torch.arange(1, tokens.shape[1], device=total.device)
        first = self.lengths if on == "label" else torch.ones_like(total)
        return tokens, (target >= first[:, None]) & (target < total[:, None])


def _check_parts(prompts: Sequence[Tensor], labels: Sequence[Tensor], gold: Tensor) -> None:
    if not len(labels):
        raise ValueError("the set of labels is empty; a choice needs at least one")
    if not len(prompts):
        raise ValueError("there are no prompts; a task needs at least one example")
    for name, parts in (("prompt", prompts), ("label", labels)):
        empty = [i for i, part in enumerate(parts) if part.ndim != 1 or not len(part)]
        if empty:
            raise ValueError(f"{name} {empty[0]} must be one row of tokens, at least one")
        for i, part in enumerate(parts):
            _whole(part, f"{name} {i}")
    if len({tuple(label.tolist()) for label in labels}) < len(labels):
        raise ValueError("two labels have the same tokens; their scores could not differ")
    if gold.shape != (len(prompts),):
        raise ValueError(f"got {len(prompts)} prompts and {gold.numel()} answers; they must agree")
    _whole(gold, "the list of answers")
    wrong = (gold < 0) | (gold >= len(labels))
    if bool(wrong.any()):
        raise ValueError(
            f"answer {int(gold[wrong][0])} names no label; there are {len(labels)}, from 0 on"
        )


def _whole(numbers: Tensor, name: str) -> None:
    if numbers.is_floating_point() or numbers.is_complex():
        raise TypeError(f"{name} must hold whole numbers, got {numbers.dtype}")


def _padded(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(part) for part in parts], device=parts[0].device)
    return torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True), lengths


def target_log_probs(
    model: GPT, tokens: Int[Tensor, "E T"], counted: Bool[Tensor, "E T1"]
) -> Float[Tensor, "n"]:
    r"""Return :math:`\log p(\text{token}_t \mid \text{tokens}_{<t})` of the counted targets.

    Logits are computed at those places alone, row after row.

    Parameters
    ----------
    model
        Predicts.
    tokens
        Rows; padding only at their ends.
    counted
        For places 1 … T − 1: whether the token there is a target.

    Explained in: 08_fine_tuning
    """
    embedded = model.tokens(tokens[:, :-1]) * model.config.embed_scale
    hidden = model.run(embedded)[counted]
    log_p = model.logits(hidden[None])[0].log_softmax(-1)
    return log_p.gather(1, tokens[:, 1:][counted][:, None])[:, 0]


def example_losses(model: GPT, task: LabelTask, *, on: str = "label") -> Float[Tensor, "E"]:
    r"""Return each example's loss, in nats per counted token.

    .. math::
        \ell_i = -\frac{1}{|S_i|} \sum_{t \in S_i} \log p(x_{i,t} \mid x_{i,<t})

    with :math:`S_i` the places of the label, or all places but the first. The mean is taken within
    an example, so the loss of a batch is the mean over its examples, and with ``on="all"`` and one
    example a step it is the loss of Dai et al.

    Parameters
    ----------
    model
        Predicts.
    task
        Examples with their right labels.
    on
        ``label`` or ``all``.

    Source: Dai et al. (2023), section 4.1, and its code for ``all``.

    Explained in: 08_fine_tuning
    """
    tokens, counted = task.rows(task.gold, on)
    log_p = target_log_probs(model, tokens, counted)
    row = counted.nonzero()[:, 0]
    total = log_p.new_zeros(len(task)).index_add(0, row, log_p)
    return -total / counted.sum(1)


def label_loss(model: GPT, task: LabelTask, *, on: str = "label") -> Float[Tensor, ""]:
    """Return the mean of :func:`example_losses`: what supervised fine-tuning makes small.

    Raises
    ------
    ValueError
        If there are no examples.

    Explained in: 08_fine_tuning
    """
    if not len(task):
        raise ValueError("the task has no examples, there is no loss on them")
    return example_losses(model, task, on=on).mean()


@torch.no_grad()
def label_scores(
    model: GPT, task: LabelTask, *, per_token: bool = False, chunk: int = 128
) -> Float[Tensor, "E C"]:
    r"""Return :math:`\log p(\text{label}_c \mid \text{prompt}_i)` of every label.

    The log-probability of a label of several tokens is the sum of theirs. So a label that goes on
    where another one ends can never be the likelier of the two, unless ``per_token``. Each prompt
    is read once; its keys and values are kept, and every label is read from there. No gradients.

    Parameters
    ----------
    model
        Predicts.
    task
        Prompts and labels; the answers are not looked at.
    per_token
        Divide by the number of the label's tokens, so that long labels are not put at a
        disadvantage.
    chunk
        Prompts handled at a time: memory, nothing else.

    Raises
    ------
    ValueError
        If ``chunk`` is below 1 or there are no examples.

    Source: Dai et al. (2023), section 4.1: the likeliest of the candidate labels is predicted.

    Explained in: 08_fine_tuning
    """
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    if not len(task):
        raise ValueError("the task has no examples, there is nothing to score")
    places = torch.arange(len(task), device=task.gold.device).split(chunk)
    scores = torch.cat([_scores(model, task[part]) for part in places])
    return scores / task.widths if per_token else scores


def _scores(model: GPT, task: LabelTask) -> Float[Tensor, "E C"]:
    longest = task.prompts.shape[1]
    # a cache goes on at the end of all rows, so here the padding stands on the left
    source = torch.arange(longest, device=task.lengths.device) - (longest - task.lengths[:, None])
    prompts, mask = task.prompts.gather(1, source.clamp(min=0)), source >= 0
    cache = model.new_cache(len(task))
    first = model(prompts, mask=mask, cache=cache, last_only=True)[:, 0].log_softmax(-1)
    columns = []
    for label, width in zip(task.labels, task.widths.tolist(), strict=True):
        score = first[:, label[0]]
        if width > 1:
            cache.length = longest  # forget the label before
            seen = torch.nn.functional.pad(mask, (0, width - 1), value=True)
            read = label[: width - 1].expand(len(task), -1)
            log_p = model(read, mask=seen, cache=cache).log_softmax(-1)
            targets = label[1:width].expand(len(task), -1)
            score = score + log_p.gather(2, targets[..., None])[..., 0].sum(1)
        columns.append(score)
    return torch.stack(columns, dim=1)


def predict(model: GPT, task: LabelTask, *, per_token: bool = False) -> Int[Tensor, "E"]:
    """Return the number of the likeliest label for each prompt; the first one if two are equal.

    Explained in: 08_fine_tuning
    """
    return label_scores(model, task, per_token=per_token).argmax(dim=1)


def accuracy(model: GPT, task: LabelTask, *, per_token: bool = False) -> float:
    """Return the share of the examples whose likeliest label is the right one.

    Explained in: 08_fine_tuning
    """
    return (predict(model, task, per_token=per_token) == task.gold).double().mean().item()


def majority_accuracy(train: LabelTask, test: LabelTask) -> float:
    """Return the accuracy on ``test`` of always naming the commonest label of ``train``.

    Raises
    ------
    ValueError
        If one of them has no examples, or their labels differ.

    Explained in: 08_fine_tuning
    """
    if not len(train) or not len(test):
        raise ValueError(f"expected examples in both, got {len(train)} and {len(test)}")
    if not torch.equal(train.labels, test.labels):
        raise ValueError("training and test must have the same labels in the same order")
    commonest = torch.bincount(train.gold, minlength=len(train.labels)).argmax()
    return (test.gold == commonest).double().mean().item()
