"""Checkpoints of every recipe: found by name, small, whole, and fitting their network."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from icl_lib.models import checkpoint
from icl_lib.recipes import cards, linear_attention, registry

SHIPPED = sorted(cards.FOLDER.glob("*.safetensors"))
MOST_BYTES = 3_000_000


def test_every_recipe_is_found_by_its_own_name():
    known = registry.recipes()
    assert all(registry.find(name) is known[name] and known[name].name == name for name in known)
    assert all(isinstance(recipe, cards.Recipe) for recipe in known.values())


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(KeyError, match="no training is called 'gpt9'; there are regression-line"):
        registry.find("gpt9")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_a_shipped_checkpoint_is_small_and_says_how_it_was_made(path):
    assert path.stat().st_size <= MOST_BYTES
    state, card = checkpoint.load(path)
    assert card["command"].startswith(f"icl-lib train {path.stem}")
    assert card["metrics"]
    cards.fits(registry.find(path.stem).untrained(), state, path)


def test_a_family_has_one_training_for_each_seed_alike_in_all_else():
    one = registry.find("regression-lsa")
    given = one.model, one.examples, one.distribution, one.input_scale
    family = cards.seeded(linear_attention.Recipe, "short", *given, steps=7)
    assert [(r.name, r.seed) for r in family] == [
        ("short", 0),
        ("short-seed1", 1),
        ("short-seed2", 2),
    ]
    same = {replace(recipe, name="short", seed=0) for recipe in family}
    assert len(same) == 1
    assert same.pop().steps == 7


def test_a_shelf_knows_its_own_trainings_only_and_cannot_be_changed():
    recipes = cards.by_name([registry.find("regression-lsa"), registry.find("regression-d20")])
    shelf = cards.Shelf(recipes)
    assert list(recipes) == ["regression-lsa", "regression-d20"]
    assert shelf.find("regression-d20") is recipes["regression-d20"]
    with pytest.raises(KeyError, match=r"'scale-s'; there are regression-lsa, regression-d20\W*$"):
        shelf.shipped("scale-s")
    with pytest.raises(TypeError):
        recipes["another"] = recipes["regression-lsa"]
    model, card = shelf.shipped("regression-lsa")
    assert card["recipe"]["name"] == "regression-lsa"
    assert not model.training


def test_weights_of_another_network_are_refused():
    model, other = nn.Linear(3, 2), nn.Linear(4, 2)
    with pytest.raises(checkpoint.CheckpointError, match=r"weight is \(2, 4\), expected \(2, 3\)"):
        cards.fits(model, other.state_dict(), "file")
    state = {**model.state_dict(), "more": torch.zeros(1)}
    with pytest.raises(checkpoint.CheckpointError, match=r"more is \(1,\), expected no such"):
        cards.fits(model, state, "file")
    with pytest.raises(checkpoint.CheckpointError, match="bias is missing"):
        cards.fits(model, {"weight": model.weight}, "file")
    cards.fits(model, model.state_dict(), "file")


def test_a_recipe_that_is_not_shipped_says_how_to_make_it():
    with pytest.raises(FileNotFoundError, match="icl-lib train"):
        cards.load_shipped(registry.find("regression-line"))
