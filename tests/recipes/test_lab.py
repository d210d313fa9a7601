"""The training on the lab language: its course, its loss, how it measures, and that it resumes."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from icl_lib import optim
from icl_lib.recipes import cards, lab, registry
from icl_lib.recipes.lab import RECIPES, STAGES, Course, Stage
from icl_lib.tasks.lab import AND, ASK, BEGIN, Lab

SHORT = (
    Stage(0.5, words=1, noise=0.0, pool=1, examples=4, singles=3, pairs=2, repeats=2),
    Stage(1.0, words=4, noise=1.0, pool=None, examples=6, singles=3, pairs=2, repeats=2),
)


@pytest.fixture(scope="module")
def recipe():
    return dataclasses.replace(
        RECIPES["lab"], layers=1, heads=2, width=16, steps=4, warmup=1, stages=SHORT
    )


def test_the_training_is_not_offered_before_it_has_reached_its_bars():
    assert "lab" not in registry.recipes()
    assert isinstance(RECIPES["lab"], cards.Recipe)
    with pytest.raises(KeyError, match="there are lab"):
        lab.shipped("laboratory")


def test_the_checkpoint_will_stay_below_four_megabytes():
    weights = RECIPES["lab"].untrained().state_dict().values()
    assert sum(w.numel() * w.element_size() for w in weights) < 4e6


def test_the_longest_prompt_fits():
    recipe = RECIPES["lab"]
    last = STAGES[-1]
    for documents in recipe.course(recipe.steps - 1)[:2]:
        assert documents.shape[1] - 1 <= recipe.config.context
    assert last.examples == lab.DEMONSTRATIONS + 1
    assert last.noise == 1
    assert last.words >= recipe.lab.words


def test_the_course_follows_its_stages(recipe):
    course = recipe.course
    for step, words, examples in ((0, 1, 4), (1, 1, 4), (2, 4, 6), (3, 4, 6)):
        single, pair, repeat = course(step)
        pair_words = min(words, recipe.lab.pair_words)
        assert single.shape == (3, 1 + examples * (words + 2))
        assert pair.shape == (2, 1 + examples * (2 * pair_words + 3))
        assert repeat.shape == (2, course.repeat_length)
        assert ((pair == AND).sum(1) == examples).all()
        for documents in (single, pair):
            assert (documents[:, 0] == BEGIN).all()
            assert ((documents == ASK).sum(1) == examples).all()
    assert all(map(torch.equal, course(1), course(1)))
    assert not torch.equal(course(0)[0], course(1)[0])


def test_a_course_without_an_end_is_refused():
    for ends in ((0.5,), (0.6, 0.5, 1.0), ()):
        stages = tuple(dataclasses.replace(SHORT[0], until=end) for end in ends)
        with pytest.raises(ValueError, match="up to 1"):
            Course(Lab(), 0, 10, stages)


def test_the_loss_is_its_formula(recipe):
    model, batch = recipe.untrained(), recipe.course(3)
    total = 0.0
    for documents, weight in zip(batch[:2], (1.0, 2 / 3), strict=True):
        log_p = model(documents[:, :-1]).log_softmax(-1)
        every, labels = [], []
        for row, tokens in enumerate(documents.tolist()):
            for place in range(len(tokens) - 1):
                every.append(-log_p[row, place, tokens[place + 1]])
                if tokens[place] == ASK:
                    labels.append(every[-1])
        mean = [sum(part) / len(part) for part in (labels, every)]
        total = total + weight * (mean[0] + recipe.text_weight * mean[1])
    logits = model(batch[2][:, :-1])
    total = total + recipe.repeat_weight * F.cross_entropy(
        logits.flatten(0, 1), batch[2][:, 1:].flatten()
    )
    torch.testing.assert_close(recipe.loss(model, batch), total)


def test_an_untrained_network_is_at_chance(recipe):
    model = recipe.untrained().eval()
    with torch.no_grad():
        found = lab.curve(model, recipe.lab, documents=256)
    chance = (1 / 2 + 1 / 5 + 1 / 2 + 1 / 2 + 1 / 4 + 1 / 3) / 6
    for shots in (0, lab.DEMONSTRATIONS):
        assert abs(found[f"mean_{shots}"] - chance) < 0.05
        assert found[f"mean_{shots}"] == pytest.approx(
            sum(v for k, v in found.items() if k.startswith("lab-") and k.endswith(f"_{shots}")) / 6
        )


def test_it_goes_on_where_it_was_interrupted(recipe, tmp_path):
    whole = recipe.train(recipe.untrained())
    file = tmp_path / "run"

    first = recipe.train(recipe.untrained(), steps=2, callbacks=[optim.Checkpoint(file, every=1)])
    assert first.step == 2
    second = recipe.train(recipe.untrained(), callbacks=[optim.Checkpoint(file, every=1)])
    assert second.losses == pytest.approx(whole.losses, rel=1e-5)
    assert [row["step"] for row in second.records] == [0, 4]


def test_the_card_is_plain_data(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(lab.Recipe, "metrics", lambda self, model: {"none": 0.0})
    _, card = cards.train_and_save(recipe, tmp_path / "lab.safetensors")
    assert card["command"] == "icl-lib train lab"
    assert card["recipe"]["lab"]["noise"] == recipe.lab.noise
    assert card["recipe"]["stages"][0]["words"] == 1
    monkeypatch.setattr(cards, "FOLDER", tmp_path)
    monkeypatch.setattr(lab, "RECIPES", {"lab": recipe})
    model, again = lab.shipped()
    assert again["seed"] == 0
    assert not model.training
