"""The algebra of factored updates agrees with that of the matrices they stand for."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.dual import OuterSum

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 7), st.integers(1, 9))
SEEDS = st.integers(0, 2**31 - 1)


def draw(n: int, o: int, d: int, seed: int) -> OuterSum:
    g = torch.Generator().manual_seed(seed)
    return OuterSum(
        torch.randn(n, o, generator=g, dtype=torch.float64),
        torch.randn(n, d, generator=g, dtype=torch.float64),
    )


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_two_examples_by_hand():
    s = OuterSum(torch.tensor([[1.0, 0.0], [2.0, 3.0]]), torch.tensor([[1.0, -1.0], [0.0, 2.0]]))
    close(s.as_matrix(), torch.tensor([[1.0, 3.0], [0.0, 6.0]]))
    close(s.apply(torch.tensor([2.0, 1.0])), torch.tensor([5.0, 6.0]))
    close(s.scores(torch.tensor([2.0, 1.0])), torch.tensor([1.0, 2.0]))


@given(SIZES, SEEDS)
def test_attention_and_matrix_give_the_same_answer_for_any_chunk(sizes, seed):
    s = draw(*sizes, seed)
    x = draw(5, 1, sizes[2], seed + 1).keys.reshape(5, 1, -1)
    matrix = x @ s.as_matrix().T
    close(s.apply_as_matrix(x), matrix)
    for chunk in (None, 1, 3, 1000):
        close(s.apply(x, chunk=chunk), matrix)


@given(SIZES, st.integers(1, 12), SEEDS)
def test_operators_are_those_of_the_matrices(sizes, m, seed):
    n, o, d = sizes
    s, t = draw(n, o, d, seed), draw(m, o, d, seed + 1)
    a, b = s.as_matrix(), t.as_matrix()
    close((s + t).as_matrix(), a + b)
    close((s - t).as_matrix(), a - b)
    close((2.5 * s).as_matrix(), 2.5 * a)
    close((s * torch.tensor(3.0)).as_matrix(), 3 * a)
    close((s / 4).as_matrix(), a / 4)
    close(s.T.as_matrix(), a.T)
    close((s[: n // 2] + s[n // 2 :]).as_matrix(), a)
    weights = torch.linspace(-1, 2, n, dtype=torch.float64)
    close(s.weigh(weights).as_matrix(), s.errors.T @ torch.diag(weights) @ s.keys)
    p, q = draw(3, o, d, seed + 2).errors, draw(2, o, d, seed + 3).keys.T
    close(s.left(p).right(q).as_matrix(), p @ a @ q)


@given(SIZES, st.integers(1, 12), SEEDS)
def test_size_and_angle_are_those_of_the_matrices(sizes, m, seed):
    n, o, d = sizes
    s, t = draw(n, o, d, seed), draw(m, o, d, seed + 1)
    a, b = s.as_matrix(), t.as_matrix()
    for by in ("auto", "pairs", "rows"):
        for chunk in (None, 1, 4):
            close(s.inner(t, by=by, chunk=chunk), (a * b).sum(), 1e-11)
    close(s.norm(), a.norm())
    close(s.cosine(t), (a * b).sum() / (a.norm() * b.norm()), 1e-11)
    full = torch.linalg.svdvals(a)
    values = s.singular_values()
    close(values, full[: len(values)], 1e-11)
    assert s.rank() == torch.linalg.matrix_rank(a)


def test_rank_counts_directions_and_not_examples(generator):
    key = torch.randn(1, 6, generator=generator, dtype=torch.float64)
    errors = torch.randn(20, 4, generator=generator, dtype=torch.float64)
    assert OuterSum(errors, key.expand(20, 6)).rank() == 1
    assert OuterSum.zero(4, 6).rank() == 0
    assert draw(3, 50, 60, 0).rank() == 3
    assert draw(30, 50, 60, 0).rank(tolerance=0.999999) == 1


def test_norm_keeps_its_digits_when_the_sum_cancels():
    s = draw(3, 20, 30, 0)
    nothing = s - s
    assert nothing.norm() < 1e-14 * s.norm()
    many = draw(300, 4, 5, 0)
    assert (many - many).norm() < 1e-13 * many.norm()


def test_matrix_of_any_size_is_never_built():
    wide = 100_000  # the matrix would take 80 GB
    s = draw(4, 8, 8, 0)
    big = OuterSum(s.errors.repeat(1, wide // 8), s.keys.repeat(1, wide // 8))
    close(big.norm(), (wide // 8) * s.norm())
    close(big.inner(2 * big), 2 * (wide // 8) ** 2 * s.norm() ** 2)
    assert big.rank() == 4


def test_zero_has_no_examples_and_answers_zero():
    zero = OuterSum.zero(2, 3, dtype=torch.float64)
    assert len(zero) == 0
    assert zero.shape == (2, 3)
    close(zero.apply(torch.ones(4, 3, dtype=torch.float64)), torch.zeros(4, 2, dtype=torch.float64))
    assert zero.norm() == 0
    assert zero.cosine(zero) == 0
    s = draw(2, 2, 3, 0)
    close((zero + s).as_matrix(), s.as_matrix())


def test_attention_is_differentiable_in_queries_and_factors():
    e, k, x = (draw(4, 3, 3, i).keys.requires_grad_() for i in range(3))
    torch.autograd.gradcheck(lambda e, k, x: OuterSum(e, k).apply(x, chunk=3), (e, k, x))


def test_conversion_moves_both_factors():
    s = draw(3, 2, 4, 0).to(torch.float32)
    assert s.dtype == s.errors.dtype == torch.float32
    assert repr(s) == "OuterSum(N=3, o=2, d=4, torch.float32)"


@pytest.mark.usefixtures("unchecked")
def test_errors_say_what_came():
    s = draw(3, 2, 4, 0)
    e, k = s.errors, s.keys
    with pytest.raises(ValueError, match="got 2 error signals and 3 keys"):
        OuterSum(e[:2], k)
    with pytest.raises(ValueError, match="must be matrices, got 1 and 2 axes"):
        OuterSum(e[0], k)
    with pytest.raises(ValueError, match=r"errors are torch\.float32"):
        OuterSum(e.float(), k)
    with pytest.raises(ValueError, match="queries have width 5, keys 4"):
        s.apply(torch.zeros(5, dtype=torch.float64))
    with pytest.raises(ValueError, match="chunk must be at least 1, got 0"):
        s.apply(k, chunk=0)
    with pytest.raises(ValueError, match=r"must have one shape, got \[\(2, 4\), \(4, 2\)\]"):
        s + s.T
    with pytest.raises(ValueError, match=r"shapes are \(2, 4\) and \(4, 2\)"):
        s.inner(s.T)
    with pytest.raises(ValueError, match=r"one number, got shape \(3,\)"):
        s * torch.ones(3)
    with pytest.raises(ValueError, match=r"got \(2,\) weights for 3 examples"):
        s.weigh(torch.ones(2, dtype=torch.float64))
    with pytest.raises(ValueError, match="by must be auto, pairs or rows"):
        s.inner(s, by="columns")
