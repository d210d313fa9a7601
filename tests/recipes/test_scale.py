"""Five sizes on one stream: the same documents, measurements that repeat, cards that are true."""

import dataclasses

import pytest
import torch

from icl_lib import optim
from icl_lib.models import presets
from icl_lib.recipes import registry, scale
from icl_lib.recipes.scale import RECIPES, SIZES, HeldOut, name_of, shipped

SHIPPED = [name_of(size, seed) for seed in scale.SEEDS for size in SIZES]


@pytest.fixture(scope="module")
def recipe():
    return RECIPES["scale-s"]


def test_all_sizes_are_offered_by_name():
    assert set(SHIPPED) == set(RECIPES)
    assert registry.find("scale-xl-seed2").seed == 2
    with pytest.raises(KeyError, match="there are scale-xs, scale-s, scale-m"):
        shipped("scale-xxl")


def test_all_sizes_of_a_seed_see_the_same_documents():
    batches = [
        optim.Generated(RECIPES[name].stream.batch, seed=RECIPES[name].seed)(7)
        for name in ("scale-s", "scale-xl", "scale-s-seed1")
    ]
    assert torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0], batches[2])
    assert RECIPES["scale-s"].stream == RECIPES["scale-xl-seed2"].stream


@pytest.mark.parametrize("name", SIZES)
def test_parameters_are_all_but_the_tables(name):
    recipe = RECIPES[name]
    parts = presets.count_parameters(recipe.config)
    tables = parts["token table"] + parts.get("positions", 0)
    assert recipe.parameters == sum(parts.values()) - tables
    model = recipe.untrained()
    assert recipe.parameters == sum(
        p.numel() for n, p in model.named_parameters() if not n.startswith("tokens")
    )


def test_first_steps_are_the_same_whether_or_not_more_follow(recipe):
    few = recipe.train(recipe.untrained(), steps=2).losses
    assert recipe.train(recipe.untrained(), steps=3).losses[:2] == few


def test_a_training_measures_itself_at_the_recorded_steps(recipe):
    short = dataclasses.replace(recipe, steps=30, warmup=5)
    run = short.train(short.untrained())
    assert [row["step"] for row in run.records] == [0, 25, 30]
    row = run.records[-1]
    positions = [row[f"position_{i:02d}"] for i in range(scale.BINS)]
    score = sum(positions[-2:]) / 2 - sum(positions[:2]) / 2
    assert row["score"] == pytest.approx(score, abs=2e-4)
    assert row == {k: round(v, 4) for k, v in row.items()}


def test_measurements_repeat_and_use_documents_of_their_own(recipe):
    model = recipe.untrained().eval()
    tests = HeldOut.of(recipe.stream, few=True)
    assert tests.measure(model) == tests.measure(model)
    assert len(tests.texts) == 256
    drawn = optim.Generated(recipe.stream.batch, seed=0)(0)
    assert not set(map(tuple, drawn.tolist())) & set(map(tuple, tests.texts.tolist()))


def test_an_untrained_network_is_at_chance(recipe):
    found = HeldOut.of(recipe.stream, few=True).measure(recipe.untrained().eval())
    for shots in scale.SHOTS:
        assert abs(found[f"accuracy_{shots}"] - 0.25) < 0.09
    assert abs(found["score"]) < 0.06
    assert found["prefix"] < 0.15


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks_are_what_their_cards_say(name):
    recipe = RECIPES[name]
    model, card = shipped(name)
    assert card["command"] == f"icl-lib train {name}"
    assert card["parameters"] == recipe.parameters
    assert card["seed"] == recipe.seed
    again = recipe.metrics(model)
    assert set(again) == set(card["metrics"])
    for key, value in card["metrics"].items():
        assert again[key] == pytest.approx(value, abs=2e-3), key
    assert card["records"][-1]["step"] == recipe.steps
    few = HeldOut.of(recipe.stream, few=True).measure(model)
    assert few["text"] == pytest.approx(card["records"][-1]["text"], abs=2e-3)


@pytest.mark.parametrize("name", ["scale-s", "scale-l"])
def test_first_losses_are_those_of_the_card(name):
    recipe = RECIPES[name]
    _, card = shipped(name)
    losses = recipe.train(recipe.untrained(), steps=4).losses
    assert losses == pytest.approx(card["first_losses"][:4], rel=1e-4)


def test_no_network_beats_the_entropy_of_the_text():
    for name in SHIPPED:
        recipe = RECIPES[name]
        _, card = shipped(name)
        assert card["metrics"]["text"] > recipe.stream.text_entropy().mean().item() - 0.02
