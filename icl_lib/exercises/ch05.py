"""Exercises of chapter 5: the dual form, its filters, its algebra, its contributions."""

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from icl_lib.dual import OuterSum, step_weights
from icl_lib.exercises.core import Exercise, Step, expect_close


def _draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def _parts(n: int, o: int = 3, d: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    return _draw(o, d, seed=1), _draw(n, o, seed=2), _draw(n, d, seed=3)


# ---- the dual form from scratch -----------------------------------------------------------------


def _dual(w0: Tensor, errors: Tensor, keys: Tensor, x: Tensor) -> Tensor:
    return x @ w0.T + (x @ keys.T) @ errors


def _dual_without_start(w0, errors, keys, x):
    return (x @ keys.T) @ errors


def _dual_with_softmax(w0, errors, keys, x):
    return x @ w0.T + (x @ keys.T).softmax(-1) @ errors


def _dual_averaged(w0, errors, keys, x):
    return x @ w0.T + (x @ keys.T) @ errors / max(1, len(keys))


def _dual_one_query(w0, errors, keys, x):
    return (w0 @ x[0] + errors.T @ (keys @ x[0]))[None]


def _check_dual(n: int, queries: int, what: str):
    def test(f) -> None:
        w0, errors, keys = _parts(n)
        x = _draw(queries, 4, seed=4)
        wanted = x @ (w0 + errors.T @ keys).T
        expect_close(f(w0, errors, keys, x), wanted, what=what)

    return test


DUAL = Exercise(
    "ch05-dual",
    "answer queries by attention over training examples",
    (
        Step("before any example, W_0 answers", _check_dual(0, 1, "no examples")),
        Step("one example adds e (x_1 · x)", _check_dual(1, 1, "one example")),
        Step("five examples add up, without any normalising", _check_dual(5, 1, "five examples")),
        Step("several queries at once", _check_dual(5, 3, "three queries")),
    ),
    _dual,
    {
        "forgets W_0": _dual_without_start,
        "softmax": _dual_with_softmax,
        "average instead of sum": _dual_averaged,
        "first query only": _dual_one_query,
    },
)


# ---- what an old step still counts --------------------------------------------------------------


def _filter(steps: int, lr: float, momentum: float, weight_decay: float) -> Tensor:
    a, b, counts = 1.0, 0.0, []
    for _ in range(steps):
        u = b - lr * a
        counts.append(-u)
        a, b = a + weight_decay * u, momentum * u
    return torch.tensor(counts[::-1], dtype=torch.float64)


def _ages(steps: int) -> Tensor:
    return torch.arange(steps - 1, -1, -1, dtype=torch.float64)


def _filter_powers_only(steps, lr, momentum, weight_decay):
    return lr * momentum ** _ages(steps) * (1 - lr * weight_decay) ** _ages(steps)


def _filter_no_decay(steps, lr, momentum, weight_decay):
    return step_weights(steps, lr=lr, momentum=momentum)[0]


def _filter_decay_late(steps, lr, momentum, weight_decay):
    plain = step_weights(steps, lr=lr, momentum=momentum)[0]
    return plain * (1 - lr * weight_decay) ** (_ages(steps) + 1)


def _filter_product(steps, lr, momentum, weight_decay):
    plain = step_weights(steps, lr=lr, momentum=momentum)[0]
    return plain * (1 - lr * weight_decay) ** _ages(steps)


def _check_filter(steps: int, momentum: float, decay: float):
    def test(f) -> None:
        wanted, _ = step_weights(steps, lr=0.1, momentum=momentum, weight_decay=decay)
        what = f"{steps} steps, momentum {momentum:g}, weight decay {decay:g}"
        expect_close(f(steps, 0.1, momentum, decay), wanted, what=what)

    return test


FILTER = Exercise(
    "ch05-filter",
    "how much each step's gradient counts in the final weight",
    (
        Step("plain descent: every step counts η", _check_filter(3, 0.0, 0.0)),
        Step("momentum keeps feeding an old gradient", _check_filter(6, 0.9, 0.0)),
        Step("weight decay shrinks it at every later step", _check_filter(6, 0.0, 0.5)),
        Step("both at once, through the velocity", _check_filter(6, 0.9, 0.5)),
    ),
    _filter,
    {
        "powers of the momentum only": _filter_powers_only,
        "no weight decay": _filter_no_decay,
        "decay one step too many": _filter_decay_late,
        "product of the two": _filter_product,
    },
)


# ---- inner product without the matrix -----------------------------------------------------------


class _NothingLarge(TorchDispatchMode):
    """Refuses every result with at least ``limit`` entries."""

    def __init__(self, limit: int):
        super().__init__()
        self.limit = limit

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.numel() >= self.limit:
            raise AssertionError(f"a tensor of shape {tuple(out.shape)} was built on the way")
        return out


def _inner(errors: Tensor, keys: Tensor, errors2: Tensor, keys2: Tensor) -> Tensor:
    return ((errors @ errors2.T) * (keys @ keys2.T)).sum()


def _inner_by_matrix(errors, keys, errors2, keys2):
    return ((errors.T @ keys) * (errors2.T @ keys2)).sum()


def _inner_diagonal(errors, keys, errors2, keys2):
    n = min(len(errors), len(errors2))
    return ((errors[:n] * errors2[:n]).sum(1) * (keys[:n] * keys2[:n]).sum(1)).sum()


def _inner_separate(errors, keys, errors2, keys2):
    return (errors @ errors2.T).sum() * (keys @ keys2.T).sum()


def _check_inner(n: int, m: int):
    def test(f) -> None:
        (_, e, k), (f2, k2) = _parts(n), (_draw(m, 3, seed=5), _draw(m, 4, seed=6))
        wanted = OuterSum(e, k).inner(OuterSum(f2, k2))
        expect_close(f(e, k, f2, k2), wanted, what=f"{n} and {m} examples")

    return test


def _inner_small(f) -> None:
    e, k, f2, k2 = (
        _draw(4, 300),
        _draw(4, 200, seed=1),
        _draw(3, 300, seed=2),
        _draw(3, 200, seed=3),
    )
    with _NothingLarge(300 * 200):
        found = f(e, k, f2, k2)
    wanted = OuterSum(e, k).inner(OuterSum(f2, k2))
    expect_close(found, wanted, what="a 300 × 200 update")


INNER = Exercise(
    "ch05-inner",
    "the inner product of two updates, without building either matrix",
    (
        Step("one example each: (e · f)(x · z)", _check_inner(1, 1)),
        Step("all pairs of examples", _check_inner(5, 3)),
        Step("nothing as large as the matrix is built", _inner_small),
    ),
    _inner,
    {
        "builds the matrices": _inner_by_matrix,
        "equal places only": _inner_diagonal,
        "sums before it multiplies": _inner_separate,
    },
)


# ---- who contributes ----------------------------------------------------------------------------


def _lean(errors: Tensor, keys: Tensor, x: Tensor, output: int) -> Tensor:
    return errors[:, output] * (keys @ x)


def _lean_absolute(errors, keys, x, output):
    return (errors[:, output] * (keys @ x)).abs()


def _lean_scores(errors, keys, x, output):
    return keys @ x


def _lean_all_outputs(errors, keys, x, output):
    return errors.sum(dim=1) * (keys @ x)


def _lean_one(f) -> None:
    errors, keys = torch.tensor([[2.0, -1.0]]).double(), torch.tensor([[1.0, 3.0]]).double()
    x = torch.tensor([1.0, 1.0]).double()
    expect_close(f(errors, keys, x, 0), torch.tensor([8.0]), what="output 0 of one example")


def _lean_sign(f) -> None:
    errors, keys = torch.tensor([[2.0, -1.0]]).double(), torch.tensor([[1.0, 3.0]]).double()
    x = torch.tensor([1.0, 1.0]).double()
    expect_close(f(errors, keys, x, 1), torch.tensor([-4.0]), what="output 1 of one example")


def _lean_sum(f) -> None:
    _, errors, keys = _parts(6)
    x = _draw(4, seed=4)
    for output in range(3):
        wanted = (errors.T @ keys @ x)[output]
        got = f(errors, keys, x, output)
        expect_close(got.shape[0], torch.tensor(6), what="number of contributions")
        expect_close(got.sum(), wanted, what=f"sum of the contributions to output {output}")


LEAN = Exercise(
    "ch05-lean",
    "what each training example adds to one output",
    (
        Step("an error signal times a score", _lean_one),
        Step("with its sign: an example can speak against", _lean_sign),
        Step("all contributions add up to the update's output", _lean_sum),
    ),
    _lean,
    {
        "absolute values": _lean_absolute,
        "scores alone": _lean_scores,
        "all outputs mixed": _lean_all_outputs,
    },
)

EXERCISES = (DUAL, FILTER, INNER, LEAN)
