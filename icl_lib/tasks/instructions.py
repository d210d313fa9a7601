"""Instructions with answers that fulfil them, and a judge whose taste is written down.

The answers are our own stories. So it can be counted whether a text does what it was asked to do,
and what it is truly worth to the judge, which with people nobody knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from icl_lib.tasks.stories import LANGUAGES, REGISTERS, TOPICS, stories
from icl_lib.tasks.story_reading import marks, read_attributes, sentences

WORDINGS: Mapping[str, Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "en": {
            "polite": ("write about {topic}, politely", "please tell me about {topic}, politely"),
            "plain": ("write about {topic}, casually", "tell me about {topic}, casually"),
        },
        "ja": {
            "polite": ("{topic}について丁寧に書いて", "{topic}のことを丁寧に話して"),
            "plain": ("{topic}について気軽に書いて", "{topic}のことを気軽に話して"),
        },
    }
)
"""How one asks, by language and register."""

NAMES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "en": {
            "weather": "the weather", "food": "food", "school": "school", "sea": "the sea",
            "music": "music", "animals": "animals", "travel": "travel", "garden": "the garden",
        },
        "ja": {
            "weather": "天気", "food": "食べ物", "school": "学校", "sea": "海", "music": "音楽",
            "animals": "動物", "travel": "旅行", "garden": "庭",
        },
    }
)  # fmt: skip
"""What a topic is called in an instruction."""


SENTENCES = 3
"""How long the answers of the demonstrations are."""


@dataclass(frozen=True)
class Instruction:
    """What a text should be, and how it was asked for.

    Attributes
    ----------
    question
        The words.
    language, topic, register
        What the answer should have, as in :class:`icl_lib.tasks.stories.Story`.
    """

    question: str
    language: str
    topic: str
    register: str


def every_instruction() -> list[Instruction]:
    """Return all instructions: two languages, eight topics, two registers, two wordings of each.

    Explained in: 09_chatgpt
    """
    return [
        Instruction(wording.format(topic=NAMES[language][topic]), language, topic, register)
        for language in LANGUAGES
        for topic in TOPICS
        for register in REGISTERS
        for wording in WORDINGS[language][register]
    ]


def demonstrations(
    instructions: Sequence[Instruction], count: int, *, seed: int = 0
) -> list[tuple[str, str]]:
    """Return questions with answers that fulfil them, each a story of three sentences.

    Raises
    ------
    ValueError
        If there is no instruction or ``count`` is not positive.

    Explained in: 09_chatgpt
    """
    if not instructions or count < 1:
        raise ValueError(
            f"expected instructions and a positive count, got {len(instructions)} and {count}"
        )
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randint(2**31 - 1, (count, 2), generator=generator).tolist()
    pairs = []
    for which, story_seed in draws:
        asked = instructions[which % len(instructions)]
        pairs.append((asked.question, _short_story(asked, story_seed)))
    return pairs


def _short_story(asked: Instruction, seed: int) -> str:
    """Return the first story of three sentences among those that a seed writes."""
    wanted = {name: getattr(asked, name) for name in ("language", "topic", "register")}
    for part in range(100):
        for story in stories(8, seed=seed + part, **wanted):
            if len(sentences(story.text)) == SENTENCES:
                return story.text
    raise RuntimeError(f"no story of {SENTENCES} sentences for {asked}")


def fulfils(asked: Instruction, text: str) -> dict[str, bool]:
    """Return whether a text is in the language, on the topic and in the register asked for.

    Explained in: 09_chatgpt
    """
    found = read_attributes(text)
    return {name: found[name] == getattr(asked, name) for name in ("language", "topic", "register")}


ENOUGH = 3
"""Bright words that please the judge; more of them are neither better nor worse."""


TASTE: Mapping[str, float] = MappingProxyType(
    {"bright": 1.0, "gloomy": -1.0, "off topic": -2.0, "unfinished": -2.0, "repeated": -1.0}
)
"""What each part of a text is worth to the judge."""


def parts(asked: Instruction, text: str, *, finished: bool = True) -> dict[str, int]:
    """Count in a text what the judge looks at, by the names of :data:`TASTE`.

    Parameters
    ----------
    asked
        The instruction.
    text
        The answer.
    finished
        Whether the answer came to its end.

    Returns
    -------
    dict
        Bright words, at most :data:`ENOUGH`; gloomy words; 1 if the text is off the topic; 1 if it
        is unfinished; sentences that were said before.

    Explained in: 09_chatgpt
    """
    mood = marks(text)["mood"]
    said = sentences(text)
    return {
        "bright": min(mood["bright"], ENOUGH),
        "gloomy": mood["gloomy"],
        "off topic": int(read_attributes(text)["topic"] != asked.topic),
        "unfinished": int(not finished),
        "repeated": len(said) - len(set(said)),
    }


def worth(asked: Instruction, text: str, *, finished: bool = True) -> float:
    """Return the true reward of a text: the judge's taste, as a rule.

    ::

        +1 for each bright word, up to three          −1 for each gloomy word
        −2 if it is not on the topic that was asked   −2 if it does not come to an end
        −1 for each sentence that was said before

    Parameters
    ----------
    asked, text, finished
        As in :func:`parts`, whose counts it weighs with :data:`TASTE`.

    Explained in: 09_chatgpt
    """
    counted = parts(asked, text, finished=finished)
    return sum(value * counted[name] for name, value in TASTE.items())
