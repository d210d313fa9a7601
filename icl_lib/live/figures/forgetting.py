"""Gain on a task against perplexity lost on old text, along measured fine-tuning runs."""

import math
from collections.abc import Sequence

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure, plain

ROLES = ("query", "key", "value", "error", "gold", "predicted")
LISTS = ("step_size", "accuracy", "perplexity", "change", "completion")


class ForgettingTradeOff(BookFigure):
    """What each way of fine-tuning gained on a task and lost on old text.

    ::

        gain            = accuracy − accuracy before
        bits per token  = log₂(perplexity / perplexity before)
        price at a gain = perplexity where a curve first reaches the accuracy asked for, between
                          two measured points log(perplexity) is taken along a straight line

    The runs are measured by the caller; the figure walks along them and compares their prices.

    Parameters
    ----------
    methods
        One dictionary for each curve: ``name``, and the equally long lists ``step_size``,
        ``accuracy``, ``perplexity``, ``change`` (‖ΔW‖/‖W‖) and ``completion`` (what the model then
        writes), from small to large step sizes.
    base
        Accuracy and perplexity before fine-tuning.
    prompt, before
        A beginning, and how the model went on before fine-tuning.
    method, setting
        Numbers of the curve and of its point at the start.
    target
        The accuracy asked for, between 0.5 and 1.

    Raises
    ------
    ValueError
        If there are no methods or more than six, a list is missing or differs in length, a
        perplexity is below 1 or not finite, an accuracy is not between 0 and 1, or a number at
        the start is out of range.

    Explained in: 08_fine_tuning
    """

    _module = "forgetting"
    methods = t.List(t.Dict()).tag(sync=True)
    method = t.Int(0).tag(sync=True)
    setting = t.Int(0).tag(sync=True)
    target = t.Float(0.9).tag(sync=True)
    base_accuracy = t.Float(0.5).tag(sync=True)
    base_perplexity = t.Float(1.0).tag(sync=True)
    prompt = t.Unicode().tag(sync=True)
    before = t.Unicode().tag(sync=True)

    def __init__(
        self,
        methods: Sequence[dict],
        *,
        base: tuple[float, float],
        prompt: str = "",
        before: str = "",
        method: int = 0,
        setting: int = 0,
        target: float = 0.9,
    ):
        methods = plain(methods, "methods")
        _check(methods, base, method, setting, target)
        super().__init__(
            methods=methods, method=method, setting=setting, target=target, prompt=prompt,
            before=before, base_accuracy=base[0], base_perplexity=base[1],
        )  # fmt: skip

    def price(self, curve: dict) -> float | None:
        """Return the perplexity where a curve first reaches the target, or None."""
        gains, costs = curve["accuracy"], curve["perplexity"]
        there = next((i for i, gain in enumerate(gains) if gain >= self.target), None)
        if not there:
            return None if there is None else costs[0]
        way = (self.target - gains[there - 1]) / (gains[there] - gains[there - 1])
        return costs[there - 1] * (costs[there] / costs[there - 1]) ** way

    def sentence(self) -> str:
        """Return where the chosen run stands, in words."""
        run = self.methods[self.method]
        gain, cost = run["accuracy"][self.setting], run["perplexity"][self.setting]
        return (
            f"{run['name']} with step size {run['step_size'][self.setting]:.3g} raises the "
            f"accuracy on the task from {self.base_accuracy:.3g} to {gain:.3g}; the perplexity on "
            f"old text goes from {self.base_perplexity:.3g} to {cost:.3g}."
        )

    def picture(self) -> str:
        """Return the curves, with the chosen run marked."""
        gains = [a for m in self.methods for a in m["accuracy"]] + [self.base_accuracy]
        costs = [math.log(p) for m in self.methods for p in m["perplexity"]]
        costs.append(math.log(self.base_perplexity))
        low, high = min(costs) - 0.05, max(costs) + 0.05
        left = min(gains) - 0.02

        def place(gain: float, cost: float) -> tuple[float, float]:
            x = 50 + 350 * (gain - left) / (1.02 - left)
            return x, 240 - 170 * (math.log(cost) - low) / (high - low)

        parts = [
            svg.line(50, 240, 400, 240),
            svg.text(225, 262, "accuracy on the task", anchor="middle"),
            svg.text(50, 62, "perplexity on old text"),
        ]
        for i, (role, curve) in enumerate(zip(ROLES, self.methods, strict=False)):
            points = [
                place(*pair) for pair in zip(curve["accuracy"], curve["perplexity"], strict=True)
            ]
            width = 3.5 if i == self.method else 1.8
            name = svg.text(20 + 136 * (i % 3), 16 + 20 * (i // 3), curve["name"], role=role)
            parts += [svg.polyline(points, role, width=width), name]
        run = self.methods[self.method]
        now = place(run["accuracy"][self.setting], run["perplexity"][self.setting])
        before = place(self.base_accuracy, self.base_perplexity)
        parts += [svg.circle(*now, 7, ROLES[self.method]), svg.circle(*before, 5, "text")]
        return svg.svg(420, 270, self.sentence(), parts)


def _check(methods: list, base: tuple, method: int, setting: int, target: float) -> None:
    if not 1 <= len(methods) <= len(ROLES):
        raise ValueError(f"expected 1 to {len(ROLES)} methods, got {len(methods)}")
    for curve in methods:
        missing = [key for key in ("name", *LISTS) if key not in curve]
        if missing:
            raise ValueError(f"each method needs {', '.join(missing)}, got {sorted(curve)}")
    lengths = {len(curve[key]) for curve in methods for key in LISTS}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"all lists must have the same length, at least 1, got {sorted(lengths)}")
    for cost in (base[1], *(p for curve in methods for p in curve["perplexity"])):
        if not 1 <= cost < math.inf:
            raise ValueError(f"a perplexity is a finite number and at least 1, got {cost}")
    for gain in (base[0], *(a for curve in methods for a in curve["accuracy"])):
        if not 0 <= gain <= 1:
            raise ValueError(f"an accuracy is between 0 and 1, got {gain}")
    if not 0 <= method < len(methods) or not 0 <= setting < lengths.pop():
        raise ValueError(f"there is no method {method} with setting {setting}")
    if not 0.5 <= target <= 1:
        raise ValueError(f"target must be between 0.5 and 1, got {target}")
