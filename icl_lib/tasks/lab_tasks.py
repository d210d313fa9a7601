"""The six tasks of the lab language on which models are measured, and six others to practise on.

The measured tasks play the parts of the paper's data sets: as many classes, and labels whose
meaning is known in part. A label with a meaning names one value of its class; a class of two values
has another one, which nothing but the demonstrations assigns to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Int
from torch import Tensor

from icl_lib.tasks.classification import Example
from icl_lib.tasks.lab import (
    AGREEMENT,
    AND,
    ATTRIBUTES,
    BEGIN,
    BLANK,
    MOST_CLASSES,
    RESERVED_NAMES,
    Lab,
    Plan,
)

SPLITS = ("train", "validation")
"""Where demonstrations and queries come from."""

TOPIC, TONE, REGISTER = 0, 1, 2

_MEASURED = (
    ("lab-sst2", TONE, ((0, 1), (4, 3)), (0, 4)),
    ("lab-sst5", TONE, ((0,), (1,), (2,), (3,), (4,)), (1, 3)),
    ("lab-mr", TONE, ((1, 2), (3, 4)), (1, 3)),
    ("lab-subj", REGISTER, ((0, 1), (2, 3)), ()),
    ("lab-agnews", TOPIC, ((0,), (1,), (2,), (3,)), (2,)),
    ("lab-cb", AGREEMENT, ((0,), (3,), (4,)), (0, 4)),
)
"""Name, what is asked, the values of each class, and the values whose labels mean them."""

_PRACTICE = (
    ("practice-sst2", TONE, ((5, 6), (9, 8)), (5, 9), {}),
    ("practice-sst5", TONE, ((5,), (6,), (7,), (8,), (9,)), (6, 8), {5: 0, 7: 1, 9: 2}),
    ("practice-mr", TONE, ((6, 7), (8, 9)), (6, 8), {}),
    ("practice-subj", REGISTER, ((0, 2), (1, 3)), (), {0: 3, 1: 4}),
    ("practice-agnews", TOPIC, ((4,), (5,), (6,), (7,)), (6,), {4: 5, 5: 6, 7: 7}),
    ("practice-cb", AGREEMENT, ((1,), (2,), (5,)), (1, 5), {2: 12}),
)
"""The same shapes with other classes and labels, for choosing a step size."""


@dataclass(frozen=True)
class LabTask:
    """One task of the lab language, in the form that :mod:`icl_lib.meta` measures.

    Attributes
    ----------
    name
        Such as ``lab-sst2``.
    lab
        The language.
    asked
        The attribute, 0 to 2, or ``AGREEMENT``.
    classes
        The values of each class, one or two, as many in every class.
    names
        For each class the number of an arbitrary label, or ``None`` where the label means the
        first value of the class.
    examples
        In each split.
    seed
        Decides the examples.

    Raises
    ------
    ValueError
        If a value does not exist, occurs twice, classes differ in their number of values, or
        labels are not as many as classes.

    Explained in: 16_paper_experiment
    """

    name: str
    asked: int
    classes: tuple[tuple[int, ...], ...]
    names: tuple[int | None, ...]
    lab: Lab = field(default_factory=Lab)
    examples: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        used = [v for values in self.classes for v in values]
        wrong = [v for v in used if not 0 <= v < self.lab.choices(self.asked)]
        if wrong or len(set(used)) < len(used):
            raise ValueError(f"values of {self.name} must exist and be different, got {used}")
        if len({len(values) for values in self.classes}) != 1 or len(self.classes[0]) not in (1, 2):
            raise ValueError(f"classes must all have one value or two, got {self.classes}")
        if len(self.names) != len(self.classes) or len(self.classes) > MOST_CLASSES:
            raise ValueError(
                f"expected a label for each of at most {MOST_CLASSES} classes, got "
                f"{len(self.names)} labels and {len(self.classes)} classes"
            )

    # ---- what the protocol asks of a task -------------------------------------------------------

    @property
    def labels(self) -> tuple[str, ...]:
        """Label words as a person reads them: ``tone 4``, or ``name 7`` without a meaning."""
        return tuple(
            f"{(*ATTRIBUTES, 'agreement')[self.asked]} {values[0]}"
            if name is None
            else f"name {name}"
            for values, name in zip(self.classes, self.names, strict=True)
        )

    @cached_property
    def label_tokens(self) -> tuple[Tensor, ...]:
        """The token of each label."""
        return tuple(
            torch.tensor(
                [
                    self.lab.meaning(self.asked, values[0])
                    if name is None
                    else self.lab.first_arbitrary + name
                ]
            )
            for values, name in zip(self.classes, self.names, strict=True)
        )

    @property
    def prefix(self) -> Int[Tensor, "1"]:
        """The mark that opens a document."""
        return torch.tensor([BEGIN])

    @property
    def separator(self) -> Int[Tensor, "0"]:
        """Nothing stands between demonstrations."""
        return torch.empty(0, dtype=torch.long)

    @property
    def filler(self) -> Int[Tensor, "1"]:
        """A token that occurs in no sentence and is no label."""
        return torch.tensor([BLANK])

    def split(self, name: str) -> Sequence[Example]:
        """Return the examples of ``train`` or ``validation``, the same at every call.

        Raises
        ------
        KeyError
            If there is no such split.
        """
        if name not in SPLITS:
            raise KeyError(f"{self.name} has no split {name!r}; there are {', '.join(SPLITS)}")
        return self._splits[name]

    def render(self, example: Example) -> Int[Tensor, "T"]:
        """Return an example's tokens up to the place where its label is predicted."""
        middle = [AND] if len(example.parts) == 2 else []
        first, *rest = example.parts
        return torch.tensor([*first, *middle, *(w for part in rest for w in part)])

    # ---- drawing --------------------------------------------------------------------------------

    @cached_property
    def _splits(self) -> dict[str, tuple[Example, ...]]:
        generator = torch.Generator().manual_seed(self.seed)
        return {name: self.draw(self.examples, generator) for name in SPLITS}

    def draw(self, count: int, generator: torch.Generator) -> tuple[Example, ...]:
        """Draw examples; classes are uniform, and values within a class."""
        gold = torch.randint(len(self.classes), (count,), generator=generator)
        inner = torch.randint(len(self.classes[0]), (count,), generator=generator)
        value = torch.tensor(self.classes)[gold, inner][None]
        if self.asked == AGREEMENT:
            texts = self.lab.pairs(value, generator)[0].tolist()
        else:
            texts = self.lab.texts(torch.tensor([self.asked]), value, generator)[0].tolist()
        return tuple(Example(self.parts(t), g) for t, g in zip(texts, gold.tolist(), strict=True))

    def parts(self, text: list[int]) -> tuple[tuple[int, ...], ...]:
        """Return the sentences of a text."""
        if self.asked != AGREEMENT:
            return (tuple(text),)
        middle = self.lab.pair_words
        return tuple(text[:middle]), tuple(text[middle + 1 :])

    def plan(self, count: int) -> Plan:
        """Return the plan of ``count`` documents of this task, for :meth:`Lab.documents`."""
        values = torch.full((MOST_CLASSES, 2), -1)
        labels = torch.full((MOST_CLASSES,), -1)
        chosen = torch.tensor(self.classes)
        values[: len(chosen), : chosen.shape[1]] = chosen
        labels[: len(chosen)] = torch.cat(self.label_tokens)
        return Plan(
            torch.full((count,), self.asked),
            torch.full((count,), len(chosen)),
            torch.full((count,), chosen.shape[1]),
            values.expand(count, -1, -1),
            labels.expand(count, -1),
        )


def measured_tasks(lab: Lab | None = None) -> dict[str, LabTask]:
    """Return the six tasks that are reported, by name.

    Explained in: 16_paper_experiment
    """
    found = {}
    for i, (name, asked, classes, meant) in enumerate(_MEASURED):
        names = tuple(None if c[0] in meant else RESERVED_NAMES[asked][c[0]] for c in classes)
        found[name] = LabTask(name, asked, classes, names, lab or Lab(), seed=i)
    return found


def practice_tasks(lab: Lab | None = None) -> dict[str, LabTask]:
    """Return six other tasks of the same shapes, on which a step size is chosen.

    They share no class with measured tasks, and no label with those of the same attribute; training
    documents may be like them.

    Explained in: 16_paper_experiment
    """
    found = {}
    for i, (name, asked, classes, meant, given) in enumerate(_PRACTICE):
        names = tuple(None if c[0] in meant else given[c[0]] for c in classes)
        found[name] = LabTask(name, asked, classes, names, lab or Lab(), seed=100 + i)
    return found
