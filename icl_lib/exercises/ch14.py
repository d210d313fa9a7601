"""Exercises of chapter 14: the pool rule, the pool rule as attention, when memorising pays."""

import torch
from torch import Tensor

from icl_lib.exercises.core import Exercise, Step, expect_close


def _drawn(tasks: int, d: int, points: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    kind = {"generator": generator, "dtype": torch.float64}
    pool, x = torch.randn(tasks, d, **kind), torch.randn(points, d, **kind)
    return x, x @ pool[0] + 0.5 * torch.randn(points, **kind), pool


# ---- the pool rule ------------------------------------------------------------------------------


def _misfit(x: Tensor, y: Tensor, pool: Tensor) -> Tensor:
    return (y - pool @ x.T).square().sum(dim=1)


def _rule(x: Tensor, y: Tensor, pool: Tensor, noise: float) -> Tensor:
    return torch.softmax(-_misfit(x, y, pool) / (2 * noise**2), dim=0) @ pool


def _rule_without_half(x, y, pool, noise):
    return torch.softmax(-_misfit(x, y, pool) / noise**2, dim=0) @ pool


def _rule_by_mean(x, y, pool, noise):
    misfit = _misfit(x, y, pool) / max(1, len(x))
    return torch.softmax(-misfit / (2 * noise**2), dim=0) @ pool


def _rule_without_noise(x, y, pool, noise):
    return torch.softmax(-_misfit(x, y, pool) / 2, dim=0) @ pool


def _rule_by_exp(x, y, pool, noise):
    mass = torch.exp(-_misfit(x, y, pool) / (2 * noise**2))
    return mass @ pool / mass.sum()


def _rule_of_the_best(x, y, pool, noise):
    return pool[_misfit(x, y, pool).argmin()]


def _check_rule(tasks: int, points: int, noise: float, what: str):
    def test(f) -> None:
        x, y, pool = _drawn(tasks, 3, points, seed=tasks)
        expect_close(f(x, y, pool, noise), _rule(x, y, pool, noise), what=what)

    return test


def _check_far(f) -> None:
    x = torch.tensor([[100.0]], dtype=torch.float64)
    y = torch.tensor([1000.0], dtype=torch.float64)
    pool = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    wanted = torch.tensor([2.0], dtype=torch.float64)
    expect_close(f(x, y, pool, 0.5), wanted, what="y = 1000 where the tasks say 100 and 200")


RULE = Exercise(
    "ch14-rule",
    "the best guess of a reader who knows M tasks",
    (
        Step("no pair: the mean of the pool", _check_rule(4, 0, 0.5, "no pair")),
        Step("one pair, noise 1: unlikely tasks count less", _check_rule(4, 1, 1.0, "one pair")),
        Step("five pairs: their squared errors add up", _check_rule(6, 5, 1.0, "five pairs")),
        Step("the less noise, the surer", _check_rule(6, 3, 0.5, "noise 0.5")),
        Step("a prompt that fits no task is answered too", _check_far),
    ),
    _rule,
    {
        "half forgotten": _rule_without_half,
        "mean in place of the sum": _rule_by_mean,
        "noise forgotten": _rule_without_noise,
        "exponentials that vanish": _rule_by_exp,
        "best task alone": _rule_of_the_best,
    },
)


# ---- the pool rule as attention -----------------------------------------------------------------


def _attend(x: Tensor, y: Tensor, pool: Tensor, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    squares = pool[:, :, None] * pool[:, None, :]
    keys = torch.cat([pool, squares.flatten(1)], dim=1)
    query = torch.cat([x.T @ y, (x.T @ x).flatten() / -2]) / noise**2
    return query, keys, pool


def _attend_without_squares(x, y, pool, noise):
    return x.T @ y / noise**2, pool, pool


def _attend_without_half(x, y, pool, noise):
    query, keys, values = _attend(x, y, pool, noise)
    d = pool.shape[1]
    return torch.cat([query[:d], 2 * query[d:]]), keys, values


def _attend_without_noise(x, y, pool, noise):
    query, keys, values = _attend(x, y, pool, noise)
    return query * noise**2, keys, values


def _attend_by_scores(x, y, pool, noise):
    keys = -_misfit(x, y, pool)[:, None] / (2 * noise**2)
    return torch.ones(1, dtype=pool.dtype), keys, pool


def _parts(found: object) -> tuple[Tensor, Tensor, Tensor]:
    if not isinstance(found, tuple | list) or len(found) != 3:
        raise AssertionError(f"expected (query, keys, values), got {type(found).__name__}")
    return tuple(found)


def _attention(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    return torch.softmax(keys @ query, dim=0) @ values


def _check_attention(tasks: int, points: int, noise: float, what: str):
    def test(f) -> None:
        x, y, pool = _drawn(tasks, 2, points, seed=points)
        found = _attention(*_parts(f(x, y, pool, noise)))
        expect_close(found, _rule(x, y, pool, noise), what=what)

    return test


def _check_memory(f) -> None:
    x, y, pool = _drawn(5, 2, 3)
    other, said, _ = _drawn(5, 2, 4, seed=1)
    first, second = _parts(f(x, y, pool, 0.5)), _parts(f(other, said, pool, 0.5))
    for name, a, b in zip(("keys", "values"), first[1:], second[1:], strict=True):
        expect_close(b, a, what=f"{name} after another prompt: they belong to the pool alone")
    third = _parts(f(x, y, pool.flip(0), 0.5))
    expect_close(third[0], first[0], what="query with another pool: it belongs to the prompt alone")


ATTENTION = Exercise(
    "ch14-attention",
    "the pool rule as softmax attention over a table of tasks",
    (
        Step("no pair: all tasks get the same weight", _check_attention(4, 0, 1.0, "no pair")),
        Step("two pairs, noise 1", _check_attention(4, 2, 1.0, "two pairs")),
        Step("other noise", _check_attention(5, 3, 0.5, "noise 0.5")),
        Step("keys and values are a memory of the pool, the query is the prompt", _check_memory),
    ),
    _attend,
    {
        "length of the tasks forgotten": _attend_without_squares,
        "half forgotten": _attend_without_half,
        "noise forgotten": _attend_without_noise,
        "keys that have read the prompt": _attend_by_scores,
    },
)


# ---- when memorising pays -----------------------------------------------------------------------


def _share(pool_known: float, pool_new: float, ridge_known: float, ridge_new: float) -> float:
    gain, price = ridge_known - pool_known, pool_new - ridge_new
    return gain / (gain + price)


def _share_ratio(pool_known, pool_new, ridge_known, ridge_new):
    return (ridge_known - pool_known) / (pool_new - ridge_new)


def _share_of_known(pool_known, pool_new, ridge_known, ridge_new):
    return 1 - _share(pool_known, pool_new, ridge_known, ridge_new)


def _share_one_ridge(pool_known, pool_new, ridge_known, ridge_new):
    return _share(pool_known, pool_new, ridge_new, ridge_new)


def _check_share(errors: tuple[float, float, float, float], what: str):
    def test(f) -> None:
        wanted = torch.tensor(_share(*errors), dtype=torch.float64)
        expect_close(torch.as_tensor(f(*errors), dtype=torch.float64), wanted, what=what)

    return test


SHARE = Exercise(
    "ch14-share",
    "the share of new tasks at which memorising stops paying",
    (
        Step("gain and price alike: half", _check_share((0.2, 0.6, 0.4, 0.4), "alike")),
        Step("a small gain bears few new tasks", _check_share((0.3, 0.7, 0.4, 0.4), "small gain")),
        Step("ridge need not be equally good on both", _check_share((0.1, 1.2, 0.5, 0.4), "both")),
    ),
    _share,
    {
        "gain over price": _share_ratio,
        "share of known tasks": _share_of_known,
        "one error of ridge for both": _share_one_ridge,
    },
)

EXERCISES = (RULE, ATTENTION, SHARE)
