"""Which demonstrations are in the prompt: attention and answers, from records made beforehand."""

import math
from collections.abc import Iterable, Sequence
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure, plain

SIGNS = ascii_uppercase + ascii_lowercase + digits + "+/"
"""One sign for each of 64 steps of √weight."""

PARTS = 10_000
"""Probabilities are kept in so many parts."""

CONDITIONS = (
    ("in_context", "in context", "query"),
    ("finetuned", "finetuned", "error"),
    ("bayes", "best reader", "gold"),
)
"""Name, words and colour of each column beside zero-shot, which is subset 0 in context."""

MOST_DEMONSTRATIONS = 8


class DemonstrationsExplorer(BookFigure):
    """The prompt with any subset of a few demonstrations, and what three readers make of it.

    Everything shown was computed beforehand, by :func:`icl_lib.meta.explore.explore`; the page only
    looks up. Probabilities are kept to four decimals. Attention is kept in 64 steps of √weight and
    scaled to sum 1, which is true to about a hundredth::

        weight_i = n_i² / Σ_k n_k²,      n_i = round(63 √p_i)

    Parameters
    ----------
    explorations
        One for each task, of the same model and with as many demonstrations and queries.
    task, query
        What is shown at first.
    shown
        Numbers of the demonstrations that are in the prompt at first; all, if not given.
    look
        Whose attention at first: ``"mean"`` of all heads, ``"layer 1"``, or ``"layer 1, head 2"``.
    heads
        Keep each head; otherwise only the mean of each layer, to keep the page light.

    Raises
    ------
    ValueError
        If the explorations do not fit each other or something is chosen that there is not.

    Explained in: 16_paper_experiment
    """

    _module = "demonstrations_explorer"
    records = t.List(t.Dict()).tag(sync=True)
    task = t.Int(0).tag(sync=True)
    query = t.Int(0).tag(sync=True)
    shown = t.Int(0).tag(sync=True)
    look = t.Unicode("mean").tag(sync=True)

    def __init__(
        self,
        explorations: Sequence[Any],
        *,
        task: int = 0,
        query: int = 0,
        shown: Iterable[int] | None = None,
        look: str = "mean",
        heads: bool = True,
    ):
        records = [_record(one, heads) for one in explorations]
        _check_records(records)
        count, queries = len(records[0]["shown"]), len(records[0]["asked"])
        chosen = sorted(range(count) if shown is None else set(shown))
        for name, number, most in (
            ("task", task, len(records)), ("query", query, queries),
            *(("shown", i, count) for i in chosen),
        ):  # fmt: skip
            if not 0 <= number < most:
                raise ValueError(f"{name} must be between 0 and {most - 1}, got {number}")
        looks = views(*records[0]["heads"])
        if look not in looks:
            raise ValueError(f"look must be one of {', '.join(looks)}, got {look!r}")
        super().__init__(
            records=records, task=task, query=query, shown=sum(2**i for i in chosen), look=look
        )

    def answers(self) -> dict[str, list[float]]:
        """Return the label probabilities of each condition that there is."""
        record, found = self.records[self.task], {}
        for name, subset in (("zero_shot", 0), *((n, self.shown) for n, _, _ in CONDITIONS)):
            rows = record["in_context" if name == "zero_shot" else name]
            if rows:
                found[name] = [p / PARTS for p in rows[subset][self.query]]
        return found

    def sentence(self) -> str:
        """Return what the right label's probability is in each condition."""
        record = self.records[self.task]
        gold = record["asked"][self.query]
        right = {name: p[gold] for name, p in self.answers().items()}
        count = self.shown.bit_count()
        told = (
            f"; the best possible reader gives it {right['bayes']:.2f}" if "bayes" in right else ""
        )
        return (
            f"{record['task']}: with {count} of {len(record['shown'])} demonstrations in the "
            f"prompt the model gives the right label, “{record['labels'][gold]}”, probability "
            f"{right['in_context']:.2f}, without any {right['zero_shot']:.2f}, trained on the same "
            f"demonstrations {right['finetuned']:.2f}{told}."
        )

    def picture(self) -> str:
        """Return the prompt as text and the right label's probability in each condition."""
        record = self.records[self.task]
        parts, y = [], 20
        for i in range(len(record["shown"])):
            words = [w for w, o in zip(record["words"], record["owners"], strict=True) if o == i]
            inside = self.shown >> i & 1
            line = f"{i + 1}  {' '.join(words).replace('*', '')}"
            line = line if inside else f"{line}  (left out)"
            parts.append(svg.text(10, y, line, role="text" if inside else "muted"))
            y += 19
        asked, gold = record["queries"][self.query], record["asked"][self.query]
        parts.append(svg.text(10, y, f"?  {' '.join(asked).replace('*', '')}", role="query"))
        y += 30
        parts.append(svg.text(10, y, f"probability of “{record['labels'][gold]}”, which is right"))
        names = {"zero_shot": ("zero-shot", "neutral")} | {n: (w, r) for n, w, r in CONDITIONS}
        for name, p in self.answers().items():
            y += 24
            words, role = names[name]
            parts += [svg.text(92, y, words, anchor="end"), svg.rect(100, y - 12, 1, 15, "muted")]
            parts.append(svg.rect(100, y - 12, 280 * p[gold], 15, role))
            parts.append(svg.text(106 + 280 * p[gold], y, f"{p[gold]:.2f}", role="muted"))
        return svg.svg(430, y + 12, self.sentence(), parts)


def views(layers: int, heads: int) -> list[str]:
    """Return the names of what can be looked at: all, each layer, each head.

    >>> views(1, 2)
    ['mean', 'layer 1', 'layer 1, head 1', 'layer 1, head 2']
    """
    found = ["mean"]
    for layer in range(1, layers + 1):
        found.append(f"layer {layer}")
        if heads > 1:
            found += [f"layer {layer}, head {head}" for head in range(1, heads + 1)]
    return found


def _record(exploration, heads: bool) -> dict:
    """Return an exploration as plain values, rounded."""
    simple = ("task", "labels", "words", "owners", "queries", "shown", "asked")
    record = {name: plain(getattr(exploration, name), name) for name in simple}
    record["meanings"] = plain(exploration.meanings or [], "meanings")
    record["is_label"] = [int(one) for one in exploration.is_label]
    for name, _, _ in CONDITIONS:
        rows = plain(getattr(exploration, name), name) or []
        record[name] = [[[round(PARTS * p) for p in ps] for ps in qs] for qs in rows]
    attention = plain(exploration.attention, "attention")
    if not heads:
        attention = [[[[_mean(h)] for h in q] for q in s] for s in attention]
    record["heads"] = [len(attention[0][0]), len(attention[0][0][0])]
    record["attention"] = [
        _packed(rows, _places(record["owners"], subset, len(rows[0][0][0])))
        for subset, rows in enumerate(attention)
    ]
    return record


def _mean(rows: list[list[float]]) -> list[float]:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def _places(owners: list[int], subset: int, length: int) -> list[int]:
    """Return the places that are there: the opening, chosen demonstrations, the query."""
    there = [i for i, o in enumerate(owners) if o < 0 or subset >> o & 1]
    return there + list(range(len(owners), length))


def _packed(rows: list, places: list[int]) -> str:
    """Return one sign for each weight: queries, layers, heads, places."""
    weights = (head[i] for query in rows for layer in query for head in layer for i in places)
    return "".join(SIGNS[round(63 * math.sqrt(w))] for w in weights)


def _check_records(records: list[dict]) -> None:
    if not records:
        raise ValueError("there must be an exploration, got none")
    shapes = {(len(r["shown"]), len(r["asked"]), *r["heads"]) for r in records}
    if len(shapes) > 1:
        raise ValueError(
            "explorations must have the same numbers of demonstrations, queries, layers and heads, "
            f"got {sorted(shapes)}"
        )
    count = len(records[0]["shown"])
    if not 1 <= count <= MOST_DEMONSTRATIONS:
        raise ValueError(f"expected 1 to {MOST_DEMONSTRATIONS} demonstrations, got {count}")
    for record in records:
        sizes = {len(record[n]) for n, _, _ in CONDITIONS if record[n]} | {len(record["attention"])}
        if sizes != {2**count} or len({bool(r["bayes"]) for r in records}) > 1:
            raise ValueError(
                f"every exploration needs {2**count} rows of each condition, got {sorted(sizes)}"
            )
