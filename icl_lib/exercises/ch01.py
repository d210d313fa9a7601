"""Exercises of chapter 1: a slope by hand, guesses that do not peek, a fingerprint of weights."""

import hashlib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from icl_lib import learners
from icl_lib.exercises.core import Exercise, Step, expect_close


def _draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


# --- slope ------------------------------------------------------------------------------------


def _slope(xs: Tensor, ys: Tensor) -> Tensor:
    square = (xs * xs).sum()
    return (xs * ys).sum() / square if square > 0 else square


def _slope_of_ratios(xs: Tensor, ys: Tensor) -> Tensor:
    return (ys / xs).mean() if len(xs) else torch.tensor(0.0)


def _slope_unguarded(xs: Tensor, ys: Tensor) -> Tensor:
    return (xs * ys).sum() / (xs * xs).sum()


def _slope_averaging(xs: Tensor, ys: Tensor) -> Tensor:
    return (xs * ys).mean() if len(xs) else torch.tensor(0.0)


def _scalar(found: object) -> Tensor:
    return torch.as_tensor(found, dtype=torch.float64).reshape(())


def _two_times(f) -> None:
    xs = torch.tensor([1.0, 2.0]).double()
    expect_close(_scalar(f(xs, 2 * xs)), torch.tensor(2.0), what="slope of (1, 2), (2, 4)")


def _slope_scatter(f) -> None:
    xs, ys = _draw(6), _draw(6, seed=1)
    wanted = torch.linalg.lstsq(xs[:, None], ys[:, None]).solution[0, 0]
    expect_close(_scalar(f(xs, ys)), wanted, what="slope of six scattered points")


def _slope_nothing(f) -> None:
    nothing = torch.zeros(0).double()
    expect_close(_scalar(f(nothing, nothing)), torch.tensor(0.0), what="slope without a point")
    expect_close(
        _scalar(f(torch.zeros(2).double(), torch.ones(2).double())),
        torch.tensor(0.0),
        what="slope of points at x = 0",
    )


SLOPE = Exercise(
    "ch01-slope",
    "the slope of the line through 0 that fits demonstrations best",
    (
        Step("points on a line give its slope", _two_times),
        Step("scattered points give the least-squares slope", _slope_scatter),
        Step("demonstrations that say nothing give 0", _slope_nothing),
    ),
    _slope,
    {
        "averages the ratios": _slope_of_ratios,
        "divides by zero": _slope_unguarded,
        "averages products": _slope_averaging,
    },
)


# --- no peeking -------------------------------------------------------------------------------


def _guesses(inputs: Tensor, targets: Tensor) -> Tensor:
    guesses = torch.zeros_like(targets)
    for k in range(1, len(targets)):
        weights = torch.linalg.pinv(inputs[:k]) @ targets[:k]
        guesses[k] = inputs[k] @ weights
    return guesses


def _guesses_peek(inputs: Tensor, targets: Tensor) -> Tensor:
    guesses = torch.zeros_like(targets)
    for k in range(len(targets)):
        guesses[k] = inputs[k] @ (torch.linalg.pinv(inputs[: k + 1]) @ targets[: k + 1])
    return guesses


def _guesses_all(inputs: Tensor, targets: Tensor) -> Tensor:
    return inputs @ (torch.linalg.pinv(inputs) @ targets)


def _guesses_late(inputs: Tensor, targets: Tensor) -> Tensor:
    guesses = _guesses(inputs, targets)
    guesses[: inputs.shape[1]] = 0
    return guesses


def _empty_prompt(f) -> None:
    expect_close(f(_draw(5, 3), _draw(5, seed=1))[0], torch.tensor(0.0), what="guess for point 0")


def _own_target(f) -> None:
    inputs, targets = _draw(5, 3), _draw(5, seed=1)
    for k in range(5):
        other = targets.clone()
        other[k] += 1
        expect_close(
            f(inputs, other)[k], f(inputs, targets)[k], what=f"guess {k} after its target changed"
        )


def _later_pairs(f) -> None:
    inputs, targets = _draw(5, 3), _draw(5, seed=1)
    other = inputs.clone()
    other[3:] += 1
    expect_close(f(other, targets)[:3], f(inputs, targets)[:3], what="guesses 0 to 2")


def _few_pairs(f) -> None:
    inputs, targets = _draw(5, 3), _draw(5, seed=1)
    weights = learners.least_squares(inputs, targets)
    wanted = learners.predict_next(weights, inputs)
    expect_close(f(inputs, targets)[1:3], wanted[1:3], what="guesses from one and two pairs")


def _exact_after_d(f) -> None:
    inputs, weights = _draw(6, 3), _draw(3, seed=2)
    targets = inputs @ weights
    expect_close(
        f(inputs, targets)[3:], targets[3:], tolerance=1e-8, what="guesses from 3 pairs on"
    )


NO_PEEKING = Exercise(
    "ch01-no-peeking",
    "for each point, the least-squares guess from the pairs before it",
    (
        Step("the first guess, from nothing, is 0", _empty_prompt),
        Step("no guess depends on its own target", _own_target),
        Step("no guess depends on later pairs", _later_pairs),
        Step("one and two pairs already count", _few_pairs),
        Step("without noise, d pairs are enough", _exact_after_d),
    ),
    _guesses,
    {
        "sees its own answer": _guesses_peek,
        "fits all pairs at once": _guesses_all,
        "waits for d pairs": _guesses_late,
    },
)


# --- fingerprint ------------------------------------------------------------------------------

Fingerprint = Callable[[Mapping[str, Tensor]], str]


def _fingerprint(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].contiguous()
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _fingerprint_sum(weights: Mapping[str, Tensor]) -> str:
    return str(sum(tensor.sum().item() for tensor in weights.values()))


def _fingerprint_printed(weights: Mapping[str, Tensor]) -> str:
    return hashlib.sha256(str(sorted(weights.items())).encode()).hexdigest()


def _fingerprint_ordered(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in weights.items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def _some_weights() -> dict[str, Tensor]:
    return {"a": torch.linspace(-1, 1, 2000), "b": _draw(3, 4).float()}


def _require(holds: bool, words: str) -> None:
    if not holds:
        raise AssertionError(words)


def _repeats(f: Fingerprint) -> None:
    one, two = f(_some_weights()), f(_some_weights())
    _require(isinstance(one, str), f"expected a string, got {type(one).__name__}")
    _require(one == two, "two copies of the same weights have different fingerprints")


def _one_bit(f: Fingerprint) -> None:
    weights = _some_weights()
    before = f(weights)
    weights["a"][1000] = torch.nextafter(weights["a"][1000], torch.tensor(9.0))
    _require(f(weights) != before, "the last bit of one weight changed, the fingerprint did not")


def _swapped(f: Fingerprint) -> None:
    weights = _some_weights()
    before = f(weights)
    weights["b"] = weights["b"].flip(0)
    _require(f(weights) != before, "two rows changed places, the fingerprint did not change")


def _any_order(f: Fingerprint) -> None:
    weights = _some_weights()
    other = dict(reversed(weights.items()))
    _require(f(weights) == f(other), "the order in which the tensors were listed must not count")


FINGERPRINT = Exercise(
    "ch01-fingerprint",
    "a string that changes if any bit of any weight does",
    (
        Step("equal weights have equal fingerprints", _repeats),
        Step("the last bit of one weight counts", _one_bit),
        Step("the place of a weight counts", _swapped),
        Step("the order in the dictionary does not count", _any_order),
    ),
    _fingerprint,
    {
        "adds the weights up": _fingerprint_sum,
        "hashes what is printed": _fingerprint_printed,
        "depends on the order": _fingerprint_ordered,
    },
)


EXERCISES = (SLOPE, NO_PEEKING, FINGERPRINT)
