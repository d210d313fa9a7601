"""Exercises of chapter 12: a layer of GD++, degrees, Newton's inverse, Ahn et al.'s optimum."""

import torch
from torch import Tensor

from icl_lib.exercises.core import Exercise, Step, expect_close

# ---- one layer of GD++ on the tokens ------------------------------------------------------------


def _layer(x, y, query, said, step_size, shrink):
    mine, asked = x @ x.mT, x @ query
    rate = step_size / len(x)
    return (
        x - shrink * mine @ x,
        y - rate * mine @ y,
        query - shrink * asked @ x,
        said - rate * asked @ y,
    )


def _layer_one_after_the_other(x, y, query, said, step_size, shrink):
    x, _, query, _ = _layer(x, y, query, said, 0.0, shrink)
    _, y, _, said = _layer(x, y, query, said, step_size, 0.0)
    return x, y, query, said


def _layer_query_left(x, y, query, said, step_size, shrink):
    new_x, new_y, _, new_said = _layer(x, y, query, said, step_size, shrink)
    return new_x, new_y, query, new_said


def _layer_mean_shrink(x, y, query, said, step_size, shrink):
    return _layer(x, y, query, said, step_size, shrink / len(x))


def _layer_new_targets(x, y, query, said, step_size, shrink):
    new_x, new_y, new_query, _ = _layer(x, y, query, said, step_size, shrink)
    return new_x, new_y, new_query, said - step_size / len(x) * (x @ query) @ new_y


def _check_layer(step_size: float, shrink: float, layers: int, what: str):
    def test(f) -> None:
        generator = torch.Generator().manual_seed(3)
        draw = torch.randn(5, 3, generator=generator, dtype=torch.float64)
        ours = theirs = (draw, draw @ draw[0], draw[1] - draw[2], draw.new_zeros(()))
        for _ in range(layers):
            ours, theirs = _layer(*ours, step_size, shrink), f(*theirs, step_size, shrink)
            if not isinstance(theirs, tuple | list) or len(theirs) != 4:
                raise AssertionError(f"{what}: expected (x, y, query, said)")
        for name, a, b in zip(("x", "y", "query", "said"), theirs, ours, strict=True):
            expect_close(a, b, what=f"{what}: {name}")

    return test


LAYER = Exercise(
    "ch12-layer",
    "one layer of GD++: move the targets and reshape the inputs",
    (
        Step("without γ, targets and answer move", _check_layer(0.4, 0.0, 1, "γ = 0")),
        Step("without η, inputs and query shrink", _check_layer(0.0, 0.05, 1, "η = 0")),
        Step("both at once, from the numbers before the layer", _check_layer(0.4, 0.05, 1, "both")),
        Step("three layers in a row", _check_layer(0.4, 0.03, 3, "three layers")),
    ),
    _layer,
    {
        "reshapes first, then steps": _layer_one_after_the_other,
        "the query keeps its shape": _layer_query_left,
        "γ on the mean": _layer_mean_shrink,
        "the answer reads the new targets": _layer_new_targets,
    },
)


# ---- degrees ------------------------------------------------------------------------------------


def _degrees(steps: int) -> tuple[int, int, int]:
    return steps, (3**steps - 1) // 2, 2 ** (steps + 1)


def _degrees_last_layer(steps):
    return steps, 3 ** (steps - 1), 2 ** (steps + 1)


def _degrees_newton_from_zero(steps):
    return steps, (3**steps - 1) // 2, 2**steps


def _degrees_product(steps):
    return steps, 3**steps, 2 ** (steps + 1)


def _check_degrees(place: int, steps: tuple[int, ...], what: str):
    def test(f) -> None:
        for number in steps:
            found = f(number)
            if not isinstance(found, tuple | list) or len(found) != 3:
                raise AssertionError(f"{what}: expected three numbers, got {found!r}")
            wanted = torch.tensor(float(_degrees(number)[place]))
            found = torch.as_tensor(float(found[place]))
            expect_close(found, wanted, what=f"{what}, {number} steps")

    return test


DEGREES = Exercise(
    "ch12-degrees",
    "the degree of r(λ) after t steps: gradient descent, GD++, Newton",
    (
        Step("gradient descent", _check_degrees(0, (1, 2, 7), "gradient descent")),
        Step("GD++, one layer: a plain step", _check_degrees(1, (1,), "GD++")),
        Step("GD++, any number of layers", _check_degrees(1, (2, 3, 5), "GD++")),
        Step("Newton, whose start has degree 2", _check_degrees(2, (1, 2, 6), "Newton")),
    ),
    _degrees,
    {
        "only GD++'s last layer": _degrees_last_layer,
        "Newton's start forgotten": _degrees_newton_from_zero,
        "3 to the power t": _degrees_product,
    },
)


# ---- an inverse out of products -----------------------------------------------------------------


def _inverse(matrix: Tensor, steps: int) -> Tensor:
    found = matrix / matrix.trace() ** 2
    for _ in range(steps):
        found = 2 * found - found @ matrix @ found
    return found


def _inverse_short_start(matrix, steps):
    found = matrix / matrix.trace()
    for _ in range(steps):
        found = 2 * found - found @ matrix @ found
    return found


def _inverse_linear(matrix, steps):
    start = found = matrix / matrix.trace() ** 2
    for _ in range(steps):
        found = found + start - start @ matrix @ found
    return found


def _inverse_entries(matrix, steps):
    found = matrix / matrix.trace() ** 2
    for _ in range(steps):
        found = 2 * found - found * matrix * found
    return found


def _check_inverse(values: list[float], steps: int, what: str):
    def test(f) -> None:
        generator = torch.Generator().manual_seed(len(values))
        draw = torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)
        axes = torch.linalg.qr(draw)[0]
        matrix = axes * torch.tensor(values, dtype=torch.float64) @ axes.mT
        expect_close(f(matrix, steps), _inverse(matrix, steps), what=what)

    return test


def _converges(f) -> None:
    matrix = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    expect_close(f(matrix, 12), torch.linalg.inv(matrix), what="12 steps against the inverse")


INVERSE = Exercise(
    "ch12-inverse",
    "Newton's iteration for the inverse, from S / (trace S)², with products alone",
    (
        Step("no step: the start", _check_inverse([2.0, 1.0], 0, "no step")),
        Step("one step", _check_inverse([2.0, 1.0], 1, "one step")),
        Step("twelve steps reach the inverse", _converges),
        Step("where S is 0 the answer stays 0", _check_inverse([3.0, 1.0, 0.0], 15, "singular")),
    ),
    _inverse,
    {
        "start divided by the trace once": _inverse_short_start,
        "adds one term a step": _inverse_linear,
        "products of entries": _inverse_entries,
    },
)


# ---- the best preconditioner --------------------------------------------------------------------


def _optimum(covariance: Tensor, examples: int) -> Tensor:
    values, axes = torch.linalg.eigh(covariance)
    gains = 1 / ((examples + 1) / examples * values + values.sum() / examples)
    return axes * gains @ axes.mT


def _optimum_inverse(covariance, examples):
    return torch.linalg.inv(covariance)


def _optimum_whole_trace(covariance, examples):
    values, axes = torch.linalg.eigh(covariance)
    return axes / ((examples + 1) / examples * values + values.sum()) @ axes.mT


def _optimum_diagonal(covariance, examples):
    values = covariance.diagonal()
    return torch.diag(1 / ((examples + 1) / examples * values + values.sum() / examples))


def _optimum_ridge(covariance, examples):
    values, axes = torch.linalg.eigh(covariance)
    return axes / (values + values.sum() / examples) @ axes.mT


def _check_optimum(covariance: list[list[float]], examples: int, what: str):
    def test(f) -> None:
        matrix = torch.tensor(covariance, dtype=torch.float64)
        expect_close(f(matrix, examples), _optimum(matrix, examples), what=what)

    return test


TURNED = [[1.0, 0.6, 0.0], [0.6, 2.0, 0.3], [0.0, 0.3, 0.5]]

OPTIMUM = Exercise(
    "ch12-optimum",
    "the preconditioner that one layer learns",
    (
        Step("one input", _check_optimum([[2.0]], 10, "d = 1")),
        Step("independent inputs", _check_optimum([[1.0, 0.0], [0.0, 0.2]], 10, "diagonal")),
        Step("inputs that vary together", _check_optimum(TURNED, 10, "with correlations")),
        Step("very many examples: nearly the inverse", _check_optimum(TURNED, 10**6, "N = 10⁶")),
    ),
    _optimum,
    {
        "the inverse": _optimum_inverse,
        "the trace not divided by N": _optimum_whole_trace,
        "diagonal entries alone": _optimum_diagonal,
        "without the factor (N + 1)/N": _optimum_ridge,
    },
)

EXERCISES = (LAYER, DEGREES, INVERSE, OPTIMUM)
