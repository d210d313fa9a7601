"""Instructions: demonstrations fulfil them, and the judge's rule does what its table says."""

import pytest

from icl_lib.tasks import instructions as task
from icl_lib.tasks.stories import stories

EVERY = task.every_instruction()
SEA = next(a for a in EVERY if (a.language, a.topic, a.register) == ("en", "sea", "polite"))


def test_instructions_cover_every_combination_twice_and_differ():
    assert len(EVERY) == 2 * 8 * 2 * 2
    assert len({a.question for a in EVERY}) == len(EVERY)
    kinds = {(a.language, a.topic, a.register) for a in EVERY}
    assert len(kinds) == 32


def test_demonstrations_fulfil_their_instruction():
    asked = {a.question: a for a in EVERY}
    pairs = task.demonstrations(EVERY, 200, seed=0)
    kept = [task.fulfils(asked[question], text) for question, text in pairs]
    for name in ("language", "topic", "register"):
        share = sum(found[name] for found in kept) / len(kept)
        assert share > 0.95, name


def test_demonstrations_are_seeded_and_cover_many_instructions():
    first, again = (task.demonstrations(EVERY, 100, seed=3) for _ in range(2))
    assert first == again
    assert first != task.demonstrations(EVERY, 100, seed=4)
    assert len({question for question, _ in first}) > 40


def test_a_story_on_another_topic_does_not_fulfil():
    (food,) = stories(1, seed=0, language="en", topic="food", register="polite")
    assert task.fulfils(SEA, food.text) == {"language": True, "topic": False, "register": True}


@pytest.mark.parametrize(
    ("text", "finished", "reward"),
    [
        ("My sister is walking along the beach today.", True, 0.0),
        ("The sea is calm today.", True, 1.0),
        ("The sea is rough today.", True, -1.0),
        ("The sea is calm and blue and warm and sunny today.", True, 3.0),
        ("The sea is calm today. The sea is calm today.", True, 1.0),
        ("The sea is calm today", False, -1.0),
        ("The soup is warm today.", True, -1.0),
        ("", False, -4.0),
    ],
)
def test_worth_follows_its_table(text, finished, reward):
    assert task.worth(SEA, text, finished=finished) == reward


def test_the_parts_of_a_text_are_counted_by_hand():
    text = "The sea was calm today. The sea was calm today. The waves were rough today."
    assert task.parts(SEA, text, finished=False) == {
        "bright": 2, "gloomy": 1, "off topic": 0, "unfinished": 1, "repeated": 1,
    }  # fmt: skip
    assert task.parts(SEA, "The sea is calm and blue and warm and sunny today.")["bright"] == 3
    assert task.parts(SEA, "The soup is warm today.")["off topic"] == 1
    assert list(task.parts(SEA, "")) == list(task.TASTE)


def test_bad_inputs_are_refused():
    with pytest.raises(ValueError, match="got 0 and 3"):
        task.demonstrations([], 3)
    with pytest.raises(ValueError, match="positive count"):
        task.demonstrations(EVERY, 0)
