"""The whole protocol in one call: zero-shot, in-context and finetuned, measured and controlled."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from icl_lib.meta import controls as control_room
from icl_lib.meta.finetuning import Finetuning, Trace, finetune
from icl_lib.meta.measure import Comparison, Condition, Measured, Options, measure
from icl_lib.meta.observe import POSITIONS
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
from icl_lib.meta.similarity import norm_ratio, output_update_similarity
from icl_lib.meta.tabulate import answer_rows, example_rows, metric_rows
from icl_lib.meta.walk import check_model, read_prefix
from icl_lib.models.checkpoint import weights_hash
from icl_lib.models.gpt import GPT
from icl_lib.tasks.classification import ClassificationTask


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
class _Setting:
    """What is the same for all seeds."""

    finetuning: Finetuning
    controls: tuple[str, ...]
    wrong_task: ClassificationTask | None
    position: str
    balanced: bool
    heads: bool
    spectra: int
    tokens_at_once: int


def compare(
    model: GPT,
    task: ClassificationTask,
    *,
    demonstrations: int = 32,
    seeds: Sequence[int] = (0,),
    queries: int | None = 256,
    finetuning: Finetuning | None = None,
    controls: Sequence[str] = control_room.DEFAULT,
    wrong_task: ClassificationTask | None = None,
    position: str = "prediction",
    balanced: bool = False,
    heads: bool = False,
    spectra: int = 16,
    tokens_at_once: int = 2048,
    name: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Result:
    """Compare in-context learning with finetuning on the same demonstrations.

    Parameters
    ----------
    model
        Any GPT of :mod:`icl_lib.models`, however loaded.
    task
        Of the lab language, or a data set with a template and a tokenizer.
    demonstrations
        Their number. If they do not fit the context this is an error; none is ever left out.
    seeds
        Of which demonstrations are chosen and in which order, and of noise and partners.
    queries
        Number of validation examples; all, if ``None``. The same for all seeds.
    finetuning
        How the finetuned condition is made; the paper's way with a step size of 0.01, if not
        given. Choose the step size on other tasks.
    controls
        Names out of :data:`icl_lib.meta.controls.CONTROLS`.
    wrong_task
        For the control of that name; its demonstrations must be made of the same vocabulary.
    position
        ``prediction`` or ``published``: where inside is measured.
    balanced
        Take demonstrations from all classes in turn.
    heads
        Give a row for each head, too, where a metric tells them apart.
    spectra
        For how many queries the updates are decomposed into singular vectors.
    tokens_at_once
        Most tokens read at a time: memory, nothing else.
    name
        Of the model in the table; the beginning of its weights' checksum if not given.
    progress
        Called with a line of text before each part of the work.

    Returns
    -------
    Result
        With a row for each seed, layer, metric and control.

    Raises
    ------
    TooLong
        If a prompt exceeds the context; the message says by how much.
    ValueError
        For unknown names, too few examples, labels without tokens, or another attention.
    ArithmeticError
        If finetuning diverges.

    Source: Dai et al. (2023), section 4; Deutch et al. (2024); the controls are this book's.

    Explained in: 16_paper_experiment
    """
    how = Finetuning() if finetuning is None else finetuning
    if position not in POSITIONS:
        raise ValueError(f"position must be {' or '.join(POSITIONS)}, got {position!r}")
    if not seeds:
        raise ValueError("there must be a seed, got none")
    check_model(model)
    names = control_room.check_controls(controls, wrong_task=wrong_task is not None)
    name = weights_hash(model)[:12] if name is None else name
    setting = _Setting(how, names, wrong_task, position, balanced, heads, spectra, tokens_at_once)
    about = {"model": name, "task": task.name, "position": position}
    about |= {"lr": how.lr, "descent": how.descent}
    rows, examples, training = [], [], model.training
    model.eval()
    try:
        for seed in seeds:
            question = _question(model, task, demonstrations, seed, queries, balanced)
            for row, example in _seed(model, question, setting, progress or (lambda text: None)):
                rows += [] if row is None else [about | {"seed": seed} | row]
                examples += [] if example is None else [about | {"seed": seed} | example]
    finally:
        model.train(training)
    settings = _settings(setting, about, task, demonstrations, seeds, queries)
    return Result(make_table(rows), pd.DataFrame(examples), settings)


def _settings(setting: _Setting, about: dict, task, demonstrations, seeds, queries) -> dict:
    other = None if setting.wrong_task is None else setting.wrong_task.name
    kept = {n: getattr(setting, n) for n in ("position", "balanced", "heads", "spectra")}
    return (
        dict(about)
        | kept
        | {
            "labels": list(task.labels),
            "demonstrations": demonstrations,
            "seeds": list(seeds),
            "queries": queries,
            "finetuning": asdict(setting.finetuning),
            "controls": list(setting.controls),
            "wrong_task": other,
        }
    )


def _question(
    model: GPT, task: ClassificationTask, count: int, seed: int, queries: int | None, balanced: bool
) -> _Question:
    shown = choose_demonstrations(task, count, seed, balanced=balanced)
    asked = choose_queries(task, queries)
    texts = [task.render(example) for example in asked]
    check_vocabulary(model.config.vocab_size, task, shown, texts)
    check_lengths(model.config.context, task, shown, texts)
    order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), texts[i].tolist()))
    gold = torch.tensor([asked[i].gold for i in order])
    return _Question(task, shown, [texts[i] for i in order], gold, torch.tensor(order), seed)


def _seed(
    model: GPT, question: _Question, setting: _Setting, tell: Callable[[str], None]
) -> Iterator[tuple[dict | None, dict | None]]:
    """Yield the rows of one seed: of the table, and of single examples."""
    tell(f"{question.task.name}, seed {question.seed}: the model")
    conditions, comparisons = _conditions(model, question, setting)
    measured = _measure(conditions, comparisons, question, setting)
    yield from ((row, None) for row in _rows(measured, comparisons, question, setting))
    for example in example_rows(measured, comparisons, question.gold, question.order, {}):
        yield None, example
    for control in ("untrained", "untrained-blocks"):
        if control in setting.controls:
            tell(f"{question.task.name}, seed {question.seed}: {control}")
            fresh = control_room.untrained(
                model, question.seed, keep_tables=control == "untrained-blocks"
            )
            alone = replace(setting, controls=("none",), spectra=0)
            conditions, comparisons = _conditions(fresh, question, alone)
            comparisons = [replace(c, control=control) for c in comparisons]
            measured = _measure(conditions, comparisons, question, alone)
            rows = _rows(measured, comparisons, question, alone, control=control)
            yield from ((row, None) for row in rows)


def _conditions(
    model: GPT, question: _Question, setting: _Setting
) -> tuple[dict[str, Condition], list[Comparison]]:
    """Train and read what every comparison needs; what two of them share is made once."""
    task, shown, wanted = question.task, question.shown, setting.controls
    start, prompt = opening(task), with_demonstrations(task, shown)
    found = {"zero-shot": _read(model, start), "in-context": _read(model, prompt)}
    own, trace = _finetuned(model, task, shown, setting)
    found["finetuned"] = _read(own, start)
    biases = setting.finetuning.biases
    first = Comparison("none", *found, trace, biases, noise="noise" in wanted)
    comparisons = [first]
    if {"padding", "position-removed"} & set(wanted):
        found["padding"] = _read(model, with_filler(task, prompt))
    if "padding" in wanted:
        comparisons.append(
            Comparison("padding", "zero-shot", "padding", "finetuned", trace, biases)
        )
    others = {}
    if "shuffled-labels" in wanted:
        others["shuffled-labels"] = dealt_anew(shown, task, question.seed)
    if "wrong-task" in wanted:
        other = setting.wrong_task
        wrong = choose_demonstrations(other, len(shown), question.seed, balanced=setting.balanced)
        check_vocabulary(model.config.vocab_size, other, wrong, ())
        others["wrong-task"] = wrong
    for control, demonstrations in others.items():
        twin, left = _finetuned(model, task, demonstrations, setting)
        found[control] = _read(twin, start)
        left = left if _aligned(shown, demonstrations) else None
        comparisons.append(Comparison(control, "zero-shot", "in-context", control, left, biases))
    return found, comparisons


def _finetuned(
    model: GPT, task: ClassificationTask, shown: Sequence[Demonstration], setting: _Setting
) -> tuple[GPT, Trace]:
    return finetune(model, shown, setting.finetuning, opening=task.prefix)


def _read(model: GPT, beginning: Beginning) -> Condition:
    return Condition(model, read_prefix(model, beginning.tokens, beginning.demonstration))


def _aligned(shown: Sequence[Demonstration], others: Sequence[Demonstration]) -> bool:
    """Tell whether the texts are the same and each label has as many tokens."""
    return all(
        torch.equal(a.text, b.text) and len(a.label) == len(b.label)
        for a, b in zip(shown, others, strict=True)
    )


def _measure(
    conditions: dict[str, Condition],
    comparisons: list[Comparison],
    question: _Question,
    setting: _Setting,
) -> Measured:
    count, labels = len(question.texts), question.task.label_tokens
    ending = labels[0] if setting.position == "published" else None
    batches = make_batches(question.texts, tokens_at_once=setting.tokens_at_once, ending=ending)
    few = min(setting.spectra, count)
    spectra = frozenset(torch.linspace(0, count - 1, few).round().long().tolist()) if few else ()
    rankings = "shuffled-pairing" in setting.controls
    options = Options(question.seed, frozenset(spectra), rankings)
    return measure(conditions, comparisons, batches, labels, count, options)


def _rows(
    measured: Measured,
    comparisons: list[Comparison],
    question: _Question,
    setting: _Setting,
    control: str = "none",
) -> Iterator[dict]:
    """Yield all rows of the table that some conditions give."""
    for comparison in comparisons:
        yield from answer_rows(comparison, measured, question.gold)
    values = dict(measured.metrics)
    values |= _outputs(measured, comparisons)
    if control == "none":
        padded = measured.outputs.get("padding")
        three = (measured.outputs[n] for n in ("zero-shot", "in-context", "finetuned"))
        values |= control_room.output_rows(*three, padded, setting.controls, question.seed)
        values |= _paired(measured, question.seed)
    for (name, metric), found in values.items():
        if name in setting.controls or name == control:
            yield from metric_rows(name, metric, found, heads=setting.heads)


def _outputs(
    measured: Measured, comparisons: list[Comparison]
) -> dict[tuple[str, str], Float[Tensor, "E L"]]:
    """Return the similarity of output updates and their sizes for every comparison."""
    found = {}
    for c in comparisons:
        zero, icl, ft = (measured.outputs[n] for n in (c.zero_shot, c.in_context, c.finetuned))
        for metric, normalised in (("simaou", True), ("simaou_raw", False)):
            value = output_update_similarity(zero, icl, ft, normalised=normalised)
            found[c.control, metric] = value
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
