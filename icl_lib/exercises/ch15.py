"""Exercises of chapter 15: a step on other prompts, its limit, orders, the null of a similarity."""

import math

import torch
from torch import Tensor

from icl_lib.exercises.core import Exercise, Step, expect_close


def _number(f, wanted, what: str, *arguments) -> None:
    given = torch.as_tensor(f(*arguments), dtype=torch.float64)
    expect_close(given, torch.tensor(wanted, dtype=torch.float64), what=what)


# ---- a trained step on other prompts ------------------------------------------------------------


def _shifted(trained: int, d: int, examples: int, alpha: float) -> float:
    eta = trained / (trained + d + 1)
    moved = eta * alpha**2
    return 1 - 2 * moved + moved**2 * (1 + (d + 1) / examples)


def _shifted_retrained(trained, d, examples, alpha):
    return _shifted(examples, d, examples, alpha)


def _shifted_short(trained, d, examples, alpha):
    return _shifted(trained, d, trained, alpha)


def _shifted_once(trained, d, examples, alpha):
    return _shifted(trained, d, examples, math.sqrt(alpha))


def _shifted_absolute(trained, d, examples, alpha):
    return alpha**2 * _shifted(trained, d, examples, alpha)


def _check_shifted(*cases):
    def test(f) -> None:
        for trained, d, examples, alpha in cases:
            what = f"N = {trained}, d = {d}, M = {examples}, alpha = {alpha}"
            _number(f, _shifted(trained, d, examples, alpha), what, trained, d, examples, alpha)

    return test


SHIFTED = Exercise(
    "ch15-shifted",
    "the error of a trained step at another length and another scale",
    (
        Step("as trained it is (d + 1)/(N + d + 1)", _check_shifted((10, 10, 10, 1.0))),
        Step("another length M: the step stays, the scatter shrinks",
             _check_shifted((10, 10, 80, 1.0), (10, 10, 3, 1.0))),
        Step("another scale: η becomes ηα², as seen in units of the new targets",
             _check_shifted((10, 10, 10, 2.0), (10, 10, 10, 0.5))),
        Step("both, and other sizes", _check_shifted((4, 7, 33, 1.3), (20, 2, 1, 0.7))),
    ),
    _shifted,
    {
        "step size of the new length": _shifted_retrained,
        "length of the training": _shifted_short,
        "α in place of α²": _shifted_once,
        "not divided by what guessing 0 costs": _shifted_absolute,
    },
)  # fmt: skip


# ---- the largest scale --------------------------------------------------------------------------


def _largest(trained: int, d: int, examples: int) -> float:
    eta = trained / (trained + d + 1)
    return math.sqrt(2 / (eta * (1 + (d + 1) / examples)))


def _largest_squared(trained, d, examples):
    return _largest(trained, d, examples) ** 2


def _largest_for_ever(trained, d, examples):
    return math.sqrt(2 * (trained + d + 1) / trained)


def _largest_best(trained, d, examples):
    return _largest(trained, d, examples) / math.sqrt(2)


def _check_largest(*cases):
    def test(f) -> None:
        for trained, d, examples in cases:
            what = f"N = {trained}, d = {d}, M = {examples}"
            _number(f, _largest(trained, d, examples), what, trained, d, examples)

    return test


LARGEST = Exercise(
    "ch15-largest-scale",
    "the input scale at which the trained step is as bad as guessing 0",
    (
        Step("at the training length it is √2, whatever the sizes",
             _check_largest((10, 10, 10), (5, 8, 5))),
        Step("longer prompts stand a little more", _check_largest((10, 10, 200))),
        Step("any sizes", _check_largest((3, 6, 40), (40, 6, 3))),
    ),
    _largest,
    {
        "α² given": _largest_squared,
        "for endless prompts only": _largest_for_ever,
        "the best scale, not the largest": _largest_best,
    },
)  # fmt: skip


# ---- spread over orders -------------------------------------------------------------------------


def _spread(guesses: Tensor) -> Tensor:
    return guesses.var(dim=0).mean().sqrt()


def _spread_of_prompts(guesses):
    return guesses.var(dim=1, correction=0).mean().sqrt()


def _spread_of_all(guesses):
    return guesses.std()


def _spread_mean(guesses):
    return guesses.std(dim=0).mean()


def _check_spread(orders: int, prompts: int, *, offset: float):
    def test(f) -> None:
        g = torch.Generator().manual_seed(orders + prompts)
        guesses = torch.randn(orders, prompts, generator=g, dtype=torch.float64)
        guesses = guesses * torch.linspace(0.1, 2, prompts, dtype=torch.float64)
        guesses = guesses + offset * torch.randn(prompts, generator=g, dtype=torch.float64)
        expect_close(f(guesses), _spread(guesses), what=f"{orders} orders, {prompts} prompts")

    return test


SPREAD = Exercise(
    "ch15-spread",
    "how much a guess depends on the order of the examples",
    (
        Step("one prompt: the deviation over its orders", _check_spread(6, 1, offset=0.0)),
        Step("prompts with different answers do not add to it", _check_spread(6, 4, offset=9.0)),
        Step("variances are averaged, then the root is taken", _check_spread(24, 50, offset=1.0)),
    ),
    _spread,
    {
        "over prompts": _spread_of_prompts,
        "over everything": _spread_of_all,
        "mean of deviations": _spread_mean,
    },
)


# ---- the null of the similarity of errors -------------------------------------------------------


def _null(examples: int, d: int, eta: float) -> float:
    error = 1 - 2 * eta + eta**2 * (1 + (d + 1) / examples)
    return math.sqrt((1 - examples / d) / error)


def _null_without_root(examples, d, eta):
    return _null(examples, d, eta) ** 2


def _null_of_zero(examples, d, eta):
    return math.sqrt(1 - examples / d)


def _null_turned(examples, d, eta):
    return 1 / _null(examples, d, eta)


def _check_null(*cases):
    def test(f) -> None:
        for examples, d, eta in cases:
            what = f"k = {examples}, d = {d}, η = {eta}"
            _number(f, _null(examples, d, eta), what, examples, d, eta)

    return test


NULL = Exercise(
    "ch15-null",
    "the similarity of errors between one step and least squares, before k = d",
    (
        Step("a step of size 0 guesses 0: √(1 − k/d)", _check_null((1, 5, 0.0), (4, 5, 0.0))),
        Step("a step that helps is more similar, because its error is smaller",
             _check_null((4, 5, 0.4))),
        Step("and one that harms less", _check_null((1, 5, 1.0), (7, 20, 0.9))),
    ),
    _null,
    {
        "root forgotten": _null_without_root,
        "that of guessing 0": _null_of_zero,
        "upside down": _null_turned,
    },
)  # fmt: skip

EXERCISES = (SHIFTED, LARGEST, SPREAD, NULL)
