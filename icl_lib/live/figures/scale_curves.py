"""Several sizes of one model in training: loss by position and the in-context score."""

from collections.abc import Mapping, Sequence

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure, plain

INKS = ("neutral", "key", "query", "predicted", "value", "gold")


class ScaleCurves(BookFigure):
    """Loss by position at a chosen training step, and the in-context score over the training.

    ::

        score = mean loss of the last two groups of positions − mean loss of the first two

    Parameters
    ----------
    sizes
        Name of each size and its number of parameters, at most six.
    steps
        Training steps at which all sizes were measured, increasing.
    losses
        Measured loss, ``[sizes, steps, groups]`` with at least four groups of positions.
    accuracies
        Measured share of right answers, ``[sizes, steps, shots]``.
    shots
        Demonstrations in the prompts.
    width
        Positions in a group.
    size, moment, shot
        What is shown at the start, as indices.

    Raises
    ------
    ValueError
        If the shapes do not fit each other or an index is out of range.

    Explained in: 10_scale
    """

    _module = "scale_curves"
    names = t.List(t.Unicode()).tag(sync=True)
    parameters = t.List(t.Int()).tag(sync=True)
    steps = t.List(t.Int()).tag(sync=True)
    losses = t.List().tag(sync=True)
    accuracies = t.List().tag(sync=True)
    shots = t.List(t.Int()).tag(sync=True)
    width = t.Int(1).tag(sync=True)
    size = t.Int(0).tag(sync=True)
    moment = t.Int(0).tag(sync=True)
    shot = t.Int(0).tag(sync=True)

    def __init__(
        self,
        sizes: Mapping[str, int],
        steps: Sequence[int],
        losses,
        accuracies,
        shots: Sequence[int],
        *,
        width: int = 1,
        size: int = -1,
        moment: int = -1,
        shot: int = -1,
    ):
        losses, accuracies = plain(losses, "losses"), plain(accuracies, "accuracies")
        steps, shots = [int(n) for n in steps], [int(k) for k in shots]
        _check(sizes, steps, losses, accuracies, shots)
        chosen = {"size": (size, sizes), "moment": (moment, steps), "shot": (shot, shots)}
        for name, (index, values) in chosen.items():
            if not -len(values) <= index < len(values):
                raise ValueError(f"{name} must be below {len(values)}, got {index}")
        super().__init__(
            names=list(sizes), parameters=[int(n) for n in sizes.values()], steps=steps,
            losses=losses, accuracies=accuracies, shots=shots, width=width,
            **{name: index % len(values) for name, (index, values) in chosen.items()},
        )  # fmt: skip

    def score(self, size: int, moment: int) -> float:
        """Return the in-context score of a size at a moment."""
        groups = self.losses[size][moment]
        return sum(groups[-2:]) / 2 - sum(groups[:2]) / 2

    def sentence(self) -> str:
        """Return the score and the accuracy of the chosen size, in words."""
        score = self.score(self.size, self.moment)
        accuracy = self.accuracies[self.size][self.moment][self.shot]
        return (
            f"After {self.steps[self.moment]} training steps the model {self.names[self.size]} has "
            f"an in-context score of {score:.2f} nats and answers {100 * accuracy:.0f} % of the "
            f"questions with {self.shots[self.shot]} demonstrations."
        )

    def picture(self) -> str:
        """Return the in-context score of every size over the training."""
        scores = [
            [self.score(i, m) for m in range(len(self.steps))] for i in range(len(self.names))
        ]
        low, high = (f(v for run in scores for v in run) for f in (min, max))
        reach, last = (high - low) or 1.0, self.steps[-1] or 1
        parts = [svg.line(40, 210, 410, 210), svg.line(40, 20, 40, 210)]
        parts += [
            svg.text(36, 214 - 190 * f, f"{low + f * reach:.1f}", anchor="end") for f in (0, 1)
        ]
        for i, run in enumerate(scores):
            points = [
                (40 + 370 * n / last, 210 - 190 * (v - low) / reach)
                for n, v in zip(self.steps, run, strict=True)
            ]
            role = INKS[i % len(INKS)]
            parts.append(svg.polyline(points, role, width=3 if i == self.size else 1.5))
            parts.append(svg.text(46 + 372 / len(scores) * i, 14, self.names[i], role=role))
        parts.append(svg.text(225, 232, f"training step, 0 to {last}", anchor="middle"))
        return svg.svg(420, 240, self.sentence(), parts)


def _check(sizes, steps, losses, accuracies, shots) -> None:
    if not 1 <= len(sizes) <= len(INKS):
        raise ValueError(f"sizes must be 1 to {len(INKS)}, got {len(sizes)}")
    if len(steps) < 2 or steps != sorted(set(steps)):
        raise ValueError(f"steps must be at least two and increase, got {steps}")
    shape = [len(losses), {len(run) for run in losses}, {len(g) for run in losses for g in run}]
    if shape[:2] != [len(sizes), {len(steps)}] or len(shape[2]) != 1 or min(shape[2]) < 4:
        raise ValueError(
            f"losses must be [{len(sizes)} sizes, {len(steps)} steps, 4 or more groups]"
        )
    shape = [len(accuracies), {len(r) for r in accuracies}, {len(k) for r in accuracies for k in r}]
    if shape != [len(sizes), {len(steps)}, {len(shots)}]:
        raise ValueError(
            f"accuracies must be [{len(sizes)} sizes, {len(steps)} steps, {len(shots)} shots]"
        )
