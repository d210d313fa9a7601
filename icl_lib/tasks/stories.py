"""Short original texts in English and Japanese, made by a phrase grammar: the corpus of the book.

Each text has three to six sentences and four attributes that hold from its first to its last
word: a topic, a register (polite or plain), a mood (bright or gloomy) and a tense that fits the
word for the time. Verbs agree with their subjects, pronouns with the person they stand for. So a
model that is to predict the text must learn all of these, and since the grammar is known, how
well it has learnt them can be counted: see :mod:`icl_lib.tasks.story_reading`.

Nothing is copied and nothing is downloaded; a seed makes the same text on every machine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from icl_lib.tasks import story_english, story_japanese

END = "<|end|>"
LANGUAGES = ("en", "ja")
TOPICS = ("weather", "food", "school", "sea", "music", "animals", "travel", "garden")
REGISTERS = ("polite", "plain")
MOODS = ("bright", "gloomy")
PLANS = (
    "A T C", "T A C", "O A T", "O T A", "A M C", "O A M", "A T F C", "T A F C", "T A M C",
    "A T M C", "O A T F", "O T A M", "O A T M", "A T M F C", "T A M F C", "O A T M C",
    "O T A F C", "O A T M F C", "O T A M F C",
)  # fmt: skip
"""Orders of sentences: opener, deed (action), thing, deed with a mood, feeling, closer."""
SENTENCES = {
    "O": "opener", "A": "deed", "T": "thing", "M": "turn", "F": "feeling", "C": "closer",
}  # fmt: skip
WEATHER_PLANS = tuple(plan for plan in PLANS if plan.startswith("T"))


@dataclass(frozen=True)
class Story:
    """A text and what it was made to be.

    Attributes
    ----------
    text
        The text, sentences separated by spaces in English and by nothing in Japanese.
    language
        ``"en"`` or ``"ja"``.
    topic
        One of :data:`TOPICS`.
    register
        ``"polite"`` or ``"plain"``: です・ます or not; "please" and "is", or "hey" and "'s".
    mood
        ``"bright"`` or ``"gloomy"``, told by the choice of words.
    nats
        Minus the logarithm of the probability of the choices that made it.

    Explained in: 07_pretraining
    """

    text: str
    language: str
    topic: str
    register: str
    mood: str
    nats: float = 0.0


class Choices:
    """The choices of one text, read off a row of random numbers.

    Parameters
    ----------
    numbers
        Whole numbers below 2³¹, one for each choice.

    Attributes
    ----------
    nats
        Minus the logarithm of the probability of all choices that the text shows. A text has
        probability exp(−nats), or a little more if other choices make it too.
    """

    def __init__(self, numbers: Sequence[int]):
        self.numbers, self.nats = iter(numbers), 0.0

    def pick(self, options: Sequence) -> object:
        """Return one of the options; one that stands there twice is twice as likely."""
        chosen = options[next(self.numbers) % len(options)]
        self.nats -= math.log(options.count(chosen) / len(options))
        return chosen

    def unsaid(self, options: Sequence, chosen: object) -> None:
        """Take back what a choice has cost that the text does not show."""
        self.nats += math.log(options.count(chosen) / len(options))


def stories(
    count: int,
    *,
    seed: int = 0,
    language: str | None = None,
    topic: str | None = None,
    register: str | None = None,
    mood: str | None = None,
) -> list[Story]:
    """Write some texts.

    Parameters
    ----------
    count
        How many.
    seed
        The same seed writes the same texts; fewer of them are the first of more.
    language, topic, register, mood
        Fixed for all texts, or drawn for each if left out.

    Raises
    ------
    ValueError
        If ``count`` is not positive or an attribute has no such value.

    Explained in: 07_pretraining
    """
    if count < 1:
        raise ValueError(f"a corpus needs at least one text, got {count}")
    wanted = (language, topic, register, mood)
    known = (LANGUAGES, TOPICS, REGISTERS, MOODS)
    for name, value, values in zip(ATTRIBUTES, wanted, known, strict=True):
        if value is not None and value not in values:
            raise ValueError(f"{name} must be one of {', '.join(values)}; got {value!r}")
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randint(2**31 - 1, (count, 64), generator=generator).tolist()
    return [_story(Choices(row), wanted) for row in numbers]


ATTRIBUTES = ("language", "topic", "register", "mood")


def _story(dice: Choices, wanted: Sequence[str | None]) -> Story:
    known = (LANGUAGES, TOPICS, REGISTERS, MOODS)
    drawn = [dice.pick(values) for values in known]
    for value, values, fixed in zip(drawn, known, wanted, strict=True):
        if fixed:
            dice.unsaid(values, value)
    language, *told = (w or d for w, d in zip(wanted, drawn, strict=True))
    rules = story_english if language == "en" else story_japanese
    writer = rules.Writer(dice, *told)
    # a text on the weather mostly begins with it: 「今日はいい天気ですね。」
    plans = (PLANS, *(WEATHER_PLANS,) * 4) if told[0] == "weather" else (PLANS,)
    before, plan = dice.nats, dice.pick(dice.pick(plans))
    dice.nats = before - math.log(sum(p.count(plan) / len(p) for p in plans) / len(plans))
    sentences = [getattr(writer, SENTENCES[kind])() for kind in plan.split()]
    return Story((" " if language == "en" else "").join(sentences), language, *told, dice.nats)


def corpus(count: int, *, seed: int = 0) -> str:
    """Write texts one after the other, each closed by ``<|end|>``.

    Parameters
    ----------
    count, seed
        As in :func:`stories`.

    Returns
    -------
    str
        Encode it with ``specials=True``, so that the ends become the token that ends a text.

    Explained in: 07_pretraining
    """
    return "".join(story.text + END for story in stories(count, seed=seed))
