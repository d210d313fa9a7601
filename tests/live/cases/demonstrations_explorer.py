"""DemonstrationsExplorer against its records, taken apart with torch."""

from types import SimpleNamespace

import torch
from live.harness import Case, Move

from icl_lib.live import DemonstrationsExplorer
from icl_lib.live.figures.demonstrations_explorer import PARTS, SIGNS

COUNT, LAYERS, HEADS = 3, 2, 2
WORDS = ("¶", "be*ka*di", "bakadi", "#1", ";", "de*ba*di", "#0", "fe*ka*fi", "#1")
OWNERS = (-1, 0, 0, 0, 0, 1, 1, 2, 2)
LABELS_AT = (3, 6, 8)


def exploration(name: str, labels: tuple[str, ...], seed: int, bayes: bool = True):
    """Random records of two queries, the second one shorter."""
    generator = torch.Generator().manual_seed(seed)
    queries = (("da*ba*di", "fe*ba*fi", "a<b"), ("ge*ka*bi",))
    shape = 2**COUNT, len(queries), len(labels)
    scores = torch.randn(3, *shape, generator=generator, dtype=torch.float64)
    total = len(WORDS) + max(map(len, queries))
    attention = torch.randn(*shape[:2], LAYERS, HEADS, total, generator=generator)
    owners = torch.tensor([*OWNERS, *[-1] * 3])
    for subset in range(2**COUNT):
        gone = torch.tensor([o >= 0 and not subset >> o & 1 for o in owners.tolist()])
        attention[subset][..., gone] = -torch.inf
    attention[:, 1, ..., -2:] = -torch.inf
    said, learned, best = scores.softmax(-1)
    return SimpleNamespace(
        task=name, labels=labels, meanings=tuple(f"tone {x}" for x in labels) if bayes else None,
        words=WORDS, owners=OWNERS, is_label=tuple(i in LABELS_AT for i in range(len(WORDS))),
        queries=queries, shown=(1, 0, 1), asked=(0, 1), in_context=said, finetuned=learned,
        bayes=best if bayes else None, attention=(2 * attention).softmax(-1).double(),
    )  # fmt: skip


def make() -> DemonstrationsExplorer:
    made = exploration("one", ("#0", "#1"), 1), exploration("other", ("#0", "#1", "KA"), 2)
    return DemonstrationsExplorer(made, shown=(0, 2))


def attention(state: dict) -> torch.Tensor:
    """The mean over the chosen heads, on opening, chosen demonstrations and query."""
    record, subset = state["records"][state["task"]], state["shown"]
    levels = torch.tensor([SIGNS.index(sign) for sign in record["attention"][subset]])
    squares = levels.double().square().view(len(record["queries"]), *record["heads"], -1)
    weights = (squares / squares.sum(-1, keepdim=True))[state["query"]]
    if state["look"] != "mean":
        layer, *head = (int(x.split()[1]) - 1 for x in state["look"].split(", "))
        weights = weights[layer : layer + 1]
        weights = weights[:, head[0]] if head else weights
    there = sum(o < 0 or subset >> o & 1 for o in record["owners"])
    return weights.flatten(0, -2).mean(0)[: there + len(record["queries"][state["query"]])]


def reference(state: dict) -> dict:
    record = state["records"][state["task"]]
    tables = {name: record[name] for name in ("in_context", "finetuned", "bayes") if record[name]}
    rows = {name: torch.tensor(table)[state["shown"]] / PARTS for name, table in tables.items()}
    rows["zero_shot"] = torch.tensor(record["in_context"])[0] / PARTS
    weights, gold = attention(state), torch.tensor(record["asked"])
    owners = torch.tensor(record["owners"])
    here = (owners < 0) | (state["shown"] >> owners.clamp(min=0) & 1 == 1)
    before, label = weights[: here.sum()], torch.tensor(record["is_label"])[here] == 1
    start = owners[here] < 0
    return {
        **{f"{n}_{c}": p[state["query"], c] for n, p in rows.items() for c in range(p.shape[1])},
        **{f"right_{name}": (p.argmax(1) == gold).sum() for name, p in rows.items()},
        "on_labels": before[label].sum(),
        "on_texts": before[~label & ~start].sum(),
        "on_query": weights[here.sum() :].sum(),
        "on_opening": before[start].sum(),
        "attention": weights,
    }


CASE = Case(
    make=make,
    moves=(
        Move("button", "Demonstration 2", "Space"),
        Move("combobox", "Attention of", "ArrowDown", 3),
        Move("button", "Demonstration 1", "Enter"),
        Move("combobox", "Query", "ArrowDown"),
        Move("button", "None", "Enter"),
        Move("combobox", "Task and its labels", "ArrowDown"),
        Move("button", "All demonstrations", "Enter"),
        Move("button", "Demonstration 3", "Space"),
        Move("combobox", "Attention of", "ArrowUp", 2),
    ),
    reference=reference,
)
