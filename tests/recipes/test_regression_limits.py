"""One layer on weights with a mean: the task, what is trained, what the closed forms promise."""

import pytest
import torch

from icl_lib.learners.shift import best_fixed_step, fixed_step_error
from icl_lib.recipes import regression_limits
from icl_lib.recipes.regression_limits import find, measure, shipped


def closed_forms(recipe) -> tuple[float, float]:
    """Return the errors of the best single head from 0 and of one step from the mean."""
    d, n = recipe.model.dimension, recipe.examples
    identity = torch.eye(d, dtype=torch.float64)
    mean = torch.full((d,), recipe.mean, dtype=torch.float64)
    weights = identity + torch.outer(mean, mean)
    head = best_fixed_step(n, identity, weights=weights)
    step = best_fixed_step(n, identity)
    return (
        fixed_step_error(head, n, identity, weights=weights),
        fixed_step_error(step, n, identity),
    )


def test_prompts_have_the_mean_and_follow_their_weights():
    drawn = find("regression-mean").prompts(
        4000, torch.Generator().manual_seed(0), dtype=torch.float64
    )
    assert drawn.weights.mean().item() == pytest.approx(2.0, abs=0.05)
    assert drawn.weights.std(dim=0).mean().item() == pytest.approx(1.0, abs=0.05)
    values = torch.einsum("bnd,bd->bn", drawn.inputs, drawn.weights)
    torch.testing.assert_close(drawn.targets, values, rtol=0, atol=1e-12)


def test_first_guess_moves_only_where_it_is_trained():
    for name, moves in (("regression-mean", False), ("regression-mean-guess", True)):
        recipe = find(name)
        model = recipe.untrained()
        recipe.train(model, steps=3)
        assert bool(model.start.abs().sum() > 0) is moves


def test_a_short_run_repeats_the_losses_of_the_card():
    recipe = find("regression-mean-guess")
    _, card = shipped(recipe.name)
    run = recipe.train(recipe.untrained(), steps=10)
    assert run.losses == pytest.approx(card["first_losses"][:10], rel=1e-4)


@pytest.mark.parametrize("seed", ["", "-seed1", "-seed2"])
def test_shipped_layers_reach_their_closed_forms(seed):
    recipe = find("regression-mean" + seed)
    head, step = closed_forms(recipe)
    found = {
        name: measure(recipe, shipped(name + seed)[0], prompts=50_000, seed=5)
        for name in ("regression-mean", "regression-mean-heads", "regression-mean-guess")
    }
    assert found["regression-mean"] == pytest.approx(head, rel=0.03)
    assert found["regression-mean-guess"] == pytest.approx(step, rel=0.03)
    assert 1.5 * step < found["regression-mean-heads"] < 0.5 * head


def test_unknown_names_are_told():
    with pytest.raises(KeyError, match="regression-mean-guess"):
        regression_limits.find("regression-nothing")
