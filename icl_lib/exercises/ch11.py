"""Exercises of chapter 11: a layer by hand, a step from W₀, the best step, a layer's weights."""

import torch
from torch import Tensor

from icl_lib.exercises.core import Exercise, Step, expect_close
from icl_lib.learners.constructions import one_step
from icl_lib.models.linear_transformer import LinearTransformer


def _draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def _prompt(n: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    return _draw(n, d, seed=seed), _draw(n, seed=seed + 1), _draw(d, seed=seed + 2)


# ---- one layer ----------------------------------------------------------------------------------


def _layer(x: Tensor, y: Tensor, query: Tensor, key_query: Tensor, value_out: Tensor) -> Tensor:
    told = torch.cat([x, y[:, None]], dim=1)
    asked = torch.cat([query, torch.zeros(1).to(query)])
    scores = told @ key_query @ asked
    return -(asked + value_out @ (told.T @ scores))[-1]


def _layer_without_sign(x, y, query, key_query, value_out):
    return -_layer(x, y, query, key_query, value_out)


def _layer_turned(x, y, query, key_query, value_out):
    return _layer(x, y, query, key_query.T, value_out)


def _layer_sees_query(x, y, query, key_query, value_out):
    x, y = torch.cat([x, query[None]]), torch.cat([y, torch.zeros(1).to(y)])
    return _layer(x, y, query, key_query, value_out)


def _layer_softmax(x, y, query, key_query, value_out):
    told = torch.cat([x, y[:, None]], dim=1)
    asked = torch.cat([query, torch.zeros(1).to(query)])
    return -(asked + value_out @ (told.T @ (told @ key_query @ asked).softmax(0)))[-1]


def _layer_value_turned(x, y, query, key_query, value_out):
    return _layer(x, y, query, key_query, value_out.T)


def _check_layer(n: int, key_query: Tensor, value_out: Tensor, what: str):
    def test(f) -> None:
        x, y, query = _prompt(n, 2)
        model = LinearTransformer.from_layers([(key_query, value_out)])
        found = f(x, y, query, key_query, value_out)
        expect_close(found, model(x, y, query).detach(), what=what)

    return test


_STEP = one_step(2, 1, 0.5).merged()
_TURN = torch.tensor([[0, 2, 0], [-1, 0, 0], [0, 0, 0]], dtype=torch.float64)

LAYER = Exercise(
    "ch11-layer",
    "say what one layer of linear attention answers",
    (
        Step("the construction and one demonstration", _check_layer(1, *_STEP, "one pair")),
        Step("five demonstrations add up", _check_layer(5, *_STEP, "five pairs")),
        Step(
            "scores compare e_i with M e_q, in this order",
            _check_layer(5, _TURN, _STEP[1], "a key_query that is not symmetric"),
        ),
        Step(
            "any two matrices",
            _check_layer(5, _draw(3, 3, seed=7), _draw(3, 3, seed=8), "random matrices"),
        ),
    ),
    _layer,
    {
        "forgets the sign": _layer_without_sign,
        "key_query turned around": _layer_turned,
        "value_out turned around": _layer_value_turned,
        "the query among the keys": _layer_sees_query,
        "softmax": _layer_softmax,
    },
)


# ---- a step from other weights ------------------------------------------------------------------


def _matrices(start: Tensor, step_size: float, n: int) -> tuple[Tensor, Tensor]:
    return one_step(len(start), n, step_size, start=start).merged()


def _matrices_from_zero(start, step_size, n):
    return _matrices(torch.zeros_like(start), step_size, n)


def _matrices_sum(start, step_size, n):
    return _matrices(start, step_size * n, n)


def _matrices_column(start, step_size, n):
    key_query, value_out = _matrices(start, step_size, n)
    return key_query, value_out.T


def _matrices_other_sign(start, step_size, n):
    return _matrices(-start, step_size, n)


def _matrices_full_identity(start, step_size, n):
    _, value_out = _matrices(start, step_size, n)
    return torch.eye(len(start) + 1, dtype=start.dtype), value_out


def _check_start(start: Tensor, n: int, what: str):
    def test(f) -> None:
        x, y, query = _prompt(n, len(start), seed=3)
        key_query, value_out = f(start, 0.3, n)
        width = len(start) + 1
        for name, matrix in (("key_query", key_query), ("value_out", value_out)):
            if not isinstance(matrix, Tensor) or matrix.shape != (width, width):
                raise AssertionError(f"{what}: expected {name} of shape {(width, width)}")
        model = LinearTransformer.from_layers([(key_query, value_out)])
        wanted = start + 0.3 / n * (y - x @ start) @ x
        expect_close(
            model(x, y, query, start=start).detach(), query @ wanted, what=f"{what}, prediction"
        )
        _, (told, _) = model.states(x, y, query, start=start)
        expect_close(
            told.detach(),
            torch.cat([x, (y - x @ (wanted - start))[:, None]], dim=1),
            what=f"{what}, demonstrations after the layer",
        )

    return test


START = Exercise(
    "ch11-start",
    "build the layer that takes a step from W₀",
    (
        Step("W₀ = 0, one demonstration", _check_start(torch.zeros(2).double(), 1, "from 0")),
        Step("W₀ = 0, four demonstrations", _check_start(torch.zeros(2).double(), 4, "four pairs")),
        Step("another W₀", _check_start(_draw(3, seed=5), 4, "from W₀")),
    ),
    _matrices,
    {
        "forgets W₀": _matrices_from_zero,
        "sum instead of mean": _matrices_sum,
        "W₀ in a column": _matrices_column,
        "W₀ with the other sign": _matrices_other_sign,
        "compares the targets too": _matrices_full_identity,
    },
)


# ---- the best step size -------------------------------------------------------------------------


def _best(v: float, m4: float, n: int, d: int) -> tuple[float, float]:
    trace = n * (d * m4 + d * (d - 1) * v**2) + n * (n - 1) * d * v**2
    return n * n * v * d / trace, v * (d - (n * v * d) ** 2 / trace)


def _best_infinite(v, m4, n, d):
    return 1 / v, 0.0


def _best_gaussian(v, m4, n, d):
    return _best(v, 3 * v**2, n, d)


def _best_sum(v, m4, n, d):
    step, error = _best(v, m4, n, d)
    return step / n, error


def _best_unscaled(v, m4, n, d):
    step, error = _best(v, m4, n, d)
    return step, error / v


def _best_independent(v, m4, n, d):
    trace = n**2 * d * v**2
    return n * n * v * d / trace, v * (d - (n * v * d) ** 2 / trace)


def _check_best(part: int, v: float, m4: float, n: int, d: int, what: str):
    def test(f) -> None:
        found = f(v, m4, n, d)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise AssertionError("expected a pair: step size and error")
        expect_close(found[part], torch.tensor(_best(v, m4, n, d)[part]), what=what)

    return test


OPTIMUM = Exercise(
    "ch11-optimum",
    "find the best single step for independent coordinates",
    (
        Step(
            "signs, d = 1: the step is exact",
            _check_best(0, 1.0, 1.0, 3, 1, "step size for x = ±1"),
        ),
        Step("normal inputs: step size", _check_best(0, 1.0, 3.0, 10, 10, "step size")),
        Step("normal inputs: error", _check_best(1, 1.0, 3.0, 10, 10, "mean squared error")),
        Step("uniform inputs: step size", _check_best(0, 1 / 12, 1 / 80, 10, 10, "step size")),
        Step("uniform inputs: error", _check_best(1, 1 / 12, 1 / 80, 10, 10, "error")),
        Step("other sizes", _check_best(1, 1 / 3, 1 / 5, 20, 5, "error")),
    ),
    _best,
    {
        "as if S were N v I": _best_infinite,
        "as if all inputs were normal": _best_gaussian,
        "step on the sum": _best_sum,
        "forgets the query's variance": _best_unscaled,
        "forgets that S varies": _best_independent,
    },
)


# ---- the weights that a layer uses --------------------------------------------------------------


def _used(x: Tensor, y: Tensor, key_query: Tensor, value_out: Tensor) -> Tensor:
    told = torch.cat([x, y[:, None]], dim=1)
    return -(value_out[-1] @ told.T @ told @ key_query)[:-1]


def _used_sign(x, y, key_query, value_out):
    return -_used(x, y, key_query, value_out)


def _used_turned(x, y, key_query, value_out):
    told = torch.cat([x, y[:, None]], dim=1)
    return -(key_query @ told.T @ told @ value_out[-1])[:-1]


def _used_y_only(x, y, key_query, value_out):
    return -(value_out[-1, -1] * (y @ x) @ key_query[:-1, :-1])


def _used_column(x, y, key_query, value_out):
    return _used(x, y, key_query, value_out.T)


def _check_used(key_query: Tensor, value_out: Tensor, what: str):
    def test(f) -> None:
        x, y, _ = _prompt(6, 2, seed=11)
        model = LinearTransformer.from_layers([(key_query, value_out)])
        unit = torch.eye(2, dtype=torch.float64)
        wanted = model(x[None], y[None], unit[None])[0].detach()
        expect_close(f(x, y, key_query, value_out), wanted, what=what)

    return test


USED = Exercise(
    "ch11-weights",
    "read off the weights that a layer applies to the query",
    (
        Step(
            "the construction: η/N Σ y_i x_i",
            _check_used(*one_step(2, 6, 0.5).merged(), "weights after the step"),
        ),
        Step("a key_query that mixes inputs", _check_used(_TURN, _STEP[1], "mixed inputs")),
        Step(
            "any two matrices",
            _check_used(_draw(3, 3, seed=7), _draw(3, 3, seed=8), "random matrices"),
        ),
    ),
    _used,
    {
        "forgets the sign": _used_sign,
        "the order of the products": _used_turned,
        "reads only the blocks of the construction": _used_y_only,
        "last column of value_out": _used_column,
    },
)

EXERCISES = (LAYER, START, OPTIMUM, USED)
"""In the order of the chapter."""
