"""Trainings on function classes: names, what they draw, what their cards keep."""

import pytest
import torch

from icl_lib.recipes import functions, regression
from icl_lib.recipes.cards import FOLDER

SHIPPED = [name for name in functions.RECIPES if (FOLDER / f"{name}.safetensors").exists()]


def test_every_depth_and_seed_has_a_training():
    for layers in functions.DEPTHS:
        for seed in functions.SEEDS:
            recipe = functions.find(functions.depth_name(layers, seed))
            assert (recipe.model.layers, recipe.seed) == (layers, seed)
            assert recipe.model.dimension == 5


def test_depths_differ_in_nothing_else():
    first, *others = (functions.find(functions.depth_name(n)).describe() for n in functions.DEPTHS)
    for other in others:
        assert {k for k in first if first[k] != other[k]} == {"name", "model"}
        assert {k for k in first["model"] if first["model"][k] != other["model"][k]} == {"layers"}


def test_one_token_a_question_sees_the_pairs_before_it_and_nothing_later():
    recipe = functions.find("regression-d5-l1")
    model, p = recipe.untrained(), recipe.prompts(3, torch.Generator().manual_seed(3))
    changed = p.targets.clone()
    changed[:, 4] += 1
    before = regression.predict(model, p.inputs, p.targets)
    after = regression.predict(model, p.inputs, changed)
    assert before.shape == (3, 11)
    assert torch.equal(before[:, :5], after[:, :5])
    assert (before[:, 5] != after[:, 5]).all()


@pytest.mark.parametrize("points", [10, 11])
def test_one_token_networks_read_prompts_of_their_length_and_no_longer(points):
    config = regression.RegressorConfig(3, points, layers=1, heads=1, width=8)
    model = functions.QuestionRegressor(config)
    said = regression.predict(model, torch.randn(2, points, 3), torch.randn(2, points))
    assert said.shape == (2, points)
    with pytest.raises(ValueError, match="exceed the context"):
        regression.predict(model, torch.randn(2, 2 * points, 3), torch.randn(2, 2 * points))


@pytest.mark.parametrize("name", functions.RECIPES)
def test_recipes_draw_prompts_of_their_size(name):
    recipe = functions.RECIPES[name]
    drawn = recipe.prompts(3, torch.Generator().manual_seed(0))
    assert drawn.inputs.shape == (3, recipe.model.points, recipe.model.dimension)
    assert drawn.targets.isfinite().all()


def test_families_differ():
    sparse = functions.find("regression-sparse").prompts(5, torch.Generator().manual_seed(0))
    assert ((sparse.weights != 0).sum(-1) == 2).all()
    tree = functions.find("regression-tree").prompts(5, torch.Generator().manual_seed(0))
    assert all(len(set(row.tolist())) <= 4 for row in tree.targets)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(KeyError, match=r"no training is called 'regression-d6'.*regression-d20"):
        functions.find("regression-d6")


def test_a_watched_training_measures_itself_on_the_way_and_learns_the_same(monkeypatch):
    assert regression.Watch.every == 250
    monkeypatch.setattr(regression.Watch, "every", 15)
    recipe = functions.Recipe(
        "tiny", regression.RegressorConfig(2, 4, layers=1, heads=1, width=8),
        noise=0.0, intercept=False, steps=40, batch=4, warmup=10,
    )  # fmt: skip
    run = recipe.train(recipe.untrained())
    assert [row["step"] for row in run.records] == [15, 30]
    assert list(run.records[0]) == ["step", "seconds", *(f"error_at_{k}" for k in range(4))]
    assert 0 < run.records[0]["seconds"] < run.records[1]["seconds"] <= run.seconds + 0.01
    plain = regression.Recipe(
        "tiny", recipe.model, noise=0.0, intercept=False, steps=40, batch=4, warmup=10
    )
    assert plain.train(recipe.untrained()).losses == run.losses


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_network_is_what_its_card_says(name):
    recipe = functions.find(name)
    model, card = functions.shipped(name)
    few = regression.measure(recipe, model, prompts=2000, seed=2)
    wanted = [card["metrics"][f"error_at_{k}"] for k in range(recipe.model.points)]
    torch.testing.assert_close(few, torch.tensor(wanted), atol=0.1, rtol=0.1)
    assert card["command"] == f"icl-lib train {name}"
    losses = recipe.train(recipe.untrained(), steps=2).losses
    assert losses == pytest.approx(card["first_losses"][:2], rel=1e-3)
