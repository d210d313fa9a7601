r"""The best possible reader of the lab language: exact, given how its documents are drawn.

The reader knows the language, the candidate labels and the demonstrations, but not the task. Every
task that could have produced them, a *hypothesis*, is weighed:

.. math:: P(y \mid x, D) \propto \sum_h P(h)\,\prod_{(x_i, y_i) \in D} P(x_i \mid S^h_{y_i})
    \; P(x \mid S^h_y), \qquad P(x \mid S) = \frac1{|S|} \sum_{v \in S} P(x \mid v)

A hypothesis is an attribute, a number of values in a class, and an assignment of different values
to the classes. A label with a meaning fixes the attribute and one value of its class. Of what the
labels allow, all attributes are equally likely, all breadths of an attribute, and all assignments
of a breadth: the law of :meth:`icl_lib.tasks.lab.Lab.plans` without its
reservations. Letters: ``Q`` queries, ``N`` demonstrations, ``C`` classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from icl_lib.tasks.classification import Example
from icl_lib.tasks.lab import AGREEMENT, AGREEMENTS, AND, ATTRIBUTES, Lab
from icl_lib.tasks.lab_tasks import LabTask


def single_log_likelihood(lab: Lab, asked: int, texts: Int[Tensor, "Q W"]) -> Float[Tensor, "Q V"]:
    r"""Return :math:`\log P(x \mid v)` of sentences for every value of the asked attribute.

    .. math:: P(x \mid v) = \prod_w P(x_{w,a} \mid v) \prod_{b \ne a} \frac1{V_b} \sum_u
        \prod_w P(x_{w,b} \mid u)

    Raises
    ------
    ValueError
        If no attribute has this number.

    Explained in: 16_paper_experiment
    """
    if not 0 <= asked < len(ATTRIBUTES):
        raise ValueError(f"an attribute is 0 to {len(ATTRIBUTES) - 1}, got {asked}")
    total = torch.zeros(len(texts), 1, dtype=torch.float64)
    for attribute, size in enumerate(lab.sizes):
        keep = 1 - lab.noise if attribute == asked else lab.trace
        shown = _shown(lab, texts, attribute, keep)
        total = total + (shown if attribute == asked else _mean(shown, size))
    return total


def pair_log_likelihood(lab: Lab, texts: Int[Tensor, "Q W"]) -> Float[Tensor, "Q 8"]:
    r"""Return :math:`\log P(x, x' \mid r)` of pairs for every agreement r.

    .. math:: P(x, x' \mid r) = \prod_b \begin{cases}
        \frac1{V_b} \sum_u P(x_b \mid u)\,P(x'_b \mid u) & \text{if r says that b agrees} \\
        \frac1{V_b (V_b - 1)} \sum_{u \ne u'} P(x_b \mid u)\,P(x'_b \mid u') & \text{if not}
        \end{cases}

    Explained in: 16_paper_experiment
    """
    first, second = texts[:, : lab.pair_words], texts[:, lab.pair_words + 1 :]
    total = torch.zeros(len(texts), AGREEMENTS, dtype=torch.float64)
    for attribute, size in enumerate(lab.sizes):
        one, two = (_shown(lab, t, attribute, 1 - lab.pair_noise).exp() for t in (first, second))
        same = (one * two).sum(1)
        different = (one.sum(1) * two.sum(1) - same) / (size - 1)
        agrees = (torch.arange(AGREEMENTS) >> attribute) % 2 == 1
        total = total + (torch.where(agrees, same[:, None], different[:, None]) / size).log()
    return total


def _shown(lab: Lab, texts: Tensor, attribute: int, keep: float) -> Float[Tensor, "Q V"]:
    """Return the log-probability of what words show of one attribute, for each of its values."""
    size = lab.sizes[attribute]
    there = lab.values(texts)[..., attribute, None] == torch.arange(size)
    return (keep * there.double() + (1 - keep) / size).log().sum(1)


def _mean(logs: Tensor, size: int) -> Float[Tensor, "Q 1"]:
    return logs.logsumexp(1, keepdim=True) - math.log(size)


# ---- hypotheses ---------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def assignments(
    values: int, classes: int, breadth: int, known: tuple[int, ...]
) -> tuple[Int[Tensor, "S b"], Int[Tensor, "H C"]]:
    """Return the sets of values that a class can have, and every way to give classes such sets.

    Parameters
    ----------
    values, classes, breadth
        V, C and the number of values in each class.
    known
        For each class a value that it must have, or −1.

    Returns
    -------
    sets
        Every set of ``breadth`` values, in lexical order.
    assignment
        For every hypothesis the number of each class's set; the sets do not overlap.

    Explained in: 16_paper_experiment
    """
    sets = list(combinations(range(values), breadth))
    taken = {v for v in known if v >= 0}
    allowed = [
        [i for i, s in enumerate(sets) if not (taken - {k}) & set(s) and (k < 0 or k in s)]
        for k in known
    ]
    member = torch.zeros(len(sets), values, dtype=torch.bool)
    for i, members in enumerate(sets):
        member[i, list(members)] = True
    found, used = torch.empty(1, 0, dtype=torch.long), torch.zeros(1, values, dtype=torch.bool)
    for options in allowed[:classes]:
        choice = torch.tensor(options, dtype=torch.long)
        fits = ~(used[:, None] & member[choice]).any(-1)
        row, column = fits.nonzero(as_tuple=True)
        found = torch.cat([found[row], choice[column][:, None]], dim=1)
        used = used[row] | member[choice[column]]
    return torch.tensor(sets), found


@dataclass(frozen=True)
class Reader:
    """The reader, with what it knows before any demonstration.

    Attributes
    ----------
    lab
        The language.
    labels
        Tokens of the candidate labels.
    pairs
        Whether examples are pairs of sentences.

    Raises
    ------
    ValueError
        If labels with meanings belong to different attributes, so that no task has them all.

    Explained in: 16_paper_experiment
    """

    lab: Lab
    labels: tuple[int, ...]
    pairs: bool = False

    def __post_init__(self) -> None:
        meant = {m[0] for m in map(self._meaning, self.labels) if m is not None}
        if len(meant) > 1 or (meant and self.pairs != (AGREEMENT in meant)):
            raise ValueError(f"no task of the language has the labels {self.labels}")

    @classmethod
    def of(cls, task: LabTask) -> "Reader":
        """Return the reader that faces a task: it is told its labels and no more."""
        labels = tuple(int(t) for t in task.label_tokens)
        return cls(task.lab, labels, task.asked == AGREEMENT)

    def _meaning(self, token: int) -> tuple[int, int] | None:
        number = token - self.lab.first_meaning
        for asked, size in enumerate((*self.lab.sizes, AGREEMENTS)):
            if 0 <= number < size:
                return asked, number
            number -= size
        return None

    def families(self) -> dict[tuple[int, int], float]:
        """Return attribute and breadth of the tasks that the labels allow, and their chances."""
        classes, meant = len(self.labels), {m[0] for m in self._meanings if m is not None}
        every = (AGREEMENT,) if self.pairs else range(len(ATTRIBUTES))
        possible = {
            a: self.lab.breadths(a, classes, self.lab.choices(a))
            for a in every
            if a in (meant or every)
        }
        possible = {a: breadths for a, breadths in possible.items() if breadths}
        return {
            (a, b): 1 / len(possible) / len(breadths)
            for a, breadths in possible.items()
            for b in breadths
        }

    @property
    def _meanings(self) -> list[tuple[int, int] | None]:
        return [self._meaning(token) for token in self.labels]

    def likelihood(self, asked: int, texts: Int[Tensor, "Q W"]) -> Float[Tensor, "Q V"]:
        """Return the log-likelihood of texts for every value of what is asked."""
        if asked == AGREEMENT:
            return pair_log_likelihood(self.lab, texts)
        return single_log_likelihood(self.lab, asked, texts)

    def probabilities(
        self,
        queries: Int[Tensor, "Q W"],
        texts: Int[Tensor, "N W"] | None = None,
        answers: Int[Tensor, " N"] | None = None,
    ) -> Float[Tensor, "Q C"]:
        """Return the probability of each label for each query, after demonstrations if given.

        Parameters
        ----------
        queries
            Texts without their labels.
        texts, answers
            Of the demonstrations: their texts, and the number of each one's label.

        Raises
        ------
        ValueError
            If texts are given without answers or in another number.
        """
        if texts is None:
            texts, answers = queries[:0], torch.empty(0, dtype=torch.long)
        if answers is None or len(answers) != len(texts):
            raise ValueError(f"{len(texts)} demonstrations need as many answers, got {answers}")
        parts = [
            math.log(chance) + self._family(family, queries, texts, answers)
            for family, chance in self.families().items()
        ]
        joint = torch.stack(parts).logsumexp(0)
        return joint.softmax(1)

    def _family(
        self, family: tuple[int, int], queries: Tensor, texts: Tensor, y: Tensor
    ) -> Float[Tensor, "Q C"]:
        """Return log P(D, x | y) of one attribute and breadth, up to what all families share."""
        asked, breadth = family
        classes = len(self.labels)
        known = tuple(-1 if m is None else m[1] for m in self._meanings)
        sets, assignment = assignments(self.lab.choices(asked), classes, breadth, known)
        of_sets = [
            self.likelihood(asked, t)[:, sets].logsumexp(-1) - math.log(breadth)
            for t in (texts, queries)
        ]
        told = torch.zeros(classes, len(sets), dtype=torch.float64).index_add(0, y, of_sets[0])
        hypotheses = told[torch.arange(classes), assignment].sum(1)
        evidence = hypotheses.logsumexp(0) - math.log(len(assignment))
        weight = hypotheses.softmax(0)
        share = torch.zeros(classes, len(sets), dtype=torch.float64)
        share = share.scatter_add(1, assignment.T, weight.expand(classes, -1))
        return evidence + (of_sets[1][:, None] + share.log()).logsumexp(-1)


def texts_of(examples: Sequence[Example], lab: Lab) -> tuple[Int[Tensor, "E W"], Int[Tensor, " E"]]:
    """Return texts and answers of a task's examples, as the reader wants them."""
    rows = []
    for example in examples:
        first, *rest = example.parts
        rows.append([*first, *([AND] if rest else []), *(w for part in rest for w in part)])
    return torch.tensor(rows), torch.tensor([e.gold for e in examples])


def bayes_accuracy(
    task: LabTask, demonstrations: Sequence[Example], queries: Sequence[Example]
) -> float:
    """Return the reader's accuracy on queries after some demonstrations, maybe none.

    Ties go to the first label. On average over tasks and draws nobody can do better.

    Explained in: 16_paper_experiment
    """
    asked, gold = texts_of(queries, task.lab)
    told = texts_of(demonstrations, task.lab) if demonstrations else (None, None)
    found = Reader.of(task).probabilities(asked, *told)
    return (found.argmax(1) == gold).double().mean().item()
