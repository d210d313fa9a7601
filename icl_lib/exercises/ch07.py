"""Exercises of chapter 7: one merge, one ruler for two tokenizers, a split, a schedule."""

import itertools
import math
from collections import Counter
from collections.abc import Callable

from icl_lib.exercises.core import Exercise, Step

Words = dict[tuple[int, ...], int]


def _expect(actual: object, wanted: object, what: str) -> None:
    if actual != wanted:
        raise AssertionError(f"{what}: expected {wanted}, got {actual}")


# one merge


def _pair_counts(words: Words) -> Counter:
    counts: Counter = Counter()
    for word, times in words.items():
        for pair in itertools.pairwise(word):
            counts[pair] += times
    return counts


def _replace(word: tuple[int, ...], pair: tuple[int, int], new: int) -> tuple[int, ...]:
    out, place = [], 0
    while place < len(word):
        found = word[place : place + 2] == pair
        out.append(new if found else word[place])
        place += 2 if found else 1
    return tuple(out)


def _merge(words: Words, new: int) -> tuple[tuple[int, int], Words]:
    counts = _pair_counts(words)
    pair = min(counts, key=lambda p: (-counts[p], p))
    return pair, {_replace(word, pair, new): times for word, times in words.items()}


def _merge_types(words: Words, new: int):
    return _merge(dict.fromkeys(words, 1), new)[0], _merge(words, new)[1]


def _merge_across(words: Words, new: int):
    text = tuple(token for word, times in words.items() for token in word * times)
    return _merge({text: 1}, new)[0], _merge(words, new)[1]


def _merge_first(words: Words, new: int):
    counts = _pair_counts(words)
    pair = max(counts, key=lambda p: counts[p])
    return pair, {_replace(word, pair, new): times for word, times in words.items()}


def _merge_overlapping(words: Words, new: int):
    pair, _ = _merge(words, new)
    merged = {}
    for word, times in words.items():
        hits = [word[i : i + 2] == pair for i in range(len(word))]
        out = [new if hit else t for i, (t, hit) in enumerate(zip(word, hits, strict=True))
               if hit or not (i and hits[i - 1])]  # fmt: skip
        merged[tuple(out)] = times
    return pair, merged


def _merge_unweighted(words: Words, new: int):
    pair, merged = _merge(words, new)
    return pair, dict.fromkeys(merged, 1)


def _expect_pair(f: Callable, words: Words, what: str) -> None:
    pair, _ = f(dict(words), 900)
    _expect(tuple(pair), _merge(words, 900)[0], what)


def _expect_words(f: Callable, words: Words, what: str) -> None:
    _expect(dict(f(dict(words), 900)[1]), _merge(words, 900)[1], what)


MERGE = Exercise(
    "ch07-merge",
    "one step of byte-pair encoding: find the commonest pair and make it one token",
    (
        Step(
            "the commonest pair of one word",
            lambda f: _expect_pair(f, {(1, 2, 1, 2, 3): 1}, "pair of 1 2 1 2 3"),
        ),
        Step(
            "a word that occurs often counts often",
            lambda f: _expect_pair(
                f, {(1, 2, 3): 1, (4, 1, 2): 1, (5, 6): 5}, "pair of 1 2 3, 4 1 2 and five 5 6"
            ),
        ),
        Step(
            "no pair reaches from one word into the next",
            lambda f: _expect_pair(
                f, {(6, 5): 4, (6, 1, 5): 2, (6, 2, 5): 2}, "pair of four 6 5, two 6 1 5, two 6 2 5"
            ),
        ),
        Step(
            "of equally common pairs the smaller one",
            lambda f: _expect_pair(f, {(7, 8): 2, (3, 9): 2}, "pair of 7 8 and 3 9, twice each"),
        ),
        Step(
            "the pair becomes the new token, and words keep their counts",
            lambda f: _expect_words(
                f, {(1, 2, 1, 2, 3): 4, (3, 1, 2): 2, (3, 3): 1}, "words with pair 1 2"
            ),
        ),
        Step(
            "left to right, no token used twice",
            lambda f: _expect_words(f, {(1, 1, 1): 1, (1, 1, 1, 1): 1}, "words 1 1 1 and 1 1 1 1"),
        ),
    ),
    _merge,
    {
        "counts each different word once": _merge_types,
        "joins words before it counts": _merge_across,
        "takes the first of equal pairs": _merge_first,
        "overlapping pairs": _merge_overlapping,
        "forgets how often a word occurs": _merge_unweighted,
    },
)


# bits per byte


def _bits(loss: float, tokens: int, text: str) -> float:
    return loss * tokens / (math.log(2) * len(text.encode("utf-8")))


def _bits_in_nats(loss: float, tokens: int, text: str) -> float:
    return loss * tokens / len(text.encode("utf-8"))


def _bits_per_character(loss: float, tokens: int, text: str) -> float:
    return loss * tokens / (math.log(2) * len(text))


def _bits_per_token(loss: float, tokens: int, text: str) -> float:
    return loss / math.log(2)


def _bits_upside_down(loss: float, tokens: int, text: str) -> float:
    return loss * len(text.encode("utf-8")) / (math.log(2) * tokens)


def _expect_bits(f: Callable, loss: float, tokens: int, text: str, what: str) -> None:
    got, wanted = float(f(loss, tokens, text)), _bits(loss, tokens, text)
    if not abs(got - wanted) <= 1e-9 * max(1.0, abs(wanted)):
        raise AssertionError(f"{what}: expected {wanted:.6g} bits per byte, got {got:.6g}")


BITS = Exercise(
    "ch07-bits-per-byte",
    "turn a loss per token into bits per byte, a unit that no tokenizer changes",
    (
        Step(
            "a byte drawn blindly from 256 costs eight bits",
            lambda f: _expect_bits(f, math.log(256), 4, "tree", "ln 256 nats, 4 tokens, 'tree'"),
        ),
        Step(
            "fewer tokens spread their loss over more bytes",
            lambda f: _expect_bits(f, math.log(16), 2, "a tree", "ln 16 nats, 2 tokens, 'a tree'"),
        ),
        Step(
            "a Japanese character is three bytes",
            lambda f: _expect_bits(f, math.log(64), 2, "今日は", "ln 64 nats, 2 tokens, 今日は"),
        ),
        Step(
            "any loss",
            lambda f: _expect_bits(f, 1.234, 7, "naïve 天気 🙂", "1.234 nats, 7 tokens"),
        ),
    ),
    _bits,
    {
        "nats instead of bits": _bits_in_nats,
        "per character": _bits_per_character,
        "per token": _bits_per_token,
        "upside down": _bits_upside_down,
    },
)


# a split without leaks


def _split(texts: list[str], share: float) -> tuple[list[str], list[str]]:
    away = _last_of(list(dict.fromkeys(texts)), share)
    return [t for t in texts if t not in away], [t for t in texts if t in away]


def _last_of(distinct: list[str], share: float) -> set[str]:
    count = min(len(distinct) - 1, max(1, round(share * len(distinct))))
    return set(distinct[len(distinct) - count :])


def _split_by_place(texts: list[str], share: float) -> tuple[list[str], list[str]]:
    count = max(1, round(share * len(texts)))
    return texts[: len(texts) - count], texts[len(texts) - count :]


def _split_without_copies(texts: list[str], share: float) -> tuple[list[str], list[str]]:
    return _split(list(dict.fromkeys(texts)), share)


def _split_share_of_copies(texts: list[str], share: float) -> tuple[list[str], list[str]]:
    distinct = list(dict.fromkeys(texts))
    away = set(distinct[: max(1, round(share * len(texts)))])
    return [t for t in texts if t not in away], [t for t in texts if t in away]


def _split_shared(texts: list[str], share: float) -> tuple[list[str], list[str]]:
    return list(texts), _split(texts, share)[1]


def _split_empty(texts: list[str], share: float) -> tuple[list[str], list[str]]:
    distinct = list(dict.fromkeys(texts))
    count = round(share * len(distinct))
    away = set(distinct[len(distinct) - count :]) if count else set()
    return [t for t in texts if t not in away], [t for t in texts if t in away]


def _numbered(count: int) -> list[str]:
    return [f"text {n}" for n in range(count)]


def _sides(f: Callable, texts: list[str], share: float) -> tuple[list[str], list[str]]:
    train, held_out = f(list(texts), share)
    return list(train), list(held_out)


def _expect_nothing_lost(f: Callable, texts: list[str], share: float) -> None:
    train, held_out = _sides(f, texts, share)
    _expect(Counter(train + held_out), Counter(texts), "texts on both sides together")


def _expect_no_leak(f: Callable, texts: list[str], share: float) -> None:
    train, held_out = _sides(f, texts, share)
    _expect(sorted(set(train) & set(held_out)), [], "texts that stand on both sides")


def _expect_share(f: Callable, texts: list[str], share: float, wanted: int) -> None:
    held_out = _sides(f, texts, share)[1]
    _expect(len(set(held_out)), wanted, f"different texts held out of {len(set(texts))}")


REPEATED = ["a", "b", "a", "c", "d", "a", "e", "f", "g", "a"]

SPLIT = Exercise(
    "ch07-split",
    "hold texts out so that nothing in them was trained on",
    (
        Step("every text is on one side", lambda f: _expect_nothing_lost(f, _numbered(20), 0.2)),
        Step("the share is right", lambda f: _expect_share(f, _numbered(20), 0.2, 4)),
        Step("a text and its copies stay together", lambda f: _expect_no_leak(f, REPEATED, 0.3)),
        Step("the copies are kept", lambda f: _expect_nothing_lost(f, REPEATED, 0.3)),
        Step("the share counts different texts", lambda f: _expect_share(f, REPEATED, 0.3, 2)),
        Step("at least one text is held out", lambda f: _expect_share(f, _numbered(5), 0.01, 1)),
    ),
    _split,
    {
        "cuts the list": _split_by_place,
        "drops the copies": _split_without_copies,
        "counts copies as texts": _split_share_of_copies,
        "trains on everything": _split_shared,
        "holds out nothing when the share is small": _split_empty,
    },
)


# a schedule


def _schedule(step: int, warmup: int, steps: int, final: float) -> float:
    if step < warmup:
        return (step + 1) / warmup
    done = min((step - warmup) / (steps - warmup), 1.0)
    return final + (1 - final) * (1 + math.cos(math.pi * done)) / 2


def _schedule_from_zero(step: int, warmup: int, steps: int, final: float) -> float:
    return step / warmup if step < warmup else _schedule(step, warmup, steps, final)


def _schedule_linear(step: int, warmup: int, steps: int, final: float) -> float:
    if step < warmup:
        return (step + 1) / warmup
    return final + (1 - final) * (1 - min((step - warmup) / (steps - warmup), 1.0))


def _schedule_to_zero(step: int, warmup: int, steps: int, final: float) -> float:
    return _schedule(step, warmup, steps, 0.0)


def _schedule_no_offset(step: int, warmup: int, steps: int, final: float) -> float:
    if step < warmup:
        return (step + 1) / warmup
    return final + (1 - final) * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2


def _schedule_swings_back(step: int, warmup: int, steps: int, final: float) -> float:
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / (steps - warmup)
    return final + (1 - final) * (1 + math.cos(math.pi * done)) / 2


def _expect_factor(f: Callable, step: int, final: float = 0.0) -> None:
    got, wanted = float(f(step, 10, 110, final)), _schedule(step, 10, 110, final)
    if not abs(got - wanted) <= 1e-9:
        raise AssertionError(
            f"step {step} of 110 after a warm-up of 10, down to {final}: expected {wanted:.6g}, "
            f"got {got:.6g}"
        )


SCHEDULE = Exercise(
    "ch07-schedule",
    "the factor on the step size: a linear warm-up, then half a cosine",
    (
        Step("the first step moves already", lambda f: _expect_factor(f, 0)),
        Step("the warm-up ends at one", lambda f: _expect_factor(f, 9)),
        Step("the cosine begins at one", lambda f: _expect_factor(f, 10)),
        Step("a quarter of the way down", lambda f: _expect_factor(f, 35)),
        Step("it stops at the final factor", lambda f: _expect_factor(f, 110, 0.1)),
        Step("and stays there", lambda f: _expect_factor(f, 150, 0.1)),
    ),
    _schedule,
    {
        "a first step of nothing": _schedule_from_zero,
        "a straight line": _schedule_linear,
        "always down to zero": _schedule_to_zero,
        "counts the warm-up twice": _schedule_no_offset,
        "comes up again": _schedule_swings_back,
    },
)

EXERCISES = (MERGE, BITS, SPLIT, SCHEDULE)
