"""What the protocol costs before it is run: operations and bytes, from shapes and lengths alone.

Letters: ``L`` layers, ``D`` width, ``I = H·K`` inner width, ``M`` hidden width of the MLP, ``V``
vocabulary; ``n`` tokens before the query, ``t`` tokens of a query, ``m`` tokens of a demonstration
with its opening, ``N`` demonstrations, ``Q`` queries. A product of an a × b matrix with a vector
counts 2ab operations. Sorting, singular values, softmax and norms are not counted,
nor is the second reading of labels that have several tokens.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from icl_lib.meta.controls import DEFAULT, check_controls
from icl_lib.meta.prompts import (
    choose_demonstrations,
    choose_queries,
    make_batches,
    opening,
    with_demonstrations,
)
from icl_lib.models.config import GPTConfig
from icl_lib.models.presets import count_parameters
from icl_lib.tasks.classification import ClassificationTask

GIB = 2**30


@dataclass(frozen=True)
class Lengths:
    """Tokens of one seed's prompts; means where examples differ.

    Attributes
    ----------
    demonstrations, queries
        Their numbers, N and Q.
    opening
        Tokens before everything.
    prompt
        n: opening, demonstrations, separators.
    trained
        m: opening, text and label of one demonstration.
    query
        t: the text of one query, with the padding of its batch.
    longest
        Tokens of the longest prompt with a query and its label.
    """

    demonstrations: int
    queries: int
    opening: int
    prompt: float
    trained: float
    query: float
    longest: int

    @classmethod
    def of(
        cls,
        task: ClassificationTask,
        demonstrations: int,
        *,
        queries: int | None,
        seed: int = 0,
        tokens_at_once: int = 2048,
    ) -> "Lengths":
        """Measure a task's own examples, chosen and padded as :func:`icl_lib.meta.compare` does.

        Raises
        ------
        ValueError
            If there are too few examples.

        Explained in: 19_real_models
        """
        shown = choose_demonstrations(task, demonstrations, seed)
        texts = [task.render(example) for example in choose_queries(task, queries)]
        padded = sum(b.tokens.numel() for b in make_batches(texts, tokens_at_once=tokens_at_once))
        start, prompt = len(task.prefix), len(with_demonstrations(task, shown).tokens)
        label = max(len(tokens) for tokens in task.label_tokens)
        return cls(
            len(shown), len(texts), len(opening(task).tokens), prompt,
            start + sum(len(d.tokens) for d in shown) / len(shown),
            padded / len(texts), prompt + max(map(len, texts)) + label,
        )  # fmt: skip

    @classmethod
    def alike(cls, demonstrations: int, queries: int, example: int) -> "Lengths":
        """Return the lengths if every text has as many tokens; opening, label, separator have one.

        Explained in: 19_real_models
        """
        prompt = 1 + demonstrations * (example + 2)
        return cls(demonstrations, queries, 1, prompt, example + 2, example, prompt + example + 1)

    @classmethod
    def recorded(cls, row: Mapping) -> "Lengths":
        """Return the lengths of one row of :func:`real_length`; its opening and separators are one
        token each.

        Explained in: 19_real_models
        """
        count, prompt, asked = row["demonstrations"], row["prompt tokens"], row["queries"]
        each, longest = (prompt - 1) / count, prompt + row["longest query"] + 1
        return cls(count, asked, 1, prompt, each, row["query tokens"] / asked, longest)

    def resized(self, demonstrations: int, queries: int) -> "Lengths":
        """Return the lengths with other numbers of examples of the same mean length.

        Explained in: 19_real_models
        """
        each = (self.prompt - self.opening) / self.demonstrations
        prompt = self.opening + demonstrations * each
        longest = math.ceil(self.longest - self.prompt + prompt)
        return replace(
            self, demonstrations=demonstrations, queries=queries, prompt=prompt, longest=longest
        )

    def fitting(self, context: int, *, most: int) -> int:
        """Return how many demonstrations of this mean length fit a context, at most ``most``.

        Real examples differ: :func:`icl_lib.meta.count_that_fits` knows each.

        Explained in: 19_real_models
        """
        each = (self.prompt - self.opening) / self.demonstrations
        room = context - self.opening - (self.longest - self.prompt)
        return max(0, min(most, int(room / each)))


@dataclass(frozen=True)
class Parts:
    """How often each part of the protocol is done for one seed.

    Attributes
    ----------
    long, short
        Conditions whose queries are read behind demonstrations or filler, or behind nothing.
    trainings
        Passes over the demonstrations.
    comparisons
        Pairs of updates whose matrices are formed.
    ranked
        Comparisons with a record of training, whose attention to demonstrations is ranked.
    copies, traces
        Finetuned copies, and records of training, that are alive at the same time.
    fresh
        Whether a second model of fresh weights is alive.
    """

    long: int
    short: int
    trainings: int
    comparisons: int
    ranked: int
    copies: int
    traces: int
    fresh: bool

    @classmethod
    def of(cls, controls: Sequence[str] = DEFAULT, *, wrong_task: bool = False) -> "Parts":
        """Return what some controls ask for, beyond the three conditions themselves.

        Raises
        ------
        ValueError
            If a control is unknown.

        Explained in: 19_real_models
        """
        names = set(check_controls(controls, wrong_task=wrong_task))
        untrained = len(names & {"untrained", "untrained-blocks"})
        twins = len(names & {"shuffled-labels", "wrong-task"})
        padded = bool(names & {"padding", "position-removed"})
        return cls(
            long=1 + padded + untrained,
            short=2 + twins + 2 * untrained,
            trainings=1 + twins + untrained,
            comparisons=1 + ("padding" in names) + twins + untrained,
            ranked=1 + ("padding" in names) + ("shuffled-labels" in names) + untrained,
            copies=1 + twins + bool(untrained),
            traces=1 + ("shuffled-labels" in names) + bool(untrained),
            fresh=bool(untrained),
        )


def per_token(config: GPTConfig) -> int:
    r"""Return the operations of one token in all blocks, attention's own products left out.

    .. math:: 2P = 2L\,(4DI + 2DM)

    Source: Kaplan et al. (2020), section 2.1.

    Explained in: 19_real_models
    """
    inner = config.heads * config.head_width
    return 2 * config.layers * config.width * (4 * inner + 2 * config.mlp_width)


def operations(
    config: GPTConfig, lengths: Lengths, parts: Parts | None = None, *, shared: bool = True
) -> dict[str, float]:
    r"""Return the operations of one seed, part by part.

    With :math:`P = L(4DI + 2DM)`, what a token meets in the blocks:

    - demonstrations :math:`2Pn + 4LIn^2`, once for each condition that has them; once for each
      query, too, if they are not shared
    - queries :math:`Q\,[2Pt + 4LIt(n+t) + 2DV]` for each condition, with the opening in place of n
      where there are no demonstrations. The last layer goes on at one position only.
    - finetuning :math:`N\,[4Pm + 4LDIm + 4(m-1)DV + 14LIm^2]` for each training: forward, back to
      every layer, and the gradients of the matrices of keys and values. The first layer needs no
      gradient of its inputs.
    - updates :math:`Q\,[8LDIt + 4LIKt]` for each comparison: keys and values of the query text
      before and after training, and their outer products.
    - rankings :math:`2QNmL\,[3I + D + HD]` for each ranked comparison: products of every query with
      every token of training; those of error signals are made head by head.

    Parameters
    ----------
    config
        Shape of the model.
    lengths
        Of prompts.
    parts
        What is done; the three conditions with all default controls, if not given.
    shared
        Read demonstrations once for all queries, as :func:`icl_lib.meta.compare` does; or again
        for each of them.

    Source: counted from :mod:`icl_lib.meta`; 2 operations a parameter and token are in Kaplan et
    al. (2020), section 2.1.

    Explained in: 19_real_models
    """
    parts = Parts.of() if parts is None else parts
    layers, width, inner = config.layers, config.width, config.heads * config.head_width
    square, mlp = width * inner, width * config.mlp_width
    head = 2 * width * (config.vocab_size or 0)
    blocks = per_token(config)
    n, t, m, asked = lengths.prompt, lengths.query, lengths.trained, lengths.queries
    once = blocks * n + 4 * layers * inner * n**2

    def reading(before: float) -> float:
        whole = (blocks - 2 * square - 4 * mlp) * t + 2 * square + 4 * mlp
        return whole + 4 * inner * (t + before) * ((layers - 1) * t + 1) + head

    step = (2 * blocks - 6 * square) * m + 4 * layers * square * m
    step += 2 * head * (m - 1) + 14 * layers * inner * m**2
    pair = 8 * layers * square * t + 4 * layers * inner * config.head_width * t
    rank = 2 * lengths.demonstrations * m * layers * (3 * inner + width + config.heads * width)
    return {
        "demonstrations": parts.long * once * (1 if shared else asked),
        "queries": asked * (parts.long * reading(n) + parts.short * reading(lengths.opening)),
        "finetuning": parts.trainings * lengths.demonstrations * step,
        "updates": parts.comparisons * asked * pair,
        "rankings": parts.ranked * asked * rank,
    }


def memory(
    config: GPTConfig,
    lengths: Lengths,
    parts: Parts | None = None,
    *,
    tokens_at_once: int = 2048,
    shared: bool = True,
    bytes_each: int = 4,
) -> dict[str, float]:
    r"""Return the bytes that are held at the same time, part by part.

    - weights, twice if the untrained control is asked for
    - copies: :math:`2LDI` for each finetuned copy, whose other parameters are the model's own
    - keys and values of the demonstrations: :math:`2LIn` for each condition that has them
    - trace: :math:`Nm\,L(D + 3I)` for each training that is kept: inputs, queries, error signals
    - queries: what every condition shows of the texts that are read at once, :math:`L(D + 2I)` a
      token, and the scores on demonstrations in one layer, :math:`3Hn` a token. A batch is let go
      when the next one has been read: two are held.
    - logits of the longest step of training, four times

    Plain SGD keeps nothing between steps: no optimiser's state is in the list. What Python and its
    libraries need is not, either.

    Parameters
    ----------
    config, lengths, parts, shared
        As in :func:`operations`. Not shared, one query is read at a time.
    tokens_at_once
        As in :func:`icl_lib.meta.compare`.
    bytes_each
        Of one number: 4 in float32.

    Explained in: 19_real_models
    """
    parts = Parts.of() if parts is None else parts
    layers, width, inner = config.layers, config.width, config.heads * config.head_width
    own, n = sum(count_parameters(config).values()), lengths.prompt
    together = lengths.query
    if shared:
        together = max(together, min(2 * tokens_at_once, lengths.queries * lengths.query))
    trained = lengths.demonstrations * lengths.trained
    states = 2 + parts.copies - parts.fresh + bool(parts.long > 1)
    numbers = {
        "weights": own * (2 if parts.fresh else 1),
        "copies": parts.copies * 2 * layers * width * inner,
        "keys and values": (2 if parts.long > 1 else 1) * 2 * layers * inner * n,
        "trace": parts.traces * trained * layers * (width + 3 * inner),
        "queries": together * (states * layers * (width + 2 * inner) + 3 * config.heads * n),
        "logits": 4 * lengths.trained * (config.vocab_size or 0),
    }
    return {name: float(bytes_each * number) for name, number in numbers.items()}


def seconds(operations: Mapping[str, float], rate: float) -> float:
    """Return how long some operations take at so many a second.

    Raises
    ------
    ValueError
        If the rate is not positive.

    Explained in: 19_real_models
    """
    if not rate > 0:
        raise ValueError(f"the rate must be positive, got {rate}")
    return sum(operations.values()) / rate


def counted(call: Callable[[], object]) -> int:
    """Return the operations of all matrix products in a call, as torch counts them.

    Fused attention counts as if the causal mask spared nothing, backward two and a half times as
    much as forward.

    Parameters
    ----------
    call
        Takes no arguments; what it returns is dropped.

    Explained in: 19_real_models
    """
    aten = torch.ops.aten
    mapping = {
        aten._scaled_dot_product_flash_attention_for_cpu: _attention(4),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention(10, first=1),
    }
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        call()
    return counter.get_total_flops()


def _attention(factor: int, first: int = 0) -> Callable[..., int]:
    def count(*shapes, out_shape=None, **options) -> int:
        batch, heads, queries, width = shapes[first]
        return factor * batch * heads * queries * shapes[first + 1][2] * width

    return count


def real_length() -> dict:
    """Return what ``python -m benchmarks.real_length DATA`` measured and wrote down.

    Returns
    -------
    dict
        ``rows``, one for each data set, with lengths, seconds and peak memory; ``more``, what was
        said where 32 demonstrations do not fit; setting, hardware and date.

    Explained in: 19_real_models
    """
    return json.loads(Path(__file__).with_name("real_length.json").read_text("utf-8"))
