"""A fair race of update rules: each with the step size that a stated sweep found best for it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib.optim.landscapes import Quadratic, descend, steps_to_reach

MakeRule = Callable[[list[Tensor], Tensor], torch.optim.Optimizer]


@dataclass(frozen=True)
class Result:
    """What the best setting of one family of rules did.

    Attributes
    ----------
    setting, lr
        The setting and the step size that were best on the starts for tuning.
    score
        What the asked share of the fresh starts reached, by default the median; smaller is better.
    scores
        One for each fresh start.
    """

    setting: str
    lr: float
    score: float
    scores: Float[Tensor, " starts"]

    def __repr__(self) -> str:
        return f"{self.score:.4g} ({self.setting}, step size {self.lr:.3g})"


def random_starts(number: int, distance: float, *, seed: int) -> Float[Tensor, "starts 2"]:
    """Return points in the plane at one distance from the origin, in random directions."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(number, 2, generator=generator, dtype=torch.float64)
    return distance * points / points.norm(dim=-1, keepdim=True)


def distance_steps(
    landscape: Quadratic, path: Float[Tensor, "T1 *batch d"], *, share: float = 0.01
) -> Float[Tensor, "*batch"]:
    """Score: steps until the distance to the minimum stays below ``share`` of the first."""
    away = (path - landscape.minimum).norm(dim=-1)
    return steps_to_reach(away, share)


def late_loss(
    landscape: Quadratic, path: Float[Tensor, "T1 *batch d"], *, last: int = 100
) -> Float[Tensor, "*batch"]:
    """Score under noise: mean loss of the last steps as a share of the first loss."""
    losses = landscape.loss(path[-last:]).mean(0) / landscape.loss(path[0])
    return torch.nan_to_num(losses, nan=torch.inf)


def reached_by(scores: Float[Tensor, "*batch starts"], share: float) -> Float[Tensor, "*batch"]:
    """Return the score that this share of the starts reached or beat: 0.5 gives the median.

    Parameters
    ----------
    scores
        One for each start in the last dimension; smaller is better, infinity is allowed.
    share
        Above 0, at most 1.

    Raises
    ------
    ValueError
        If ``share`` is out of range.

    Explained in: 04_gradient_descent
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    return scores.sort(dim=-1).values[..., math.ceil(share * scores.shape[-1]) - 1]


def race(
    landscape: Quadratic,
    family: Mapping[str, MakeRule],
    *,
    step_sizes: Float[Tensor, " sizes"],
    tuning: Float[Tensor, "n1 d"],
    fresh: Float[Tensor, "n2 d"],
    steps: int,
    score: Callable[..., Tensor] = distance_steps,
    share: float = 0.5,
    noise: float = 0.0,
    seed: int = 0,
) -> Result:
    """Tune one family of rules on some starts and score it on others.

    Parameters
    ----------
    landscape
        Where.
    family
        Settings by name; each makes a rule from parameters and a step size.
    step_sizes
        The sweep.
    tuning, fresh
        Starts for choosing setting and step size, and for the result.
    steps
        Length of a walk.
    score
        ``score(landscape, path)``, smaller is better.
    share
        The share of the starts that has to reach a score for it to count, in the choice and in the
        result: 0.5 is the median; 0.9 does not let a rule win that is fast from some starts only.
    noise, seed
        Noise on the gradients, different for the two sets of starts.

    Raises
    ------
    ValueError
        If no setting has a finite score.

    Explained in: 04_gradient_descent
    """

    def run(make: MakeRule, lr: Tensor, start: Tensor, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        path = descend(
            landscape.gradient,
            start.expand(len(lr), *start.shape),
            lambda w: make(w, lr[:, None, None]),
            steps,
            noise=noise,
            generator=generator,
        )
        return score(landscape, path)

    best = (float("inf"), "", step_sizes[0])
    for setting, make in family.items():
        found = reached_by(run(make, step_sizes, tuning, seed), share)
        at = int(found.argmin())
        best = min(best, (found[at].item(), setting, step_sizes[at]), key=lambda b: b[0])
    if best[0] == float("inf"):
        raise ValueError(f"none of {', '.join(family)} gets there in {steps} steps")
    _, setting, lr = best
    scores = run(family[setting], lr[None], fresh, seed + 1)[0]
    return Result(setting, lr.item(), reached_by(scores, share).item(), scores)
