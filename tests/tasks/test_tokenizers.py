"""Byte pairs: our loop is the library, nothing is lost, special tokens cannot be smuggled in."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.tasks import tokenizers
from icl_lib.tasks.stories import corpus
from icl_lib.tasks.text import CharTokenizer
from icl_lib.tasks.tokenizers import (
    BASE,
    SPECIALS,
    BytePairTokenizer,
    TextTokenizer,
    count_words,
    merge_loop,
    merged,
)

alphabet = st.sampled_from(["a", "b", "ab", " ", "は", "今日", "è", "\n", "1", "!", "ー", "ネコ"])
small_texts = st.lists(alphabet, min_size=1, max_size=60).map("".join)


@pytest.fixture(scope="module")
def tokenizer():
    return BytePairTokenizer.train(corpus(400), 500)


def library_merges(text, merges):
    """Train for so many merges, or as many as the text has."""
    try:
        return list(BytePairTokenizer.train(text, BASE + merges).merges)
    except ValueError as problem:
        reachable = int(str(problem).rsplit(maxsplit=1)[1])
        return list(BytePairTokenizer.train(text, reachable).merges)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_our_loop_finds_the_merges_of_the_library(seed):
    written = corpus(60, seed=seed)
    assert merge_loop(written, 150) == library_merges(written, 150)


@given(small_texts)
def test_our_loop_finds_the_merges_of_the_library_on_any_text(text):
    found = merge_loop(text, 12)
    assert found == library_merges(text, len(found))


def test_ties_go_to_the_smaller_numbers():
    # "xy" and "ab" occur twice each; a comes before x
    a, b, x, y = (BASE - 256 + place for place in map(_place, "abxy"))
    assert merge_loop("xy ab xy ab", 2) == [(a, b), (x, y)] == library_merges("xy ab xy ab", 2)


def _place(character):
    return [bytes([byte]) for byte in tokenizers._bytes().values()].index(character.encode())


def test_counting_is_by_hand():
    (word,) = count_words("aaa")
    assert merged(word, (word[0], word[0]), 999) == (999, word[0])
    assert merged((), (1, 2), 9) == ()
    assert sorted(count_words("ab ab").values()) == [1, 1]  # "ab" and " ab"
    assert merge_loop("ab", 5) == []
    assert len(merge_loop("ab", 5, at_least=1)) == 1


def test_japanese_words_end_with_the_script_and_particles_stay():
    alone = tokenizers._splitter().pre_tokenize_str
    cut = [span for _, span in alone("今日はいい天気ですね。スープを飲む")]
    text = "今日はいい天気ですね。スープを飲む"
    expected = ["今日は", "いい", "天気", "ですね", "。", "スープを", "飲", "む"]
    assert [text[i:j] for i, j in cut] == expected


def test_a_prompt_is_cut_like_the_text_that_it_begins(tokenizer):
    whole = tokenizer.pieces("今日はいい天気ですね。")
    begun = tokenizer.pieces("今日は")
    assert whole[: len(begun)] == begun


@given(st.text(max_size=80))
def test_decoding_undoes_encoding(text):
    tokenizer = BytePairTokenizer.train(corpus(20), 300)
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert not len(tokens) or tokens.min() >= len(SPECIALS)


def test_the_library_encodes_as_the_merges_say(tokenizer):
    """Apply the merges in their order by hand."""
    for word in list(count_words(corpus(3, seed=9))):
        made = word
        numbers = {piece: n for n, piece in enumerate(tokenizer.table)}
        for left, right in tokenizer.merges:
            joined = numbers[tokenizer.table[left] + tokenizer.table[right]]
            made = merged(made, (left, right), joined)
        text = b"".join(tokenizer.table[token] for token in word).decode()
        assert tokenizer.encode(text).tolist() == list(made)


def test_vocabulary_has_the_size_asked_for(tokenizer):
    assert len(tokenizer) == 500 == len(set(tokenizer.table))
    assert tokenizer.table[:3] == (b"<|end|>", b"<|user|>", b"<|assistant|>")
    assert {len(piece) for piece in tokenizer.table[3:BASE]} == {1}
    assert tokenizer.special("<|assistant|>") == 2
    with pytest.raises(ValueError, match=r"'<\|system\|>' is no special token; there are <\|end"):
        tokenizer.special("<|system|>")


def test_special_tokens_are_plain_text_unless_asked_for(tokenizer):
    text = "a<|end|>b<|user|>"
    plain = tokenizer.encode(text)
    assert plain.min() >= len(SPECIALS)
    meant = tokenizer.encode(text, specials=True)
    assert [token for token in meant.tolist() if token < 3] == [0, 1]
    assert tokenizer.decode(plain) == tokenizer.decode(meant) == text


def test_special_tokens_in_a_corpus_are_not_learnt():
    learnt = BytePairTokenizer.train("ab<|end|>" * 50 + "ab ab ab", BASE + 2)
    assert learnt.table[BASE:] == (b"ab", b" ab")


@pytest.mark.parametrize("text", ["", "<|end|><|end|>"])
def test_an_empty_corpus_is_refused(text):
    with pytest.raises(ValueError, match="the corpus is empty"):
        BytePairTokenizer.train(text, 300)


def test_a_vocabulary_without_room_for_the_bytes_is_refused():
    with pytest.raises(ValueError, match=r"vocab_size 258 is too small: 3 special .* need 259"):
        BytePairTokenizer.train("ab ab", 258)
    assert len(BytePairTokenizer.train("ab ab", 259)) == 259


def test_more_tokens_than_the_corpus_has_are_refused():
    with pytest.raises(ValueError, match="vocab_size is 400; ask for at most 260"):
        BytePairTokenizer.train("ab ab", 400)


def test_half_a_surrogate_pair_is_named(tokenizer):
    for use in (tokenizer.encode, count_words, lambda text: BytePairTokenizer.train(text, 300)):
        with pytest.raises(ValueError, match=r"'\\ud800' at position 2 is half of a pair"):
            use("ab\ud800")


def test_broken_utf8_is_named_or_replaced(tokenizer):
    whole = CharTokenizer.of("ab今")
    broken = tokenizer.encode("ab鬱")[:-1]
    with pytest.raises(ValueError, match=r"the tokens are no UTF-8: .* at token \d \(\d+, bytes b"):
        tokenizer.decode(broken)
    assert tokenizer.decode(broken, errors="replace").startswith("ab")
    assert tokenizer.decode(broken, errors="replace").endswith("�")
    for one in (tokenizer, whole):
        with pytest.raises(ValueError, match="errors must be 'strict' or 'replace', got 'ignore'"):
            one.decode(torch.tensor([1]), errors="ignore")


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (b"", b""), (b"ab", b""), ("今".encode(), b""), (b"a\xe4", b"\xe4"),
        (b"\xe4\xbb", b"\xe4\xbb"), (b"\xf0\x9f\x8d", b"\xf0\x9f\x8d"),
        (b"\xbb", None), (b"\xe4a", None), (b"\xff", None), (b"\xc0", None), (b"\xe4\xe4", None),
    ],
)  # fmt: skip
def test_unfinished_characters_are_told_from_broken_ones(data, rest):
    assert tokenizers.unfinished(data) == rest


@given(st.text(min_size=1, max_size=12))
def test_spelling_allows_every_text_and_only_utf8(text):
    tokenizer = BytePairTokenizer(())
    begun, data = b"", text.encode()
    for byte in data:
        token = tokenizer.table.index(bytes([byte]))
        allowed = tokenizer.spelling.allowed([begun])[0]
        assert allowed[token]
        assert bool(allowed[0]) == (begun == b"")  # a text ends between characters
        begun = tokenizer.spelling.after(begun, token)
    assert begun == b""


@pytest.mark.parametrize("token", [-1, 500])
def test_tokens_outside_the_vocabulary_are_named(tokenizer, token):
    with pytest.raises(ValueError, match=f"token {token} is outside the vocabulary of 500 tokens"):
        tokenizer.decode(torch.tensor([4, token]))


def test_pieces_show_parts_of_characters(tokenizer):
    assert tokenizer.pieces("今日は") == ["今日は"]
    assert tokenizer.pieces("鬱")[0].startswith("\\xe9")


@pytest.mark.parametrize("kind", ["bytes", "characters"])
def test_a_tokenizer_travels_as_json(tokenizer, kind):
    one = tokenizer if kind == "bytes" else CharTokenizer.of("今日は\n fine\\")
    again = tokenizers.from_json(one.to_json())
    assert again == one
    assert again.fingerprint == one.fingerprint
    assert isinstance(again, TextTokenizer)
    assert len(one.fingerprint) == 12


def test_other_tokenizers_have_other_fingerprints(tokenizer):
    other = BytePairTokenizer(tokenizer.merges[:-1])
    assert len({tokenizer.fingerprint, other.fingerprint, CharTokenizer.of("ab").fingerprint}) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "words"}, "no tokenizer: expected JSON with one of the kinds byte_pair, char"),
        ({"specials": ["<|end|>"]}, "made by another version: its specials are"),
        ({"words": r"\S+"}, "made by another version: its words are"),
        (
            {"merges": [[3, 4], [4, 260]]},
            r"merge 1 is \(4, 260\); expected two tokens from 3 to 259",
        ),
        ({"merges": [[3]]}, r"merge 0 is \(3,\)"),
        ({"merges": [[0, 5]]}, r"merge 0 is \(0, 5\)"),
    ],
)
def test_json_that_is_no_tokenizer_is_refused(tokenizer, change, message):
    with pytest.raises(ValueError, match=message):
        tokenizers.from_json(json.dumps(json.loads(tokenizer.to_json()) | change))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"kind": "characters"}'])
def test_text_that_is_no_json_is_refused(text):
    with pytest.raises(ValueError, match=r"no tokenizer|no character tokenizer"):
        tokenizers.from_json(text)
    with pytest.raises(ValueError, match="expected"):
        CharTokenizer.from_json(text)
    with pytest.raises(ValueError, match="tokenizer"):
        BytePairTokenizer.from_json(text)


def test_characters_have_no_special_tokens():
    with pytest.raises(ValueError, match="a character tokenizer has no special tokens"):
        CharTokenizer.of("ab").encode("a", specials=True)
    assert CharTokenizer.of("ab").end is None
