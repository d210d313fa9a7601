"""The best policy on a leash: what β does to a handful of answers and to two rewards."""

import math
from collections.abc import Sequence

import traitlets as t

from icl_lib.live import svg
from icl_lib.live.base import BookFigure, plain

LOWEST, HIGHEST = 0.02, 20.0


class RewardLeash(BookFigure):
    """The policy that maximises E[r] − β KL(π ‖ π_ref) over a few answers, for every β.

    ::

        π*(x) = π_ref(x) exp(r(x) / β) / Z

    The reward r that is maximised is the proxy, or, with the switch, the true one. The figure
    shows π* beside π_ref, and how both mean rewards move against KL(π* ‖ π_ref) as β falls.

    Parameters
    ----------
    answers
        Between 2 and 12 texts.
    reference
        Their weights under π_ref, positive; scaled to sum to 1.
    proxy, true
        What the reward model says of each, and what it is worth.
    beta
        β at the start, between 0.02 and 20.
    use_true
        Whether the true reward is maximised.

    Raises
    ------
    ValueError
        If the lists differ in length, a weight is not positive or β is out of range.

    Explained in: 09_chatgpt
    """

    _module = "reward_leash"
    answers = t.List(t.Unicode()).tag(sync=True)
    reference = t.List(t.Float()).tag(sync=True)
    proxy = t.List(t.Float()).tag(sync=True)
    true = t.List(t.Float()).tag(sync=True)
    beta = t.Float(1.0).tag(sync=True)
    use_true = t.Bool(False).tag(sync=True)

    def __init__(
        self,
        answers: Sequence[str],
        reference,
        proxy,
        true,
        *,
        beta: float = 1.0,
        use_true: bool = False,
    ):
        given = {"reference": reference, "proxy": proxy, "true": true}
        rows = {
            name: [
                float(x) for x in plain(list(value) if isinstance(value, tuple) else value, name)
            ]
            for name, value in given.items()
        }
        _check(list(answers), rows, beta)
        total = sum(rows["reference"])
        rows["reference"] = [x / total for x in rows["reference"]]
        super().__init__(answers=list(answers), beta=float(beta), use_true=use_true, **rows)

    def numbers(self) -> dict:
        """Return π*, its divergence from π_ref and both mean rewards."""
        rewards = self.true if self.use_true else self.proxy
        scores = [math.log(q) + r / self.beta for q, r in zip(self.reference, rewards, strict=True)]
        top = max(scores)
        grown = [math.exp(x - top) for x in scores]
        p = [g / sum(grown) for g in grown]
        return {
            "policy": p,
            "kl": sum(a * math.log(a / b) for a, b in zip(p, self.reference, strict=True) if a > 0),
            "proxy": math.fsum(a * r for a, r in zip(p, self.proxy, strict=True)),
            "true": math.fsum(a * r for a, r in zip(p, self.true, strict=True)),
        }

    def sentence(self) -> str:
        """Return what the bars show, in words."""
        found = self.numbers()
        best = max(range(len(self.answers)), key=found["policy"].__getitem__)
        return (
            f"At β = {self.beta:g} the best policy is {found['kl']:.2f} nats away from the "
            f"reference; its proxy reward is {found['proxy']:.2f} and its true reward "
            f"{found['true']:.2f}. Its likeliest answer, with probability "
            f"{found['policy'][best]:.2f}, is “{self.answers[best]}”."
        )

    def picture(self) -> str:
        """Return the bars of π* with a mark at π_ref."""
        parts, step = [], 42
        rows = zip(self.answers, self.numbers()["policy"], self.reference, strict=True)
        for i, (answer, p, q) in enumerate(rows):
            y = 8 + i * step
            parts += [
                svg.text(8, y + 12, answer if len(answer) < 60 else answer[:59] + "…"),
                svg.rect(8, y + 17, 340 * p, 14, "query"),
                svg.line(8 + 340 * q, y + 14, 8 + 340 * q, y + 34, "text", width=2),
                svg.text(16 + 340 * max(p, q), y + 29, f"{p:.2f}", role="muted"),
            ]
        return svg.svg(420, 16 + step * len(self.answers), self.sentence(), parts)


def _check(answers: list, rows: dict[str, list], beta: float) -> None:
    lengths = {name: len(row) for name, row in rows.items()}
    if not 2 <= len(answers) <= 12 or set(lengths.values()) != {len(answers)}:
        raise ValueError(
            f"expected 2 to 12 answers with as many numbers each, got {len(answers)} answers and "
            f"{lengths}"
        )
    if min(rows["reference"]) <= 0:
        raise ValueError(f"reference weights must be positive, got {min(rows['reference'])}")
    if not LOWEST <= beta <= HIGHEST:
        raise ValueError(f"beta must be between {LOWEST} and {HIGHEST:g}, got {beta}")
