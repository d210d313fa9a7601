"""Checkers for the chapter on attention as a meta-optimizer."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from icl_lib.exercises.core import Exercise, Step, expect_close

Solution = Callable[..., Tensor]


def _draw(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(*s, generator=g, dtype=torch.float64) for s in shapes]


# ---- ΔW_ICL from the tokens ---------------------------------------------------------------------


def delta_w(x_demo: Tensor, w_k: Tensor, w_v: Tensor) -> Tensor:
    """Return ΔW_ICL = Σ_i (W_V x'_i) ⊗ (W_K x'_i)."""
    return (x_demo @ w_v.T).T @ (x_demo @ w_k.T)


def _one_token(solve: Solution) -> None:
    x, eye = torch.tensor([[1.0, 2.0]]).double(), torch.eye(2).double()
    expect_close(solve(x, eye, eye), torch.outer(x[0], x[0]), what="ΔW of one token, W_K = W_V = I")


def _own_projections(solve: Solution) -> None:
    x, w_k, w_v = _draw(0, (1, 3), (2, 3), (4, 3))
    expect_close(solve(x, w_k, w_v), delta_w(x, w_k, w_v), what="ΔW with W_K and W_V")


def _all_tokens(solve: Solution) -> None:
    x, w_k, w_v = _draw(1, (5, 3), (2, 3), (4, 3))
    expect_close(solve(x, w_k, w_v), delta_w(x, w_k, w_v), what="ΔW of five tokens")


def _no_tokens(solve: Solution) -> None:
    _, w_k, w_v = _draw(2, (1, 3), (2, 3), (4, 3))
    expect_close(solve(torch.zeros(0, 3).double(), w_k, w_v), torch.zeros(4, 2), what="ΔW")


DELTA_W = Exercise(
    "ch06-delta-w",
    "build the matrix that the demonstrations add to a linear-attention head",
    (
        Step("one token and no projections give x ⊗ x", _one_token),
        Step(
            "the value is W_V x and stands on the left, the key W_K x on the right",
            _own_projections,
        ),
        Step("every demonstration adds its term", _all_tokens),
        Step("no demonstrations give the zero matrix", _no_tokens),
    ),
    delta_w,
    {
        "transposed": lambda x, w_k, w_v: delta_w(x, w_k, w_v).T,
        "mean instead of sum": lambda x, w_k, w_v: delta_w(x, w_k, w_v) / len(x),
        "projections swapped": lambda x, w_k, w_v: delta_w(x, w_v, w_k),
    },
)


# ---- the exact split ----------------------------------------------------------------------------


def split(q: Tensor, k_demo: Tensor, v_demo: Tensor, k_query: Tensor, v_query: Tensor):
    """Return (Attn(X), Attn(X'), λ) for one query."""
    root = math.sqrt(len(q))
    s_demo, s_query = k_demo @ q / root, k_query @ q / root
    mass = torch.sigmoid(s_demo.logsumexp(0) - s_query.logsumexp(0))
    return s_query.softmax(0) @ v_query, s_demo.softmax(0) @ v_demo, mass


def _naive_split(q, k_demo, v_demo, k_query, v_query):
    zero_shot, demos, _ = split(q, k_demo, v_demo, k_query, v_query)
    root = math.sqrt(len(q))
    z_demo, z_query = (k_demo @ q / root).exp().sum(), (k_query @ q / root).exp().sum()
    return zero_shot, demos, z_demo / (z_demo + z_query)


def _counting_split(q, k_demo, v_demo, k_query, v_query):
    zero_shot, demos, _ = split(q, k_demo, v_demo, k_query, v_query)
    return zero_shot, demos, torch.tensor(len(k_demo) / (len(k_demo) + len(k_query))).double()


def _unscaled_split(q, k_demo, v_demo, k_query, v_query):
    root = math.sqrt(len(q))
    return split(q, root * k_demo, v_demo, root * k_query, v_query)


def _prompt(seed: int) -> list[Tensor]:
    return _draw(seed, (4,), (5, 4), (5, 3), (2, 4), (2, 3))


def _triple(solve: Solution, inputs: list[Tensor]) -> tuple:
    found = solve(*inputs)
    if not isinstance(found, tuple) or len(found) != 3:
        raise AssertionError("expected a tuple (Attn(X), Attn(X'), mass)")
    return found


def _parts(solve: Solution) -> None:
    inputs = _prompt(0)
    for name, got, want in zip(
        ("Attn(X)", "Attn(X')"), _triple(solve, inputs), split(*inputs), strict=False
    ):
        expect_close(got, want, what=name)


def _mass(solve: Solution) -> None:
    for seed in range(3):
        inputs = _prompt(seed)
        expect_close(_triple(solve, inputs)[2], split(*inputs)[2], what="the mass λ")


def _mixture(solve: Solution) -> None:
    q, kd, vd, kq, vq = _prompt(4)
    zero_shot, demos, mass = _triple(solve, [q, kd, vd, kq, vq])
    whole = (torch.cat([kd, kq]) @ q / 2).softmax(0) @ torch.cat([vd, vq])
    expect_close((1 - mass) * zero_shot + mass * demos, whole, what="(1 − λ) Attn(X) + λ Attn(X')")


def _large_scores(solve: Solution) -> None:
    q, *rest = _prompt(5)
    expect_close(_triple(solve, [5e3 * q, *rest])[2], split(5e3 * q, *rest)[2], what="the mass λ")


SPLIT = Exercise(
    "ch06-split",
    "split softmax attention exactly into query text and demonstrations",
    (
        Step("each part is softmax attention over its own tokens, scores over √K", _parts),
        Step("the mass λ comes from the scores", _mass),
        Step("the mixture is attention over all tokens", _mixture),
        Step("scores in the thousands do not overflow", _large_scores),
    ),
    split,
    {
        "scale forgotten": _unscaled_split,
        "mass by counting tokens": _counting_split,
        "exponentials summed without logarithms": _naive_split,
    },
)


# ---- one gradient step as attention -------------------------------------------------------------


def gradient_step_attention(x: Tensor, y: Tensor, w0: Tensor, rate: float, q: Tensor) -> Tensor:
    """Return (W_0 − rate ∂L/∂W) q, L = ½ Σ ‖W x_i − y_i‖², as attention with its own values."""
    values = rate * (y - x @ w0.T)
    return w0 @ q + values.T @ (x @ q)


def _step_by_autograd(x: Tensor, y: Tensor, w0: Tensor, rate: float, q: Tensor) -> Tensor:
    w = w0.clone().requires_grad_()
    loss = 0.5 * (x @ w.T - y).square().sum()
    (gradient,) = torch.autograd.grad(loss, w)
    return (w0 - rate * gradient) @ q


def _against_autograd(seed: int, *, zero_start: bool, rate: float) -> Callable[[Solution], None]:
    def test(solve: Solution) -> None:
        x, y, w0, q = _draw(seed, (6, 3), (6, 2), (2, 3), (3,))
        w0 = 0 * w0 if zero_start else w0
        want = _step_by_autograd(x, y, w0, rate, q)
        expect_close(solve(x, y, w0, rate, q), want, what="prediction after one step")

    return test


GRADIENT_STEP = Exercise(
    "ch06-gradient-step",
    "write one step of gradient descent on least squares as linear attention",
    (
        Step(
            "from W_0 = 0 with rate 1 the values are the targets",
            _against_autograd(0, zero_start=True, rate=1.0),
        ),
        Step(
            "the learning rate scales the values", _against_autograd(1, zero_start=True, rate=0.1)
        ),
        Step(
            "from any W_0 the values are the residuals",
            _against_autograd(2, zero_start=False, rate=0.1),
        ),
    ),
    gradient_step_attention,
    {
        "rate forgotten": lambda x, y, w0, rate, q: gradient_step_attention(x, y, w0, 1.0, q),
        "targets instead of residuals": lambda x, y, w0, rate, q: w0 @ q + rate * y.T @ (x @ q),
        "softmax weights": lambda x, y, w0, rate, q: w0 @ q + y.T @ (x @ q).softmax(0),
    },
)


# ---- the implicit update of the MLP -------------------------------------------------------------


def implicit(w: Tensor, without: Tensor, within: Tensor) -> Tensor:
    """Return ΔW = (W ΔA) A(x)ᵀ / ‖A(x)‖²."""
    return torch.outer(w @ (within - without), without) / (without @ without)


def _first_layer(length: float) -> Callable[[Solution], None]:
    def test(solve: Solution) -> None:
        w, without, within = _draw(7, (4, 3), (3,), (3,))
        without = length * without / without.norm()
        moved = (w + solve(w, without, within)) @ without
        expect_close(moved, w @ within, what="(W + ΔW) A(x) against W A(C, x)")

    return test


def _shape(solve: Solution) -> None:
    w, without, within = _draw(8, (4, 3), (3,), (3,))
    got = solve(w, without, within)
    if tuple(got.shape) != (4, 3):
        raise AssertionError(f"ΔW: expected shape (4, 3), got {tuple(got.shape)}")


def _one_direction(solve: Solution) -> None:
    w, without, within = _draw(9, (4, 3), (3,), (3,))
    delta = solve(w, without, within)
    other = torch.linalg.cross(without, within)
    expect_close(delta @ other, torch.zeros(4), what="ΔW on a vector orthogonal to A(x)")


IMPLICIT = Exercise(
    "ch06-implicit",
    "move a context into the first matrix of the MLP",
    (
        Step("ΔW has the shape of W", _shape),
        Step("with ‖A(x)‖ = 1 the new matrix does without the context", _first_layer(1.0)),
        Step("the same for A(x) of any length", _first_layer(2.5)),
        Step("ΔW changes nothing orthogonal to A(x)", _one_direction),
    ),
    implicit,
    {
        "transposed": lambda w, a, b: implicit(w, a, b).T,
        "no division by the squared length": lambda w, a, b: torch.outer(w @ (b - a), a),
        "within instead of ΔA": lambda w, a, b: torch.outer(w @ b, a) / (a @ a),
        "right at A(x), wrong elsewhere": lambda w, a, b: (
            torch.outer(w @ (b - a), a + torch.linalg.cross(a, b)) / (a @ a)
        ),
    },
)

EXERCISES = (DELTA_W, SPLIT, GRADIENT_STEP, IMPLICIT)
