"""Ability and similarity over one training: three accuracies, a similarity by layer, its nulls."""

from collections.abc import Mapping, Sequence

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure, plain

CONDITIONS = ("zero-shot", "in-context", "finetuned")
INKS = ("neutral", "predicted", "key")
NULL_INKS = ("error", "gold", "value")


class SimilarityInTraining(BookFigure):
    """How well a network does in three conditions, and how alike two updates are, step by step.

    ::

        gain       = accuracy in context − accuracy zero-shot
        similarity = mean over layers
        control    = the largest of its nulls, each a mean over layers
        excess     = similarity − control
        half       = first step at which half of what the last step has is reached

    Parameters
    ----------
    steps
        Training steps at which the network was measured, increasing.
    accuracies
        By way to finetune: ``[steps, 3]``, zero-shot, in-context, finetuned.
    metrics
        By name of the similarity and way to finetune: ``[steps, layers]``.
    nulls
        By name of the similarity, then of the null, one to three, then way to finetune:
        ``[steps, layers]``.
    metric, way, moment
        What is shown at the start, as indices.

    Raises
    ------
    ValueError
        If the shapes do not fit each other or an index is out of range.

    Explained in: 18_layer_by_layer
    """

    _module = "similarity_in_training"
    steps = t.List(t.Int()).tag(sync=True)
    ways = t.List(t.Unicode()).tag(sync=True)
    metrics = t.List(t.Unicode()).tag(sync=True)
    accuracies = t.List().tag(sync=True)
    similarity = t.List().tag(sync=True)
    nulls = t.List().tag(sync=True)
    null_names = t.List().tag(sync=True)
    metric = t.Int(0).tag(sync=True)
    way = t.Int(0).tag(sync=True)
    moment = t.Int(0).tag(sync=True)

    def __init__(
        self,
        steps: Sequence[int],
        accuracies: Mapping[str, object],
        metrics: Mapping[str, Mapping[str, object]],
        nulls: Mapping[str, Mapping[str, Mapping[str, object]]],
        *,
        metric: int = 0,
        way: int = 0,
        moment: int = -1,
    ):
        steps, ways = [int(n) for n in steps], list(accuracies)
        _check(steps, ways, metrics, nulls)
        chosen = {"metric": (metric, metrics), "way": (way, ways), "moment": (moment, steps)}
        for name, (index, values) in chosen.items():
            if not -len(values) <= index < len(values):
                raise ValueError(f"{name} must be below {len(values)}, got {index}")
        told = [_table(accuracies[w], len(steps), 3, f"accuracies of {w}") for w in ways]
        layers = len(plain(next(iter(metrics.values()))[ways[0]])[0])
        shape = len(steps), layers
        super().__init__(
            steps=steps, ways=ways, metrics=list(metrics), accuracies=told,
            similarity=[[_table(m[w], *shape, n) for w in ways] for n, m in metrics.items()],
            null_names=[list(nulls[n]) for n in metrics],
            nulls=[
                [[_table(null[w], *shape, k) for w in ways] for k, null in nulls[n].items()]
                for n in metrics
            ],
            **{name: index % len(values) for name, (index, values) in chosen.items()},
        )  # fmt: skip

    def now(self, moment: int | None = None) -> tuple[float, float]:
        """Return similarity and control at a moment, means over layers."""
        at = self.moment if moment is None else moment
        found = _mean(self.similarity[self.metric][self.way][at])
        return found, max(_mean(null[self.way][at]) for null in self.nulls[self.metric])

    def sentence(self) -> str:
        """Return accuracies and similarity at the chosen moment, in words."""
        zero, icl, ft = (100 * a for a in self.accuracies[self.way][self.moment])
        found, control = self.now()
        return (
            f"After {self.steps[self.moment]} training steps the network is right on {zero:.0f} % "
            f"of the queries zero-shot, {icl:.0f} % in context and {ft:.0f} % finetuned "
            f"({self.ways[self.way]}); {self.metrics[self.metric]} is {found:.2f}, its largest "
            f"control {control:.2f}."
        )

    def picture(self) -> str:
        """Return the similarity with its control over the training, and accuracy in context."""
        runs = range(len(self.steps))
        curves = {
            "in-context accuracy": ("predicted", [self.accuracies[self.way][i][1] for i in runs]),
            self.metrics[self.metric]: ("query", [self.now(i)[0] for i in runs]),
            "its largest control": ("error", [self.now(i)[1] for i in runs]),
        }
        low = min(0.0, *(v for _, values in curves.values() for v in values))
        parts = [svg.line(40, 220, 410, 220), svg.line(40, 40, 40, 220)]
        parts += [
            svg.text(36, 224 - 180 * f, f"{low + f * (1 - low):.1f}", anchor="end") for f in (0, 1)
        ]
        for i, (name, (role, values)) in enumerate(curves.items()):
            points = [
                (50 + 350 * i / (len(runs) - 1), 220 - 180 * (v - low) / (1 - low))
                for i, v in enumerate(values)
            ]
            parts += [svg.polyline(points, role, width=2.5)]
            parts += [svg.text(10 + 200 * (i % 2), 14 + 16 * (i // 2), name, role=role)]
        ends = f"training step, {self.steps[0]} to {self.steps[-1]}, moments evenly spaced"
        parts.append(svg.text(225, 242, ends, anchor="middle"))
        return svg.svg(420, 250, self.sentence(), parts)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _table(values, rows: int, columns: int, name: str) -> list:
    table = plain(values, name)
    if len(table) != rows or {len(row) for row in table} != {columns}:
        raise ValueError(f"{name} must be [{rows}, {columns}]")
    return table


def _check(steps, ways, metrics, nulls) -> None:
    if len(steps) < 2 or steps != sorted(set(steps)):
        raise ValueError(f"steps must be at least two and increase, got {steps}")
    if not ways or not metrics:
        raise ValueError(f"got {len(ways)} ways to finetune and {len(metrics)} similarities")
    for name in metrics:
        if not 1 <= len(nulls.get(name, ())) <= len(NULL_INKS):
            raise ValueError(f"{name} needs 1 to {len(NULL_INKS)} nulls")
