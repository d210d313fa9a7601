"""Exercises of chapter 10: a power law with a floor, the in-context score, the binding reader."""

import torch
from torch import Tensor

from icl_lib.exercises.core import Exercise, Step, expect_close

# ---- a power law with a floor -------------------------------------------------------------------


def _law(sizes: Tensor, losses: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    x, y = sizes.log(), (losses - floor).log()
    centred = x - x.mean()
    alpha = -(centred * y).sum() / (centred * centred).sum()
    return alpha, (x.mean() + y.mean() / alpha).exp()


def _law_without_floor(sizes, losses, floor):
    return _law(sizes, losses, 0.0)


def _law_by_ends(sizes, losses, floor):
    return _law(sizes[[0, -1]], losses[[0, -1]], floor)


def _law_with_sign(sizes, losses, floor):
    alpha, scale = _law(sizes, losses, floor)
    return -alpha, scale


def _law_of_loss(sizes, losses, floor):
    alpha, scale = _law(sizes, losses, floor)
    return alpha, scale**alpha


def _check_law(sizes, floor: float, alpha: float, scale: float, noise: float, what: str):
    def test(f) -> None:
        x = torch.tensor(sizes, dtype=torch.float64)
        bumps = torch.randn(len(x), generator=torch.Generator().manual_seed(1)).double()
        y = floor + (scale / x) ** alpha * (noise * bumps).exp()
        wanted = _law(x, y, floor)
        found = f(x, y, floor)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise AssertionError(
                f"{what}: expected a pair (alpha, N_c), got {type(found).__name__}"
            )
        expect_close(found[0], wanted[0], what=f"{what}: alpha")
        log_scale = torch.as_tensor(found[1]).double().log()
        expect_close(log_scale, wanted[1].log(), what=f"{what}: log of N_c")

    return test


LAW = Exercise(
    "ch10-law",
    "fit exponent and scale of L = floor + (N_c / N)^alpha",
    (
        Step("two points, no floor", _check_law([1e3, 1e5], 0.0, 0.5, 4e3, 0.0, "two points")),
        Step("a floor of 2 nats is taken off first",
             _check_law([1e3, 1e5], 2.0, 0.5, 4e3, 0.0, "floor")),
        Step("five scattered points: least squares in the logarithms",
             _check_law([1e3, 4e3, 2e4, 1e5, 3e5], 2.0, 0.3, 5e3, 0.1, "five points")),
    ),
    _law,
    {
        "floor forgotten": _law_without_floor,
        "first and last point only": _law_by_ends,
        "sign of the slope": _law_with_sign,
        "N_c to the power alpha": _law_of_loss,
    },
)  # fmt: skip


# ---- the in-context score -----------------------------------------------------------------------


def _score(losses: Tensor, window: int) -> Tensor:
    by_position = losses.mean(0)
    return by_position[-window:].mean() - by_position[:window].mean()


def _score_turned(losses, window):
    return -_score(losses, window)


def _score_halves(losses, window):
    half = losses.shape[1] // 2
    return losses[:, half:].mean() - losses[:, :half].mean()


def _score_first_document(losses, window):
    return _score(losses[:1], window)


def _score_ratio(losses, window):
    return losses[:, -window:].mean() / losses[:, :window].mean() - 1


def _check_score(rows: int, window: int, what: str):
    def test(f) -> None:
        losses = torch.rand(rows, 12, generator=torch.Generator().manual_seed(rows)).double()
        losses[:, -4:] -= 0.6
        expect_close(f(losses, window), _score(losses, window), what=what)

    return test


def _score_useful(f) -> None:
    losses = torch.tensor([[4.0, 4.0, 3.0, 1.0]]).double()
    expect_close(f(losses, 1), torch.tensor(-3.0), what="losses 4, 4, 3, 1 and one position")


SCORE = Exercise(
    "ch10-score",
    "the in-context score: loss late minus loss early",
    (
        Step("negative when the context helps", _score_useful),
        Step("means over a window at either end", _check_score(1, 3, "one document")),
        Step("and over all documents", _check_score(6, 3, "six documents")),
    ),
    _score,
    {
        "early minus late": _score_turned,
        "halves instead of windows": _score_halves,
        "first document only": _score_first_document,
        "a ratio": _score_ratio,
    },
)


# ---- the reader who binds at first sight --------------------------------------------------------


def _binding(shots: int, classes: int) -> float:
    chance = [1.0] + [0.0] * classes  # probability of having seen s classes
    for _ in range(shots):
        moved = [0.0] * (classes + 1)
        for s, p in enumerate(chance):
            moved[s] += p * s / classes
            if s < classes:
                moved[s + 1] += p * (1 - s / classes)
        chance = moved
    return sum(p * (s + (s < classes)) / classes for s, p in enumerate(chance))


def _binding_without_exclusion(shots, classes):
    seen = 1 - (1 - 1 / classes) ** shots
    return seen + (1 - seen) / classes


def _binding_without_guess(shots, classes):
    return 1 - (1 - 1 / classes) ** shots


def _binding_in_order(shots, classes):
    return min(1.0, (shots + 1) / classes)


def _check_binding(shots: int, classes: int):
    def test(f) -> None:
        wanted = torch.tensor(_binding(shots, classes), dtype=torch.float64)
        what = f"{shots} demonstrations of {classes} classes"
        expect_close(torch.as_tensor(f(shots, classes), dtype=torch.float64), wanted, what=what)

    return test


def _all_binding(f) -> None:
    for classes in (1, 2, 3, 4, 6):
        for shots in (2, 3, 5, 12):
            _check_binding(shots, classes)(f)


BINDING = Exercise(
    "ch10-binding",
    "the best accuracy that k demonstrations allow",
    (
        Step("no demonstration: a guess", _check_binding(0, 4)),
        Step("two classes, one demonstration: the other label is known too", _check_binding(1, 2)),
        Step("two demonstrations may show the same class twice", _check_binding(2, 4)),
        Step("any number of both", _all_binding),
    ),
    _binding,
    {
        "guesses among all labels": _binding_without_exclusion,
        "does not guess": _binding_without_guess,
        "never the same class twice": _binding_in_order,
    },
)

EXERCISES = (LAW, SCORE, BINDING)
