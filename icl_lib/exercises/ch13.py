"""Exercises of chapter 13: weights of least norm, the nearest algorithm, the Lasso."""

import torch
from torch import Tensor

from icl_lib.exercises.core import Exercise, Step, expect_close


def _normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# ---- weights of least norm ----------------------------------------------------------------------


def _least_norm(X: Tensor, y: Tensor) -> Tensor:
    return torch.linalg.pinv(X) @ y


def _normal_equations(X, y):
    identity = torch.eye(X.shape[1], dtype=X.dtype)
    return torch.linalg.solve(X.T @ X + 1e-3 * identity, X.T @ y)


def _first_columns(X, y):
    found = torch.zeros(X.shape[1], dtype=X.dtype)
    k = min(X.shape)
    found[:k] = torch.linalg.lstsq(X[:, :k], y[:, None]).solution[:, 0]
    return found


def _one_step(X, y):
    return X.T @ y / len(y)


def _only_short_of_examples(X, y):
    if len(X) > X.shape[1]:
        X, y = X[: X.shape[1]], y[: X.shape[1]]
    return X.T @ torch.linalg.solve(X @ X.T, y)


def _check_least_norm(examples: int, dimension: int):
    def test(f) -> None:
        X, y = _normal(examples, dimension), _normal(examples, seed=1)
        what = f"{examples} examples, {dimension} inputs"
        expect_close(f(X, y), _least_norm(X, y), tolerance=1e-8, what=what)

    return test


LEAST_NORM = Exercise(
    "ch13-least-norm",
    "the shortest of all weights that fit the examples best",
    (
        Step("as many examples as inputs: the only solution", _check_least_norm(3, 3)),
        Step("fewer examples: the shortest that fits", _check_least_norm(3, 5)),
        Step("more examples: the best fit", _check_least_norm(8, 3)),
    ),
    _least_norm,
    {
        "a penalty left in": _normal_equations,
        "some other solution": _first_columns,
        "one gradient step": _one_step,
        "fits the first d examples only": _only_short_of_examples,
    },
)


# ---- which algorithm is nearest -----------------------------------------------------------------


def _nearest(guesses: Tensor, others: Tensor) -> tuple[int, Tensor]:
    distances = (guesses - others).square().flatten(1).mean(1)
    return int(distances.argmin()), distances.min()


def _nearest_of_means(guesses, others):
    distances = (guesses.mean(0) - others.mean(1)).square().mean(1)
    return int(distances.argmin()), distances.min()


def _nearest_unsquared(guesses, others):
    distances = (guesses - others).abs().flatten(1).mean(1)
    return int(distances.argmin()), distances.min()


def _nearest_signed(guesses, others):
    distances = (guesses - others).flatten(1).mean(1)
    return int(distances.argmin()), distances.min()


def _nearest_summed(guesses, others):
    distances = (guesses - others).square().flatten(1).sum(1)
    return int(distances.argmin()), distances.min()


def _check_nearest(prompts: int, points: int, seed: int):
    def test(f) -> None:
        guesses, others = _normal(prompts, points, seed=seed), _normal(4, prompts, points, seed=9)
        others[2] = guesses + 0.8 * others[2]
        wanted = _nearest(guesses, others)
        found = f(guesses, others)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise AssertionError(f"expected a pair (place, distance), got {type(found).__name__}")
        what = f"{prompts} prompts, {points} positions"
        expect_close(torch.as_tensor(found[0]), torch.tensor(wanted[0]), what=f"{what}: place")
        expect_close(found[1], wanted[1], what=f"{what}: distance")

    return test


def _large_and_rare(f) -> None:
    guesses = torch.zeros(4, 1, dtype=torch.float64)
    often = torch.full((4, 1), 0.5, dtype=torch.float64)
    rare = torch.tensor([[0.0], [0.0], [0.0], [1.6]], dtype=torch.float64)
    found = f(guesses, torch.stack([rare, often]))
    expect_close(torch.as_tensor(found[0]), torch.tensor(1), what="one large miss, or many small")


NEAREST = Exercise(
    "ch13-nearest",
    "the algorithm with the smallest squared prediction difference",
    (
        Step("one prompt, one position", _check_nearest(1, 1, 0)),
        Step("the mean over prompts and positions", _check_nearest(5, 3, 1)),
        Step("a rare large difference counts by its square", _large_and_rare),
    ),
    _nearest,
    {
        "averages the guesses first": _nearest_of_means,
        "absolute differences": _nearest_unsquared,
        "differences without a square": _nearest_signed,
        "a sum in place of a mean": _nearest_summed,
    },
)


# ---- the Lasso with orthogonal inputs -----------------------------------------------------------


def _lasso(X: Tensor, y: Tensor, alpha: float) -> Tensor:
    fit = X.T @ y / len(y)
    return fit.sign() * (fit.abs() - alpha).clamp(min=0)


def _lasso_hard(X, y, alpha):
    fit = X.T @ y / len(y)
    return torch.where(fit.abs() > alpha, fit, 0.0)


def _lasso_like_ridge(X, y, alpha):
    return X.T @ y / len(y) / (1 + alpha)


def _lasso_through_zero(X, y, alpha):
    fit = X.T @ y / len(y)
    return fit - alpha * fit.sign()


def _lasso_unaveraged(X, y, alpha):
    fit = X.T @ y
    return fit.sign() * (fit.abs() - alpha).clamp(min=0)


def _check_lasso(alpha: float, points: int, dimension: int):
    def test(f) -> None:
        X = points**0.5 * torch.linalg.qr(_normal(points, dimension)).Q
        y = X @ _normal(dimension, seed=2) + 0.1 * _normal(points, seed=3)
        what = f"{points} examples, {dimension} inputs, alpha {alpha}"
        expect_close(f(X, y, alpha), _lasso(X, y, alpha), what=what)

    return test


LASSO = Exercise(
    "ch13-lasso",
    "the Lasso where the inputs are orthogonal",
    (
        Step("without a penalty: least squares", _check_lasso(0.0, 4, 4)),
        Step("large weights shrink, small ones become 0", _check_lasso(0.6, 6, 5)),
        Step("and with any number of examples", _check_lasso(0.3, 12, 3)),
    ),
    _lasso,
    {
        "kept without shrinking": _lasso_hard,
        "shrunk in proportion": _lasso_like_ridge,
        "shrunk past 0": _lasso_through_zero,
        "sum in place of a mean": _lasso_unaveraged,
    },
)


EXERCISES = (LEAST_NORM, NEAREST, LASSO)
