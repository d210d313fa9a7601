"""Text is the same for a seed, decodes what it encodes, splits by line, says what is wrong."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.tasks import text
from icl_lib.tasks.text import CharTokenizer

lines = st.lists(st.text("ab今日 ", min_size=1, max_size=6), min_size=1, max_size=20)


def test_same_seed_same_text_and_another_seed_another_text():
    assert text.tiny_corpus(50, seed=3) == text.tiny_corpus(50, seed=3)
    assert text.tiny_corpus(50, seed=3) != text.tiny_corpus(50, seed=4)
    assert len(text.tiny_corpus(50).splitlines()) == 50


def test_corpus_holds_both_languages_and_the_sentence_of_the_chapter():
    written = text.tiny_corpus(3000)
    assert "今日はいい天気ですね。" in written.splitlines()
    assert "the weather is fine" in written
    assert {len(line) > 3 for line in written.splitlines()} == {True}


def test_grammar_holds_every_sentence_with_its_frequency():
    grammar = text.tiny_grammar()
    assert sum(grammar.values()) == pytest.approx(1, abs=1e-12)
    written = text.tiny_corpus(4000, seed=1).splitlines()
    assert set(written) <= set(grammar)
    sky = "今日はいい天気ですね。"
    expected = 4000 * grammar[sky]
    assert abs(written.count(sky) - expected) < 5 * expected**0.5


def test_empty_requests_are_refused():
    with pytest.raises(ValueError, match="at least one sentence, got 0"):
        text.tiny_corpus(0)
    with pytest.raises(ValueError, match="the corpus is empty"):
        CharTokenizer.of("")


@given(st.text(min_size=1, max_size=60))
def test_decoding_undoes_encoding(written):
    tokenizer = CharTokenizer.of(written)
    assert tokenizer.decode(tokenizer.encode(written)) == written
    assert len(tokenizer) == len(set(written))


def test_unknown_character_and_token_are_named():
    tokenizer = CharTokenizer.of("今日は")
    with pytest.raises(
        ValueError, match="'x' at position 1 is not among the 3 characters of the corpus"
    ):
        tokenizer.encode("今x")
    with pytest.raises(ValueError, match="token 3 is outside the alphabet of 3"):
        tokenizer.decode(torch.tensor([0, 3]))


def test_a_file_takes_the_place_of_the_corpus(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("one\n今日は\n", "utf-8")
    assert text.read_text(file) == "one\n今日は\n"
    file.write_text(" \n", "utf-8")
    with pytest.raises(ValueError, match=r"mine\.txt holds no text"):
        text.read_text(file)
    file.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match=r"mine\.txt is not UTF-8"):
        text.read_text(file)
    file.write_bytes("今日".encode() + b"\xe3\x81")
    with pytest.raises(ValueError, match=r"is not UTF-8 text: unexpected end of data at byte 6"):
        text.read_text(file)
    file.write_bytes(b"\xef\xbb\xbf" + "今日は".encode())  # as some editors begin a file
    assert text.read_text(file) == "今日は"
    with pytest.raises(FileNotFoundError, match="no text file at"):
        text.read_text(tmp_path / "other.txt")


@given(lines, st.floats(0.05, 0.95), st.integers(0, 9))
def test_split_shares_no_line_and_loses_none(written, held_out, seed):
    kept = [line for line in written if line.strip()]
    if len(set(kept)) < 2:
        with pytest.raises(ValueError, match="at least two distinct lines"):
            text.split_lines("\n".join(written), held_out=held_out, seed=seed)
        return
    train, valid = text.split_lines("\n".join(written), held_out=held_out, seed=seed)
    assert not set(train.splitlines()) & set(valid.splitlines())
    assert train
    assert valid
    assert sorted(train.splitlines() + valid.splitlines()) == sorted(kept)


def test_split_refuses_a_share_outside_zero_and_one():
    with pytest.raises(ValueError, match="between 0 and 1, got 1"):
        text.split_lines("a\nb", held_out=1.0)


@given(st.integers(2, 40), st.integers(1, 12), st.integers(1, 5))
def test_targets_follow_inputs(length, context, batch):
    tokens = torch.arange(100, 100 + length)
    generator = torch.Generator().manual_seed(0)
    if length < context + 1:
        with pytest.raises(ValueError, match=f"the text has {length} tokens; a context of"):
            text.random_windows(tokens, batch, context, generator=generator)
        with pytest.raises(ValueError, match=f"needs at least {context + 1}"):
            text.all_windows(tokens, context)
        return
    inputs, targets = text.random_windows(tokens, batch, context, generator=generator)
    assert inputs.shape == (batch, context)
    assert torch.equal(targets, inputs + 1)
    inputs, targets = text.all_windows(tokens, context)
    assert torch.equal(targets, inputs + 1)
    assert torch.equal(inputs.flatten(), tokens[: inputs.numel()])
    assert length - 1 - inputs.numel() < context


def test_windows_refuse_empty_batches_and_contexts(generator):
    with pytest.raises(ValueError, match="at least one window, got 0"):
        text.random_windows(torch.arange(9), 0, 3, generator=generator)
    with pytest.raises(ValueError, match="context needs at least one token, got 0"):
        text.all_windows(torch.arange(9), 0)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_ngram_loss_equals_counting_in_a_loop(order, generator):
    vocab = 4
    train = torch.randint(vocab, (60,), generator=generator)
    inputs, targets = text.all_windows(torch.randint(vocab, (21,), generator=generator), 5)
    total = 0.0
    for row, wanted in zip(inputs.tolist(), targets.tolist(), strict=True):
        for t, y in enumerate(wanted):
            back = min(order - 1, t + 1)
            history = row[t + 1 - back : t + 1]
            stretch = train.tolist()
            hits = [
                stretch[i] for i in range(back, len(stretch)) if stretch[i - back : i] == history
            ]
            total -= math.log((hits.count(y) + 1) / (len(hits) + vocab))
    measured = text.ngram_loss(train, inputs, targets, vocab, order=order)
    assert measured == pytest.approx(total / targets.numel(), abs=1e-12)


def test_ngram_loss_refuses_other_orders():
    tokens = torch.arange(6)
    inputs, targets = text.all_windows(tokens, 2)
    with pytest.raises(ValueError, match="order must be 1, 2 or 3, got 4"):
        text.ngram_loss(tokens, inputs, targets, 6, order=4)
    with pytest.raises(ValueError, match="order 3 needs at least 3 training tokens, got 2"):
        text.ngram_loss(tokens[:2], inputs, targets, 6, order=3)
