"""Trainings on task pools: prompts, both rules, what a card promises, and that it is kept."""

import math

import pytest
import torch

from icl_lib.recipes import registry
from icl_lib.recipes import regression_pool as room
from icl_lib.recipes.pool_lines import pool_lines
from icl_lib.recipes.regression_pool import (
    KINDS,
    POOLS,
    RECIPES,
    SEEDS,
    measure,
    name_of,
    predict,
    rules,
    shuffled,
)
from icl_lib.tasks.regression import question_tokens


@pytest.fixture
def recipe():
    return RECIPES["regression-pool-4"]


@pytest.fixture
def prompts(recipe):
    return recipe.prompts(6, torch.Generator().manual_seed(3))


def test_every_size_and_seed_has_a_name_in_the_registry():
    assert len(RECIPES) == len(POOLS) * len(SEEDS) == 18
    assert name_of(None, 2) == "regression-pool-unlimited-seed2"
    for name, recipe in RECIPES.items():
        assert registry.find(name) is recipe
        assert name == name_of(recipe.tasks, recipe.seed)


def test_prompts_of_the_pool_have_its_tasks_and_new_ones_do_not(recipe, prompts):
    pool = recipe.pool()
    assert pool.shape == (4, 4)
    assert (prompts.weights[:, None] == pool).all(-1).any(1).all()
    new = recipe.prompts(6, torch.Generator().manual_seed(3), kind="new")
    assert not (new.weights[:, None] == pool).all(-1).any()
    assert new.inputs.shape == prompts.inputs.shape == (6, 8, 4)
    with pytest.raises(ValueError, match="kind must be 'new' or 'pool', got 'old'"):
        recipe.prompts(6, torch.Generator(), kind="old")


def test_pools_differ_from_seed_to_seed_and_repeat():
    pools = [RECIPES[name_of(16, seed)].pool() for seed in SEEDS]
    assert not torch.equal(pools[0], pools[1])
    assert torch.equal(pools[0], RECIPES[name_of(16)].pool())
    assert RECIPES[name_of(None)].pool() is None


def test_a_guess_sees_neither_its_own_target_nor_anything_later(recipe, prompts):
    model = recipe.untrained()
    changed = prompts.targets.clone()
    changed[:, 4:] += 1
    before = predict(model, prompts.inputs, prompts.targets)
    after = predict(model, prompts.inputs, changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).all()
    assert torch.equal(before, model(question_tokens(prompts.inputs, prompts.targets)))


def test_a_network_that_is_a_rule_has_distance_zero_from_it(recipe, monkeypatch):
    for name, other in (("ridge", "pool"), ("pool", "ridge")):

        def answers(model, inputs, targets, name=name):
            return rules(recipe, room.Prompts(inputs, targets, targets))[name]

        monkeypatch.setattr(room, "predict", answers)
        found = measure(recipe, recipe.untrained(), prompts=200)
        for kind in KINDS:
            assert found[f"{kind}_to_{name}"] == 0
            assert found[f"{kind}_to_{other}"] == pytest.approx(found[f"{kind}_rules"])


def test_excess_error_on_the_pool_is_the_distance_to_its_rule(recipe):
    drawn = recipe.prompts(20_000, torch.Generator().manual_seed(1))
    best = rules(recipe, drawn)
    model = recipe.untrained()
    with torch.no_grad():
        said = predict(model, drawn.inputs, drawn.targets)
    excess = (said - drawn.targets).square() - (best["pool"] - drawn.targets).square()
    gap = excess - (said - best["pool"]).square()
    each = gap.mean(1)
    assert abs(each.mean().item()) < 3 * each.std().item() / math.sqrt(len(each))
    assert excess.mean().item() > 0.1


def test_errors_of_the_rules_are_on_the_prompts_of_the_network(recipe, monkeypatch):
    def answers(model, inputs, targets):
        return rules(recipe, room.Prompts(inputs, targets, targets))["pool"]

    monkeypatch.setattr(room, "predict", answers)
    network = measure(recipe, recipe.untrained(), prompts=200)
    found = room.rule_errors(recipe, prompts=200)
    assert found["new_pool"] == pytest.approx(network["new_error"])
    assert found["pool_pool"] == pytest.approx(network["pool_error"])
    assert found["pool_pool"] < found["pool_ridge"]
    assert found["new_ridge"] < found["new_pool"]
    unlimited = RECIPES["regression-pool-unlimited"]
    assert set(room.rule_errors(unlimited, prompts=20)) == {"new_ridge", "pool_ridge"}


def test_without_a_pool_there_is_only_ridge():
    recipe = RECIPES["regression-pool-unlimited"]
    drawn = recipe.prompts(5, torch.Generator().manual_seed(0))
    assert set(rules(recipe, drawn)) == {"ridge"}
    found = measure(recipe, recipe.untrained(), prompts=50)
    assert set(found) == {f"{kind}_{name}" for kind in KINDS for name in ("to_ridge", "error")}


def test_training_records_itself_and_the_first_steps_do_not_depend_on_the_rest(recipe):
    few = recipe.train(recipe.untrained(), steps=2)
    more = recipe.train(recipe.untrained(), steps=3)
    assert few.losses == more.losses[:2]
    assert [row["step"] for row in more.records] == [0]
    assert set(more.records[0]) == {"step", *measure(recipe, recipe.untrained(), prompts=8)}


def test_measurements_repeat_and_shuffling_is_seeded(recipe):
    model = recipe.untrained()
    assert measure(recipe, model, prompts=20) == measure(recipe, model, prompts=20)
    assert measure(recipe, model, prompts=20) != measure(recipe, model, prompts=20, seed=2)
    one, two = (shuffled(recipe, model, kind="pool", prompts=20) for _ in range(2))
    assert one == two


def test_shuffling_leaves_the_last_point_and_its_truth_alone(recipe, monkeypatch):
    seen = {}

    def watched(model, inputs, targets):
        seen["targets"] = targets
        return targets

    monkeypatch.setattr(room, "predict", watched)
    assert shuffled(recipe, recipe.untrained(), kind="new", prompts=20) == 0
    generator = torch.Generator().manual_seed(room.optim.derive_seed(1, 0))
    drawn = recipe.prompts(20, generator, kind="new")
    assert torch.equal(seen["targets"][:, -1], drawn.targets[:, -1])
    assert not torch.equal(seen["targets"], drawn.targets)
    assert torch.equal(seen["targets"].sort(1).values, drawn.targets.sort(1).values)


@pytest.mark.parametrize("name", ["regression-pool-4", "regression-pool-64-seed1"])
def test_shipped_networks_are_what_their_cards_say(name):
    recipe = RECIPES[name]
    model, card = room.shipped(name)
    assert card["command"] == f"icl-lib train {name}"
    assert card["recipe"]["tasks"] == recipe.tasks
    assert recipe.metrics(model) == pytest.approx(card["metrics"], rel=1e-3)
    losses = recipe.train(recipe.untrained(), steps=4).losses
    assert losses == pytest.approx(card["first_losses"][:4], rel=1e-3)
    steps = [row["step"] for row in card["records"]]
    assert steps == [*room.RECORDED, recipe.steps]


def test_what_ships_has_the_settings_of_its_recipe_and_no_size_is_missing():
    for tasks in POOLS:
        assert 0 in room.shipped_seeds(tasks)
        for seed in room.shipped_seeds(tasks):
            _, card = room.shipped(name_of(tasks, seed))
            told = RECIPES[name_of(tasks, seed)].describe()
            assert card["recipe"] == {**told, "betas": list(told["betas"])}


def test_seeds_that_do_not_ship_are_not_listed(monkeypatch, tmp_path):
    monkeypatch.setattr(room.cards, "FOLDER", tmp_path)
    assert room.shipped_seeds(4) == ()
    (tmp_path / "regression-pool-4-seed2.safetensors").touch()
    assert room.shipped_seeds(4) == (2,)


def lines(tasks, seed=0, **changed):
    given = {"dimension": 8, "points": 16, "noise": 0.5, "prompts": 64}
    return pool_lines(tasks, **{**given, **changed}, seed=seed)


def test_lines_of_a_pool_of_one_are_known_exactly():
    found = lines(1)
    assert found["pool_pool"] == 0.25 / 8
    assert found["new_pool"] > 1 > 0.6 > found["new_ridge"]
    assert found == lines(1)
    assert found != lines(1, seed=1)


def test_first_guesses_of_ridge_cost_the_whole_task():
    many = [lines(4, seed, points=1)["new_ridge"] for seed in range(40)]
    assert sum(many) / 40 == pytest.approx(1 + 0.25 / 8, rel=0.05)


def test_on_its_own_tasks_the_pool_rule_wins_and_elsewhere_ridge_does():
    for tasks in (4, 64, 512):
        found = lines(tasks)
        assert found["pool_pool"] < found["pool_ridge"]
        assert found["new_ridge"] < found["new_pool"]


def test_lines_agree_with_an_earlier_computation_for_sixteen_tasks():
    runs = [lines(16, seed) for seed in range(24)]
    for name, value, spread in (
        ("new_pool", 1.12, 0.09),
        ("new_gap", 0.75, 0.07),
        ("pool_pool", 0.144, 0.012),
        ("pool_ridge", 0.37, 0.04),
    ):
        assert sum(run[name] for run in runs) / 24 == pytest.approx(value, abs=2 * spread)
