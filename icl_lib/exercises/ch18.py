"""Exercises of chapter 18: a layer-causal step, a head's update, principal angles, chance."""

from itertools import pairwise

import torch
from torch import Tensor

from icl_lib.exercises.core import Exercise, Step, expect_close

# ---- one layer-causal step ----------------------------------------------------------------------


def _states(x: Tensor, weights: list[Tensor]) -> list[Tensor]:
    states = [x]
    for w in weights:
        states.append(states[-1] + w @ states[-1])
    return states


def _surprise(state: Tensor, readout: Tensor, target: int) -> Tensor:
    slope = torch.softmax(readout @ state, dim=0)
    slope[target] -= 1
    return readout.mT @ slope


def _causal(x, weights, readout, target, step_size):
    states = _states(x, weights)
    return [
        -step_size * torch.outer(_surprise(after, readout, target), before)
        for before, after in pairwise(states)
    ]


def _causal_plain(x, weights, readout, target, step_size):
    states = _states(x, weights)
    error, found = _surprise(states[-1], readout, target), []
    for w, before in zip(reversed(weights), reversed(states[:-1]), strict=True):
        found.append(-step_size * torch.outer(error, before))
        error = error + w.mT @ error
    return found[::-1]


def _causal_last_loss(x, weights, readout, target, step_size):
    states = _states(x, weights)
    error = _surprise(states[-1], readout, target)
    return [-step_size * torch.outer(error, before) for before in states[:-1]]


def _causal_early_loss(x, weights, readout, target, step_size):
    states = _states(x, weights)
    return [-step_size * torch.outer(_surprise(b, readout, target), b) for b in states[:-1]]


def _causal_own_output(x, weights, readout, target, step_size):
    states = _states(x, weights)
    return [-step_size * torch.outer(_surprise(a, readout, target), a) for a in states[1:]]


def _check_causal(layers: int, place: int, what: str, *, scale: float = 0.5):
    def test(f) -> None:
        g = torch.Generator().manual_seed(layers)
        x, readout = torch.randn(3, generator=g).double(), torch.randn(4, 3, generator=g).double()
        weights = [scale * torch.randn(3, 3, generator=g).double() for _ in range(layers)]
        found = f(x, weights, readout, 2, 0.3)
        if not isinstance(found, tuple | list) or len(found) != layers:
            raise AssertionError(f"{what}: expected a list of {layers} matrices")
        wanted = _causal(x, weights, readout, 2, 0.3)
        expect_close(found[place], wanted[place], what=what)

    return test


def _blind_to_later(f) -> None:
    g = torch.Generator().manual_seed(9)
    x, readout = torch.randn(3, generator=g).double(), torch.randn(4, 3, generator=g).double()
    weights = [torch.randn(3, 3, generator=g).double() for _ in range(3)]
    before = f(x, weights, readout, 0, 0.3)[0]
    after = f(x, [*weights[:2], 5 * weights[2]], readout, 0, 0.3)[0]
    expect_close(after, before, what="first update after a change of the third layer")


CAUSAL = Exercise(
    "ch18-causal",
    "one layer-causal step for a stack of residual linear layers",
    (
        Step("one layer: an ordinary step", _check_causal(1, 0, "one layer")),
        Step("the last of three layers", _check_causal(3, 2, "third layer")),
        Step("the first of three layers", _check_causal(3, 0, "first layer")),
        Step("the first update is blind to later layers", _blind_to_later),
    ),
    _causal,
    {
        "backpropagation through the whole stack": _causal_plain,
        "the last layer's loss for all": _causal_last_loss,
        "the loss in front of the layer": _causal_early_loss,
        "the layer's output as its input": _causal_own_output,
    },
)


# ---- what finetuning adds to a relaxed head -----------------------------------------------------


def _head(x: Tensor, w_k: Tensor, w_v: Tensor, d_k: Tensor, d_v: Tensor) -> Tensor:
    after = (x @ (w_v + d_v).mT).mT @ (x @ (w_k + d_k).mT)
    return after - (x @ w_v.mT).mT @ (x @ w_k.mT)


def _head_first_order(x, w_k, w_v, d_k, d_v):
    return _head(x, w_k, w_v, d_k, d_v) - (x @ d_v.mT).mT @ (x @ d_k.mT)


def _head_transposed(x, w_k, w_v, d_k, d_v):
    return _head(x, w_k, w_v, d_k, d_v).mT


def _head_keys_alone(x, w_k, w_v, d_k, d_v):
    return _head(x, w_k, w_v, d_k, torch.zeros_like(d_v))


def _check_head(keys: float, values: float, what: str):
    def test(f) -> None:
        g = torch.Generator().manual_seed(5)
        x = torch.randn(4, 5, generator=g).double()
        w_k, w_v, d_k, d_v = torch.randn(4, 3, 5, generator=g).double()
        given = x, w_k, w_v, keys * d_k, values * d_v
        expect_close(f(*given), _head(*given), what=what)

    return test


HEAD = Exercise(
    "ch18-head",
    "ΔW_FT of one relaxed head: how far finetuned keys and values move it",
    (
        Step("nothing trained: zero", _check_head(0.0, 0.0, "no change")),
        Step("keys alone", _check_head(1.0, 0.0, "keys")),
        Step("values alone", _check_head(0.0, 1.0, "values")),
        Step("both, with their product", _check_head(1.0, 1.0, "both")),
    ),
    _head,
    {
        "without the product of the two changes": _head_first_order,
        "keys first, values second": _head_transposed,
        "values left out": _head_keys_alone,
    },
)


# ---- principal angles ---------------------------------------------------------------------------


def _angles(a: Tensor, b: Tensor, rank: int) -> Tensor:
    u, v = (torch.linalg.svd(m).U[:, :rank] for m in (a, b))
    return torch.linalg.svdvals(u.mT @ v).clamp(max=1).acos()


def _angles_in_turn(a, b, rank):
    u, v = (torch.linalg.svd(m).U[:, :rank] for m in (a, b))
    return (u * v).sum(0).abs().clamp(max=1).acos().sort().values


def _angles_right(a, b, rank):
    return _angles(a.mT, b.mT, rank)


def _angles_degrees(a, b, rank):
    return _angles(a, b, rank).rad2deg()


def _angles_of_columns(a, b, rank):
    u, v = a[:, :rank], b[:, :rank]
    return torch.linalg.svdvals(u.mT @ v).clamp(max=1).acos()


def _check_angles(rank: int, what: str, *, turn: bool = False, same: bool = False):
    def test(f) -> None:
        g = torch.Generator().manual_seed(2)
        u, v, w = (torch.linalg.qr(torch.randn(5, 5, generator=g).double())[0] for _ in range(3))
        size = torch.tensor([5.0, 4.0, 3.0, 0.2, 0.1]).double()
        a = u * size @ v
        other = u[:, [1, 2, 0, 3, 4]] if turn else (u if same else w)
        b = other * size @ w
        # two equal directions: acos near 1 keeps half of the digits
        expect_close(f(a, b, rank), _angles(a, b, rank), tolerance=1e-6, what=what)

    return test


ANGLES = Exercise(
    "ch18-angles",
    "principal angles between what two updates write to, smallest first, in radians",
    (
        Step("the same directions: all 0", _check_angles(2, "same", same=True)),
        Step("one direction each", _check_angles(1, "rank 1")),
        Step("three of five", _check_angles(3, "rank 3")),
        Step("the order of directions does not matter", _check_angles(3, "re-ordered", turn=True)),
    ),
    _angles,
    {
        "directions compared one by one": _angles_in_turn,
        "what the updates read": _angles_right,
        "in degrees": _angles_degrees,
        "columns of the matrices": _angles_of_columns,
    },
)


# ---- chance -------------------------------------------------------------------------------------


def _chance(rank: int, width: int) -> tuple[float, float]:
    return 1 / width, rank / width


def _chance_vector(rank, width):
    return width**-0.5, rank / width


def _chance_rank(rank, width):
    return 1 / rank, rank / width


def _chance_square(rank, width):
    return 1 / width, (rank / width) ** 2


def _check_chance(place: int, sizes: tuple[tuple[int, int], ...], what: str):
    def test(f) -> None:
        for rank, width in sizes:
            found = f(rank, width)
            if not isinstance(found, tuple | list) or len(found) != 2:
                raise AssertionError(f"{what}: expected two numbers, got {found!r}")
            wanted = torch.tensor(_chance(rank, width)[place], dtype=torch.float64)
            told = torch.as_tensor(float(found[place]), dtype=torch.float64)
            expect_close(told, wanted, what=f"{what}, rank {rank} of {width}")

    return test


CHANCE = Exercise(
    "ch18-chance",
    "what two updates have in common by chance: spread of the cosine, mean overlap",
    (
        Step("the cosine of full matrices", _check_chance(0, ((4, 4), (16, 16)), "spread")),
        Step("the cosine of matrices of low rank", _check_chance(0, ((1, 16), (4, 64)), "spread")),
        Step("overlap where all directions count", _check_chance(1, ((4, 4),), "overlap")),
        Step("overlap of a few directions", _check_chance(1, ((1, 16), (4, 64)), "overlap")),
    ),
    _chance,
    {
        "the spread of vectors as long as a row": _chance_vector,
        "the spread from the rank": _chance_rank,
        "the overlap squared": _chance_square,
    },
)

EXERCISES = (CAUSAL, HEAD, ANGLES, CHANCE)
