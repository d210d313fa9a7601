"""The network that reads numbers: causality, its measurements, its travel to the browser."""

import base64
import struct

import pytest
import torch

from icl_lib import optim
from icl_lib.models.regressor import InContextRegressor, RegressorConfig
from icl_lib.recipes import regression
from icl_lib.recipes.regression import Portable, answers, predict, relative_errors, shuffled_errors
from icl_lib.tasks.regression import interleave


@pytest.fixture
def recipe():
    return regression.find("regression-line")


@pytest.fixture
def prompts(recipe):
    return recipe.prompts(5, torch.Generator().manual_seed(3))


def test_a_guess_sees_neither_its_own_target_nor_anything_later(recipe, prompts):
    model = recipe.untrained()
    changed = prompts.targets.clone()
    changed[:, 4:] += 1
    before = predict(model, prompts.inputs, prompts.targets)
    after = predict(model, prompts.inputs, changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).all()


def test_guesses_are_read_at_the_questions(recipe, prompts):
    model = recipe.untrained()
    said = model(interleave(prompts.inputs, prompts.targets))
    assert said.shape == (5, 18)
    assert torch.equal(predict(model, prompts.inputs, prompts.targets), said[:, ::2])


def test_the_seed_decides_the_weights_and_the_global_generator_does_not():
    config = RegressorConfig(dimension=2, points=4, layers=1, heads=1, width=4)
    torch.manual_seed(0)
    first = InContextRegressor(config, seed=2).state_dict()
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), after)
    second = InContextRegressor(config, seed=2).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_tokens_of_the_wrong_width_are_refused(recipe):
    with pytest.raises(ValueError, match="tokens have width 4, expected 3"):
        recipe.untrained()(torch.zeros(1, 2, 4))


def test_relative_errors_of_two_prompts_by_hand():
    guesses, truth = torch.tensor([[0.0, 1.0], [0.0, 3.0]]), torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    assert relative_errors(guesses, truth).tolist() == [1.0, 2.0]


def test_breaking_the_pairing_of_one_pair_changes_nothing(recipe, prompts):
    model = recipe.untrained()
    plain = relative_errors(predict(model, prompts.inputs, prompts.targets), prompts.targets)
    mixed = shuffled_errors(model, prompts, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mixed[:2], plain[:2].detach())
    assert not torch.allclose(mixed[2:], plain[2:])


def test_answers_are_those_of_a_prompt_with_the_same_pairs(recipe, prompts):
    model = recipe.untrained()
    pairs = torch.stack([prompts.inputs[0, :3, 0], prompts.targets[0, :3]], dim=1).tolist()
    asked = prompts.inputs[0, 3, 0].item()
    wanted = predict(model, prompts.inputs[:1], prompts.targets[:1])[0, 3].item()
    assert answers(model, pairs, [asked, 0.0])[0] == pytest.approx(wanted, abs=1e-5)
    assert len(answers(model, [], [0.0])) == 1


def test_portable_network_holds_every_number_in_order(recipe):
    model = recipe.untrained()
    sent = Portable(model).export()
    data = base64.b64decode(sent["data"])
    numbers = struct.unpack(f"<{len(data) // 4}f", data)
    assert len(numbers) == sum(p.numel() for p in model.parameters())
    at = 0
    for (name, shape), tensor in zip(sent["layout"], model.state_dict().values(), strict=True):
        assert list(tensor.shape) == shape, name
        assert list(numbers[at : at + tensor.numel()]) == tensor.flatten().tolist()
        at += tensor.numel()


def test_first_steps_are_the_same_whether_or_not_more_follow(recipe):
    few = recipe.train(recipe.untrained(), steps=2).losses
    assert recipe.train(recipe.untrained(), steps=4).losses[:2] == few


def test_the_shipped_network_is_what_its_card_says():
    recipe = regression.find("regression-d5")
    model, card = regression.shipped("regression-d5")
    errors = regression.measure(recipe, model, prompts=20_000, seed=1)
    assert card["command"] == "icl-lib train regression-d5"
    assert errors[10].item() == pytest.approx(card["metrics"]["error_at_2d"], rel=1e-3)
    assert errors[10].item() < 0.02
    losses = recipe.train(recipe.untrained(), steps=5).losses
    assert losses == pytest.approx(card["first_losses"][:5], rel=1e-3)


def test_measurements_repeat(recipe):
    model = recipe.untrained()
    one, two = (regression.measure(recipe, model, prompts=10, seed=4) for _ in range(2))
    assert torch.equal(one, two)
    assert optim.derive_seed(4, 1) != optim.derive_seed(5, 1)
