"""Pre-training on a text from outside: the split, the losses, the configuration, bad input."""

import dataclasses
import json

import pytest
import torch

from icl_lib.models import checkpoint
from icl_lib.models.presets import count_parameters
from icl_lib.recipes import cards, language, own_text
from icl_lib.recipes.own_text import OwnText, sampled_loss, validation_loss
from icl_lib.tasks.text import all_windows

VERSE = "The rain is warm, 今日はいい天気. " * 40
SMALL = OwnText(
    (VERSE,), layers=1, heads=2, width=8, context=16, batch=4, steps=6, warmup=2, every=3
)
BPE = dataclasses.replace(SMALL, tokenizer_kind="bpe", vocab=280)


def test_defaults_are_nanogpts_for_a_cpu_but_for_the_step_size():
    own = OwnText((VERSE * 3,))
    assert (own.layers, own.heads, own.width, own.context) == (4, 4, 128, 64)
    assert (own.batch, own.steps, own.dropout, own.warmup) == (12, 2000, 0.0, 100)
    assert (own.step_size, own.final_step_size, own.betas) == (3e-3, 3e-4, (0.9, 0.99))
    assert own.model.bias is False
    # nanoGPT prints 0.80M, the table of positions left out
    shakespeare = dataclasses.replace(own.model, vocab_size=65)
    parts = count_parameters(shakespeare)
    assert sum(parts.values()) - 64 * 128 == 795_904


def test_one_text_is_split_by_characters_and_nothing_is_lost():
    first, rest = SMALL.split
    assert first[0] + rest[0] == VERSE
    assert len(first[0]) == int(0.9 * len(VERSE))
    assert SMALL.tokenizer.decode(SMALL.training) == first[0]
    assert len(SMALL.training) + len(SMALL.held_out) == len(VERSE)


def test_many_texts_are_split_by_texts():
    own = dataclasses.replace(BPE, texts=tuple(f"{n} {VERSE}" for n in range(20)))
    first, rest = own.split
    assert (len(first), len(rest)) == (18, 2)
    assert not set(first) & set(rest)
    ends = (own.held_out == own.tokenizer.end).sum().item()
    assert ends == 3  # one before and one after each text
    assert own.tokenizer.decode(own.held_out).count("<|end|>") == 3
    plain = dataclasses.replace(own, tokenizer_kind="char")
    assert plain.tokenizer.decode(plain.held_out) == "\n\n".join(rest)


@pytest.mark.parametrize("own", [SMALL, BPE], ids=["char", "bpe"])
def test_training_repeats_and_is_saved_for_use(own, tmp_path):
    models = [own.untrained(), own.untrained()]
    runs = [own.train(model) for model in models]
    assert runs[0].losses == runs[1].losses
    assert checkpoint.weights_hash(models[0]) == checkpoint.weights_hash(models[1])
    assert [row["step"] for row in runs[0].records] == [0, 3, 6]
    path = tmp_path / "own.safetensors"
    _, card = cards.train_and_save(own, path)
    loaded = language.load(path)
    assert checkpoint.weights_hash(loaded.model) == checkpoint.weights_hash(models[0])
    assert loaded.tokenizer == own.tokenizer
    assert own.metrics(loaded.model) == pytest.approx(card["metrics"])
    assert VERSE not in json.dumps(card, ensure_ascii=False)
    assert loaded.complete("今日は", 5)[0].startswith("今日は")


def test_loss_on_the_whole_text_equals_a_loop():
    model = SMALL.untrained()
    inputs, targets = all_windows(SMALL.held_out, 16)
    terms = []
    for row, wanted in zip(inputs, targets, strict=True):
        log_p = model(row[None])[0].log_softmax(-1)
        terms += [-log_p[t, y].item() for t, y in enumerate(wanted.tolist())]
    found = validation_loss(model, SMALL.held_out, 16)
    assert found == pytest.approx(sum(terms) / len(terms), abs=1e-5)


def test_loss_from_random_windows_estimates_it():
    model = SMALL.untrained()
    estimate = sampled_loss(model, SMALL.held_out, 16, batch=12, draws=60, seed=0)
    assert estimate == pytest.approx(validation_loss(model, SMALL.held_out, 16), abs=0.02)
    assert estimate == sampled_loss(model, SMALL.held_out, 16, batch=12, draws=60, seed=0)


def test_bits_per_byte_follow_from_the_loss():
    row = SMALL.metrics(SMALL.untrained())
    size = len(SMALL.split[1][0].encode())
    nats = row["bits_per_byte"] * size * torch.tensor(2.0).log().item()
    assert nats == pytest.approx(row["validation_loss"] * len(SMALL.held_out), rel=1e-5)


@pytest.mark.parametrize("texts", [(), ("",), (" \n", "")])
def test_an_empty_corpus_is_refused(texts):
    with pytest.raises(ValueError, match="the corpus is empty"):
        OwnText(texts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": 2000}, r"the training text has \d+ tokens; a context of 2000 needs at least"),
        (
            {"context": 200},
            r"the held-out text has \d+ tokens; a context of 200 needs at least 201",
        ),
        ({"tokenizer_kind": "words"}, "must be one of char, bpe, got 'words'"),
        ({"tokenizer_kind": "bpe", "vocab": 100}, "vocab_size 100 is too small"),
        ({"tokenizer_kind": "bpe", "vocab": 9000}, "vocab_size is 9000; ask for at most"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"step_size": 0.0}, "step_size must be above 0"),
        ({"step_size": float("nan")}, "step_size must be above 0"),
        ({"final_step_size": -1e-3}, "final_step_size at least 0"),
        ({"texts": (VERSE, "ab\ud800" * 200, VERSE)}, "cannot be written as UTF-8"),
        ({"texts": ("ab\ud800" * 200,), "tokenizer_kind": "bpe"}, "cannot be written as UTF-8"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)


def test_the_record_of_tiny_shakespeare_is_whole_and_of_the_default_configuration():
    record = own_text.tiny_shakespeare()
    alphabet = "".join(chr(33 + i) for i in range(65))  # that text has 65 different characters
    recipe = OwnText((alphabet * 40,))
    assert record["characters"] == 1_115_394
    assert {r["parameters"] for r in record["runs"]} == {
        sum(p.numel() for p in recipe.untrained().parameters())
    }
    found = [(r["step_size"], r["seed"]) for r in record["runs"]]
    assert sorted(found) == sorted((lr, seed) for lr in (1e-3, 3e-3) for seed in range(3))
    assert recipe.step_size == 3e-3
