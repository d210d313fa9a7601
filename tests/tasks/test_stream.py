"""The stream: its table and entropy, its three kinds of document, its best readers."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib.tasks.stream import (
    FIRST_WORD,
    PROMPT,
    TEXT,
    Stream,
    binding_accuracy,
    repeat_losses,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def stream():
    return Stream()


def words(stream, documents):
    return documents[:, 1:] - FIRST_WORD


def test_rows_of_the_table_are_distributions_with_the_promised_shares(stream):
    table = stream.table
    assert table.shape == (33, 32, 32)
    torch.testing.assert_close(table.sum(-1), torch.ones(33, 32).double())
    # the part that the word two back decides is the same whatever the word before is
    difference = table[3] - table[7]
    torch.testing.assert_close(difference, difference[:1].expand(32, -1))
    assert difference[0].abs().sum() > 0.3
    # words of a category differ in their own fifth alone, words of two categories in two
    near, far = table[0, 0] - table[0, 1], table[0, 0] - table[0, 4]
    assert near.abs().sum() <= 0.4 + 1e-12
    assert far.abs().sum() <= 0.8 + 1e-12


def test_the_table_has_a_heavy_tail(stream):
    ranked = stream.unigram.sort(descending=True).values
    torch.testing.assert_close(ranked[:4] / ranked[0], 1 / torch.arange(1, 5).double())


def test_the_seed_decides_the_language_and_nothing_else_does():
    torch.manual_seed(0)
    before = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(Stream(seed=4).table, Stream(seed=4).table)
    assert not torch.equal(Stream(seed=4).table, Stream(seed=5).table)
    assert torch.equal(torch.rand(1), before)


def test_texts_follow_the_table(stream):
    x = words(stream, stream.text(4000, seeded()))
    first = torch.bincount(x[:, 0], minlength=32) / 4000
    assert (first - stream.unigram).abs().max() < 4 * math.sqrt(0.2 * 0.8 / 4000)
    # the most frequent pair of words: does the next word have the row's distribution?
    back, word, after = x[:, :-2], x[:, 1:-1], x[:, 2:]
    code = back * 32 + word
    often = code.flatten().mode().values
    rows = after[code == often]
    wanted = stream.table[often // 32, often % 32]
    found = torch.bincount(rows, minlength=32) / len(rows)
    bound = 5 * (wanted * (1 - wanted) / len(rows)).sqrt() + 1e-3
    assert ((found - wanted).abs() < bound).all()


def test_exact_entropy_is_the_mean_surprise_of_the_table_itself(stream):
    x = words(stream, stream.text(6000, seeded(1)))
    back = torch.full_like(x, 32)
    back[:, 2:] = x[:, :-2]
    surprise = -stream.unigram[x[:, 0]].log()[:, None]
    rest = -stream.table[back[:, 1:], x[:, :-1], x[:, 1:]].log()
    losses = torch.cat([surprise, rest], dim=1)
    error = losses.std(0) / math.sqrt(len(x))
    gap = (losses.mean(0) - stream.text_entropy()).abs()
    assert (gap < 4.5 * error).all()
    assert gap.mean() < error.mean() * 1.5


def test_entropy_of_a_language_without_memory_is_that_of_its_words(stream):
    plain = Stream(seed=1)
    plain.__dict__["table"] = plain.unigram.expand(33, 32, 32)
    wanted = torch.special.entr(plain.unigram).sum().expand(32)
    torch.testing.assert_close(plain.text_entropy(), wanted)


def test_a_reader_with_one_word_of_memory_is_surprised_more(stream):
    two, one = stream.text_entropy(), stream.text_entropy(memory=1)
    torch.testing.assert_close(one[:2], two[:2])  # nothing stands two back yet
    assert (one[2:] > two[2:] + 0.1).all()
    x = words(stream, stream.text(8000, seeded(2)))
    pairs = (
        torch.zeros(32, 32)
        .index_put_((x[:, 9], x[:, 10]), torch.ones(8000), accumulate=True)
        .double()
    )
    counted = (pairs / pairs.sum(1, keepdim=True).clamp(min=1))[x[:, 9], x[:, 10]]
    assert -counted.log().mean().item() == pytest.approx(one[10].item(), abs=0.08)
    with pytest.raises(ValueError, match="memory must be 1 or 2 words, got 3"):
        stream.text_entropy(memory=3)


def test_every_kind_begins_with_its_token_and_has_its_length(stream):
    texts, lessons = stream.text(3, seeded()), stream.lessons(3, seeded())
    repeats, _ = stream.repeats(3, seeded())
    for documents, kind in ((texts, TEXT), (lessons, PROMPT), (repeats, PROMPT)):
        assert documents.shape == (3, 33)
        assert (documents[:, 0] == kind).all()
    batch = stream.batch(seeded())
    assert batch[:, 0].tolist() == [TEXT] * 8 + [PROMPT] * 16
    assert (batch[8:16, 2::2] >= stream.first_label).all()
    assert batch.max() < stream.vocab_size == 42


def test_a_label_stands_for_one_category_within_a_document(stream):
    lessons = stream.lessons(300, seeded())
    word, label = lessons[:, 1::2] - FIRST_WORD, lessons[:, 2::2]
    assert (label >= stream.first_label).all()
    assert (word < 32).all()
    counts = set()
    for row, names in zip((word // 4).tolist(), label.tolist(), strict=True):
        pairs = set(zip(row, names, strict=True))
        assert len(pairs) == len({c for c, _ in pairs}) == len({n for _, n in pairs})
        counts.add(len(pairs))
    assert {2, 3, 4} <= counts <= {1, 2, 3, 4}


def test_labels_carry_no_meaning_from_document_to_document(stream):
    lessons = stream.lessons(20_000, seeded())
    category, label = (lessons[:, 1] - FIRST_WORD) // 4, lessons[:, 2] - stream.first_label
    table = torch.zeros(8, 8).index_put_((category, label), torch.ones(20_000), accumulate=True)
    wanted = 20_000 / 64
    assert ((table - wanted).abs() < 5 * math.sqrt(wanted)).all()


def test_asked_sets_of_categories_never_stand_together_in_training(stream):
    lessons = stream.lessons(5000, seeded())
    categories = (lessons[:, 1::2] - FIRST_WORD) // 4
    seen = {frozenset(row) for row in categories.tolist() if len(set(row)) == 4}
    questions = stream.questions(5000, 14, generator=seeded())
    asked = {frozenset(row) for row in ((questions.prompts[:, 1::2] - FIRST_WORD) // 4).tolist()}
    asked = {s for s in asked if len(s) == 4}
    assert len(seen) > 45
    assert len(asked) > 10
    assert not seen & asked


@pytest.mark.parametrize("shots", [0, 1, 5])
def test_questions_end_with_a_word_that_no_demonstration_has(stream, shots):
    asked = stream.questions(200, shots, generator=seeded())
    assert asked.prompts.shape == (200, 2 + 2 * shots)
    demonstrated = asked.prompts[:, 1:-1:2]
    assert not (demonstrated == asked.prompts[:, -1:]).any()
    right = asked.candidates.gather(1, asked.answers[:, None])
    category = (asked.prompts[:, 1::2] - FIRST_WORD) // 4
    same = category[:, :-1] == category[:, -1:]
    told = asked.prompts[:, 2::2]
    assert ((told == right) == same).all()


def test_random_labels_tell_nothing(stream):
    asked = stream.questions(4000, 6, random_labels=True, generator=seeded())
    right = asked.candidates.gather(1, asked.answers[:, None])
    category = (asked.prompts[:, 1::2] - FIRST_WORD) // 4
    same = category[:, :-1] == category[:, -1:]
    share = (asked.prompts[:, 2::2] == right)[same].double().mean()
    assert abs(share - 0.25) < 0.03


def test_repeats_come_back_after_their_period(stream):
    documents, period = stream.repeats(50, seeded())
    x = words(stream, documents)
    assert period.min() >= 3
    assert period.max() <= 10
    for row, p in zip(x, period.tolist(), strict=True):
        assert torch.equal(row[p:], row[:-p])
        assert any(a != b for a, b in pairwise(row[:p].tolist()))


def test_best_reader_of_repeats_knows_nothing_at_first_and_all_at_last(stream):
    documents, _ = stream.repeats(400, seeded())
    losses = repeat_losses(documents, 40, 10)
    torch.testing.assert_close(losses[:, :3], torch.full((400, 3), math.log(40)).double())
    assert losses[:, 24:].mean() < 1e-3
    assert losses.mean(0)[6] > 0.1


def test_best_reader_of_repeats_by_hand():
    # a b c a: at the fourth token the period is 3 with probability 1/8, else the token is fresh
    document = torch.tensor([[PROMPT, 5, 6, 7, 5]])
    wanted = -math.log(1 / 8 + 7 / 8 / 40)
    assert repeat_losses(document, 40, 10)[0, 3].item() == pytest.approx(wanted, abs=1e-12)
    fresh = torch.tensor([[PROMPT, 5, 6, 7, 8]])
    wanted = -math.log(7 / 8 / 40)
    assert repeat_losses(fresh, 40, 10)[0, 3].item() == pytest.approx(wanted, abs=1e-12)


def test_no_one_beats_the_best_reader_of_repeats_on_average(stream):
    documents, period = stream.repeats(3000, seeded())
    best = repeat_losses(documents, 40, 10).mean()
    x = words(stream, documents)
    # another reader: bets .9 on the token 5 back, spreads the rest
    hit = torch.zeros_like(x, dtype=torch.bool)
    hit[:, 5:] = x[:, 5:] == x[:, :-5]
    other = -torch.where(hit, 0.9 + 0.1 / 40, torch.tensor(0.1 / 40)).log().mean()
    knows = (torch.arange(32) < period[:, None]).double().mean() * math.log(40)
    assert knows < best < other


@given(st.integers(0, 16), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_binding_accuracy_is_a_probability_that_grows_with_shots(shots, classes):
    now, then = binding_accuracy(shots, classes), binding_accuracy(shots + 1, classes)
    assert 1 / classes <= now + 1e-12
    assert now <= then + 1e-12
    assert then <= 1 + 1e-12
    assert binding_accuracy(0, classes) == pytest.approx(1 / classes)


@pytest.mark.parametrize("shots", [1, 2, 4, 8])
def test_binding_accuracy_is_that_of_a_reader_who_binds(stream, shots):
    asked = stream.questions(6000, shots, generator=seeded(3))
    category, label = (asked.prompts[:, 1::2] - FIRST_WORD) // 4, asked.prompts[:, 2::2]
    dice, right = seeded(9), 0
    for row, names, options, answer in zip(
        category.tolist(), label.tolist(), asked.candidates.tolist(), asked.answers.tolist(),
        strict=True,
    ):  # fmt: skip
        known = dict(zip(row[:-1], names, strict=True))
        left = [name for name in options if name not in known.values()]
        draw = torch.randint(max(1, len(left)), (1,), generator=dice).item()
        said = known[row[-1]] if row[-1] in known else left[draw]
        right += said == options[answer]
    assert right / 6000 == pytest.approx(binding_accuracy(shots, 4), abs=0.025)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 7}, "length must be even and at least 8, got 7"),
        ({"categories": 3}, "at least 8 categories of 2 words, got 3 of 4"),
        ({"labels": 3}, "at least 4 labels, got 3"),
        ({"successors": 1}, "successors must be 2 to 32, got 1"),
    ],
)
def test_a_language_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Stream(**options)


def test_prompts_that_do_not_fit_are_refused(stream):
    with pytest.raises(ValueError, match="shots must be 0 to 15"):
        stream.questions(2, 16, generator=seeded())
    with pytest.raises(ValueError, match="classes must be 1 to 4, got 5"):
        stream.questions(2, 1, classes=5, generator=seeded())
    with pytest.raises(ValueError, match="shots must be at least 0"):
        binding_accuracy(-1, 4)
