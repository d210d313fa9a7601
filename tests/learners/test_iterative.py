"""Descent and its relatives: against plain loops, against each other, and where they break."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib import learners
from icl_lib.tasks.regression import linear_prompts

SIZES = {
    "points": st.integers(1, 7), "dimension": st.integers(1, 5), "seed": st.integers(0, 999),
}  # fmt: skip


def draw(points, dimension, seed=0, batch=2, noise=0.5):
    generator = torch.Generator().manual_seed(seed)
    prompts = linear_prompts(
        batch, points, dimension, noise=noise, generator=generator, dtype=torch.float64
    )
    return prompts.inputs, prompts.targets


def close(found, wanted, tolerance=1e-12):
    scale = max(1.0, wanted.abs().max().item())
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * scale)


METHODS = {
    "gradient_descent": lambda x, y: learners.gradient_descent(x, y, 4, 0.1),
    "momentum": lambda x, y: learners.gradient_descent(x, y, 4, 0.1, momentum=0.7),
    "gd_plus_plus": lambda x, y: learners.gd_plus_plus(x, y, [0.2, 0.1, 0.3], [0.02, 0.01, 0.0]),
    "newton": lambda x, y: learners.newton(x, y, 5),
    "conjugate_gradient": lambda x, y: learners.conjugate_gradient(x, y, 2),
    "least_squares": learners.least_squares,
    "ridge": lambda x, y: learners.ridge(x, y, 0.1),
    "averaging": learners.averaging,
}


@pytest.mark.parametrize("name", METHODS)
@given(**SIZES)
def test_row_k_is_what_the_first_k_pairs_alone_give(name, points, dimension, seed):
    x, y = draw(points, dimension, seed)
    together = METHODS[name](x, y)
    assert not together[:, 0].any()
    for k in range(1, points + 1):
        close(together[:, k], METHODS[name](x[:, :k], y[:, :k])[:, -1], 1e-8)


@pytest.mark.parametrize("name", METHODS)
@given(**SIZES)
def test_the_order_of_the_pairs_does_not_matter(name, points, dimension, seed):
    x, y = draw(points, dimension, seed)
    order = torch.randperm(points, generator=torch.Generator().manual_seed(seed))
    close(METHODS[name](x[:, order], y[:, order])[:, -1], METHODS[name](x, y)[:, -1], 1e-8)


@pytest.mark.parametrize("name", METHODS)
@given(**SIZES)
def test_turned_inputs_turn_the_weights(name, points, dimension, seed):
    x, y = draw(points, dimension, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    turn, _ = torch.linalg.qr(
        torch.randn(dimension, dimension, generator=generator, dtype=torch.float64)
    )
    close(METHODS[name](x @ turn, y), METHODS[name](x, y) @ turn, 1e-8)


@pytest.mark.parametrize("name", METHODS)
@given(factor=st.floats(-3, 3), **SIZES)
def test_the_weights_are_linear_in_the_targets(name, factor, points, dimension, seed):
    x, y = draw(points, dimension, seed)
    # conjugate gradient adapts its polynomial to the targets: scaling is all that it keeps
    close(METHODS[name](x, factor * y), factor * METHODS[name](x, y), 1e-8)


@given(**SIZES)
def test_no_momentum_and_the_identity_are_plain_descent(points, dimension, seed):
    x, y = draw(points, dimension, seed)
    plain = learners.gradient_descent(x, y, 3, 0.1)
    identity = torch.eye(dimension, dtype=x.dtype)
    close(learners.gradient_descent(x, y, 3, 0.1, momentum=0.0), plain)
    close(learners.gradient_descent(x, y, 3, 0.1, preconditioner=identity), plain)
    close(learners.preconditioned(x, y, 0.1 * identity.expand(3, -1, -1)), plain)
    close(learners.gd_plus_plus(x, y, [0.1] * 3, [0.0] * 3), plain)
    path = learners.gradient_descent(x, y, 3, 0.1, trajectory=True)
    close(path[-1], plain)
    close(path[2], learners.gradient_descent(x, y, 2, 0.1))


def gd_plus_plus_token_by_token(x, y, query, step_sizes, shrinks):
    """The layers as they are written in the paper, for one prompt and one query."""
    guess = torch.zeros((), dtype=x.dtype)
    for eta, gamma in zip(step_sizes, shrinks, strict=True):
        moves = sum(y[i] * x[i] for i in range(len(x))) * eta / len(x)
        shrink = torch.eye(x.shape[1], dtype=x.dtype) - gamma * sum(torch.outer(v, v) for v in x)
        y, guess = y - x @ moves, guess + query @ moves
        x, query = x @ shrink, shrink @ query
    return guess


@given(**SIZES)
def test_effective_weights_of_gd_plus_plus_answer_any_query(points, dimension, seed):
    x, y = draw(points, dimension, seed, batch=1)
    etas, gammas = [0.3, 0.2, 0.4, 0.1], [0.03, 0.02, 0.01, 5.0]
    query = torch.randn(dimension, generator=torch.Generator().manual_seed(seed), dtype=x.dtype)
    weights = learners.gd_plus_plus(x, y, etas, gammas)[0, -1]
    close(weights @ query, gd_plus_plus_token_by_token(x[0], y[0], query, etas, gammas))


@given(**SIZES)
def test_conjugate_gradient_arrives_after_as_many_steps_as_the_rank(points, dimension, seed):
    x, y = draw(points, dimension, seed)
    wanted = learners.least_squares(x, y)
    for k in range(points + 1):
        values = torch.linalg.svdvals(x[:, :k]) if k else torch.ones(1, 1)
        if (values[..., 0] / values[..., -1]).max() < 30:
            rank = min(k, dimension)
            found = learners.conjugate_gradient(x, y, rank)[:, k]
            close(found, wanted[:, k], 1e-7)
            close(learners.conjugate_gradient(x, y, rank + 5)[:, k], wanted[:, k], 1e-7)


def test_conjugate_gradient_is_ahead_of_descent_at_every_step():
    x, y = draw(30, 6, noise=0.0)

    def loss(w):
        return (torch.einsum("bnd,sbd->sbn", x, w[:, :, -1]) - y).square().sum(-1)

    stable = learners.stable_step_size(x)
    fast = loss(learners.conjugate_gradient(x, y, 5, trajectory=True))
    slow = loss(learners.gradient_descent(x, y, 5, stable / 2, trajectory=True))
    assert (fast[1:] < slow[1:]).all()


@given(scale=st.floats(0.1, 1.95), **SIZES)
def test_newton_by_its_own_recursion(scale, points, dimension, seed):
    x, y = draw(points, dimension, seed, batch=1)
    gram = x[0].T @ x[0]
    inverse = scale / torch.linalg.eigvalsh(gram)[-1] ** 2 * gram
    path = learners.newton(x, y, 4, scale=scale, trajectory=True)[:, 0, -1]
    for found in path:
        close(found, inverse @ x[0].T @ y[0], 1e-10)
        inverse = 2 * inverse - inverse @ gram @ inverse


def test_newton_squares_its_error():
    x, y = draw(40, 5, batch=20)
    wanted = learners.least_squares(x, y)[:, -1]
    path = learners.newton(x, y, 8, scale=1.0, trajectory=True)[:, :, -1]
    _, vectors = torch.linalg.eigh(x.mT @ x)

    def gaps(w):
        return torch.einsum("bde,bd->be", vectors, w - wanted) / torch.einsum(
            "bde,bd->be", vectors, wanted
        )

    for before, after in itertools.pairwise(path[:6]):
        torch.testing.assert_close(gaps(after), -gaps(before).square(), rtol=1e-6, atol=1e-11)


def test_reference_decay_of_newton_and_descent():
    """d = 20, N = 40, no noise: the error against steps, as computed once by independent code."""
    generator = torch.Generator().manual_seed(0)
    p = linear_prompts(1000, 40, 20, generator=generator, dtype=torch.float64)

    def error(w):
        return (w[..., -1, :] - p.weights).square().mean((-1, -2))

    newton = error(learners.newton(p.inputs, p.targets, 11, trajectory=True))
    for step, wanted in {7: 0.033, 8: 0.012, 9: 3e-3, 10: 6e-4, 11: 5e-5}.items():
        assert newton[step].item() == pytest.approx(wanted, rel=0.25)
    half = learners.stable_step_size(p.inputs) / 2
    descent = error(learners.gradient_descent(p.inputs, p.targets, 50, half, trajectory=True))
    for step, wanted in {1: 0.50, 10: 0.058, 30: 5.7e-3, 50: 1.1e-3}.items():
        assert descent[step].item() == pytest.approx(wanted, rel=0.2)


def test_descent_just_below_the_largest_stable_step_converges_and_above_it_does_not():
    x, y = draw(6, 3)
    for options in (
        {},
        {"momentum": 0.6},
        {"preconditioner": torch.diag(torch.arange(1.0, 4)).double()},
    ):
        stable = learners.stable_step_size(x, **options)
        assert stable[:, 0].isinf().all()

        def end(factor, stable=stable, options=options):
            rate = torch.where(stable.isinf(), 1, factor * stable)
            path = learners.gradient_descent(x, y, 3000, rate, trajectory=True, **options)
            return path[-1].abs().amax(-1)[:, 1:]

        assert (end(0.99) < 1e3).all()
        assert (end(1.01) > 1e3).all()


def test_overflow_is_an_exception_that_names_the_largest_stable_step():
    x, y = draw(6, 3)
    stable = learners.stable_step_size(x).min().item()
    with pytest.raises(learners.Diverging, match=f"stable on every prefix is {stable:.6g}") as info:
        learners.gradient_descent(x, y, 5000, 100 * stable)
    assert info.value.largest_stable == pytest.approx(stable)
    with pytest.raises(learners.Diverging, match="GD\\+\\+"):
        learners.gd_plus_plus(x, y, [1e200] * 4, [0.0] * 4)
    with pytest.raises(learners.Diverging, match="preconditioned"):
        learners.preconditioned(x, y, 1e200 * torch.eye(3).double().expand(4, 3, 3))


def test_no_batch_two_batch_dimensions_and_single_precision():
    x, y = draw(6, 3, batch=4)
    for method in METHODS.values():
        wanted = method(x, y)
        close(method(x.view(2, 2, 6, 3), y.view(2, 2, 6)), wanted.view(2, 2, 7, 3))
        close(method(x[0], y[0]), wanted[0])
        found = method(x[:, :2].float(), y[:, :2].float())
        assert found.dtype == torch.float32
        close(found.double(), wanted[:, :3], 1e-3)
    path = learners.gradient_descent(x.view(2, 2, 6, 3), y.view(2, 2, 6), 3, 0.1, trajectory=True)
    assert path.shape == (4, 2, 2, 7, 3)
    assert learners.predict_next(path, x.view(2, 2, 6, 3)).shape == (4, 2, 2, 6)


def test_a_prompt_does_not_depend_on_the_chunk_that_it_is_in(monkeypatch):
    x, y = draw(6, 3, batch=9)
    wanted = [method(x, y) for method in METHODS.values()]
    monkeypatch.setattr("icl_lib.learners.iterative._chunk", lambda _: 2)
    monkeypatch.setattr("icl_lib.learners.linear.CHUNK", 18)
    rate = learners.stable_step_size(x).clamp(max=1) / 3
    for method, all_at_once in zip(METHODS.values(), wanted, strict=True):
        close(method(x, y), all_at_once)
    few = learners.gradient_descent(x[4:5], y[4:5], 3, rate[4:5])
    close(learners.gradient_descent(x, y, 3, rate)[4:5], few)


def test_errors_say_what_was_expected():
    x, y = draw(4, 3)
    with pytest.raises(ValueError, match="expected both float32 or both float64"):
        learners.newton(x, y.float(), 1)
    with pytest.raises(ValueError, match="inputs are on cpu, targets on meta; expected one device"):
        learners.ridge(x, y.to("meta"), 0.1)
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\), got 1"):
        learners.gradient_descent(x, y, 1, 0.1, momentum=1)
    with pytest.raises(ValueError, match="they must agree"):
        learners.gradient_descent(x, y, 1, 0.1, preconditioner=torch.eye(3))
    with pytest.raises(ValueError, match="got 2 step sizes and 1 shrinks"):
        learners.gd_plus_plus(x, y, [0.1, 0.1], [0.1])
    for scale in (0.0, 2.0):
        with pytest.raises(ValueError, match="scale must lie between 0 and 2"):
            learners.newton(x, y, 1, scale=scale)
    for method in (METHODS["newton"], METHODS["conjugate_gradient"], learners.least_squares):
        with pytest.raises(ValueError, match="not finite"):
            method(x, y * torch.inf)
