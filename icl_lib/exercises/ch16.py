"""Exercises of chapter 16: Rec2FTP and its base rate, SimAOU, SimAM, Kendall's τ."""

import math

import torch
from torch import Tensor

from icl_lib.exercises.core import Exercise, Step, expect_close

# ---- Rec2FTP and its base rate ------------------------------------------------------------------


def _recall(zero: Tensor, icl: Tensor, ft: Tensor) -> tuple[float, float]:
    wrong = ~zero
    fixed = wrong & ft
    return _share(fixed & icl, fixed), _share(wrong & icl, wrong)


def _share(hits: Tensor, among: Tensor) -> float:
    return int(hits.sum()) / int(among.sum()) if bool(among.any()) else math.nan


def _recall_all_of_ft(zero, icl, ft):
    return _share(ft & icl, ft), _share(~zero & icl, ~zero)


def _recall_of_icl(zero, icl, ft):
    return _share(~zero & ft & icl, ~zero & icl), _share(~zero & icl, ~zero)


def _recall_base_of_all(zero, icl, ft):
    return _share(~zero & ft & icl, ~zero & ft), icl.double().mean().item()


def _recall_zero_for_none(zero, icl, ft):
    return tuple(0.0 if math.isnan(v) else v for v in _recall(zero, icl, ft))


def _check_recall(place: int, rows: tuple[str, str, str], what: str):
    def test(f) -> None:
        given = [torch.tensor([c == "1" for c in row]) for row in rows]
        found, wanted = f(*given), _recall(*given)[place]
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise AssertionError(f"{what}: expected (rec2ftp, base rate), got {found!r}")
        found = float(found[place])
        if math.isnan(wanted) != math.isnan(found):
            raise AssertionError(f"{what}: expected {wanted}, got {found}")
        if not math.isnan(wanted):
            expect_close(torch.tensor(found), torch.tensor(wanted), tolerance=1e-6, what=what)

    return test


SOME = ("1100000000", "1011110000", "1010101100")
NONE_FIXED = ("110000", "101110", "110000")
ALL_RIGHT = ("1111", "1011", "1101")

RECALL = Exercise(
    "ch16-recall",
    "Rec2FTP, and what it would be if finetuning had nothing to do with it",
    (
        Step("the published share", _check_recall(0, SOME, "Rec2FTP")),
        Step("its base rate", _check_recall(1, SOME, "base rate")),
        Step("finetuning corrects nothing: NaN", _check_recall(0, NONE_FIXED, "nothing corrected")),
        Step("zero-shot makes no error: NaN", _check_recall(1, ALL_RIGHT, "no error")),
    ),
    _recall,
    {
        "of all that finetuning gets right": _recall_all_of_ft,
        "the share of what ICL corrects": _recall_of_icl,
        "base rate of all queries": _recall_base_of_all,
        "0 where there is nothing to count": _recall_zero_for_none,
    },
)


# ---- SimAOU -------------------------------------------------------------------------------------


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return (_unit(a) * _unit(b)).sum(-1)


def _outputs(zero: Tensor, icl: Tensor, ft: Tensor, normalised: bool) -> Tensor:
    if normalised:
        zero, icl, ft = _unit(zero), _unit(icl), _unit(ft)
    return _cosine(icl - zero, ft - zero)


def _outputs_levels(zero, icl, ft, normalised):
    return _cosine(icl, ft)


def _outputs_late(zero, icl, ft, normalised):
    a, b = icl - zero, ft - zero
    return _cosine(_unit(a), _unit(b)) if normalised else _cosine(a, b)


def _outputs_always(zero, icl, ft, normalised):
    return _outputs(zero, icl, ft, True)


def _outputs_whole_norm(zero, icl, ft, normalised):
    if normalised:
        zero, icl, ft = (h / h.norm() for h in (zero, icl, ft))
    return _cosine(icl - zero, ft - zero)


def _check_outputs(shape: tuple[int, ...], normalised: bool, what: str):
    def test(f) -> None:
        generator = torch.Generator().manual_seed(5)
        three = torch.randn(3, *shape, generator=generator, dtype=torch.float64)
        three = three * torch.arange(1.0, 4).reshape(3, *[1] * len(shape)).double()
        expect_close(f(*three, normalised), _outputs(*three, normalised), what=what)

    return test


OUTPUTS = Exercise(
    "ch16-outputs",
    "SimAOU, raw and normalised before subtracting",
    (
        Step("raw: the cosine of the two changes", _check_outputs((6,), False, "raw")),
        Step("normalised as published", _check_outputs((6,), True, "normalised")),
        Step("many queries and layers at once", _check_outputs((4, 3, 6), True, "4 × 3 outputs")),
    ),
    _outputs,
    {
        "compares the outputs, not their changes": _outputs_levels,
        "normalises after subtracting": _outputs_late,
        "always normalises": _outputs_always,
        "one norm for all queries": _outputs_whole_norm,
    },
)


# ---- SimAM --------------------------------------------------------------------------------------


def _maps(icl: Tensor, ft: Tensor, centred: bool) -> Tensor:
    icl = icl[:, -ft.shape[1] :]
    if centred:
        icl, ft = (m - m.mean(1, keepdim=True) for m in (icl, ft))
    return _cosine(icl, ft).mean()


def _maps_first_columns(icl, ft, centred):
    return _maps(icl[:, : ft.shape[1]], ft, centred)


def _maps_one_cosine(icl, ft, centred):
    icl = icl[:, -ft.shape[1] :]
    if centred:
        icl, ft = (m - m.mean(1, keepdim=True) for m in (icl, ft))
    return _cosine(icl.flatten(), ft.flatten())


def _maps_after_softmax(icl, ft, centred):
    return _maps(icl.softmax(1), ft.softmax(1), centred)


def _maps_centred_with_demonstrations(icl, ft, centred):
    icl = icl - icl.mean(1, keepdim=True) if centred else icl
    return _maps(icl, ft - ft.mean(1, keepdim=True) if centred else ft, False)


def _check_maps(heads: int, shown: int, text: int, centred: bool, what: str):
    def test(f) -> None:
        generator = torch.Generator().manual_seed(heads + shown)
        icl = torch.randn(heads, shown + text, generator=generator, dtype=torch.float64)
        ft = torch.randn(heads, text, generator=generator, dtype=torch.float64)
        ft = ft + icl[:, -text:] + 0.5 + torch.arange(heads)[:, None]
        expect_close(f(icl, ft, centred), _maps(icl, ft, centred), what=what)

    return test


MAPS = Exercise(
    "ch16-maps",
    "SimAM: two attention maps on the query text, raw or centred",
    (
        Step("one head, no demonstrations", _check_maps(1, 0, 5, False, "one head")),
        Step("demonstrations in front are cut off", _check_maps(1, 7, 5, False, "one head")),
        Step("several heads: the mean of their cosines", _check_maps(3, 7, 5, False, "3 heads")),
        Step("centred: each row less its mean", _check_maps(3, 7, 5, True, "centred")),
    ),
    _maps,
    {
        "the first columns": _maps_first_columns,
        "all heads in one cosine": _maps_one_cosine,
        "after the softmax": _maps_after_softmax,
        "centred before the demonstrations are cut off": _maps_centred_with_demonstrations,
    },
)


# ---- Kendall ------------------------------------------------------------------------------------


def _kendall(x: Tensor, y: Tensor) -> tuple[float, float]:
    first, second = torch.triu_indices(len(x), len(x), offset=1)
    a, b = (x[first] - x[second]).sign(), (y[first] - y[second]).sign()
    net, pairs = (a * b).sum(), len(first)
    return float(net / pairs), float(net / (a.abs().sum() * b.abs().sum()).sqrt())


def _kendall_only_a(x, y):
    return _kendall(x, y)[0], _kendall(x, y)[0]


def _kendall_ties_agree(x, y):
    first, second = torch.triu_indices(len(x), len(x), offset=1)
    agree = (x[first] >= x[second]) == (y[first] >= y[second])
    tau = float(2 * agree.double().mean() - 1)
    return tau, _kendall(x, y)[1]


def _kendall_without_tied(x, y):
    first, second = torch.triu_indices(len(x), len(x), offset=1)
    product = ((x[first] - x[second]) * (y[first] - y[second])).sign()
    tau = float(product.sum() / product.abs().sum())
    return _kendall(x, y)[0], tau


def _kendall_neighbours(x, y):
    product = (x.diff() * y.diff()).sign().mean()
    return float(product), float(product)


def _check_kendall(place: int, x: list[float], y: list[float], what: str):
    def test(f) -> None:
        given = torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
        found, wanted = f(*given), _kendall(*given)[place]
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise AssertionError(f"{what}: expected (τ_a, τ_b), got {found!r}")
        expect_close(torch.tensor(float(found[place])), torch.tensor(wanted), what=what)

    return test


NO_TIES = ([0.1, 0.7, 0.2, 0.9, 0.5], [3.0, 1.0, 2.0, 5.0, 4.0])
TIES = ([1.0, 1.0, 2.0, 3.0, 3.0, 4.0], [2.0, 1.0, 2.0, 5.0, 3.0, 4.0])

KENDALL = Exercise(
    "ch16-kendall",
    "Kendall's τ by counting pairs, as the paper prints it and as its code computes it",
    (
        Step("τ_a without ties", _check_kendall(0, *NO_TIES, "no ties")),
        Step("τ_a with ties, which count for neither side", _check_kendall(0, *TIES, "ties")),
        Step("τ_b without ties is the same", _check_kendall(1, *NO_TIES, "no ties")),
        Step("τ_b divides by the pairs that are not tied", _check_kendall(1, *TIES, "ties")),
    ),
    _kendall,
    {
        "τ_a twice": _kendall_only_a,
        "ties count as agreement": _kendall_ties_agree,
        "pairs tied in one of the two left out": _kendall_without_tied,
        "neighbours alone": _kendall_neighbours,
    },
)

EXERCISES = (RECALL, OUTPUTS, MAPS, KENDALL)
