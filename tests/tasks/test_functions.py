"""Function classes: their moments, their shapes, their seeds, and trees followed by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib.tasks.functions import (
    find_leaves,
    network_prompts,
    sparse_prompts,
    tree_prompts,
)
from icl_lib.tasks.regression import linear_prompts

DRAWERS = {
    "sparse": (sparse_prompts, 2),
    "network": (network_prompts, 5),
    "tree": (tree_prompts, 2),
}
each = pytest.mark.parametrize("kind", DRAWERS)


def draw(kind, batch=4, points=6, dimension=3, seed=0, **options):
    drawer, size = DRAWERS[kind]
    generator = torch.Generator().manual_seed(seed)
    options = {"dtype": torch.float64, **options}
    return drawer(batch, points, dimension, size, generator=generator, **options)


@each
def test_the_seed_decides_everything_and_the_global_generator_nothing(kind):
    torch.manual_seed(0)
    first = draw(kind)
    torch.manual_seed(1)
    second, other = draw(kind), draw(kind, seed=1)
    assert torch.equal(first.inputs, second.inputs)
    assert torch.equal(first.targets, second.targets)
    assert not torch.equal(first.targets, other.targets)


@each
def test_shapes_and_types(kind):
    drawn = draw(kind, dtype=torch.float32)
    assert drawn.inputs.shape == (4, 6, 3)
    assert drawn.targets.shape == (4, 6)
    assert drawn.weights.shape == (4, {"sparse": 3, "network": 20, "tree": 4}[kind])
    assert drawn.targets.dtype == torch.float32


@each
def test_noise_is_added_to_the_same_function(kind):
    clean, noisy = draw(kind, batch=500), draw(kind, batch=500, noise=0.5)
    assert torch.equal(clean.inputs, noisy.inputs)
    assert (noisy.targets - clean.targets).std().item() == pytest.approx(0.5, rel=0.05)


@given(st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_sparse_functions_have_so_many_weights_and_are_linear(nonzero, seed):
    generator = torch.Generator().manual_seed(seed)
    p = sparse_prompts(9, 4, 6, nonzero, generator=generator, dtype=torch.float64)
    assert ((p.weights != 0).sum(-1) == nonzero).all()
    torch.testing.assert_close((p.inputs @ p.weights[..., None])[..., 0], p.targets)


def test_each_input_is_chosen_equally_often():
    p = draw("sparse", batch=30_000, points=1)
    torch.testing.assert_close(
        (p.weights != 0).double().mean(0), torch.full((3,), 2 / 3).double(), atol=0.01, rtol=0
    )


def test_networks_have_the_size_of_linear_functions():
    p = draw("network", batch=20_000, points=2, dimension=4)
    ratio = p.targets.square().mean() / p.inputs.square().sum(-1).mean()
    assert ratio.item() == pytest.approx(1, rel=0.05)


def test_a_network_by_hand():
    p = draw("network", batch=1, points=1)
    units = p.weights.view(5, 4)
    total = sum(u[3] * max(0.0, (u[:3] @ p.inputs[0, 0]).item()) for u in units)
    torch.testing.assert_close(p.targets[0, 0], (2 / 5) ** 0.5 * total)


def test_networks_are_homogeneous():
    one, two = draw("network"), draw("network", input_scale=2.0)
    torch.testing.assert_close(two.targets, 2 * one.targets)


def test_trees_do_not_see_the_scale_and_hold_their_leaves():
    one, two = draw("tree", points=40), draw("tree", points=40, input_scale=3.0)
    assert torch.equal(one.targets, two.targets)
    for values, leaves in zip(one.targets, one.weights, strict=True):
        assert set(values.tolist()) <= set(leaves.tolist())


def test_leaves_of_a_tree_by_hand():
    # root asks input 0; its left child input 1, its right child input 2
    asked = torch.tensor([[0, 1, 2]])
    x = torch.tensor([[[-1, -1, 1], [-1, 1, -1], [1, 1, -1], [1, -1, 1], [0, -1, 0.0]]])
    assert find_leaves(x, asked).tolist() == [[0, 1, 2, 3, 3]]


def test_a_tree_needs_a_full_set_of_nodes():
    with pytest.raises(ValueError, match="a full tree has 1, 3, 7, … inner nodes, got 4"):
        find_leaves(torch.zeros(1, 2, 3), torch.zeros(1, 4, dtype=torch.long))


@each
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"points": 0}, "points must be at least 1, got 0"),
        ({"noise": -1.0}, "must not be negative, got -1.0"),
        ({"input_scale": float("nan")}, "must not be negative, got nan"),
    ],
)
def test_bad_sizes_are_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        draw(kind, **options)


def test_more_weights_than_inputs_are_refused():
    with pytest.raises(ValueError, match="nonzero must be between 1 and 3"):
        sparse_prompts(1, 1, 3, 4, generator=torch.Generator())


def test_linear_prompts_draw_what_the_shipped_networks_were_trained_on():
    p = linear_prompts(2, 3, 2, generator=torch.Generator().manual_seed(0))
    wanted = torch.tensor([[-1.6431, 2.4921, -0.6102], [-0.3292, 0.7210, 0.6614]])
    torch.testing.assert_close(p.targets, wanted, atol=1e-4, rtol=0)
