"""Exercises of chapter 4: slopes from differences, the stability limit, momentum, Adam."""

import torch
from torch import Tensor

from icl_lib.exercises.core import Exercise, Step, expect_close


def _draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


# the gradient by central differences


def _central(f, w: Tensor, h: float) -> Tensor:
    units = torch.eye(len(w), dtype=w.dtype)
    return torch.stack([(f(w + h * u) - f(w - h * u)) / (2 * h) for u in units])


def _forward(f, w: Tensor, h: float) -> Tensor:
    units = torch.eye(len(w), dtype=w.dtype)
    return torch.stack([(f(w + h * u) - f(w)) / h for u in units])


def _single_width(f, w: Tensor, h: float) -> Tensor:
    return 2 * _central(f, w, h)


def _all_at_once(f, w: Tensor, h: float) -> Tensor:
    return ((f(w + h) - f(w - h)) / (2 * h)).expand(len(w))


def _in_place(f, w: Tensor, h: float) -> Tensor:
    slopes = []
    for j in range(len(w)):
        w[j] += h
        up = f(w)
        w[j] -= 2 * h
        slopes.append((up - f(w)) / (2 * h))
    return torch.stack(slopes)


def _difference_line(candidate) -> None:
    found = candidate(lambda w: 3 * w.sum(), torch.tensor([2.0], dtype=torch.float64), 0.1)
    expect_close(found, torch.tensor([3.0], dtype=torch.float64), what="slope of 3w")


def _difference_two(candidate) -> None:
    slopes = torch.tensor([3.0, -1.0], dtype=torch.float64)
    found = candidate(lambda w: w @ slopes, _draw(2), 0.1)
    expect_close(found, slopes, what="slopes of 3 w_0 - w_1")


def _difference_bowl(candidate) -> None:
    w = torch.tensor([1.0, 2.0], dtype=torch.float64)
    found = candidate(lambda v: (v**2).sum(), w.clone(), 0.1)
    expect_close(found, 2 * w, what="slopes of w_0² + w_1² with h = 0.1")


def _difference_untouched(candidate) -> None:
    w = _draw(3, seed=3)
    before = w.clone()
    candidate(lambda v: (v**3).sum(), w, 1e-3)
    expect_close(w, before, tolerance=0.0, what="w after the call")


# the largest step size


def _largest(hessian: Tensor, momentum: float = 0.0) -> float:
    return 2 * (1 + momentum) / torch.linalg.eigvalsh(hessian)[-1].item()


def _largest_diagonal(hessian: Tensor, momentum: float = 0.0) -> float:
    return 2 * (1 + momentum) / hessian.diagonal().max().item()


def _largest_plain(hessian: Tensor, momentum: float = 0.0) -> float:
    return 2 / torch.linalg.eigvalsh(hessian)[-1].item()


def _largest_one(hessian: Tensor, momentum: float = 0.0) -> float:
    return 1 / torch.linalg.eigvalsh(hessian)[-1].item()


def _largest_flat(hessian: Tensor, momentum: float = 0.0) -> float:
    return 2 * (1 + momentum) / torch.linalg.eigvalsh(hessian)[0].item()


def _limit_step(hessian: Tensor, momentum: float):
    def test(candidate) -> None:
        found = candidate(hessian) if momentum == 0 else candidate(hessian, momentum)
        expected = torch.tensor(_largest(hessian, momentum), dtype=torch.float64)
        expect_close(
            torch.as_tensor(found, dtype=torch.float64), expected, what="largest step size"
        )

    return test


def _turned(seed: int, *curvatures: float) -> Tensor:
    axes = torch.linalg.qr(_draw(len(curvatures), len(curvatures), seed=seed)).Q
    return axes @ torch.diag(torch.tensor(curvatures, dtype=torch.float64)) @ axes.T


# one step of momentum


def _momentum(w, v, gradient, *, lr, momentum, weight_decay):
    v = momentum * v + gradient + weight_decay * w
    return w - lr * v, v


def _momentum_average(w, v, gradient, *, lr, momentum, weight_decay):
    v = momentum * v + (1 - momentum) * (gradient + weight_decay * w)
    return w - lr * v, v


def _momentum_late(w, v, gradient, *, lr, momentum, weight_decay):
    gradient = gradient + weight_decay * w
    return w - lr * v, momentum * v + gradient


def _momentum_none(w, v, gradient, *, lr, momentum, weight_decay):
    return w - lr * (gradient + weight_decay * w), gradient


def _momentum_no_decay(w, v, gradient, *, lr, momentum, weight_decay):
    v = momentum * v + gradient
    return w - lr * v, v


def _momentum_step(**settings: float):
    settings = {"lr": 0.0, "momentum": 0.0, "weight_decay": 0.0, **settings}

    def test(candidate) -> None:
        w, v, gradient = (_draw(3, seed=s) for s in (1, 2, 3))
        found = candidate(w.clone(), v.clone(), gradient.clone(), **settings)
        if not (isinstance(found, tuple) and len(found) == 2):
            raise AssertionError("expected the pair (w, v)")
        expected = _momentum(w, v, gradient, **settings)
        expect_close(found[0], expected[0], what="w after the step")
        expect_close(found[1], expected[1], what="v after the step")

    return test


def _momentum_many(candidate) -> None:
    theirs = torch.nn.Parameter(_draw(3, seed=1))
    rule = torch.optim.SGD([theirs], 0.1, momentum=0.9, weight_decay=0.01)
    w, v = theirs.detach().clone(), torch.zeros(3, dtype=torch.float64)
    for step in range(20):
        theirs.grad = _draw(3, seed=10 + step)
        rule.step()
        w, v = candidate(w, v, theirs.grad.clone(), lr=0.1, momentum=0.9, weight_decay=0.01)
    expect_close(w, theirs.detach(), what="w after 20 steps")


# one step of Adam


def _adam(w, gradient, m, v, t, *, lr, beta1, beta2, eps, weight_decay):
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    corrected_m, corrected_v = m / (1 - beta1**t), v / (1 - beta2**t)
    w = (1 - lr * weight_decay) * w
    return w - lr * corrected_m / (corrected_v.sqrt() + eps), m, v


def _adam_uncorrected(w, gradient, m, v, t, *, lr, beta1, beta2, eps, weight_decay):
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    return (1 - lr * weight_decay) * w - lr * m / (v.sqrt() + eps), m, v


def _adam_counts_from_zero(w, gradient, m, v, t, **settings):
    return _adam(w, gradient, m, v, t + 1, **settings)


def _adam_eps_inside(w, gradient, m, v, t, *, lr, beta1, beta2, eps, weight_decay):
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    bottom = (v / (1 - beta2**t) + eps).sqrt()
    return (1 - lr * weight_decay) * w - lr * m / (1 - beta1**t) / bottom, m, v


def _adam_coupled_decay(w, gradient, m, v, t, *, weight_decay, **settings):
    return _adam(w, gradient + weight_decay * w, m, v, t, weight_decay=0.0, **settings)


def _adam_no_root(w, gradient, m, v, t, *, lr, beta1, beta2, eps, weight_decay):
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    return w - lr * m / (1 - beta1**t) / (v / (1 - beta2**t) + eps), m, v


_ADAM_OFF = {"lr": 0.1, "beta1": 0.0, "beta2": 0.0, "eps": 0.0, "weight_decay": 0.0}


def _adam_step(t: int, **settings: float):
    settings = {**_ADAM_OFF, **settings}

    def test(candidate) -> None:
        w, gradient, m, v = (_draw(3, seed=s) for s in (1, 2, 3, 4))
        v = v**2
        found = candidate(w.clone(), gradient.clone(), m.clone(), v.clone(), t, **settings)
        if not (isinstance(found, tuple) and len(found) == 3):
            raise AssertionError("expected the triple (w, m, v)")
        expected = _adam(w, gradient, m, v, t, **settings)
        for what, ours, theirs in zip(("w", "m", "v"), found, expected, strict=True):
            expect_close(ours, theirs, what=f"{what} after the step")

    return test


def _adam_many(candidate) -> None:
    theirs = torch.nn.Parameter(_draw(3, seed=1))
    rule = torch.optim.AdamW([theirs], 0.1, weight_decay=0.2)
    w, m, v = theirs.detach().clone(), *torch.zeros(2, 3, dtype=torch.float64)
    for step in range(50):
        theirs.grad = _draw(3, seed=10 + step)
        rule.step()
        settings = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.2}
        w, m, v = candidate(w, theirs.grad.clone(), m, v, step + 1, **settings)
    expect_close(w, theirs.detach(), what="w after 50 steps")


LATE = 100_000
"""A step so late that the bias correction is 1 to rounding."""

EXERCISES = (
    Exercise(
        "ch04-difference",
        "the gradient from tastes alone, by central differences",
        (
            Step("a straight line in one ingredient", _difference_line),
            Step("one slope for each of two ingredients", _difference_two),
            Step("a bowl, where only the central difference is exact", _difference_bowl),
            Step("w is left as it was", _difference_untouched),
        ),
        _central,
        {
            "forward difference": _forward,
            "divided by h instead of 2h": _single_width,
            "all ingredients moved at once": _all_at_once,
            "w changed in place": _in_place,
        },
    ),
    Exercise(
        "ch04-limit",
        "the largest stable step size on a quadratic",
        (
            Step("one ingredient", _limit_step(torch.tensor([[4.0]], dtype=torch.float64), 0)),
            Step("a valley along the axes", _limit_step(_turned(0, 1.0, 9.0).diag().diag(), 0)),
            Step("a turned valley", _limit_step(_turned(1, 1.0, 9.0), 0)),
            Step("five ingredients", _limit_step(_turned(2, 0.5, 1.0, 2.0, 3.0, 7.0), 0)),
            Step("with momentum 0.9", _limit_step(_turned(1, 1.0, 9.0), 0.9)),
        ),
        _largest,
        {
            "1/λ, the step that never overshoots": _largest_one,
            "the smallest curvature": _largest_flat,
            "the diagonal instead of the eigenvalues": _largest_diagonal,
            "momentum forgotten": _largest_plain,
        },
    ),
    Exercise(
        "ch04-momentum",
        "one step of momentum",
        (
            Step("a step size of zero moves nothing but v", _momentum_step()),
            Step("plain gradient descent", _momentum_step(lr=0.1)),
            Step("the old velocity", _momentum_step(lr=0.1, momentum=0.9)),
            Step("weight decay", _momentum_step(lr=0.1, momentum=0.9, weight_decay=0.3)),
            Step("20 steps, as torch takes them", _momentum_many),
        ),
        _momentum,
        {
            "an average instead of a sum": _momentum_average,
            "moved by the old velocity": _momentum_late,
            "no velocity": _momentum_none,
            "no weight decay": _momentum_no_decay,
        },
    ),
    Exercise(
        "ch04-adam",
        "one step of Adam with decoupled weight decay",
        (
            Step("both betas 0: a step of length lr each way", _adam_step(1)),
            Step("eps, outside the root", _adam_step(1, eps=0.3)),
            Step("beta1, late, when its correction is 1", _adam_step(LATE, beta1=0.9)),
            Step("beta2, late, when its correction is 1", _adam_step(LATE, beta2=0.99)),
            Step("bias correction of m", _adam_step(1, beta1=0.9)),
            Step("bias correction of v", _adam_step(2, beta1=0.9, beta2=0.99)),
            Step("weight decay outside the gradient", _adam_step(3, beta2=0.9, weight_decay=0.5)),
            Step("50 steps, as torch takes them", _adam_many),
        ),
        _adam,
        {
            "no bias correction": _adam_uncorrected,
            "steps counted from zero": _adam_counts_from_zero,
            "eps inside the root": _adam_eps_inside,
            "no root": _adam_no_root,
            "weight decay in the gradient": _adam_coupled_decay,
        },
    ),
)
