"""Votes over shapes: hand-made cases, ridge as the limit, and the best error among all rivals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib import learners
from icl_lib.learners.votes import sparse_vote, tree_vote
from icl_lib.tasks.functions import sparse_prompts, tree_prompts


def sparse(batch, points, dimension, nonzero, seed=0, noise=0.0):
    generator = torch.Generator().manual_seed(seed)
    return sparse_prompts(
        batch, points, dimension, nonzero, noise=noise, generator=generator, dtype=torch.float64
    )


def trees(batch, points, dimension, depth, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tree_prompts(batch, points, dimension, depth, generator=generator, dtype=torch.float64)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 7), st.floats(0.05, 2), st.integers(0, 99))
def test_with_all_weights_non_zero_the_vote_is_ridge(d, points, noise, seed):
    p = sparse(3, points, d, d, seed, noise)
    vote = sparse_vote(p.inputs, p.targets, d, noise=noise)
    torch.testing.assert_close(vote, learners.ridge(p.inputs, p.targets, noise**2))


def test_one_of_two_inputs_by_hand():
    x, y = torch.tensor([[1.0, 2.0]], dtype=torch.float64), torch.tensor([2.0]).double()
    vote = sparse_vote(x, y, 1, noise=1.0)[-1]
    variance = torch.tensor([2.0, 5.0]).double()  # of y if the input alone decides
    evidence = torch.exp(-(y**2) / (2 * variance)) / variance.sqrt()
    mean = torch.tensor([1.0, 2.0]).double() * y / variance
    torch.testing.assert_close(vote, evidence / evidence.sum() * mean)


def test_after_more_pairs_than_weights_the_support_is_found():
    p = sparse(200, 8, 6, 2)
    vote = sparse_vote(p.inputs, p.targets, 2, noise=1e-4)
    torch.testing.assert_close(vote[:, 4], p.weights, atol=1e-4, rtol=0)
    assert (vote[:, 0] == 0).all()


def test_nothing_beats_the_sparse_vote_on_its_own_prompts():
    p = sparse(4000, 8, 6, 2, seed=1, noise=0.3)

    def error(weights):
        return (learners.predict_next(weights, p.inputs) - p.targets).square().mean()

    best = error(sparse_vote(p.inputs, p.targets, 2, noise=0.3))
    rivals = [
        learners.least_squares(p.inputs, p.targets),
        learners.ridge(p.inputs, p.targets, 0.09),
        learners.lasso(p.inputs, p.targets, 0.1),
        sparse_vote(p.inputs, p.targets, 1, noise=0.3),
        sparse_vote(p.inputs, p.targets, 3, noise=0.3),
    ]
    assert all(best < error(weights) for weights in rivals)


def test_later_pairs_change_no_earlier_row():
    p = sparse(2, 6, 5, 2)
    short = sparse_vote(p.inputs[:, :3], p.targets[:, :3], 2)
    torch.testing.assert_close(sparse_vote(p.inputs, p.targets, 2)[:, :4], short)
    t = trees(2, 6, 3, 2)
    short = tree_vote(t.inputs[:, :3], t.targets[:, :3], 2)
    torch.testing.assert_close(tree_vote(t.inputs, t.targets, 2)[:, :3], short)


def test_a_stump_with_two_inputs_by_hand():
    x = torch.tensor([[1, 1], [1, -1], [-1, 1]], dtype=torch.float64)
    same = tree_vote(x, torch.tensor([3.0, 3.0, 9.0]).double(), 1)
    # nothing seen; input 1 says 3, input 2 says "unseen"; then only input 1 is possible
    assert same.tolist() == [0.0, 1.5, 0.0]
    other = tree_vote(x, torch.tensor([3.0, 5.0, 3.0]).double(), 1)
    assert other.tolist() == [0.0, 1.5, 3.0]


def brute_force(x, y, depth, k):
    """One tree at a time, one point at a time."""
    from itertools import product

    votes = []
    for asked in product(range(x.shape[1]), repeat=2**depth - 1):
        ends = []
        for point in x[: k + 1]:
            node = 0
            for _ in range(depth):
                node = 2 * node + 1 + int(point[asked[node]] >= 0)
            ends.append(node)
        pairs = [(i, j) for i in range(k) for j in range(i)]
        if all((ends[i] == ends[j]) == (y[i] == y[j]).item() for i, j in pairs):
            known = [y[i].item() for i in range(k) if ends[i] == ends[k]]
            votes.append(known[0] if known else 0.0)
    return sum(votes) / len(votes)


@pytest.mark.parametrize(("d", "depth"), [(2, 2), (3, 2), (4, 1)])
def test_tree_vote_equals_counting_tree_after_tree(d, depth):
    t = trees(3, 7, d, depth, seed=2)
    vote = tree_vote(t.inputs, t.targets, depth)
    for b in range(3):
        for k in range(7):
            wanted = brute_force(t.inputs[b], t.targets[b], depth, k)
            assert vote[b, k].item() == pytest.approx(wanted, abs=1e-12)


def test_tree_vote_is_calibrated_so_its_error_and_spread_add_up():
    t = trees(20_000, 12, 3, 2, seed=3)
    vote = tree_vote(t.inputs, t.targets, 2)
    error = (vote - t.targets).square().mean(0)
    told = vote.square().mean(0)
    torch.testing.assert_close(error + told, torch.ones(12, dtype=torch.float64), atol=0.05, rtol=0)
    assert (error[1:] < error[:-1] + 0.02).all()


def test_bad_arguments_are_refused():
    p, t = sparse(2, 4, 5, 2), trees(2, 8, 3, 2)
    with pytest.raises(ValueError, match="nonzero must be between 1 and 5"):
        sparse_vote(p.inputs, p.targets, 6)
    with pytest.raises(ValueError, match="noise must be positive"):
        sparse_vote(p.inputs, p.targets, 2, noise=0.0)
    with pytest.raises(ValueError, match="a vote over 16384 shapes is refused"):
        tree_vote(torch.zeros(1, 2, 4), torch.zeros(1, 2), 3)
    with pytest.raises(ValueError, match="fits no tree of depth 2"):
        tree_vote(t.inputs, torch.arange(16.0).view(2, 8).double(), 2)
    with pytest.raises(ValueError, match="depth must be at least 1"):
        tree_vote(t.inputs, t.targets, 0)
