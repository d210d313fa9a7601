"""Every subset of demonstrations: numbers equal direct calls of the model, and those of compare."""

from itertools import pairwise

import pytest
import torch

from icl_lib.meta import Finetuning, TooLong, compare, finetune
from icl_lib.meta.explore import explore, in_turn, subsets
from icl_lib.meta.prompts import Demonstration, choose_demonstrations, choose_queries
from icl_lib.models.gpt import GPT, GPTConfig
from icl_lib.models.record import Record
from icl_lib.tasks.lab_bayes import Reader, texts_of
from icl_lib.tasks.lab_tasks import measured_tasks

COUNT, QUERIES = 3, 3
RATE = Finetuning(lr=0.3)


@pytest.fixture(scope="module")
def examples(toy):
    return in_turn(toy.split("train"), COUNT), in_turn(toy.split("validation"), QUERIES)


@pytest.fixture(scope="module")
def found(model, toy, examples):
    return explore(model, toy, *examples, finetuning=RATE)


def demonstration(task, example):
    return Demonstration(task.render(example), task.label_tokens[example.gold], example.gold)


def direct(model, task, shown, query):
    """Label probabilities by whole prompts, one label at a time."""
    start = [task.prefix]
    for one in shown:
        start += [task.render(one), task.label_tokens[one.gold], task.separator]
    logs = []
    for label in task.label_tokens:
        whole = torch.cat([*start, task.render(query), label])
        log_p = model(whole[None])[0].log_softmax(-1)
        first = len(whole) - len(label)
        logs.append(sum(log_p[first - 1 + i, t] for i, t in enumerate(label)))
    return torch.stack(logs).softmax(0)


@torch.no_grad()
def test_in_context_equals_whole_prompts_read_by_the_model(found, model, toy, examples):
    demonstrations, queries = examples
    assert found.in_context.shape == (2**COUNT, QUERIES, 3)
    for number, members in enumerate(subsets(COUNT)):
        for q, query in enumerate(queries):
            wanted = direct(model, toy, [demonstrations[i] for i in members], query)
            assert (found.in_context[number, q] - wanted).abs().max() <= 1e-12


@torch.no_grad()
def test_attention_equals_that_of_the_whole_prompt_put_in_its_places(found, model, toy, examples):
    demonstrations, queries = examples
    owners = torch.tensor(found.owners)
    for number, members in enumerate(subsets(COUNT)):
        start = [toy.prefix]
        for i in members:
            start += [toy.render(demonstrations[i])]
            start += [toy.label_tokens[demonstrations[i].gold], toy.separator]
        there = torch.isin(owners, torch.tensor([-1, *members]))
        for q, query in enumerate(queries):
            text, record = toy.render(query), Record("weights")
            whole = torch.cat([*start, text])
            model(whole[None], record=record)
            weights = record["weights"][:, 0, :, -1]
            ours = found.attention[number, q]
            before, after = ours[..., : len(owners)], ours[..., len(owners) :]
            assert (before[..., there] - weights[..., : -len(text)]).abs().max() <= 1e-12
            assert (after[..., : len(text)] - weights[..., -len(text) :]).abs().max() <= 1e-12
            assert not before[..., ~there].any()
            assert not after[..., len(text) :].any()


@pytest.mark.parametrize(
    "how",
    [
        RATE,
        Finetuning(lr=0.3, passes=2),
        Finetuning(lr=0.3, batch=2, loss_on="label"),
        Finetuning(lr=0.3, momentum=0.5),
    ],
    ids=["one by one", "two passes", "batches", "momentum"],
)
def test_finetuned_equals_training_on_each_subset_anew(model, toy, examples, how):
    demonstrations, queries = examples
    found = explore(model, toy, *examples, finetuning=how)
    for number, members in enumerate(subsets(COUNT)):
        shown = [demonstration(toy, demonstrations[i]) for i in members]
        twin = finetune(model, shown, how, opening=toy.prefix)[0] if members else model
        for q, query in enumerate(queries):
            wanted = direct(twin, toy, [], query)
            assert (found.finetuned[number, q] - wanted).abs().max() <= 1e-12
    assert torch.equal(found.finetuned[0], found.in_context[0])
    assert (found.finetuned[-1] - found.finetuned[0]).abs().max() > 1e-3


def test_the_whole_set_equals_compare(model, toy):
    shown = choose_demonstrations(toy, COUNT, 0)
    by_text = {tuple(toy.render(e).tolist()): e for e in toy.split("train")}
    demonstrations = [by_text[tuple(d.text.tolist())] for d in shown]
    found = explore(model, toy, demonstrations, choose_queries(toy, 8), finetuning=RATE)
    result = compare(
        model, toy, demonstrations=COUNT, queries=8, finetuning=RATE, controls=("none",), spectra=0
    )
    rows = result.examples
    seen = 0
    for name, ours in (
        ("zero_shot", found.in_context[0]),
        ("in_context", found.in_context[-1]),
        ("finetuned", found.finetuned[-1]),
    ):
        for row in rows[rows.condition == name].itertuples():
            wanted = torch.tensor(row.log_probs, dtype=torch.float64).softmax(0)
            assert (ours[row.query] - wanted).abs().max() <= 1e-6
            seen += 1
    assert seen == 24


def test_words_say_whose_each_place_is(found, toy, examples):
    demonstrations, queries = examples
    at = 0
    assert found.words[:1] == ("0",)
    for i, example in enumerate(demonstrations):
        mine = [p for p, owner in enumerate(found.owners) if owner == i]
        text, label = toy.render(example).tolist(), toy.label_tokens[example.gold].tolist()
        assert [found.words[p] for p in mine] == [str(t) for t in [*text, *label, 1]]
        marks = [found.is_label[p] for p in mine]
        assert marks == [False] * len(text) + [True] * len(label) + [False]
        at += len(mine)
    assert len(found.words) == at + 1
    assert found.queries == tuple(tuple(map(str, q.parts[0])) for q in queries)
    assert found.asked == tuple(q.gold for q in queries)
    assert (found.bayes, found.meanings) == (None, None)


def test_a_lab_task_is_answered_by_its_best_reader_and_written_in_syllables():
    task = measured_tasks()["lab-sst2"]
    config = GPTConfig(task.lab.vocab_size, 64, 1, 2, 8, positions="sinusoidal")
    model = GPT(config, seed=0).train()
    demonstrations, queries = in_turn(task.split("train"), 3), in_turn(task.split("validation"), 4)
    found = explore(model, task, demonstrations, queries)
    assert model.training
    reader, (asked, _) = Reader.of(task), texts_of(queries, task.lab)
    told = texts_of([demonstrations[0], demonstrations[2]], task.lab)
    assert (found.bayes[0] - reader.probabilities(asked)).abs().max() <= 1e-12
    assert (found.bayes[5] - reader.probabilities(asked, *told)).abs().max() <= 1e-12
    assert found.labels == ("BA", "KA")
    assert found.meanings == ("tone ba or da", "tone ga or ka")
    words = [w for w, label in zip(found.words, found.is_label, strict=True) if not label][1:]
    assert all(len(w) == 8 and w[2] == w[5] == "*" and w[4] == "a" for w in words)
    labels = [w for w, label in zip(found.words, found.is_label, strict=True) if label]
    assert labels == [found.labels[gold] for gold in found.shown]


def test_pairs_are_written_without_stars():
    task = measured_tasks()["lab-cb"]
    config = GPTConfig(task.lab.vocab_size, 64, 1, 2, 8, positions="sinusoidal")
    examples = in_turn(task.split("train"), 2), in_turn(task.split("validation"), 1)
    found = explore(GPT(config, seed=0), task, *examples)
    assert not any("*" in word for word in found.words)
    assert found.meanings == ("nothing in common", "same topic and tone", "same register")


def test_classes_come_in_turn(toy):
    train = toy.split("train")
    golds = [e.gold for e in in_turn(train, 9, seed=3)]
    assert all(sorted(golds[i : i + 3]) == [0, 1, 2] for i in (0, 3, 6))
    assert in_turn(train, 5, seed=3) == in_turn(train, 9, seed=3)[:5]
    assert in_turn(train, 9, seed=4) != in_turn(train, 9, seed=3)
    with pytest.raises(ValueError, match="asked were 61 of 60"):
        in_turn(train, 61)


def test_subsets_count_in_binary():
    found = list(subsets(3))
    assert [sum(2**i for i in members) for members in found] == list(range(8))
    assert all(a < b for members in found for a, b in pairwise(members))


def test_what_does_not_fit_is_refused(model, toy, examples):
    demonstrations, queries = examples
    with pytest.raises(ValueError, match="1 to 8 demonstrations and a query, got 0"):
        explore(model, toy, [], queries)
    with pytest.raises(ValueError, match="got 9 demonstrations and 3 queries"):
        explore(model, toy, demonstrations * 3, queries)
    with pytest.raises(ValueError, match="3 demonstrations and 0 queries"):
        explore(model, toy, demonstrations, [])
    small = GPT(GPTConfig(30, 20, 1, 1, 4), seed=0)
    with pytest.raises(TooLong, match="too many for a context of 20"):
        explore(small, toy, *examples)
