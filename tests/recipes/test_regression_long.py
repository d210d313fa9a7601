"""A regressor with sinusoids: what its length changes, and what the shipped ones reach."""

import pytest
import torch

from icl_lib.recipes import regression
from icl_lib.recipes.regression_long import LongRegressor, find, shipped


@pytest.fixture
def recipe():
    return find("regression-sinusoid")


def test_how_far_it_can_read_does_not_change_what_it_says(recipe):
    prompts = recipe.prompts(4, torch.Generator().manual_seed(0))
    short = LongRegressor(recipe.model, longest=11, seed=3)
    long = LongRegressor(recipe.model, longest=40, seed=3)
    said = [regression.predict(m, prompts.inputs, prompts.targets) for m in (short, long)]
    torch.testing.assert_close(said[0], said[1], rtol=0, atol=1e-6)
    assert set(short.state_dict()) == set(long.state_dict())


def test_it_reads_prompts_longer_than_its_training_and_no_longer_than_it_can(recipe):
    model = recipe.untrained()
    inputs = torch.zeros(1, recipe.longest, 5)
    assert regression.predict(model, inputs, inputs[..., 0]).shape == (1, recipe.longest)
    more = torch.zeros(1, recipe.longest + 1, 5)
    with pytest.raises(ValueError, match="exceed the context of 120"):
        regression.predict(model, more, more[..., 0])


def test_it_must_reach_its_own_training(recipe):
    with pytest.raises(ValueError, match=r"longest must be at least 11 \(points\), got 5"):
        LongRegressor(recipe.model, longest=5)


@pytest.mark.parametrize("seed", ["", "-seed1", "-seed2"])
def test_shipped_ones_have_learnt_and_their_cards_say_how(seed):
    model, card = shipped("regression-sinusoid" + seed)
    again = find("regression-sinusoid" + seed)
    errors = regression.measure(again, model, prompts=2000, seed=7)
    assert errors[10].item() == pytest.approx(card["metrics"]["error_at_2d"], rel=0.3)
    assert errors[10] < 0.1
    run = again.train(again.untrained(), steps=3)
    assert run.losses == pytest.approx(card["first_losses"][:3], rel=1e-4)
