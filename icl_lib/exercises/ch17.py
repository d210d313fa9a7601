"""Exercises of chapter 17: chance by normalising, its exact part, bounds, exchanged partners."""

import math

import torch
from torch import Tensor

from icl_lib.exercises.core import Exercise, Step, expect_close


def _close(given, wanted, what: str) -> None:
    expect_close(
        torch.as_tensor(given, dtype=torch.float64),
        torch.as_tensor(wanted, dtype=torch.float64),
        what=what,
    )


def _pair(given, wanted, names: tuple[str, str], what: str) -> None:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise AssertionError(f"{what}: expected two numbers, got {given!r}")
    for name, a, b in zip(names, given, wanted, strict=True):
        _close(a, b, f"{what}, {name}")


# ---- chance of two lengths ----------------------------------------------------------------------


def _chance(rho: float, other: float) -> float:
    back = [1 - 1 / math.sqrt(1 + r**2) for r in (rho, other)]
    return math.sqrt(back[0] * back[1]) / 2


def _chance_of_first(rho, other):
    return _chance(rho, rho)


def _chance_without_half(rho, other):
    return 2 * _chance(rho, other)


def _chance_mean(rho, other):
    return (_chance(rho, rho) + _chance(other, other)) / 2


def _chance_square(rho, other):
    return _chance(math.sqrt(rho), math.sqrt(other))


def _check_chance(*cases):
    def test(f) -> None:
        for rho, other in cases:
            _close(f(rho, other), _chance(rho, other), f"lengths {rho:g} and {other:g}")

    return test


CHANCE = Exercise(
    "ch17-chance",
    "what independent updates of two lengths score once the outputs are normalised",
    (
        Step("both √3 long: a quarter", _check_chance((math.sqrt(3), math.sqrt(3)))),
        Step("any one length: ½ (1 − 1/√(1 + ρ²))", _check_chance((0.5, 0.5), (10.0, 10.0))),
        Step("two lengths", _check_chance((0.3, 3.0), (3.0, 0.3))),
        Step("a short one pulls chance to 0", _check_chance((1e-3, 50.0))),
    ),
    _chance,
    {
        "the first length alone": _chance_of_first,
        "½ forgotten": _chance_without_half,
        "mean in place of the root of the product": _chance_mean,
        "ρ taken for ρ²": _chance_square,
    },
)


# ---- chance and agreement of any vectors --------------------------------------------------------


def _parts(zero: Tensor, icl: Tensor, ft: Tensor) -> tuple[Tensor, Tensor]:
    z, i, f = (v / v.norm() for v in (zero, icl, ft))
    p, q = i - z, f - z
    chance = p.norm() * q.norm() / 4
    return chance, p @ q / (p.norm() * q.norm()) - chance


def _parts_raw(zero, icl, ft):
    p, q = icl - zero, ft - zero
    chance = p.norm() * q.norm() / 4
    return chance, p @ q / (p.norm() * q.norm()) - chance


def _parts_right_angles(zero, icl, ft):
    ratios = [((v - zero).norm() / zero.norm()).item() for v in (icl, ft)]
    chance = torch.tensor(_chance(*ratios), dtype=zero.dtype)
    return chance, sum(_parts(zero, icl, ft)) - chance


def _parts_whole(zero, icl, ft):
    chance, agreement = _parts(zero, icl, ft)
    return chance, chance + agreement


def _vectors(seed: int, *, square: bool) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    zero, a, b = torch.linalg.qr(torch.randn(5, 3, generator=g, dtype=torch.float64))[0].T
    if square:
        return 2 * zero, 2 * zero + 3 * a, 2 * zero + b
    return 2 * zero, -0.5 * zero + a + 0.4 * b, 3 * zero + 0.7 * a - 2 * b


def _check_parts(*cases):
    def test(f) -> None:
        for seed, square in cases:
            three = _vectors(seed, square=square)
            what = "updates at right angles" if square else "any vectors"
            _pair(f(*three), _parts(*three), ("chance", "agreement"), what)

    return test


PARTS = Exercise(
    "ch17-parts",
    "the published similarity of three vectors as chance plus agreement",
    (
        Step("at right angles there is chance alone", _check_parts((0, True), (1, True))),
        Step("any three vectors", _check_parts((2, False), (3, False))),
    ),
    _parts,
    {
        "not normalised": _parts_raw,
        "the formula for right angles": _parts_right_angles,
        "the whole for the agreement": _parts_whole,
    },
)


# ---- bounds of the base rate --------------------------------------------------------------------


def _bounds(zero_shot: float, in_context: float) -> tuple[float, float]:
    low = max(0.0, (in_context - zero_shot) / (1 - zero_shot))
    return low, min(1.0, in_context / (1 - zero_shot))


def _bounds_unclipped(zero_shot, in_context):
    return (in_context - zero_shot) / (1 - zero_shot), in_context / (1 - zero_shot)


def _bounds_of_all(zero_shot, in_context):
    return max(0.0, in_context - zero_shot), min(1.0, in_context)


def _bounds_accuracy(zero_shot, in_context):
    return _bounds(zero_shot, in_context)[0], in_context


def _check_bounds(*cases):
    def test(f) -> None:
        for zero, icl in cases:
            what = f"accuracies {zero:g} and {icl:g}"
            _pair(f(zero, icl), _bounds(zero, icl), ("lowest", "highest"), what)

    return test


BOUNDS = Exercise(
    "ch17-bounds",
    "the lowest and the highest base rate of Rec2FTP that two accuracies allow",
    (
        Step("ICL better, many errors", _check_bounds((0.375, 0.571), (0.393, 0.45))),
        Step("few errors: the highest is 1", _check_bounds((0.705, 0.927), (0.9, 0.95))),
        Step("ICL worse than zero-shot: the lowest is 0", _check_bounds((0.6, 0.3), (0.8, 0.1))),
    ),
    _bounds,
    {
        "not kept between 0 and 1": _bounds_unclipped,
        "shares of all examples": _bounds_of_all,
        "accuracy for the highest": _bounds_accuracy,
    },
)


# ---- exchanged partners -------------------------------------------------------------------------


def _cosines(zero: Tensor, icl: Tensor, ft: Tensor) -> Tensor:
    a, b = icl - zero, ft - zero
    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    return a @ b.T


def _exchange(zero: Tensor, icl: Tensor, ft: Tensor) -> tuple[Tensor, Tensor]:
    table = _cosines(zero, icl, ft)
    n, own = len(table), table.trace()
    return own / n, (table.sum() - own) / (n * (n - 1))


def _exchange_with_own(zero, icl, ft):
    table = _cosines(zero, icl, ft)
    return table.trace() / len(table), table.mean()


def _exchange_outputs(zero, icl, ft):
    n = len(zero)
    rows = [_cosines(zero, icl, ft.roll(shift, 0)).diagonal() for shift in range(1, n)]
    return _exchange(zero, icl, ft)[0], torch.stack(rows).mean()


def _exchange_of_means(zero, icl, ft):
    a, b = (icl - zero).mean(0), (ft - zero).mean(0)
    return _exchange(zero, icl, ft)[0], a @ b / (a.norm() * b.norm())


def _check_exchange(*cases):
    def test(f) -> None:
        for seed, shift, own in cases:
            g = torch.Generator().manual_seed(seed)
            zero, one, other = torch.randn(3, 6, 4, generator=g, dtype=torch.float64)
            common = shift * torch.randn(4, generator=g, dtype=torch.float64)
            icl, ft = zero + one + common, zero + own * one + (1 - own) * other + common
            names = ("own partners", "exchanged partners")
            _pair(f(zero, icl, ft), _exchange(zero, icl, ft), names, f"shift {shift:g}")

    return test


EXCHANGE = Exercise(
    "ch17-exchange",
    "the mean raw similarity of own partners, and over all pairs of strangers",
    (
        Step("updates of their own", _check_exchange((0, 0.0, 0.5), (1, 0.0, 0.9))),
        Step("with a shift that all share", _check_exchange((2, 3.0, 0.5), (3, 1.0, 0.0))),
    ),
    _exchange,
    {
        "own partners among the strangers": _exchange_with_own,
        "outputs exchanged, not updates": _exchange_outputs,
        "cosine of the mean updates": _exchange_of_means,
    },
)

EXERCISES = (CHANCE, PARTS, BOUNDS, EXCHANGE)
