"""Language models: the same bits for a seed, scored right, and refused when they do not fit."""

import dataclasses
import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from icl_lib import optim
from icl_lib.models import checkpoint
from icl_lib.models.config import GPTConfig
from icl_lib.models.gpt import GPT
from icl_lib.recipes import cards, language
from icl_lib.recipes.language import LanguageModel, LanguageRecipe, Windows
from icl_lib.tasks import story_reading
from icl_lib.tasks.text import CharTokenizer
from icl_lib.tasks.tokenizers import BytePairTokenizer

TINY = LanguageRecipe(
    "tiny", GPTConfig(300, 160, 1, 2, 8), texts=60, steps=8, held_out=12, batch=3, warmup=2, every=4
)


@pytest.fixture(scope="module")
def tiny():
    return LanguageModel(TINY.untrained(), TINY.tokenizer)


@pytest.fixture(scope="module")
def stories():
    return language.shipped("stories")


def test_training_again_gives_the_same_bits():
    first, second = TINY.untrained(), TINY.untrained()
    runs = [TINY.train(model) for model in (first, second)]
    assert runs[0].losses == runs[1].losses
    assert runs[0].records == runs[1].records
    assert [row["step"] for row in runs[0].records] == [0, 4, 8]
    assert checkpoint.weights_hash(first) == checkpoint.weights_hash(second)
    other = dataclasses.replace(TINY, seed=1)
    assert other.train(other.untrained(), steps=1).losses != runs[0].losses[:1]


def test_an_interrupted_training_ends_with_the_same_bits(tmp_path):
    def stop(run):
        if run.step == 5:
            raise KeyboardInterrupt

    whole = TINY.untrained()
    run = TINY.train(whole)
    saved = optim.Checkpoint(tmp_path / "tiny.run", every=2)
    assert TINY.train(TINY.untrained(), callbacks=[saved, stop]).interrupted
    after = TINY.untrained()
    resumed = TINY.train(after, callbacks=[optim.Checkpoint(tmp_path / "tiny.run")])
    assert checkpoint.weights_hash(after) == checkpoint.weights_hash(whole)
    assert resumed.losses == run.losses
    assert resumed.records == run.records


def test_training_lowers_the_loss():
    longer = dataclasses.replace(TINY, steps=60, step_size=1e-2)
    run = longer.train(longer.untrained())
    assert run.records[-1]["validation"] < run.records[0]["validation"] - 1


def test_held_out_stories_are_others():
    known = {story.text for story in TINY.training_stories}
    assert len(TINY.held_out_stories) == 12
    assert not known & {story.text for story in TINY.held_out_stories}


def test_too_few_held_out_stories_are_refused(monkeypatch):
    few = language.grammar.stories(10, seed=0)
    monkeypatch.setattr(language.grammar, "stories", lambda count, *, seed: few)
    recipe = dataclasses.replace(TINY, texts=10, held_out=5)
    with pytest.raises(ValueError, match=r"only 0 of 10 fresh stories .* held_out asks for 5"):
        _ = recipe.held_out_stories


def test_windows_begin_where_texts_begin_and_follow_the_step():
    tokens = TINY.tokens
    starts = (tokens == 0).nonzero()[:, 0][:-5]
    windows = Windows(tokens, starts, 4, 10, 0)
    assert windows(3).shape == (4, 11)
    assert set(windows(3)[:, 0].tolist()) == {0}
    assert torch.equal(windows(3), windows(3))
    assert not torch.equal(windows(3), windows(4))
    changed = tokens.clone()
    changed[7] += 1
    assert repr(Windows(changed, starts, 4, 10, 0)) != repr(windows)
    with pytest.raises(ValueError, match="the text has 3 tokens and no room for a window of 10"):
        Windows(tokens[:3], starts[:0], 4, 10, 0)


def test_log_probs_equal_a_loop_over_single_texts(tiny):
    texts = ["Today the sea is calm.", "今日は", "a"]
    for closed in (True, False):
        together = tiny.log_probs(texts, closed=closed, batch=2)
        for text, found in zip(texts, together, strict=True):
            row = torch.cat([tiny.encode(text), torch.tensor([0])])
            row = row if closed else row[:-1]
            log_p = tiny.model(row[None])[0].log_softmax(-1)
            expected = sum(log_p[at, token].item() for at, token in enumerate(row[1:].tolist()))
            assert found.item() == pytest.approx(expected, abs=1e-4)


def test_probabilities_of_a_prompt_and_its_rest_multiply(tiny):
    whole = tiny.log_probs(["今日は雨です。"])
    parts = tiny.log_probs(["今日は"], closed=False) + tiny.log_probs(["雨です。"], prompt="今日は")
    assert whole.item() == pytest.approx(parts.item(), abs=1e-4)


def test_a_text_longer_than_the_context_is_refused(tiny):
    with pytest.raises(ValueError, match=r"a text has \d+ tokens, the context 160"):
        tiny.log_probs(["sea " * 200])
    with pytest.raises(ValueError, match="do not fit a context of 160"):
        tiny.complete("Today", 170)


def test_nothing_to_score_is_refused(tiny):
    with pytest.raises(ValueError, match="expected at least one text, got none"):
        tiny.log_probs([])


def test_loss_is_the_mean_over_all_tokens():
    model = TINY.untrained()
    windows = TINY.tokens[: 2 * 9].view(2, 9)
    log_p = model(windows[:, :-1]).log_softmax(-1)
    terms = [-log_p[b, t, windows[b, t + 1]].item() for b in range(2) for t in range(8)]
    assert language.next_token_loss(model, windows).item() == pytest.approx(sum(terms) / 16)


def test_units_of_the_loss_agree(tiny):
    held = TINY.held_out_stories
    row = language.measure(tiny, held, TINY.tokens, seed=0)
    tokens = sum(len(tiny.tokenizer.encode(s.text)) + 1 for s in held)
    size = sum(len(s.text.encode()) for s in held)
    assert row["perplexity"] == pytest.approx(math.exp(row["loss"]))
    assert row["nats_per_text"] * len(held) == pytest.approx(row["loss"] * tokens)
    assert row["bits_per_byte"] * size * math.log(2) == pytest.approx(row["loss"] * tokens)
    texts = [s.text for s in held]
    assert language.loss_per_token(tiny, texts) == pytest.approx(row["loss"])


def test_only_matrices_decay():
    model = TINY.untrained()
    decayed, free = language.groups(model, 0.1)
    assert {p.ndim for p in decayed["params"]} == {2}
    assert {p.ndim for p in free["params"]} == {1}
    assert len(decayed["params"]) + len(free["params"]) == len(list(model.parameters()))
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)


def test_continuations_stop_at_the_end_and_repeat_with_the_seed(tiny):
    first = tiny.complete("今日は", 12, count=3, seed=4)
    assert first == tiny.complete("今日は", 12, count=3, seed=4)
    assert first != tiny.complete("今日は", 12, count=3, seed=5)
    assert len(set(first)) == 3
    assert all(text.startswith("今日は") for text in first)
    assert tiny.text(torch.tensor([40, 0, 41])) == tiny.text(torch.tensor([40]))
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        tiny.complete("a", count=0)


def test_next_tokens_are_the_distribution_after_the_prompt(tiny):
    pairs = tiny.next_tokens("今日は", top=300)
    assert sum(p for _, p in pairs) == pytest.approx(1, abs=1e-5)
    assert [p for _, p in pairs] == sorted((p for _, p in pairs), reverse=True)
    logits = tiny.model(tiny.encode("今日は")[None])[0, -1]
    assert pairs[0] == (
        tiny.piece(int(logits.argmax())),
        pytest.approx(logits.softmax(-1).max().item()),
    )
    assert len(tiny.next_tokens("今日は", top=3, temperature=0.5)) == 3


def test_characters_serve_as_well():
    tokenizer = CharTokenizer.of("abc ")
    model = LanguageModel(GPT(GPTConfig(4, 16, 1, 1, 4)), tokenizer)
    assert len(model.complete("ab", 5)[0]) == 7
    assert model.log_probs(["cab"], prompt="a").shape == (1,)
    with pytest.raises(ValueError, match="the prompt is empty"):
        model.complete("")
    with pytest.raises(ValueError, match="'x' at position 0"):
        model.complete("x")


def test_continuations_are_those_of_the_network_where_its_characters_are_whole(stories):
    tokens = stories.encode("Today the sea")
    plain = stories.model.generate(tokens[None], 60, greedy=True)[0, len(tokens) :]
    expected = "Today the sea" + stories.text(plain)
    assert expected.isascii()
    assert stories.complete("Today the sea", 60, greedy=True) == [expected]


@pytest.mark.parametrize("seed", range(3))
def test_even_an_untrained_model_writes_whole_characters(tiny, seed):
    written = tiny.complete("今日は", 40, count=20, seed=seed, temperature=2.0)
    assert not any("�" in text for text in written)
    assert any(not text.isascii() for text in (t.removeprefix("今日は") for t in written))


def test_tokens_that_are_no_utf8_are_shown_as_such(tiny):
    table = tiny.tokenizer.table
    half = table.index(b"\xe4")
    assert tiny.text(torch.tensor([half, half])) == "��"


def test_a_tokenizer_of_another_size_is_refused():
    with pytest.raises(ValueError, match="the tokenizer has 3 tokens, the network 300"):
        LanguageModel(TINY.untrained(), CharTokenizer.of("abc"))


def test_another_tokenizer_of_the_same_size_is_refused(tmp_path):
    path = tmp_path / "tiny.safetensors"
    cards.train_and_save(TINY, path)
    own = language.load(path)
    assert own.tokenizer == TINY.tokenizer
    assert language.load(path, tokenizer=TINY.tokenizer).card == own.card
    swapped = BytePairTokenizer((*TINY.tokenizer.merges[:-2], *TINY.tokenizer.merges[:-3:-1]))
    other = BytePairTokenizer.train("".join(f" w{n}x{n * n}" * 3 for n in range(99)), 300)
    assert len(other) == len(swapped) == 300
    for wrong in (other, swapped):
        with pytest.raises(ValueError, match=r"has fingerprint \w{12}, the checkpoint was trained"):
            language.load(path, tokenizer=wrong)


def test_damaged_and_foreign_checkpoints_are_refused(tmp_path):
    path = tmp_path / "tiny.safetensors"
    cards.train_and_save(TINY, path)
    whole, (state, card) = path.read_bytes(), checkpoint.load(path)
    content = bytearray(whole)
    content[-3] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(checkpoint.CheckpointError, match="is damaged: its weights have checksum"):
        language.load(path)
    checkpoint.save(path, state, {k: v for k, v in card.items() if k != "tokenizer"})
    with pytest.raises(checkpoint.CheckpointError, match="no language model: no tokenizer in its"):
        language.load(path)
    checkpoint.save(path, state, card | {"model": card["model"] | {"rotary": True}})
    with pytest.raises(checkpoint.CheckpointError, match=r"is of another version: .*rotary"):
        language.load(path)
    checkpoint.save(path, state, card | {"model": card["model"] | {"width": 16}})
    with pytest.raises(checkpoint.CheckpointError, match="does not fit the network"):
        language.load(path)
    metadata = {"format": "icl-checkpoint-0", "sha256": "", "card": json.dumps(card)}
    path.write_bytes(whole)
    save_file(load_file(path), path, metadata=metadata)
    with pytest.raises(checkpoint.CheckpointError, match="has format 'icl-checkpoint-0'"):
        language.load(path)


def test_unknown_models_are_answered_with_the_known_ones():
    with pytest.raises(KeyError, match="no training is called 'gpt5'; there are stories"):
        language.shipped("gpt5")


def test_the_shipped_model_measures_as_its_card_says(stories, shapes_unchecked):
    recipe = language.find("stories")
    again = recipe.metrics(stories.model)
    for name, value in stories.card["metrics"].items():
        if name != "texts_that_agree":  # rounding may change a draw, and with it a text
            assert again[name] == pytest.approx(value, rel=1e-3), name
    assert again["texts_that_agree"] == pytest.approx(
        stories.card["metrics"]["texts_that_agree"], abs=0.05
    )
    assert stories.card["command"] == "icl-lib train stories"
    assert stories.card["recipe"] == json.loads(json.dumps(recipe.describe()))


def test_the_shipped_model_is_small_and_was_made_by_its_recipe(stories, shapes_unchecked):
    recipe = language.find("stories")
    assert (cards.FOLDER / "stories.safetensors").stat().st_size < 3_000_000
    assert stories.tokenizer == recipe.tokenizer
    losses = recipe.train(recipe.untrained(), steps=2).losses
    assert losses == pytest.approx(stories.card["first_losses"][:2], rel=1e-3)


def test_the_shipped_model_has_learnt_the_grammar(stories):
    metrics = stories.card["metrics"]
    assert metrics["loss"] < 0.4 * metrics["bigram_loss"]
    assert metrics["nats_per_text"] > metrics["grammar_nats_per_text"] - 0.5
    written = stories.complete("今日は", count=100, seed=1)
    topics = [story_reading.read_attributes(text)["topic"] for text in written]
    assert 5 < topics.count("weather") < 70
    assert len(set(topics) - {None}) >= 6
    assert not any("�" in text for text in written)
