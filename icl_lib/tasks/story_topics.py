"""What the phrase grammar knows of a topic, the same for both languages."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Thing:
    """A noun of a topic with what can be said of it.

    Attributes
    ----------
    name
        The noun, with its article.
    bright, gloomy
        Adjectives or other predicates of either mood.
    plural
        Whether its verb stands in the plural; Japanese does not ask.
    """

    name: str
    bright: tuple[str, ...]
    gloomy: tuple[str, ...]
    plural: bool = False

    @property
    def words(self) -> Mapping[str, tuple[str, ...]]:
        """Its predicates by mood."""
        return {"bright": self.bright, "gloomy": self.gloomy}


@dataclass(frozen=True)
class Topic:
    """The phrases of one topic.

    Attributes
    ----------
    marks
        Words that give the topic away: each of its phrases holds one, no phrase of another does.
    things
        Nouns and their predicates.
    deeds
        Verb phrases without a mood.
    turns
        Verb phrases by mood.
    """

    marks: tuple[str, ...]
    things: tuple[Thing, ...]
    deeds: tuple[str, ...]
    turns: Mapping[str, tuple[str, ...]]
