"""The six data sets of Dai et al.: templates, label words, where they come from.

================  ==========================================================================
differs           paper (table 8) and published code
================  ==========================================================================
all               the paper prints two lines a prompt, the code writes one
SST2, SST5, MR,   the same words in both
Subj
AGNews            paper: instruction, ``News: … Type:``; code: the same instruction,
                  ``Article: … Answer:``; the form with News and Type is there, unused and
                  without instruction. The code evaluates 2,000 of the 7,600 examples.
CB                the code writes a full stop after the hypothesis, the paper does not
================  ==========================================================================

Sentence and label are one line here, too. The instruction of AGNews stands in every demonstration,
as in the code. A file that holds all examples is divided once, by a fixed seed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import torch

from icl_lib.tasks.classification import Example, Template, TextTask, Tokenizer
from icl_lib.tasks.data_files import (
    Columns,
    DataError,
    csv_rows,
    from_row,
    json_lines,
    labelled_lines,
)
from icl_lib.tasks.sources import HUB, hub_rows

VARIANTS = ("paper", "code")
"""Which template: that of the paper's table 8, or that of its published code."""

SPLITS = ("train", "validation")
"""Demonstrations come from the first, queries from the second."""

DIVIDE_SEED = 1
"""Decides how a file that holds all examples is divided."""

TOPICS = (
    "Classify the news articles into the categories of World, Sports, Business, and Technology."
)


@dataclass(frozen=True)
class Source:
    """Where a data set is on the hub.

    Attributes
    ----------
    name, subset
        Of the data set.
    columns
        Where texts and labels stand.
    splits
        Names of the hub's splits for ours.
    """

    name: str
    subset: str | None
    columns: Columns
    splits: Mapping[str, str]


@dataclass(frozen=True)
class DataSet:
    """One of the six.

    Attributes
    ----------
    name, title
        Short name and the paper's.
    labels
        Label words in the order of the hub's classes.
    templates
        By ``VARIANTS``.
    source
        On the hub.
    files
        Our splits by file name, as far as the data set has a file for each; a file for ``all`` is
        divided.
    classes
        Class of each label that stands in the files.
    held_out
        How many examples of a divided file are for validation.
    columns
        Of the files.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    templates: Mapping[str, Template]
    source: Source
    files: Mapping[str, str]
    classes: Mapping[str, int]
    held_out: int = 0
    columns: Columns = field(default_factory=lambda: Columns("label", ("text",)))


def _same(text: str) -> dict[str, Template]:
    return dict.fromkeys(VARIANTS, Template(text))


def _hub(name: str, text: tuple[str, ...], subset: str | None = None, valid="validation") -> Source:
    return Source(name, subset, Columns("label", text), {"train": "train", "validation": valid})


def _numbers(count: int, first: int = 0) -> dict[str, int]:
    return {str(first + i): i for i in range(count)}


def _sentiment() -> list[DataSet]:
    two, five = ("Negative", "Positive"), ("terrible", "bad", "neutral", "good", "great")
    stsa = {"train": "stsa.{}.train", "validation": "stsa.{}.dev"}
    return [
        DataSet(
            "sst2", "SST2", two, _same("Sentence: {0} Label:"),
            _hub("nyu-mll/glue", ("sentence",), "sst2"),
            {split: name.format("binary") for split, name in stsa.items()}, _numbers(2),
        ),
        DataSet(
            "sst5", "SST5", five, _same("Sentence: {0} Label:"),
            _hub("SetFit/sst5", ("text",)),
            {split: name.format("fine") for split, name in stsa.items()}, _numbers(5),
        ),
        DataSet(
            "mr", "MR", two, _same("Review: {0} Sentiment:"),
            _hub("cornell-movie-review-data/rotten_tomatoes", ("text",)),
            {"all": "rt-polarity.all"}, _numbers(2), held_out=1066,
        ),
    ]  # fmt: skip


def _others() -> list[DataSet]:
    news = ("World", "Sports", "Business", "Technology")
    article = {"paper": f"{TOPICS} News: {{0}} Type:", "code": f"{TOPICS} Article: {{0}} Answer:"}
    question = "{0} Question: {1}%s True, False, or Neither? Answer:"
    pair = ("premise", "hypothesis")
    return [
        DataSet(
            "subj", "Subj", ("objective", "subjective"), _same("Input: {0} Type:"),
            _hub("SetFit/subj", ("text",), valid="test"),
            {"all": "subj.all"}, {"1": 0, "0": 1}, held_out=2000,
        ),
        DataSet(
            "agnews", "AGNews", news, {k: Template(v) for k, v in article.items()},
            _hub("fancyzhx/ag_news", ("text",), valid="test"),
            {"train": "train.csv", "validation": "test.csv", "all": "test.csv"},
            _numbers(4, first=1), held_out=2000,
            columns=Columns("class", ("title", "description"), joined=True),
        ),
        DataSet(
            "cb", "CB", ("True", "False", "Neither"),
            {"paper": Template(question % ""), "code": Template(question % ".")},
            _hub("aps/super_glue", pair, "cb"),
            {"train": "train.jsonl", "validation": "val.jsonl"},
            {"entailment": 0, "contradiction": 1, "neutral": 2},
            columns=Columns("label", pair),
        ),
    ]  # fmt: skip


def data_sets() -> Mapping[str, DataSet]:
    """Return the six data sets by name, in the paper's order.

    Source: Dai et al. (2023), section 4.1 and table 8, and their code.

    Explained in: 19_real_models
    """
    return MappingProxyType({d.name: d for d in (*_sentiment(), *_others())})


def data_set(name: str) -> DataSet:
    """Return one of them.

    Raises
    ------
    KeyError
        If the paper has no such data set; the message lists those it has.
    """
    known = data_sets()
    if name not in known:
        raise KeyError(f"no data set is called {name!r}; there are {', '.join(known)}")
    return known[name]


def load_task(
    name: str,
    tokenizer: Tokenizer,
    *,
    source: str | Path = HUB,
    variant: str = "paper",
    encoding: str | None = None,
    **tokens,
) -> TextTask:
    """Return one of the six as a task of texts.

    Parameters
    ----------
    name
        One of ``sst2``, ``sst5``, ``mr``, ``subj``, ``agnews``, ``cb``.
    tokenizer
        Of the model that is to read it.
    source
        A folder with the files of the data set, or ``hf:`` for the hub. ``hf:NAME`` reads another
        data set of the hub with the same columns.
    variant
        ``paper`` or ``code``, see the head of this module.
    encoding
        Of the files, see :func:`icl_lib.tasks.data_files.read_lines`.
    tokens
        ``begin``, ``between``, ``neutral`` of :class:`icl_lib.tasks.classification.TextTask`.

    Raises
    ------
    KeyError
        If the paper has no such data set.
    ValueError
        If the variant is unknown.
    FileNotFoundError
        If the folder lacks the files; the message names them.
    DataError
        If a file or row is not as it should be; the message names the line.

    Source: Dai et al. (2023), table 8.

    Explained in: 19_real_models
    """
    about = data_set(name)
    if variant not in VARIANTS:
        raise ValueError(f"variant must be {' or '.join(VARIANTS)}, got {variant!r}")
    if str(source).startswith(HUB):
        splits = _from_hub(about, str(source).removeprefix(HUB))
    else:
        splits = _from_folder(about, Path(source), encoding)
    return TextTask(name, about.labels, splits, about.templates[variant], tokenizer, **tokens)


def _from_hub(about: DataSet, name: str) -> dict[str, list[Example]]:
    where, found = about.source, {}
    classes = _numbers(len(about.labels))
    for split in SPLITS:
        rows = hub_rows(name or where.name, where.subset, where.splits[split])
        found[split] = [
            from_row(row, classes, where.columns, f"row {i} of {name or where.name}")
            for i, row in enumerate(rows)
        ]
    return found


def _from_folder(about: DataSet, folder: Path, encoding: str | None) -> dict[str, list[Example]]:
    files = {split: folder / name for split, name in about.files.items()}
    if all(split in files and files[split].is_file() for split in SPLITS):
        return {split: _read(about, files[split], encoding) for split in SPLITS}
    if "all" in files and files["all"].is_file():
        return divided(_read(about, files["all"], encoding), about.held_out, files["all"].name)
    wanted = " and ".join(files[s].name for s in SPLITS if s in files)
    wanted = " or ".join(filter(None, [wanted, files["all"].name if "all" in files else ""]))
    raise FileNotFoundError(f"{about.title} needs {wanted} in {folder}")


def _read(about: DataSet, path: Path, encoding: str | None) -> list[Example]:
    if path.suffix == ".csv":
        return csv_rows(path, about.classes, about.columns, encoding=encoding)
    if path.suffix == ".jsonl":
        return json_lines(path, about.classes, about.columns, encoding=encoding)
    return labelled_lines(path, about.classes, encoding=encoding)


def divided(
    examples: list[Example], held_out: int, name: str = "the file"
) -> dict[str, list[Example]]:
    """Divide examples into training and validation by a fixed seed; no text is in both.

    Examples with the same text go to one side together.

    Parameters
    ----------
    examples
        All there are.
    held_out
        At least how many are for validation; a text that occurs twice may make it one more.
    name
        Of their file, for messages.

    Raises
    ------
    DataError
        If nothing would be left for training.

    Explained in: 19_real_models
    """
    if held_out >= len(examples):
        raise DataError(
            f"{name} has {len(examples)} examples, {held_out} are for validation; none is left"
        )
    groups: dict[tuple, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.parts, []).append(example)
    order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(DIVIDE_SEED))
    shuffled, found = list(groups.values()), {"train": [], "validation": []}
    for place in order.tolist():
        split = "validation" if len(found["validation"]) < held_out else "train"
        found[split] += shuffled[place]
    if not found["train"]:
        raise DataError(f"{name} has too few different texts; none is left for training")
    return found
