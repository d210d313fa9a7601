"""A stream of short documents on which models of several sizes are compared.

Three kinds of document, of which the first token tells texts from the others. For each the best
possible loss can be worked out:

- **text**: a word depends on the two words before it, through tables that are larger than a small
  model can hold, and whose rows are used very unequally.
- **lessons**: words, each followed by a label. The label stands for the word's category and is
  drawn anew for every document: only the document tells which is which.
- **repeats**: random words and labels, repeated with a random period, so that a copy must be found
  by its content and not by its place.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

TEXT, PROMPT = 0, 1
"""First tokens: of texts, and of lessons and repeats, which only their own context explains."""

FIRST_WORD = 2
"""Token of the first word."""

SPARE = 5
"""Sets of four categories whose numbers add up to a multiple of this are kept for testing."""


@dataclass(frozen=True)
class Questions:
    """Prompts that end with a word whose label is asked.

    Attributes
    ----------
    prompts
        Tokens: the kind, then word and label of each demonstration, then the asked word,
        ``[B, 2 + 2 k]``.
    candidates
        Tokens of the labels that occur in the document, ``[B, C]``.
    answers
        Which of the candidates is right, ``[B]``.
    """

    prompts: Tensor
    candidates: Tensor
    answers: Tensor


@dataclass(frozen=True)
class Stream:
    """The language of the stream, and how to draw documents of it.

    Attributes
    ----------
    categories, words, labels
        C categories of so many words each, and the label words.
    length
        T: a document has T + 1 tokens, hence T predictions.
    successors
        Likely next words in each row of the table.
    shares
        Documents of each kind in a batch: text, lessons, repeats.
    seed
        Decides the table. The draws have seeds of their own.

    Raises
    ------
    ValueError
        If a number is too small or the length is odd.

    Explained in: 10_scale
    """

    categories: int = 8
    words: int = 4
    labels: int = 8
    length: int = 32
    successors: int = 4
    shares: tuple[int, int, int] = (8, 8, 8)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.length % 2 or self.length < 8:
            raise ValueError(f"length must be even and at least 8, got {self.length}")
        if self.categories < 8 or self.words < 2:
            raise ValueError(
                "a stream needs at least 8 categories of 2 words, got "
                f"{self.categories} of {self.words}"
            )
        if self.labels < 4:
            raise ValueError(f"a stream needs at least 4 labels, got {self.labels}")
        if not 2 <= self.successors < self.vocabulary:
            raise ValueError(f"successors must be 2 to {self.vocabulary}, got {self.successors}")

    @property
    def vocabulary(self) -> int:
        """Number of words, labels not counted."""
        return self.categories * self.words

    @property
    def vocab_size(self) -> int:
        """V: two first tokens, words and labels."""
        return FIRST_WORD + self.vocabulary + self.labels

    @property
    def first_label(self) -> int:
        """The token of label 0; words stand before it."""
        return FIRST_WORD + self.vocabulary

    @property
    def longest(self) -> int:
        """The longest period of a repeat."""
        return self.length // 3

    # ---- the table ------------------------------------------------------------------------------

    @cached_property
    def unigram(self) -> Float[Tensor, " W"]:
        r"""How often words are meant to occur: :math:`p_r \propto 1/r`, in a random order."""
        order = torch.randperm(self.vocabulary, generator=_generator(self.seed, 1))
        weight = 1.0 / torch.arange(1, self.vocabulary + 1, dtype=torch.float64)
        return (weight / weight.sum())[order]

    @cached_property
    def table(self) -> Float[Tensor, "W1 W W"]:
        r"""The probability of a word w, given the word u two back and the word v just before.

        .. math:: P(w \mid u, v) = 0.2\,A_v(w) + 0.2\,C_{\text{cat}(v)}(w) + 0.5\,B_u(w) + 0.1\,q(w)

        A, B and C have a few successors in each row, drawn by frequency, in the proportion
        1 : 1/2 : 1/3 …; q is the frequency of words. Words of a category share C: they are used
        alike. The last row of u stands for "no word yet", where q takes the place of B.
        """
        own, before = (self._rows(self.vocabulary, part) for part in (2, 3))
        alike = self._rows(self.categories, 4).repeat_interleave(self.words, dim=0)
        before = torch.cat([before, self.unigram[None]])
        return 0.2 * (own + alike) + 0.5 * before[:, None] + 0.1 * self.unigram

    def _rows(self, count: int, part: int) -> Tensor:
        drawn = torch.multinomial(
            self.unigram.expand(count, -1), self.successors, generator=_generator(self.seed, part)
        )
        share = 1.0 / torch.arange(1, self.successors + 1, dtype=torch.float64)
        share = (share / share.sum()).expand(count, -1)
        return torch.zeros(count, self.vocabulary, dtype=torch.float64).scatter(1, drawn, share)

    @cached_property
    def _cumulative(self) -> Tensor:
        return self.table.cumsum(-1)

    def text_entropy(self, *, memory: int = 2) -> Float[Tensor, " T"]:
        r"""Return the exact entropy of each word of a text, given all before it, in nats.

        .. math:: H_t = \sum_{u,v} P_t(u, v)\, H(P(\cdot \mid u, v)), \qquad
            P_{t+1}(v, w) = \sum_{u} P_t(u, v)\,P(w \mid u, v)

        No model's loss on texts can be lower on average: the irreducible loss.

        Parameters
        ----------
        memory
            How many words back the reader looks: 2, which is all there is to know, or 1, which
            leaves :math:`H(w \mid v)` with u averaged out.

        Explained in: 10_scale
        """
        if memory not in (1, 2):
            raise ValueError(f"memory must be 1 or 2 words, got {memory}")
        rows = torch.special.entr(self.table).sum(-1)
        joint = torch.zeros_like(rows)
        joint[-1] = self.unigram
        found = [torch.special.entr(self.unigram).sum()]
        for _ in range(self.length - 1):
            onward = torch.einsum("uv,uvw->vw", joint, self.table)
            if memory == 2:
                found.append((joint * rows).sum())
            else:
                both, one = torch.special.entr(onward).sum(), torch.special.entr(onward.sum(1))
                found.append(both - one.sum())
            joint = torch.cat([onward, torch.zeros_like(onward[:1])])
        return torch.stack(found)

    # ---- documents ------------------------------------------------------------------------------

    def text(self, count: int, generator: torch.Generator) -> Int[Tensor, "B T1"]:
        """Draw texts."""
        dice = torch.rand(count, self.length, generator=generator, dtype=torch.float64)
        word = torch.searchsorted(self.unigram.cumsum(0), dice[:, 0].contiguous())
        back, found = torch.full_like(word, self.vocabulary), [word]
        for t in range(1, self.length):
            row = self._cumulative[back, word]
            back = word
            word = torch.searchsorted(row, dice[:, t : t + 1].contiguous()).squeeze(1)
            found.append(word)
        # rounding may leave the last cumulative probability a hair below 1
        words = torch.stack(found, dim=1).clamp(max=self.vocabulary - 1)
        return _begin(TEXT, FIRST_WORD + words)

    def repeats(
        self, count: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, "B T1"], Int[Tensor, " B"]]:
        """Draw repeated random words and labels, and each document's period, 3 … a third of T."""
        period = torch.randint(3, self.longest + 1, (count,), generator=generator)
        size = self.vocabulary + self.labels
        fresh = torch.randint(size, (count, self.length), generator=generator)
        place = torch.arange(self.length) % period[:, None]
        return _begin(PROMPT, FIRST_WORD + fresh.gather(1, place)), period

    def lessons(self, count: int, generator: torch.Generator) -> Int[Tensor, "B T1"]:
        """Draw lessons with 2, 3 or 4 categories, of which 1, 2 or all words are used."""
        classes = torch.randint(2, 5, (count, 1), generator=generator)
        kinds, names = self._naming(count, generator, held_out=False)
        used = torch.tensor([1, 2, self.words])[torch.randint(3, (count, 1), generator=generator)]
        pairs = self.length // 2
        which = (torch.rand(count, pairs, generator=generator) * classes).long()
        slot = (torch.rand(count, pairs, generator=generator) * used).long()
        word = self._word(kinds, which, slot, generator)
        label = self.first_label + names.gather(1, which)
        return _begin(PROMPT, torch.stack([word, label], dim=2).flatten(1))

    def questions(
        self,
        count: int,
        shots: int,
        *,
        classes: int = 4,
        random_labels: bool = False,
        generator: torch.Generator,
    ) -> Questions:
        """Draw prompts with four categories that no training document has together.

        The label of a category is as likely as any other, in training and here: what is asked
        stands in the prompt and nowhere else.

        Parameters
        ----------
        count, shots
            B prompts with k demonstrations.
        classes
            Categories in a prompt, 1 to 4.
        random_labels
            Give each demonstration a label drawn at random from the document's own: the null.
        generator
            Decides all draws.

        Returns
        -------
        Questions
            The asked word is not among the demonstrations.

        Raises
        ------
        ValueError
            If the prompts do not fit the stream's length, or the classes are not 1 to 4.
        """
        if not 1 <= classes <= 4:
            raise ValueError(f"classes must be 1 to 4, got {classes}")
        if not 0 <= shots <= self.length // 2 - 1:
            raise ValueError(
                f"shots must be 0 to {self.length // 2 - 1} to fit documents of "
                f"{self.length + 1} tokens, got {shots}"
            )
        kinds, names = self._naming(count, generator, held_out=True)
        which = torch.randint(classes, (count, shots + 1), generator=generator)
        slot = torch.randint(self.words - 1, (count, shots + 1), generator=generator)
        slot[:, -1] = self.words - 1
        word = self._word(kinds, which, slot, generator)
        told = which
        if random_labels:
            told = torch.randint(classes, (count, shots + 1), generator=generator)
        pairs = torch.stack([word, self.first_label + names.gather(1, told)], dim=2).flatten(1)
        candidates = self.first_label + names[:, :classes]
        return Questions(_begin(PROMPT, pairs[:, :-1]), candidates, which[:, -1])

    def batch(self, generator: torch.Generator) -> Int[Tensor, "B T1"]:
        """Draw the documents of one training step, in the stream's proportions."""
        texts, lessons, repeats = self.shares
        return torch.cat(
            [
                self.text(texts, generator),
                self.lessons(lessons, generator),
                self.repeats(repeats, generator)[0],
            ]
        )

    def _naming(
        self, count: int, generator: torch.Generator, *, held_out: bool
    ) -> tuple[Int[Tensor, "B 4"], Int[Tensor, "B 4"]]:
        """Draw four categories and their labels, all different within a document."""
        kinds = torch.zeros(count, 4, dtype=torch.long)
        wrong = torch.ones(count, dtype=torch.bool)
        while wrong.any():
            dice = torch.rand(int(wrong.sum()), self.categories, generator=generator)
            kinds[wrong] = dice.argsort(1)[:, :4]
            wrong = (kinds.sum(1) % SPARE == 0) != held_out
        names = torch.rand(count, self.labels, generator=generator).argsort(1)[:, :4]
        return kinds, names

    def _word(
        self, kinds: Tensor, which: Tensor, slot: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return the token of a word in slot ``slot`` of a random order of its category's words."""
        shape = (*kinds.shape, self.words)
        order = torch.rand(shape, generator=generator).argsort(2)
        rows = torch.arange(len(kinds))[:, None]
        word = order[rows, which, slot]
        return FIRST_WORD + kinds.gather(1, which) * self.words + word


# ---- the best possible readers ------------------------------------------------------------------


def repeat_losses(
    documents: Int[Tensor, "B T1"], symbols: int, longest: int
) -> Float[Tensor, "B T"]:
    r"""Return the surprise of the best reader at every token of repeats, in nats.

    .. math:: q_t(v) = \sum_p P(p \mid x_{<t})\,
        \bigl[\,t < p \;?\; \tfrac1S : \mathbb 1(v = x_{t-p})\bigr]

    The reader knows that the document is a repeat, that its period p is uniform on 3 … ``longest``
    and that fresh tokens are uniform among S symbols. A period that has predicted m tokens rightly
    has S^m times the weight of one that has predicted none.

    Parameters
    ----------
    documents
        From :meth:`Stream.repeats`.
    symbols
        S, words and labels together.
    longest
        The longest period.

    Explained in: 10_scale
    """
    x = documents[:, 1:]
    count, length = x.shape
    log_weight = torch.zeros(count, longest - 2, dtype=torch.float64)
    losses = []
    for t in range(length):
        log_p = torch.full_like(log_weight, -math.log(symbols))
        for i, period in enumerate(range(3, min(longest, t) + 1)):
            same = x[:, t] == x[:, t - period]
            log_p[:, i] = torch.where(same, 0.0, -math.inf)
        told = log_weight + log_p
        losses.append(log_weight.logsumexp(1) - told.logsumexp(1))
        log_weight = told
    return torch.stack(losses, dim=1)


def binding_accuracy(shots: int, classes: int) -> float:
    r"""Return the accuracy of a reader who binds each category to its label at first sight.

    .. math:: \frac1C\Bigl(\mathbb E[S] + P(S < C)\Bigr), \qquad
        \mathbb E[S] = C\bigl(1 - (1 - \tfrac1C)^k\bigr)

    S of the C categories were seen in k demonstrations. An asked category that was seen is named
    rightly; one that was not is guessed among the C − S labels that are left.

    Parameters
    ----------
    shots, classes
        k and C.

    Explained in: 10_scale
    """
    if shots < 0 or classes < 1:
        raise ValueError(f"shots must be at least 0 and classes at least 1, got {shots}, {classes}")
    seen = classes * (1 - (1 - 1 / classes) ** shots)
    all_seen = sum(
        (-1) ** j * math.comb(classes, j) * (1 - j / classes) ** shots for j in range(classes + 1)
    )
    return (seen + 1 - all_seen) / classes


def _begin(kind: int, tokens: Tensor) -> Tensor:
    return torch.cat([torch.full_like(tokens[:, :1], kind), tokens], dim=1)


def _generator(seed: int, part: int) -> torch.Generator:
    return torch.Generator().manual_seed(1_000_003 * seed + part)
