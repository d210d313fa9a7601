"""Trainings of several layers: their prompts, what is read off the weights, what ships."""

import pytest
import torch

from icl_lib.learners.constructions import descent_layers
from icl_lib.learners.iterative import preconditioned
from icl_lib.models.linear_transformer import LinearTransformer
from icl_lib.recipes import deep_attention
from icl_lib.recipes.deep_attention import RECIPES, covariance, measure, preconditioners, stretched
from icl_lib.recipes.linear_attention import ask
from icl_lib.tasks.regression import linear_prompts


def plain(batch: int = 4, dimension: int = 5):
    generator = torch.Generator().manual_seed(0)
    return linear_prompts(batch, 21, dimension, generator=generator, dtype=torch.float64)


def test_covariance_has_the_chosen_variances_and_is_always_the_same():
    sigma = covariance()
    found = torch.linalg.eigvalsh(sigma)
    wanted = torch.tensor(sorted(deep_attention.SPREAD), dtype=torch.float64)
    torch.testing.assert_close(found, wanted)
    assert torch.equal(sigma, covariance())
    assert (sigma - torch.diag(sigma.diagonal())).abs().max() > 0.05


def test_stretched_inputs_have_the_covariance():
    inputs = stretched(plain(batch=4000), inverse_prior=False).inputs.flatten(0, 1)
    torch.testing.assert_close(inputs.T.cov(), covariance(), atol=0.02, rtol=0)


@pytest.mark.parametrize("inverse_prior", [False, True])
def test_targets_stay_those_of_the_weights(inverse_prior):
    prompts = stretched(plain(), inverse_prior=inverse_prior)
    wanted = torch.einsum("bnd,bd->bn", prompts.inputs, prompts.weights)
    torch.testing.assert_close(prompts.targets, wanted)


def test_with_the_inverse_prior_no_target_changes_and_weights_vary_inversely():
    before = plain(batch=20_000)
    after = stretched(before, inverse_prior=True)
    assert torch.equal(after.targets, before.targets)
    found = after.weights.T.cov() @ covariance()
    torch.testing.assert_close(found, torch.eye(5, dtype=torch.float64), atol=0.06, rtol=0)


def test_a_wrong_dimension_is_refused():
    with pytest.raises(ValueError, match="the covariance is for 5 inputs, got 3"):
        stretched(plain(dimension=3), inverse_prior=False)


def test_preconditioners_of_a_constructed_network_are_those_it_was_built_with():
    generator = torch.Generator().manual_seed(1)
    matrices = torch.randn(3, 5, 5, generator=generator, dtype=torch.float64) / 5
    layers = descent_layers(5, 20, [1.0] * 3, preconditioners=list(matrices))
    scaled = [(2.0 * key_query, 10.0 * value_out) for key_query, value_out in layers]
    model = LinearTransformer.from_layers(scaled, average=True)
    torch.testing.assert_close(preconditioners(model), matrices)


def test_a_sparse_network_takes_preconditioned_steps_whatever_its_weights():
    recipe = deep_attention.find("regression-spread3")
    model, prompts = recipe.untrained().double(), plain()
    weights = preconditioned(prompts.inputs, prompts.targets, preconditioners(model))
    wanted = (weights[:, -2] * prompts.inputs[:, -1]).sum(-1)
    said = ask(model, prompts.inputs, prompts.targets)
    torch.testing.assert_close(said, wanted, rtol=1e-12, atol=1e-12)


def test_a_looped_network_has_one_set_of_matrices():
    for layers in (2, 3, 5):
        model = deep_attention.find(f"regression-loop{layers}").untrained()
        assert len(model.matrices()) == layers
        assert sum(p.numel() for p in model.parameters()) == 4 * 11 * 11


def test_first_steps_are_the_same_whether_or_not_more_follow():
    recipe = deep_attention.find("regression-spread")
    few = recipe.train(recipe.untrained(), steps=2).losses
    assert recipe.train(recipe.untrained(), steps=4).losses[:2] == few


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(KeyError, match="regression-loop2-seed1"):
        deep_attention.find("regression-loop9")


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_network_is_what_its_card_says(name):
    recipe, (model, card) = RECIPES[name], deep_attention.shipped(name)
    assert card["command"] == f"icl-lib train {name}"
    found = measure(recipe, model, prompts=100_000, seed=1)
    assert found == pytest.approx(card["metrics"]["mse"], rel=1e-3)
    losses = recipe.train(recipe.untrained(), steps=3).losses
    assert losses == pytest.approx(card["first_losses"][:3], rel=1e-3)
