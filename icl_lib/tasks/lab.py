"""The lab language: a small language in which classification by example is a real problem.

Every word carries three latent attributes: a topic, a tone and a register. A sentence has a value
of each attribute, and its words show them through noise. A *task* asks one attribute: its classes
are values of it, each with a label word. Some label words have a meaning, always the same value of
the same attribute; others mean nothing and are given out anew in every document. In a pair task
an example has two sentences, and the class is the set of attributes in which they agree.

A document is a series of solved examples of one task. A label follows the last word at once::

    BEGIN  w w w w label  w w w w label  …
    BEGIN  w w w AND w w w label  …

The tasks on which models are measured are in :mod:`icl_lib.tasks.lab_tasks`, the best possible
reader in :mod:`icl_lib.tasks.lab_bayes`.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

BEGIN, BLANK, AND = 0, 1, 2
"""The first token of a document, one that says nothing, and the one between two sentences."""

FIRST_WORD = 3
"""Token of the first word."""

ATTRIBUTES = ("topic", "tone", "register")
"""Names of the attributes."""

AGREEMENT = 3
"""Number of the fourth thing that a task can ask: in which attributes two sentences agree."""

AGREEMENTS = 2 ** len(ATTRIBUTES)
"""How many values agreement has: each set of attributes."""

MOST_CLASSES = 5
"""The largest number of classes of a task."""

CLASSES = (2, 2, 3, 3, 4, 5)
"""Numbers of classes of training documents; each entry is equally likely."""

RESERVED = (((0, 1), (2, 3)), ((0, 4), (1, 3)), (), ((0, 3),))
"""For each attribute and for agreement, pairs of values that no training document uses together.

The pairs do not overlap: if all values of a measured task avoided each other, they would never have
different labels, and a reader who takes them for one would be right in training.
"""

RESERVED_CLASSES = ((), ((0, 1), (1, 2), (3, 4)), ((0, 1), (2, 3)), ())
"""Pairs of values that no training document puts into one class.

Every measured task has two classes with a reserved pair of values or a reserved class, so that no
training document is that task or contains it, whatever its labels.
"""

RESERVED_NAMES = (
    {0: 2, 1: 3, 3: 4},
    {0: 5, 2: 6, 4: 7},
    {0: 0, 2: 1},
    {0: 8, 3: 9, 4: 10},
)
"""The arbitrary label of a value in a measured task, which no training document gives it."""


@dataclass(frozen=True)
class Plan:
    """What the documents of a batch ask, one row a document.

    Attributes
    ----------
    asked
        The attribute, 0 to 2, or ``AGREEMENT``.
    classes, breadth
        C and the number of values in each class, 1 or 2.
    values
        The values of class c, padded with −1, ``B 5 2``. Of a class whose label has a meaning, the
        first value is what the label means.
    labels
        Tokens of the labels, padded with −1, ``B 5``.
    """

    asked: Int[Tensor, " B"]
    classes: Int[Tensor, " B"]
    breadth: Int[Tensor, " B"]
    values: Int[Tensor, "B 5 2"]
    labels: Int[Tensor, "B 5"]


@dataclass(frozen=True)
class Lab:
    """The language: its sizes, its noise, and how documents of it are drawn.

    Attributes
    ----------
    sizes
        Number of values of topic, tone and register.
    words, pair_words
        Words of a sentence; of each of the two sentences of a pair.
    noise
        ε: the chance that a word's value of the asked attribute is drawn anew, from all values.
    pair_noise
        The same in pairs, for all three attributes.
    trace
        ρ: the chance that a word shows the sentence's value of an attribute that is not asked.
    arbitrary
        Number of label words without meaning.
    meaningful
        The share of training documents in which labels may have a meaning.

    Raises
    ------
    ValueError
        If a number is out of range.

    Explained in: 16_paper_experiment
    """

    sizes: tuple[int, int, int] = (8, 10, 4)
    words: int = 4
    pair_words: int = 3
    noise: float = 0.15
    pair_noise: float = 0.1
    trace: float = 0.3
    arbitrary: int = 16
    meaningful: float = 0.4

    def __post_init__(self) -> None:
        least = (6, 7, 4)
        if len(self.sizes) != 3 or any(s < m for s, m in zip(self.sizes, least, strict=True)):
            raise ValueError(f"sizes must be at least {least}, got {self.sizes}")
        if self.words < 1 or self.pair_words < 1:
            raise ValueError(
                f"a sentence has at least 1 word, got {self.words} and {self.pair_words}"
            )
        for name in ("noise", "pair_noise", "trace", "meaningful"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be 0 to 1, got {getattr(self, name)}")
        if self.arbitrary < 3 * MOST_CLASSES:
            raise ValueError(
                f"at least {3 * MOST_CLASSES} arbitrary labels are needed, got {self.arbitrary}"
            )

    # ---- tokens ---------------------------------------------------------------------------------

    @property
    def vocabulary(self) -> int:
        """Number of words: one for each combination of values."""
        topics, tones, registers = self.sizes
        return topics * tones * registers

    @property
    def first_meaning(self) -> int:
        """Token of the label that means topic 0; tones, registers and agreements follow topics."""
        return FIRST_WORD + self.vocabulary

    @property
    def first_arbitrary(self) -> int:
        """Token of the first label without meaning."""
        return self.first_meaning + sum(self.sizes) + AGREEMENTS

    @property
    def vocab_size(self) -> int:
        """V: three marks, words, labels."""
        return self.first_arbitrary + self.arbitrary

    def meaning(self, attribute: int, value: int) -> int:
        """Return the token of the label that means a value of an attribute, or of agreement."""
        return self.first_meaning + sum(self.sizes[:attribute]) + value

    def word(self, values: Int[Tensor, "*batch 3"]) -> Int[Tensor, "*batch"]:
        """Return the token of the word with these three values."""
        topic, tone, register = values.unbind(-1)
        return FIRST_WORD + (topic * self.sizes[1] + tone) * self.sizes[2] + register

    def values(self, words: Int[Tensor, "*batch"]) -> Int[Tensor, "*batch 3"]:
        """Return topic, tone and register of words; the inverse of :meth:`word`."""
        number = words - FIRST_WORD
        topic_tone = number // self.sizes[2]
        parts = topic_tone // self.sizes[1], topic_tone % self.sizes[1], number % self.sizes[2]
        return torch.stack(parts, dim=-1)

    def choices(self, asked: int) -> int:
        """Return how many values there are to choose classes from."""
        return AGREEMENTS if asked == AGREEMENT else self.sizes[asked]

    def text_length(self, asked: int) -> int:
        """Return the tokens of an example's text, without its label."""
        return 2 * self.pair_words + 1 if asked == AGREEMENT else self.words

    # ---- sentences ------------------------------------------------------------------------------

    def texts(
        self,
        asked: Int[Tensor, " B"],
        values: Int[Tensor, "B E"],
        generator: torch.Generator,
    ) -> Int[Tensor, "B E W"]:
        r"""Draw sentences whose value of the asked attribute is given.

        Values of the other attributes are uniform. Then each word, for itself, has

        .. math:: P(x_a = v) = (1 - ε)\,\mathbb 1(v = v_a) + ε / V_a, \qquad
            P(x_b = v) = ρ\,\mathbb 1(v = u_b) + (1 - ρ) / V_b

        for the asked attribute a and each other attribute b.

        Parameters
        ----------
        asked, values
            The attribute of each document and its value in each sentence.
        generator
            Decides all draws.
        """
        centres = self._anywhere((*values.shape,), generator)
        wanted = torch.arange(3) == asked[:, None, None]
        centres = torch.where(wanted, values[..., None], centres)
        keep = torch.where(wanted, 1 - self.noise, self.trace)
        return self._words(centres, keep, self.words, generator)

    def pairs(
        self,
        agreement: Int[Tensor, "B E"],
        generator: torch.Generator,
    ) -> Int[Tensor, "B E W"]:
        r"""Draw two sentences, with the mark between them, that agree in some attributes.

        Bit b of the agreement tells whether attribute b has the same value in both sentences;
        otherwise the two values are different, all different ones being equally likely. Each word
        shows each value as in :meth:`texts` it does that of the asked attribute, with the noise
        of pairs.

        Parameters
        ----------
        agreement
            0 to 7: topic counts 1, tone 2, register 4.
        generator
            Decides all draws.
        """
        first = self._anywhere((*agreement.shape,), generator)
        sizes = torch.tensor(self.sizes)
        step = 1 + (torch.rand(first.shape, generator=generator) * (sizes - 1)).long()
        same = (agreement[..., None] >> torch.arange(3)) % 2 == 1
        second = torch.where(same, first, (first + step) % sizes)
        keep = torch.full_like(first, 1 - self.pair_noise, dtype=torch.float)
        sentences = [self._words(c, keep, self.pair_words, generator) for c in (first, second)]
        mark = torch.full_like(sentences[0][..., :1], AND)
        return torch.cat([sentences[0], mark, sentences[1]], dim=-1)

    def _anywhere(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw the three values uniformly."""
        return (torch.rand(*shape, 3, generator=generator) * torch.tensor(self.sizes)).long()

    def _words(
        self, centres: Tensor, keep: Tensor, count: int, generator: torch.Generator
    ) -> Tensor:
        shape = (*centres.shape[:-1], count)
        kept = torch.rand(*shape, 3, generator=generator) < keep[..., None, :]
        return self.word(torch.where(kept, centres[..., None, :], self._anywhere(shape, generator)))

    # ---- what training documents ask ------------------------------------------------------------

    @cached_property
    def _reserved_names(self) -> Bool[Tensor, "4 V A"]:
        """Whether a value and an arbitrary label are kept for measuring."""
        table = torch.zeros(4, max(AGREEMENTS, *self.sizes), self.arbitrary, dtype=torch.bool)
        for asked, names in enumerate(RESERVED_NAMES):
            for value, name in names.items():
                table[asked, value, name] = True
        return table

    @cached_property
    def _reserved_pairs(self) -> Bool[Tensor, "2 4 V V"]:
        """Whether two values never share a document, and whether they never share a class."""
        widest = max(AGREEMENTS, *self.sizes)
        table = torch.zeros(2, 4, widest, widest, dtype=torch.bool)
        for part, reserved in enumerate((RESERVED, RESERVED_CLASSES)):
            for asked, pairs in enumerate(reserved):
                for one, two in pairs:
                    table[part, asked, one, two] = table[part, asked, two, one] = True
        return table

    def room(self, asked: int) -> int:
        """Return how many different values one training document can use."""
        return self.choices(asked) - len(RESERVED[asked])

    def plans(self, count: int, generator: torch.Generator, *, pairs: bool = False) -> Plan:
        """Draw what training documents ask: nothing that is reserved for measuring.

        The number of classes is one of ``CLASSES``, in pairs 2 to 4; then the attribute is uniform
        on those with enough values, and the breadth on what is possible with that attribute;
        classes of two values occur with 2 or 3 classes.

        Parameters
        ----------
        count
            B documents.
        generator
            Decides all draws.
        pairs
            Ask for agreement in place of an attribute.
        """
        asked, classes, breadth = self._shapes(count, generator, pairs)
        values = self._values(asked, classes, breadth, generator)
        return Plan(asked, classes, breadth, values, self._labels(asked, values, generator))

    def breadths(self, asked: int, classes: int, values: int) -> tuple[int, ...]:
        """Return the breadths that tasks with so many classes and values at hand can have."""
        most = 1 if asked == AGREEMENT or classes > 3 else 2
        return tuple(b for b in range(1, most + 1) if classes * b <= values)

    def _shapes(
        self, count: int, generator: torch.Generator, pairs: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        dice = torch.rand(3, count, generator=generator, dtype=torch.float64).tolist()
        numbers = (2, 3, 4) if pairs else CLASSES
        drawn = []
        for first, second, third in zip(*dice, strict=True):
            c = numbers[int(first * len(numbers))]
            possible = {
                a: self.breadths(a, c, self.room(a)) for a in ((AGREEMENT,) if pairs else range(3))
            }
            attributes = [a for a, b in possible.items() if b]
            a = attributes[int(second * len(attributes))]
            drawn.append((a, c, possible[a][int(third * len(possible[a]))]))
        asked, classes, breadth = torch.tensor(drawn).view(count, 3).unbind(1)
        return asked, classes, breadth

    def _values(
        self, asked: Tensor, classes: Tensor, breadth: Tensor, generator: torch.Generator
    ) -> Int[Tensor, "B 5 2"]:
        """Draw different values for the classes, again where a reserved pair comes up."""
        row, column = torch.arange(MOST_CLASSES)[:, None], torch.arange(2)
        used = (row < classes[:, None, None]) & (column < breadth[:, None, None])
        place = row * breadth[:, None, None] + column
        values = torch.full_like(place, -1)
        wrong = torch.ones(len(asked), dtype=torch.bool)
        while wrong.any():
            order = self._orders(asked[wrong], generator)
            at = place[wrong].clamp(max=order.shape[1] - 1).flatten(1)
            drawn = torch.where(used[wrong], order.gather(1, at).view(-1, MOST_CLASSES, 2), -1)
            values[wrong] = drawn
            wrong[wrong.clone()] = self._is_reserved(asked[wrong], drawn)
        return values

    def _orders(self, asked: Tensor, generator: torch.Generator) -> Int[Tensor, "B V"]:
        """Draw an order of all values."""
        widest = max(AGREEMENTS, *self.sizes)
        dice = torch.rand(len(asked), widest, generator=generator)
        barred = torch.tensor([[v >= self.choices(a) for v in range(widest)] for a in range(4)])
        return torch.where(barred[asked], 2.0, dice).argsort(1)

    def _is_reserved(self, asked: Tensor, values: Tensor) -> Bool[Tensor, " B"]:
        """Return whether values form a pair that is reserved, in a document or in a class."""
        apart, unmixed = self._reserved_pairs[:, asked]
        flat, rows = values.flatten(1), torch.arange(len(values))[:, None]
        both = (flat[:, :, None] >= 0) & (flat[:, None] >= 0)
        met = apart[rows[..., None], flat[:, :, None], flat[:, None]] & both
        mixed = unmixed[rows, values[..., 0], values[..., 1]] & (values[..., 1] >= 0)
        return met.flatten(1).any(1) | mixed.any(1)

    def _labels(
        self, asked: Tensor, values: Tensor, generator: torch.Generator
    ) -> Int[Tensor, "B 5"]:
        """Draw labels: arbitrary ones, all different, and in some documents meaningful ones."""
        count = len(asked)
        names = torch.zeros(count, MOST_CLASSES, dtype=torch.long)
        wrong = torch.ones(count, dtype=torch.bool)
        used = values >= 0
        while wrong.any():
            dice = torch.rand(int(wrong.sum()), self.arbitrary, generator=generator)
            names[wrong] = dice.argsort(1)[:, :MOST_CLASSES]
            clash = self._reserved_names[asked[:, None, None], values, names[..., None]] & used
            wrong = clash.flatten(1).any(1)
        start = torch.tensor([0, *self.sizes]).cumsum(0)
        meant = self.first_meaning + start[asked][:, None] + values[..., 0]
        can = torch.rand(count, 1, generator=generator) < self.meaningful
        does = torch.rand(count, MOST_CLASSES, generator=generator) < 0.75
        labels = torch.where(can & does, meant, self.first_arbitrary + names)
        return torch.where(used[..., 0], labels, -1)

    # ---- documents ------------------------------------------------------------------------------

    def documents(
        self,
        plan: Plan,
        examples: int,
        generator: torch.Generator,
        *,
        pool: int | None = None,
    ) -> Int[Tensor, "B T"]:
        """Draw documents of solved examples, all single or all pairs.

        Parameters
        ----------
        plan
            What is asked.
        examples
            E examples in each document; their classes are uniform, and so are the values in a
            class of two.
        generator
            Decides all draws.
        pool
            Draw no more than so many different sentences for each value of a document: an easy
            beginning, in which examples come back word by word.
        """
        count = len(plan.asked)
        which = (torch.rand(count, examples, generator=generator) * plan.classes[:, None]).long()
        inner = (torch.rand(count, examples, generator=generator) * plan.breadth[:, None]).long()
        slot = which * 2 + inner
        value = plan.values.flatten(1).gather(1, slot)
        if pool is None:
            text = self._draw(plan.asked, value, generator)
        else:
            store = plan.values.flatten(1).clamp(min=0).repeat_interleave(pool, dim=1)
            stored = self._draw(plan.asked, store, generator)
            pick = slot * pool + torch.randint(pool, slot.shape, generator=generator)
            text = stored.gather(1, pick[..., None].expand(-1, -1, stored.shape[-1]))
        label = plan.labels.gather(1, which)[..., None]
        solved = torch.cat([text, label], dim=-1).flatten(1)
        return torch.cat([torch.full_like(solved[:, :1], BEGIN), solved], dim=1)

    def _draw(self, asked: Tensor, value: Tensor, generator: torch.Generator) -> Tensor:
        if bool((asked == AGREEMENT).all()):
            return self.pairs(value, generator)
        if bool((asked == AGREEMENT).any()):
            raise ValueError("documents of one call are all single sentences or all pairs")
        return self.texts(asked, value, generator)

    def dictionaries(
        self, count: int, entries: int, generator: torch.Generator
    ) -> Int[Tensor, "B T"]:
        """Draw documents that explain words: each word, then the labels that mean its values.

        They are no task, so nothing is reserved in them.
        """
        values = self._anywhere((count, entries), generator)
        starts = torch.tensor([self.meaning(a, 0) for a in range(3)])
        entry = torch.cat([self.word(values)[..., None], starts + values], dim=-1).flatten(1)
        return torch.cat([torch.full_like(entry[:, :1], BEGIN), entry], dim=1)

    def repeats(
        self, count: int, length: int, longest: int, generator: torch.Generator
    ) -> Int[Tensor, "B T"]:
        """Draw documents of random tokens, repeated with a random period of 3 to ``longest``.

        A copy must be found by its content and not by its place: this is what makes a network
        look things up in its context.
        """
        period = torch.randint(3, longest + 1, (count, 1), generator=generator)
        fresh = torch.randint(1, self.vocab_size, (count, length - 1), generator=generator)
        drawn = fresh.gather(1, torch.arange(length - 1) % period)
        return torch.cat([torch.full_like(drawn[:, :1], BEGIN), drawn], dim=1)
