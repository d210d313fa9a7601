"""The Lasso against scikit-learn and its own conditions of optimality; nearest neighbours."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso

from icl_lib import learners
from icl_lib.learners import homotopy
from icl_lib.tasks.regression import linear_prompts


def draw(points, dimension, seed=0, batch=2, noise=0.5):
    generator = torch.Generator().manual_seed(seed)
    prompts = linear_prompts(
        batch, points, dimension, noise=noise, generator=generator, dtype=torch.float64
    )
    return prompts.inputs, prompts.targets


@settings(max_examples=25)
@given(
    points=st.integers(1, 12), dimension=st.integers(1, 8), seed=st.integers(0, 999),
    penalty=st.sampled_from([1.0, 0.1, 0.01, 1e-3]), noise=st.sampled_from([0.0, 0.5]),
)  # fmt: skip
def test_every_prefix_is_optimal(points, dimension, seed, penalty, noise):
    x, y = draw(points, dimension, seed, noise=noise)
    weights = learners.lasso(x, y, penalty)
    assert learners.lasso_gap(x, y, weights, penalty).max().item() < 1e-9
    for k in range(1, points + 1):
        model = Lasso(alpha=penalty, fit_intercept=False, tol=1e-12, max_iter=100_000)
        wanted = torch.from_numpy(model.fit(x[0, :k].numpy(), y[0, :k].numpy()).coef_)
        torch.testing.assert_close(weights[0, k], wanted, rtol=0, atol=1e-5)


def test_the_gap_sees_weights_that_are_not_optimal():
    x, y = draw(20, 4)
    weights = learners.lasso(x, y, 0.1)
    assert learners.lasso_gap(x, y, weights, 0.1)[:, 1:].max().item() < 1e-12
    assert (learners.lasso_gap(x, y, weights + 0.01, 0.1)[:, 1:] > 1e-3).all()
    assert (learners.lasso_gap(x, y, learners.least_squares(x, y), 0.1)[:, 5:] > 0.01).all()


def test_orthogonal_inputs_shrink_each_weight_by_itself():
    x = 2 * torch.eye(4, dtype=torch.float64)[None]
    y = torch.tensor([[3.0, -1.0, 0.2, 5.0]], dtype=torch.float64)
    found = learners.lasso(x, y, 0.3)[0, -1]
    slopes, curvature = 2 * y[0] / 4, 1.0
    wanted = slopes.sign() * (slopes.abs() - 0.3).clamp(min=0) / curvature
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-14)
    assert found[2] == 0


@settings(max_examples=5)
@given(seed=st.integers(0, 99), dimension=st.integers(1, 4))
def test_coordinate_descent_ends_where_the_path_does(seed, dimension):
    x, y = draw(12, dimension, seed)
    wanted = learners.lasso(x, y, 0.1)
    with pytest.MonkeyPatch.context() as patch:  # as if rounding had misled the path
        patch.setattr("icl_lib.learners.sparse.follow", lambda gram, moment, _: 0 * moment)
        found = learners.lasso(x, y, 0.1)
    torch.testing.assert_close(found[:, dimension + 2 :], wanted[:, dimension + 2 :])
    assert learners.lasso_gap(x, y, found, 0.1).max() < 1e-9


def test_the_path_alone_arrives_where_nothing_is_singular():
    x, y = draw(30, 8, batch=40)
    gram, moment = x.mT @ x / 30, (x.mT @ y[..., None])[..., 0] / 30
    for penalty in (0.3, 0.01):
        found = homotopy.follow(gram, moment, penalty)
        wanted = learners.lasso(x, y, penalty)[:, -1]
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_the_path_goes_on_from_repeated_and_zero_inputs():
    x, y = draw(6, 3)
    x = torch.cat([x, x, 0 * x, x[..., :1].expand_as(x)], dim=-2)
    y = torch.cat([y, y, y, y], dim=-1)
    weights = learners.lasso(x, y, 0.05)
    assert learners.lasso_gap(x, y, weights, 0.05).max().item() < 1e-9


def test_no_weight_when_the_penalty_is_large_and_bad_input():
    x, y = draw(6, 3)
    assert not learners.lasso(x, y, 1e6).any()
    gram, moment = torch.eye(2)[None], torch.tensor([[3.0, 1.0]])
    assert homotopy.follow(gram, moment, 2.0).tolist() == [[1.0, 0.0]]
    with pytest.raises(ValueError, match="for 0 use least_squares"):
        learners.lasso(x, y, 0.0)
    with pytest.raises(ValueError, match="not finite"):
        learners.lasso(x, y * torch.nan, 0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("icl_lib.learners.sparse.follow", lambda gram, moment, _: 0 * moment)
        with pytest.raises(ArithmeticError, match="did not converge in 0 sweeps"):
            learners.lasso(x, y, 1e-3, sweeps=0)


@given(
    points=st.integers(1, 9), dimension=st.integers(1, 4), seed=st.integers(0, 999),
    neighbours=st.integers(1, 5),
)  # fmt: skip
def test_nearest_neighbours_equal_a_loop(points, dimension, seed, neighbours):
    x, y = draw(points, dimension, seed)
    found = learners.nearest_neighbours(x, y, neighbours)
    for b in range(2):
        assert found[b, 0] == 0
        for k in range(1, points):
            order = (x[b, :k] - x[b, k]).norm(dim=-1).argsort()[:neighbours]
            torch.testing.assert_close(found[b, k], y[b, order].mean())


def test_neighbours_must_be_at_least_one():
    x, y = draw(3, 2)
    with pytest.raises(ValueError, match="neighbours must be at least 1, got 0"):
        learners.nearest_neighbours(x, y, 0)
