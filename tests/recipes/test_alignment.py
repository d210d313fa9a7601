"""The assistant and its leashes: what ships is what the recipes describe."""

import pytest
import torch

from icl_lib.finetune.chat import Turn
from icl_lib.recipes import alignment, cards
from icl_lib.tasks.instructions import worth

ASSISTANT, UNLEASHED = (alignment.RECIPES[name] for name in ("assistant", "unleashed"))


@pytest.fixture(scope="module")
def place():
    return alignment.desk()


@pytest.fixture(scope="module")
def model():
    return alignment.assistant()


def test_the_unseen_combination_is_in_no_demonstration(place):
    asked = {(a.topic, a.register) for a in place.seen}
    assert alignment.UNSEEN not in asked
    assert {(a.topic, a.register) for a in place.unseen} == {alignment.UNSEEN}
    assert len(place.seen) + len(place.unseen) == 64


def test_true_reward_of_token_rows_is_the_rule_on_their_text(place, model):
    asked = place.seen[::9]
    tokens, answer = place.ask(model, asked, seed=5)
    found = place.truth(tokens, answer).tolist()
    texts = place.template.answers(tokens, answer)
    for i, (a, text) in enumerate(zip(asked, texts, strict=True)):
        finished = bool((tokens[i][answer[i]] == place.template.end).any())
        assert found[i] == worth(a, text, finished=finished)


def test_pairs_answer_the_same_prompt_and_are_seeded(place, model):
    one, again = (place.pairs(model, 6, temperature=0.5, seed=2) for _ in range(2))
    assert torch.equal(one.tokens, again.tokens)
    assert torch.equal(one.first_wins, again.first_wins)
    for i in range(0, 12, 2):
        first, second = (
            row[~said]
            for row, said in zip(one.tokens[i : i + 2], one.answer[i : i + 2], strict=True)
        )
        shorter = min(one.answer[i].long().argmax(), one.answer[i + 1].long().argmax())
        assert torch.equal(first[:shorter], second[:shorter])


@pytest.mark.parametrize("recipe", [ASSISTANT, UNLEASHED], ids=lambda r: r.name)
def test_card_describes_the_recipe(recipe):
    _, card = cards.load_shipped(recipe)
    described = {k: list(v) if isinstance(v, tuple) else v for k, v in recipe.describe().items()}
    assert card["recipe"] == described
    assert card["command"] == f"icl-lib train {recipe.name}"


def test_first_steps_are_those_on_the_card(shapes_unchecked):
    _, card = cards.load_shipped(ASSISTANT)
    run = ASSISTANT.train(ASSISTANT.untrained(), steps=3)
    assert run.losses == pytest.approx(card["first_losses"][:3], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [ASSISTANT, UNLEASHED], ids=lambda r: r.name)
def test_shipped_weights_have_the_metrics_on_their_card(recipe):
    model, card = cards.load_shipped(recipe)
    assert recipe.metrics(model) == pytest.approx(card["metrics"], rel=1e-3, abs=0.02)


def test_card_holds_every_run():
    _, card = cards.load_shipped(UNLEASHED)
    wanted = {(b, s) for b in UNLEASHED.betas for s in range(UNLEASHED.seeds)}
    assert {(run["beta"], run["seed"]) for run in card["runs"]} == wanted
    assert all(len(run["reward"]) == UNLEASHED.steps for run in card["runs"])
    direct = {(b, s) for b in UNLEASHED.dpo_betas for s in range(UNLEASHED.seeds)}
    assert {(run["beta"], run["seed"]) for run in card["dpo"]} == direct
    assert [j["seed"] for j in card["reward_models"]] == list(range(UNLEASHED.seeds))


def test_the_judge_refuses_a_prompt_that_is_no_instruction(place):
    tokens, answer = place.template.conversation([Turn("write about war", "The sea is calm.")])
    with pytest.raises(ValueError, match=r"every_instruction\(\) only; got prompt '.*about war"):
        place.truth(tokens[None], answer[None])
