"""Training one layer: what the recipe draws, what it ships, and that it finds the step."""

from dataclasses import replace

import pytest
import torch

from icl_lib import learners
from icl_lib.learners import constructions
from icl_lib.models.linear_transformer import LinearTransformer
from icl_lib.recipes import linear_attention, registry

BEST = {
    "regression-lsa": 2 * 0.2062289562,
    "regression-lsa-gaussian": 10 * 11 / 21,
    "regression-lsa-sparse": 5 * 6 / 26,
}
"""Mean squared error of the best single step, in closed form."""


@pytest.mark.parametrize("name", linear_attention.RECIPES)
def test_every_shipped_layer_is_within_two_per_cent_of_its_closed_form(name):
    model, card = linear_attention.shipped(name)
    best = BEST[name.split("-seed")[0]]
    for error in (
        card["metrics"]["mse"],
        linear_attention.measure(linear_attention.find(name), model, prompts=200_000, seed=7),
    ):
        assert error == pytest.approx(best, rel=0.02)
    assert card["metrics"]["half_mse"] == card["metrics"]["mse"] / 2
    assert card["seconds"] <= 30


def test_training_again_takes_the_steps_that_the_card_shows():
    recipe = linear_attention.find("regression-lsa-seed1")
    _, card = linear_attention.shipped(recipe.name)
    run = recipe.train(recipe.untrained(), steps=5)
    assert run.losses == pytest.approx(card["first_losses"][:5], rel=1e-4)


def test_the_shipped_weights_are_those_of_a_step_and_the_untrained_are_not():
    for name, rate in (("regression-lsa", 6.0606), ("regression-lsa-gaussian", 0.47619)):
        target = constructions.one_step(10, 10, rate, dtype=torch.float32).merged()
        model, _ = linear_attention.shipped(name)
        key_query, value_out = (m[0].detach() for m in model.matrices()[0])
        key_query, value_out = constructions.rescaled((key_query, value_out))
        assert (key_query[:, :-1] - target[0][:, :-1]).norm() < 0.15
        assert value_out[-1, -1].item() == pytest.approx(target[1][-1, -1].item(), rel=0.02)
        start = linear_attention.find(name).untrained().matrices()[0]
        key_query, _ = constructions.rescaled(tuple(m[0].detach() for m in start))
        assert (key_query[:, :-1] - target[0][:, :-1]).norm() > 1


@pytest.mark.parametrize("form", ["factored", "merged", "sparse"])
def test_a_short_training_comes_near_the_best_step_in_every_form(form):
    recipe = linear_attention.find("regression-lsa")
    shape = replace(recipe.model, dimension=3, form=form)
    recipe = replace(recipe, examples=6, steps=400, batch=256, step_size=2e-2, model=shape)
    model = recipe.untrained()
    run = recipe.train(model)
    inputs = {"variance": 1 / 12, "fourth_moment": 1 / 80}
    best = learners.one_step_error(6, 3, learners.best_step_size(6, 3, **inputs), **inputs)
    found = linear_attention.measure(recipe, model, prompts=100_000, seed=5)
    assert found == pytest.approx(best, rel=0.03)
    assert len(run.losses) == 400


def test_prompts_have_one_point_more_than_demonstrations_and_their_interval():
    recipe = linear_attention.find("regression-lsa")
    drawn = recipe.prompts(500, torch.Generator().manual_seed(0))
    assert drawn.inputs.shape == (500, 11, 10)
    assert 0.49 < drawn.inputs.abs().max() <= 0.5
    wanted = torch.einsum("bnd,bd->bn", drawn.inputs, drawn.weights)
    torch.testing.assert_close(drawn.targets, wanted)


def test_the_answer_never_sees_its_target():
    recipe = linear_attention.find("regression-lsa")
    drawn = recipe.prompts(4, torch.Generator().manual_seed(0))
    model, _ = linear_attention.shipped(recipe.name)
    changed = drawn.targets.clone()
    changed[:, -1] += 100
    before = linear_attention.ask(model, drawn.inputs, drawn.targets)
    assert torch.equal(before, linear_attention.ask(model, drawn.inputs, changed))
    assert before.shape == (4,)


def test_measuring_a_perfect_step_gives_its_closed_form():
    recipe = linear_attention.find("regression-lsa-gaussian")
    head = constructions.one_step(10, 10, 10 / 21, dtype=torch.float32)
    step = LinearTransformer.from_layers([head.merged()])
    found = linear_attention.measure(recipe, step, prompts=200_000, seed=3)
    assert found == pytest.approx(BEST[recipe.name], rel=0.015)


def test_seeds_differ_in_weights_and_prompts():
    first, second = (linear_attention.find(f"regression-lsa{end}") for end in ("", "-seed1"))
    assert not torch.equal(first.untrained().key, second.untrained().key)
    losses = [recipe.train(recipe.untrained(), steps=1).losses[0] for recipe in (first, second)]
    assert losses[0] != losses[1]
    assert registry.find("regression-lsa-seed1") == second


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(KeyError, match="there are regression-lsa, regression-lsa-seed1"):
        linear_attention.find("regression-lsb")
