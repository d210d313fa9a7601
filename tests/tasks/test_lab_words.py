"""The spelling of the lab language: one word a token, and attributes that can be read off."""

import dataclasses

import pytest
import torch

from icl_lib.tasks.lab import AGREEMENT, AND, BEGIN, Lab
from icl_lib.tasks.lab_tasks import measured_tasks
from icl_lib.tasks.lab_words import ARROW, VOWELS, Words

LAB = Lab()
WORDS = Words(LAB)


def test_every_word_and_label_is_written_differently():
    said = [WORDS.say(token) for token in range(3, LAB.vocab_size)]
    assert len(set(said)) == len(said)


def test_a_word_is_made_of_the_syllables_of_its_values():
    for values in ((0, 0, 0), (3, 7, 2), tuple(size - 1 for size in LAB.sizes)):
        token = int(LAB.word(torch.tensor(values)))
        syllables = [WORDS.syllable(a, v) for a, v in enumerate(values)]
        assert WORDS.say(token) == "".join(syllables)
        assert [s[1] for s in syllables] == list(VOWELS)


def test_a_label_with_a_meaning_is_what_it_means():
    for attribute, size in enumerate(LAB.sizes):
        for value in range(size):
            wanted = WORDS.syllable(attribute, value).upper()
            assert WORDS.say(LAB.meaning(attribute, value)) == wanted
    assert WORDS.say(LAB.meaning(AGREEMENT, 0)) == "=–"
    assert WORDS.say(LAB.meaning(AGREEMENT, 5)).lower() == f"={VOWELS[0]}{VOWELS[2]}"
    assert WORDS.say(LAB.first_arbitrary + 7) == "#7"


def test_a_document_has_a_line_for_each_example():
    for name in ("lab-agnews", "lab-cb"):
        task = measured_tasks()[name]
        generator = torch.Generator().manual_seed(0)
        (document,) = LAB.documents(task.plan(1), 5, generator)
        lines = WORDS.lines(document)
        assert len(lines) == 5
        assert lines[0].startswith(WORDS.say(BEGIN))
        assert all(line.count(ARROW) == 1 for line in lines)
        assert " ".join(lines) == WORDS.text(document) == WORDS.text(document.tolist())
        assert WORDS.text(document).count(WORDS.say(AND)) == 5 * (name == "lab-cb")


def test_what_cannot_be_spelled_is_refused():
    with pytest.raises(ValueError, match=f"the language has {LAB.vocab_size} tokens"):
        WORDS.say(LAB.vocab_size)
    with pytest.raises(ValueError, match="there are 20 consonants"):
        Words(dataclasses.replace(LAB, sizes=(8, 30, 4)))
