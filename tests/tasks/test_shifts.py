"""Shifted prompts: the hidden function stays, what is shown changes as it says, nothing else."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.tasks import shifts
from icl_lib.tasks.regression import linear_prompts


def drawn(seed=0, batch=64, points=7, d=4, noise=0.0):
    g = torch.Generator().manual_seed(seed)
    return linear_prompts(batch, points, d, noise=noise, generator=g, dtype=torch.float64)


def seeded(seed=5):
    return torch.Generator().manual_seed(seed)


EVERY = {
    "inputs": lambda p: shifts.scale_inputs(p, 1.7),
    "query": lambda p: shifts.scale_query(p, 3.0),
    "weights": lambda p: shifts.scale_weights(p, 2.5),
    "stretch": lambda p: shifts.stretch(p, [2.0, 1.0, 0.5, 0.1]),
    "orthant": lambda p: shifts.one_orthant(p, generator=seeded()),
    "subspace": lambda p: shifts.subspace(p, 2, generator=seeded()),
    "noise": lambda p: shifts.add_noise(p, 1.0, generator=seeded()),
    "repeated": shifts.repeat_points,
    "outlier": lambda p: shifts.add_outlier(p, 9.0, generator=seeded()),
}


@pytest.mark.parametrize("name", EVERY)
def test_given_prompts_stay_and_the_query_is_answered_by_the_hidden_function(name):
    prompts = drawn()
    before = [t.clone() for t in (prompts.inputs, prompts.targets, prompts.weights)]
    moved = EVERY[name](prompts)
    for ours, kept in zip(before, (prompts.inputs, prompts.targets, prompts.weights), strict=True):
        assert torch.equal(ours, kept)
    asked = (moved.inputs[:, -1] * moved.weights).sum(-1)
    torch.testing.assert_close(moved.targets[:, -1], asked, rtol=0, atol=1e-12)
    assert not torch.equal(
        torch.cat([moved.inputs, moved.targets[..., None]], -1),
        torch.cat([prompts.inputs, prompts.targets[..., None]], -1),
    )


@pytest.mark.parametrize("name", ["inputs", "query", "weights", "stretch", "orthant", "subspace"])
def test_noise_of_the_targets_is_kept(name):
    prompts = drawn(noise=0.7)
    moved = EVERY[name](prompts)

    def errors(p):
        return p.targets - torch.einsum("bnd,bd->bn", p.inputs, p.weights)

    torch.testing.assert_close(errors(moved), errors(prompts), rtol=0, atol=1e-12)


@given(seed=st.integers(0, 50), factor=st.floats(0.1, 5))
def test_scaling_inputs_back_gives_the_prompts_back(seed, factor):
    prompts = drawn(seed, batch=3)
    back = shifts.scale_inputs(shifts.scale_inputs(prompts, factor), 1 / factor)
    torch.testing.assert_close(back.targets, prompts.targets, rtol=0, atol=1e-12)


def test_orthant_signs_agree_within_a_prompt_and_differ_between_prompts():
    signs = EVERY["orthant"](drawn()).inputs[:, :-1].sign()
    assert (signs == signs[:, :1]).all()
    assert len(signs[:, 0].unique(dim=0)) == 16


def test_subspace_has_its_size_and_keeps_what_lies_in_it():
    moved = shifts.subspace(drawn(), 2, generator=seeded())
    assert (torch.linalg.matrix_rank(moved.inputs[:, :-1]) == 2).all()
    whole = shifts.subspace(drawn(), 4, generator=seeded())
    torch.testing.assert_close(whole.inputs, drawn().inputs, rtol=0, atol=1e-12)


def test_stretch_sets_the_deviations():
    moved = shifts.stretch(drawn(batch=4000), [2.0, 1.0, 0.5, 0.1]).inputs
    expected = torch.tensor([2.0, 1.0, 0.5, 0.1], dtype=torch.float64)
    torch.testing.assert_close(moved.std(dim=(0, 1)), expected, rtol=0.03, atol=0)


@pytest.mark.parametrize("points", [7, 8])
def test_repeated_points_show_the_first_half_twice(points):
    moved = shifts.repeat_points(drawn(points=points))
    half = (points - 1) // 2
    assert torch.equal(moved.inputs[:, -1 - half : -1], moved.inputs[:, :half])
    assert len(moved.inputs[0, :-1].unique(dim=0)) == points - 1 - half


def test_one_outlier_a_prompt_and_never_the_query():
    prompts = drawn(batch=500)
    moves = EVERY["outlier"](prompts).targets - prompts.targets
    assert ((moves.abs() > 1).sum(1) == 1).all()
    assert (moves[:, -1] == 0).all()
    assert 0.4 < (moves > 1).any(1).double().mean() < 0.6
    assert (moves.abs().amax(1) - 9).abs().max() < 1e-12


def test_noise_has_its_size():
    prompts = drawn(batch=4000)
    moves = shifts.add_noise(prompts, 0.5, generator=seeded()).targets - prompts.targets
    assert moves[:, :-1].std().item() == pytest.approx(0.5, rel=0.02)


def test_bad_arguments_are_told():
    prompts = drawn()
    with pytest.raises(ValueError, match="factor must be positive, got 0"):
        shifts.scale_inputs(prompts, 0.0)
    with pytest.raises(ValueError, match="expected 4 deviations, got 2"):
        shifts.stretch(prompts, [1.0, 1.0])
    with pytest.raises(ValueError, match="between 1 and 4, got 5"):
        shifts.subspace(prompts, 5, generator=seeded())
    with pytest.raises(ValueError, match="noise must not be negative"):
        shifts.add_noise(prompts, -1.0, generator=seeded())
    with pytest.raises(ValueError, match="a demonstration and a query"):
        shifts.add_outlier(drawn(points=1), 1.0, generator=seeded())


@pytest.mark.parametrize("name", ["orthant", "subspace", "noise", "repeated", "outlier"])
def test_shifts_of_the_demonstrations_leave_the_query_alone(name):
    prompts = drawn()
    moved = EVERY[name](prompts)
    assert torch.equal(moved.inputs[:, -1], prompts.inputs[:, -1])
    assert not torch.equal(moved.targets[:, :-1], prompts.targets[:, :-1])


def test_scaling_the_query_leaves_the_demonstrations_alone():
    prompts = drawn()
    moved = EVERY["query"](prompts)
    assert torch.equal(moved.inputs[:, :-1], prompts.inputs[:, :-1])
    assert torch.equal(moved.inputs[:, -1], 3 * prompts.inputs[:, -1])
