"""What the paper's protocol costs in seconds and memory, with shared demonstrations and without."""

import math
from collections.abc import Mapping, Sequence

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure

SHAPE = ("layers", "width", "heads", "vocabulary", "context", "parameters")
COUNTS = ("long", "short", "trainings", "comparisons", "ranked", "copies", "traces")
SLIDERS = {"demonstrations": (1, 64), "doublings": (0, 11), "tokens": (4, 128)}
GIB = 2**30


def operations(
    model: Mapping, parts: Mapping, demonstrations: int, queries: int, tokens: int, *, shared: bool
) -> dict[str, float]:
    """Return :func:`icl_lib.meta.cost.operations` for I = D, M = 4 D and texts of equal length.

    Opening, label and separator have one token each.

    Explained in: 19_real_models
    """
    layers, width, heads = model["layers"], model["width"], model["heads"]
    square, head, big = width * width, 2 * width * model["vocabulary"], layers * width
    m, n, blocks = tokens + 2, 1 + demonstrations * (tokens + 2), 24 * layers * width * width

    def reading(before: int) -> float:
        attention = 4 * width * (tokens + before) * ((layers - 1) * tokens + 1)
        return (blocks - 18 * square) * tokens + 18 * square + attention + head

    step = (2 * blocks - 6 * square + 4 * layers * square) * m
    step += 2 * head * (m - 1) + 14 * big * m * m
    pair = 8 * layers * square * tokens + 4 * big * width // heads * tokens
    rank = 2 * demonstrations * m * big * (4 + heads)
    once = blocks * n + 4 * big * n * n
    return {
        "demonstrations": parts["long"] * once * (1 if shared else queries),
        "queries": queries * (parts["long"] * reading(n) + parts["short"] * reading(1)),
        "finetuning": parts["trainings"] * demonstrations * step,
        "updates": parts["comparisons"] * queries * pair,
        "rankings": parts["ranked"] * queries * rank,
    }


def memory(
    model: Mapping, parts: Mapping, demonstrations: int, queries: int, tokens: int, *, shared: bool
) -> dict[str, float]:
    """Return :func:`icl_lib.meta.cost.memory` for the same, two batches of 2,048 tokens, 32 bits.

    Explained in: 19_real_models
    """
    big, m, n = model["layers"] * model["width"], tokens + 2, 1 + demonstrations * (tokens + 2)
    together = max(tokens, min(4096, queries * tokens)) if shared else tokens
    fresh, twice = bool(parts["fresh"]), parts["long"] > 1
    states = 2 + parts["copies"] - fresh + twice
    numbers = {
        "weights": model["parameters"] * (1 + fresh),
        "copies": parts["copies"] * 2 * big * model["width"],
        "keys and values": (1 + twice) * 2 * big * n,
        "trace": parts["traces"] * demonstrations * m * 4 * big,
        "queries": together * (states * 3 * big + 3 * model["heads"] * n),
        "logits": 4 * m * model["vocabulary"],
    }
    return {name: 4 * number for name, number in numbers.items()}


class ProtocolCost(BookFigure):
    """Sliders for model, demonstrations, queries and their length; seconds and GiB, two ways.

    Parameters
    ----------
    models
        Mappings with ``name``, ``layers``, ``width``, ``heads``, ``vocabulary``, ``context`` and
        ``parameters``.
    scopes
        What is measured: a name, and the counts of :class:`icl_lib.meta.cost.Parts` as a mapping.
    rate
        Operations a second.
    start
        Name of the model shown first; the first one when left out.
    demonstrations, doublings, tokens
        At the start; there are 2^doublings queries, and tokens are those of one text.

    Raises
    ------
    ValueError
        If no model or scope is given, an entry is incomplete, a name is unknown or a number out of
        its range.

    Explained in: 19_real_models
    """

    _module = "protocol_cost"
    models = t.List().tag(sync=True)
    scopes = t.List().tag(sync=True)
    chosen = t.Unicode("").tag(sync=True)
    scope = t.Unicode("").tag(sync=True)
    demonstrations = t.Int(32).tag(sync=True)
    doublings = t.Int(8).tag(sync=True)
    tokens = t.Int(24).tag(sync=True)
    rate = t.Float(1e11).tag(sync=True)

    def __init__(
        self,
        models: Sequence[Mapping],
        scopes: Mapping[str, Mapping],
        *,
        rate: float,
        start: str | None = None,
        demonstrations: int = 32,
        doublings: int = 8,
        tokens: int = 24,
    ):
        if not models or not scopes:
            raise ValueError(f"got {len(models)} models and {len(scopes)} scopes")
        entries = [_entry(model) for model in models]
        kinds = [_scope(name, counts) for name, counts in scopes.items()]
        names = [entry["name"] for entry in entries]
        start = names[0] if start is None else start
        if start not in names:
            raise ValueError(f"unknown model {start!r}; there are {', '.join(names)}")
        numbers = {"demonstrations": demonstrations, "doublings": doublings, "tokens": tokens}
        for name, (low, high) in SLIDERS.items():
            if not low <= numbers[name] <= high:
                raise ValueError(f"{name} must be between {low} and {high}, got {numbers[name]}")
        if not 1e9 <= rate <= 1e15:
            raise ValueError(f"rate must be between 1e9 and 1e15 operations a second, got {rate}")
        super().__init__(
            models=entries, scopes=kinds, chosen=start, scope=kinds[0]["name"], rate=float(rate),
            **numbers,
        )  # fmt: skip

    def costs(self) -> dict[str, tuple[dict, dict]]:
        """Return seconds and bytes of each part, shared and straightforward."""
        model = next(m for m in self.models if m["name"] == self.chosen)
        parts = next(s for s in self.scopes if s["name"] == self.scope)
        sizes, found = (self.demonstrations, 2**self.doublings, self.tokens), {}
        for name, shared in (("shared", True), ("straightforward", False)):
            work = operations(model, parts, *sizes, shared=shared)
            found[name] = (
                {part: number / self.rate for part, number in work.items()},
                memory(model, parts, *sizes, shared=shared),
            )
        return found

    def sentence(self) -> str:
        """Return seconds and memory of both ways in words."""
        (fast, held), (slow, _) = self.costs().values()
        quick, long = sum(fast.values()), sum(slow.values())
        return (
            f"{self.chosen}, {self.demonstrations} demonstrations and {2**self.doublings} queries "
            f"of {self.tokens} tokens: {quick:.3g} s with shared demonstrations, {long:.3g} s "
            f"prompt by prompt, {long / quick:.3g} times as long; {sum(held.values()) / GIB:.3g} "
            "GiB."
        )

    def picture(self) -> str:
        """Return one bar of seconds for each way, on one scale."""
        found, rows = self.costs(), []
        most = max(sum(seconds.values()) for seconds, _ in found.values())
        for i, (name, (seconds, _)) in enumerate(found.items()):
            whole, y = sum(seconds.values()), 14 + 34 * i
            rows += [
                svg.text(126, y + 16, name, anchor="end"),
                svg.rect(134, y, max(1.0, 210 * whole / most), 24, ("query", "error")[i]),
                svg.text(142 + 210 * whole / most, y + 16, f"{whole:.3g} s", role="muted"),
            ]
        return svg.svg(460, 90, self.sentence(), rows)


def _entry(model: Mapping) -> dict:
    missing = [key for key in ("name", *SHAPE) if key not in model]
    if missing:
        raise ValueError(f"a model needs {', '.join(('name', *SHAPE))}; {missing[0]!r} is missing")
    for key in SHAPE:
        if model[key] != math.floor(model[key]) or model[key] < 1:
            raise ValueError(
                f"{key} of {model['name']} must be a positive integer, got {model[key]}"
            )
    return {"name": str(model["name"])} | {key: int(model[key]) for key in SHAPE}


def _scope(name: str, counts: Mapping) -> dict:
    missing = [key for key in (*COUNTS, "fresh") if key not in counts]
    if missing:
        raise ValueError(f"the scope {name!r} lacks {missing[0]!r}")
    return {"name": name} | {key: int(counts[key]) for key in (*COUNTS, "fresh")}
