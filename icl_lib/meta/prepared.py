"""A comparison that waits for a way of finetuning: what does not depend on it is read once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from icl_lib.meta import controls as control_room
from icl_lib.meta.finetuning import Finetuning, finetune
from icl_lib.meta.measure import Comparison, Condition, Measured, Options, measure
from icl_lib.meta.prompts import (
    Beginning,
    Demonstration,
    check_lengths,
    check_vocabulary,
    choose_demonstrations,
    choose_queries,
    dealt_anew,
    make_batches,
    opening,
    with_demonstrations,
    with_filler,
)
from icl_lib.meta.ranks import kendall
from icl_lib.meta.result import Result, make_table
from icl_lib.meta.similarity import beside, cosine, norm_ratio, output_update_similarity
from icl_lib.meta.tabulate import answer_rows, example_rows, metric_rows
from icl_lib.meta.walk import read_prefix
from icl_lib.models.gpt import GPT
from icl_lib.tasks.classification import ClassificationTask

UNTRAINED = ("untrained", "untrained-blocks")
"""Controls that are the whole comparison on another model."""


@dataclass(frozen=True, eq=False)
class Setting:
    """What is compared, all but the way of finetuning; see :func:`icl_lib.meta.compare`."""

    demonstrations: int
    seeds: tuple[int, ...]
    queries: int | None
    controls: tuple[str, ...]
    wrong_task: ClassificationTask | None
    position: str
    balanced: bool
    heads: bool
    spectra: int
    tokens_at_once: int


@dataclass(frozen=True, eq=False)
class _Question:
    """One seed's demonstrations and all queries, in an order that does not depend on theirs."""

    task: ClassificationTask
    shown: list[Demonstration]
    texts: list[Tensor]
    gold: Int[Tensor, "E"]
    order: Int[Tensor, "E"]
    seed: int


@dataclass(frozen=True, eq=False)
class _Part:
    """One model under one seed, with the conditions that need no finetuning."""

    control: str
    model: GPT
    question: _Question
    setting: Setting
    conditions: dict[str, Condition]


class Prepared:
    """Compares with any way of finetuning; made by :func:`icl_lib.meta.compare.prepare`.

    Explained in: 19_real_models
    """

    def __init__(
        self,
        model: GPT,
        task: ClassificationTask,
        setting: Setting,
        name: str,
        *,
        remember: bool,
        progress: Callable[[str], None] | None,
    ):
        self.model, self.task, self.setting, self.name = model, task, setting, name
        self.tell = progress or (lambda text: None)
        self.memory: dict[tuple[int, str], _Part] | None = {} if remember else None
        self.questions = [_question(model, task, setting, seed) for seed in setting.seeds]

    def __call__(self, finetuning: Finetuning) -> Result:
        """Return the comparison with this way of finetuning.

        Raises
        ------
        ArithmeticError
            If finetuning diverges.
        """
        about = {"model": self.name, "task": self.task.name, "position": self.setting.position}
        about |= {"lr": finetuning.lr, "descent": finetuning.descent}
        rows, examples, training = [], [], self.model.training
        self.model.eval()
        try:
            for question in self.questions:
                seed = about | {"seed": question.seed}
                for row, example in self._seed(question, finetuning):
                    rows += [] if row is None else [seed | row]
                    examples += [] if example is None else [seed | example]
        finally:
            self.model.train(training)
        return Result(make_table(rows), pd.DataFrame(examples), self._settings(about, finetuning))

    def _settings(self, about: dict, finetuning: Finetuning) -> dict:
        s = self.setting
        kept = ("position", "balanced", "heads", "spectra", "demonstrations", "queries")
        return (
            dict(about)
            | {name: getattr(s, name) for name in kept}
            | {
                "labels": list(self.task.labels),
                "seeds": list(s.seeds),
                "finetuning": asdict(finetuning),
                "controls": list(s.controls),
                "wrong_task": None if s.wrong_task is None else s.wrong_task.name,
            }
        )

    def _seed(
        self, question: _Question, how: Finetuning
    ) -> Iterator[tuple[dict | None, dict | None]]:
        """Yield the rows of one seed: of the table, and of single examples."""
        parts = ["none", *(c for c in UNTRAINED if c in self.setting.controls)]
        for control in parts:
            what = "the model" if control == "none" else control
            where = "" if self.setting.position == "prediction" else ", published position"
            self.tell(f"{self.task.name}, seed {question.seed}: {what}{where}")
            part = self._part(question, control)
            conditions, comparisons = _conditions(part, how)
            measured = _measure(conditions, comparisons, part)
            yield from ((row, None) for row in _rows(measured, comparisons, part))
            if control == "none":
                told = example_rows(measured, comparisons, question.gold, question.order, {})
                yield from ((None, example) for example in told)

    def _part(self, question: _Question, control: str) -> _Part:
        key = question.seed, control
        if self.memory is not None and key in self.memory:
            return self.memory[key]
        model, setting = self.model, self.setting
        if control != "none":
            tables = control == "untrained-blocks"
            model = control_room.untrained(model, question.seed, keep_tables=tables)
            setting = replace(setting, controls=("none",), spectra=0)
        part = _Part(control, model, question, setting, {})
        kept = self.memory is not None
        start, prompt = opening(self.task), with_demonstrations(self.task, question.shown)
        part.conditions["zero-shot"] = _read(model, start, kept)
        part.conditions["in-context"] = _read(model, prompt, kept)
        if {"padding", "position-removed"} & set(setting.controls):
            part.conditions["padding"] = _read(model, with_filler(self.task, prompt), kept)
        if self.memory is not None:
            self.memory[key] = part
        return part


def _question(model: GPT, task: ClassificationTask, setting: Setting, seed: int) -> _Question:
    shown = choose_demonstrations(task, setting.demonstrations, seed, balanced=setting.balanced)
    asked = choose_queries(task, setting.queries)
    texts = [task.render(example) for example in asked]
    check_vocabulary(model.config.vocab_size, task, shown, texts)
    check_lengths(model.config.context, task, shown, texts)
    order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), texts[i].tolist()))
    gold = torch.tensor([asked[i].gold for i in order])
    return _Question(task, shown, [texts[i] for i in order], gold, torch.tensor(order), seed)


def _read(model: GPT, beginning: Beginning, kept: bool = False) -> Condition:
    prefix = read_prefix(model, beginning.tokens, beginning.demonstration)
    return Condition(model, prefix, {} if kept else None)


def _conditions(part: _Part, how: Finetuning) -> tuple[dict[str, Condition], list[Comparison]]:
    """Finetune; return every condition and comparison. What two of them share is made once."""
    task, shown, wanted = part.question.task, part.question.shown, part.setting.controls
    found, start = dict(part.conditions), opening(task)
    own, trace = finetune(part.model, shown, how, opening=task.prefix)
    found["finetuned"] = _read(own, start)
    three = ("zero-shot", "in-context", "finetuned")
    comparisons = [Comparison(part.control, *three, trace, how.biases, noise="noise" in wanted)]
    if "padding" in wanted:
        three = ("zero-shot", "padding", "finetuned")
        comparisons.append(Comparison("padding", *three, trace, how.biases))
    for control, demonstrations in _others(part).items():
        twin, left = finetune(part.model, demonstrations, how, opening=task.prefix)
        found[control] = _read(twin, start)
        left = left if _aligned(shown, demonstrations) else None
        three = ("zero-shot", "in-context", control)
        comparisons.append(Comparison(control, *three, left, how.biases))
    return found, comparisons


def _others(part: _Part) -> dict[str, list[Demonstration]]:
    """Return other demonstrations to finetune on, by the name of the control."""
    question, setting, found = part.question, part.setting, {}
    if "shuffled-labels" in setting.controls:
        found["shuffled-labels"] = dealt_anew(question.shown, question.task, question.seed)
    if "wrong-task" in setting.controls:
        other, count = setting.wrong_task, len(question.shown)
        wrong = choose_demonstrations(other, count, question.seed, balanced=setting.balanced)
        check_vocabulary(part.model.config.vocab_size, other, wrong, ())
        found["wrong-task"] = wrong
    return found


def _aligned(shown: Sequence[Demonstration], others: Sequence[Demonstration]) -> bool:
    """Tell whether the texts are the same and each label has as many tokens."""
    return all(
        torch.equal(a.text, b.text) and len(a.label) == len(b.label)
        for a, b in zip(shown, others, strict=True)
    )


def _measure(
    conditions: dict[str, Condition], comparisons: list[Comparison], part: _Part
) -> Measured:
    question, setting = part.question, part.setting
    count, labels = len(question.texts), question.task.label_tokens
    ending = labels[0] if setting.position == "published" else None
    batches = make_batches(question.texts, tokens_at_once=setting.tokens_at_once, ending=ending)
    few = min(setting.spectra, count)
    spectra = frozenset(torch.linspace(0, count - 1, few).round().long().tolist()) if few else ()
    rankings = "shuffled-pairing" in setting.controls
    options = Options(question.seed, frozenset(spectra), rankings)
    return measure(conditions, comparisons, batches, labels, count, options)


def _rows(measured: Measured, comparisons: list[Comparison], part: _Part) -> Iterator[dict]:
    """Yield all rows of the table that some conditions give."""
    setting, seed = part.setting, part.question.seed
    for comparison in comparisons:
        yield from answer_rows(comparison, measured, part.question.gold)
    values = dict(measured.metrics)
    values |= _outputs(measured, comparisons)
    if part.control == "none":
        padded = measured.outputs.get("padding")
        three = (measured.outputs[n] for n in ("zero-shot", "in-context", "finetuned"))
        values |= control_room.output_rows(*three, padded, setting.controls, seed)
        values |= _paired(measured, seed)
    for (name, metric), found in values.items():
        if name in setting.controls or name == part.control:
            yield from metric_rows(name, metric, found, heads=setting.heads)


def _outputs(
    measured: Measured, comparisons: list[Comparison]
) -> dict[tuple[str, str], Float[Tensor, "E L"]]:
    """Return the similarities of output updates and their sizes for every comparison."""
    found = {}
    for c in comparisons:
        zero, icl, ft = (measured.outputs[n] for n in (c.zero_shot, c.in_context, c.finetuned))
        for metric, normalised in (("simaou", True), ("simaou_raw", False)):
            value = output_update_similarity(zero, icl, ft, normalised=normalised)
            found[c.control, metric] = value
        found[c.control, "simaou_beside"] = cosine(beside(zero, icl), beside(zero, ft))
        found[c.control, "norm_ratio_icl"] = norm_ratio(zero, icl)
        found[c.control, "norm_ratio_ft"] = norm_ratio(zero, ft)
    return found


def _paired(measured: Measured, seed: int) -> dict[tuple[str, str], Float[Tensor, "E L"]]:
    """Return Kendall's τ of each query's in-context attention with another's of finetuning."""
    if ("none", "icl") not in measured.rankings:
        return {}
    context = measured.rankings["none", "icl"]
    other, rows = control_room.partners(len(context), seed), {}
    for name in ("query", "input"):
        tau = kendall(context, measured.rankings["none", name][other])
        rows["shuffled-pairing", f"kendall_a_{name}"] = tau.a
        rows["shuffled-pairing", f"kendall_b_{name}"] = tau.b
    return rows
