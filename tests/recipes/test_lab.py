"""The training on the lab language: its course, its loss, its bars, and that it resumes."""

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F

from icl_lib import optim
from icl_lib.recipes import cards, lab, registry
from icl_lib.recipes.lab import LAB, RECIPES, STAGES, Course, Kind, Stage
from icl_lib.tasks.lab import (
    AGREEMENT,
    AND,
    BEGIN,
    RESERVED,
    RESERVED_CLASSES,
    RESERVED_NAMES,
    Lab,
)
from icl_lib.tasks.lab_tasks import measured_tasks

SHORT = (
    Stage(2, (Kind(3, 4, words=1, noise=0.0, pool=1), Kind(2, 4, words=1, pairs=True)), 2, 2),
    Stage(4, (Kind(3, 6), Kind(2, 6, pairs=True)), repeats=2),
)
CHANCE = (1 / 2 + 1 / 5 + 1 / 2 + 1 / 2 + 1 / 4 + 1 / 3) / 6


@pytest.fixture(scope="module")
def recipe():
    return dataclasses.replace(LAB, layers=1, heads=2, width=16, steps=4, warmup=1, stages=SHORT)


# ---- the course ---------------------------------------------------------------------------------


def test_the_training_is_offered():
    assert registry.find("lab") is LAB
    assert registry.find("lab-steps") is RECIPES["lab-steps"]


def test_the_longest_prompt_fits():
    longest = 1 + (lab.DEMONSTRATIONS + 1) * (LAB.lab.text_length(AGREEMENT) + 1)
    assert LAB.config.context >= longest
    last = STAGES[-1]
    assert last.until == LAB.steps
    for kind, documents in zip(last.kinds, LAB.course(LAB.steps - 1).solved, strict=True):
        assert documents.shape[1] <= LAB.config.context
        assert kind.examples == lab.DEMONSTRATIONS + 1
        assert kind.language(LAB.lab) == dataclasses.replace(LAB.lab, meaningful=kind.meaningful)


def test_the_course_follows_its_stages(recipe):
    course = recipe.course
    for step, words, examples in ((0, 1, 4), (1, 1, 4), (2, 4, 6), (3, 4, 6)):
        (single, pair), (at, pair_at), repeat, dictionaries = course(step)
        assert len(dictionaries) == (2 if step < 2 else 0)
        pair_words = min(words, recipe.lab.pair_words)
        assert single.shape == (3, 1 + examples * (words + 1))
        assert pair.shape == (2, 1 + examples * (2 * pair_words + 2))
        assert repeat.shape == (2, course.repeat_length)
        assert ((pair == AND).sum(1) == examples).all()
        labels = torch.arange(recipe.lab.first_meaning, recipe.lab.vocab_size)
        for documents, places in ((single, at), (pair, pair_at)):
            assert (documents[:, 0] == BEGIN).all()
            of_labels = torch.isin(documents[:, 1:], labels)
            assert torch.equal(
                of_labels, torch.isin(torch.arange(of_labels.shape[1]), places).expand_as(of_labels)
            )
    assert torch.equal(course(1).solved[0], course(1).solved[0])
    assert not torch.equal(course(0).solved[0], course(1).solved[0])


def test_a_kind_changes_the_language_as_it_says():
    kind = Kind(1, 2, words=2, noise=0.5, meaningful=0.9)
    of = kind.language(Lab(noise=0.4, pair_noise=0.2))
    assert (of.words, of.pair_words, of.noise, of.pair_noise, of.meaningful) == (
        2,
        2,
        0.2,
        0.1,
        0.9,
    )
    assert Kind(1, 2, words=9).language(Lab()).words == Lab().words


def test_a_course_without_order_is_refused():
    for ends in ((5, 3), (), (0,)):
        stages = tuple(dataclasses.replace(SHORT[0], until=end) for end in ends)
        with pytest.raises(ValueError, match="rising"):
            Course(Lab(), 0, stages)


def test_no_plan_of_the_course_holds_what_is_reserved(monkeypatch):
    drawn, original = [], Lab.plans
    monkeypatch.setattr(
        Lab, "plans", lambda self, *a, **k: drawn.append(original(self, *a, **k)) or drawn[-1]
    )
    for stage in STAGES:
        for step in range(20):
            LAB.course(stage.until - 1 - step)
    assert len(drawn) == 20 * sum(len(stage.kinds) for stage in STAGES)
    names = [{v: LAB.lab.first_arbitrary + n for v, n in of.items()} for of in RESERVED_NAMES]
    for plan in drawn:
        for asked, classes, labels in zip(plan.asked, plan.values, plan.labels, strict=True):
            groups = [sorted(v for v in c if v >= 0) for c in classes.tolist()]
            values = {v for group in groups for v in group}
            assert not any(set(pair) <= values for pair in RESERVED[asked])
            assert not {tuple(group) for group in groups} & set(RESERVED_CLASSES[asked])
            for group, label in zip(groups, labels.tolist(), strict=True):
                assert not any(names[asked].get(v) == label for v in group)


def test_the_loss_is_its_formula(recipe):
    model, batch = recipe.untrained(), recipe.course(3)
    total = 0.0
    for documents, at, weight in zip(batch.solved, batch.label_places, (3 / 5, 2 / 5), strict=True):
        log_p = model(documents[:, :-1]).log_softmax(-1)
        every, labels = [], []
        for row, tokens in enumerate(documents.tolist()):
            for place in range(len(tokens) - 1):
                every.append(-log_p[row, place, tokens[place + 1]])
                if place in at.tolist():
                    labels.append(every[-1])
        mean = [sum(part) / len(part) for part in (labels, every)]
        total = total + weight * (mean[0] + recipe.text_weight * mean[1])
    logits = model(batch.repeats[:, :-1])
    total = total + recipe.repeat_weight * F.cross_entropy(
        logits.flatten(0, 1), batch.repeats[:, 1:].flatten()
    )
    torch.testing.assert_close(recipe.loss(model, batch), total)

    first = recipe.course(0)
    without = first._replace(dictionaries=first.dictionaries[:0])
    log_p = model(first.dictionaries[:, :-1]).log_softmax(-1)
    told = [
        -log_p[row, place, tokens[place + 1]]
        for row, tokens in enumerate(first.dictionaries.tolist())
        for place in range(len(tokens) - 1)
        if place % 4
    ]
    wanted = recipe.dictionary_weight * sum(told) / len(told)
    torch.testing.assert_close(recipe.loss(model, first) - recipe.loss(model, without), wanted)


def test_an_untrained_network_is_at_chance(recipe):
    model = recipe.untrained().eval()
    with torch.no_grad():
        found = lab.curve(model, recipe.lab, documents=256)
    for shots in (0, lab.DEMONSTRATIONS):
        assert abs(found[f"mean_{shots}"] - CHANCE) < 0.05
        assert found[f"mean_{shots}"] == pytest.approx(
            sum(v for k, v in found.items() if k.startswith("lab-") and k.endswith(f"_{shots}")) / 6
        )


# ---- going on, and the film ---------------------------------------------------------------------


def test_it_goes_on_where_it_was_interrupted(recipe, tmp_path):
    whole = recipe.train(recipe.untrained())
    file = tmp_path / "run"

    first = recipe.train(recipe.untrained(), steps=2, callbacks=[optim.Checkpoint(file, every=1)])
    assert first.step == 2
    second = recipe.train(recipe.untrained(), callbacks=[optim.Checkpoint(file, every=1)])
    assert second.losses == pytest.approx(whole.losses, rel=1e-5)
    assert [row["step"] for row in second.records] == [0, 4]


def test_the_film_shows_the_training(recipe, tmp_path):
    model = recipe.untrained()
    recipe.train(model, steps=2)
    film = lab.FilmRecipe("film", recipe, (1, 2))
    model_at, file = film.untrained(), tmp_path / "run"
    film.train(model_at, steps=1, callbacks=[optim.Checkpoint(file, every=1)])
    again = film.untrained()
    film.train(again, callbacks=[optim.Checkpoint(file, every=1)])
    assert set(again.state_dict()) == {"step_1", "step_2"}
    assert torch.equal(again.step_1, model_at.step_1)
    assert not torch.equal(again.step_1, again.step_2)
    found = again.at(2, recipe.untrained())
    for one, two in zip(found.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)
    assert set(film.metrics(again)) == {f"mean_{k}_step_{s}" for k in (0, 16) for s in (1, 2)}


def test_the_card_is_plain_data(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(lab.Recipe, "metrics", lambda self, model: {"none": 0.0})
    _, card = cards.train_and_save(recipe, tmp_path / "lab.safetensors")
    assert card["command"] == "icl-lib train lab"
    assert card["recipe"]["lab"]["noise"] == recipe.lab.noise
    assert card["recipe"]["stages"][0]["kinds"][0]["words"] == 1
    monkeypatch.setattr(cards, "FOLDER", tmp_path)
    monkeypatch.setattr(lab, "LAB", recipe)
    model, again = lab.shipped()
    assert again["seed"] == 0
    assert not model.training


# ---- the shipped network ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped():
    return lab.shipped()


def test_the_shipped_network_has_reached_its_bars(shipped):
    model, card = shipped
    found = card["metrics"]
    assert CHANCE < found["mean_zero_shot"] <= 0.65
    assert found["mean_in_context"] >= 0.85
    assert found["mean_bayes_in_context"] - found["mean_in_context"] <= 0.07
    assert found["mean_zero_shot"] < found["mean_finetuned"] < found["mean_in_context"]
    with torch.no_grad():
        again = lab.curve(model, LAB.lab, documents=128)
    assert CHANCE < again["mean_0"] <= 0.65
    assert again["mean_16"] >= 0.85


def test_the_card_says_what_is_found_again(shipped):
    model, card = shipped
    names = ("lab-subj", "lab-cb")
    again = lab.conditions(model, LAB.lab, card["metrics"]["step_size"], tasks=names)
    assert len(again) == 5 * len(names)
    for name, value in again.items():
        assert card["metrics"][name] == pytest.approx(value, abs=0.004)


def test_the_card_is_that_of_the_recipe(shipped):
    _, card = shipped
    assert card["recipe"] == json.loads(json.dumps(LAB.describe()))
    steps = [row["step"] for row in card["records"]]
    assert steps == list(range(0, LAB.steps + 1, lab.RECORD_EVERY))
    assert card["seconds"] < 2 * 3600
    model = LAB.untrained()
    run = LAB.train(model, steps=2)
    assert run.losses == pytest.approx(card["first_losses"][:2], rel=1e-3)


def test_the_means_of_the_card_are_means(shipped):
    found = shipped[1]["metrics"]
    for condition in (*lab.CONDITIONS, "bayes_zero_shot", "bayes_in_context"):
        of = [found[f"{name}_{condition}"] for name in measured_tasks()]
        assert found[f"mean_{condition}"] == pytest.approx(sum(of) / 6)


def test_snapshots_show_the_training(shipped):
    found = lab.snapshots()
    assert list(found) == [0, *RECIPES["lab-steps"].steps, LAB.steps]
    records = {row["step"]: row["mean_16"] for row in shipped[1]["records"]}
    for step, model in found.items():
        assert not model.training
        with torch.no_grad():
            again = lab.curve(model, LAB.lab, documents=64)["mean_16"]
        assert again == pytest.approx(records[step], abs=0.02)
