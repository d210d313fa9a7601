"""The English half of the phrase grammar: its phrases, and how a sentence is made of them.

Every phrase belongs to one topic and, if it tells a mood, to one mood. Nothing here is copied from
anywhere; the sentences are as plain as those of a first reader.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from icl_lib.tasks.story_topics import Thing, Topic

TIMES: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "now": ("today", "today", "right now", "this morning"),
        "habit": ("every day", "every Sunday", "every week"),
        "past": ("yesterday", "last week", "last Sunday"),
        "future": ("tomorrow", "next week", "next Sunday"),
    }
)
"""When something happens, by tense: is walking, walks, walked, will walk."""

PEOPLE: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "she": ("my sister", "my mother", "my aunt", "Anna", "Emma", "the girl"),
        "he": ("my brother", "my father", "my uncle", "Tom", "Ben", "the boy"),
        "they": ("my parents", "my cousins", "my friends", "Anna and Tom", "the children"),
    }
)
"""Who does it, by the pronoun that later stands for them."""
POSSESSIVES = MappingProxyType({"she": "her", "he": "his", "they": "their"})

OPENERS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "polite": (
            "Good morning to you all.",
            "May I tell you something?",
            "Thank you for asking.",
            "I would like to tell you something.",
        ),
        "plain": (
            "Hey, listen.",
            "Guess what.",
            "You know what?",
            "Hey, I've got news.",
        ),
    }
)
CLOSERS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "polite": (
            "Thank you very much for listening.",
            "Would you please write to me?",
            "Please give my regards to your family.",
            "May I ask how you are?",
            "I would like to hear from you.",
        ),
        "plain": (
            "That's it, see you.",
            "So yeah, that's all.",
            "Okay, gotta go.",
            "Hey, write back, okay?",
            "Well, you know how it goes.",
        ),
    }
)
REGISTER_MARKS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "polite": ("good morning to", "may i", "thank you", "i would", "would you", "please"),
        "plain": ("hey", "guess what", "you know", "that's", "yeah", "okay", "gotta", "i've"),
    }
)
"""Words that give the register away; so does a pronoun with or without its full verb."""

FEELINGS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "bright": ("happy", "glad", "cheerful", "delighted", "proud", "relaxed"),
        "gloomy": ("sad", "tired", "worried", "lonely", "unhappy", "disappointed"),
    }
)
DEEDS_OF_FEELING: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "bright": ("smile all day", "laugh a lot", "celebrate happily"),
        "gloomy": ("sigh all day", "cry a little", "complain a lot"),
    }
)

IRREGULAR: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "sit": ("sits", "sat", "sitting"),
        "buy": ("buys", "bought", "buying"),
        "make": ("makes", "made", "making"),
        "eat": ("eats", "ate", "eating"),
        "read": ("reads", "read", "reading"),
        "write": ("writes", "wrote", "writing"),
        "swim": ("swims", "swam", "swimming"),
        "sing": ("sings", "sang", "singing"),
        "feed": ("feeds", "fed", "feeding"),
        "take": ("takes", "took", "taking"),
        "hug": ("hugs", "hugged", "hugging"),
        "travel": ("travels", "travelled", "travelling"),
        "drive": ("drives", "drove", "driving"),
        "cut": ("cuts", "cut", "cutting"),
        "build": ("builds", "built", "building"),
    }
)

TOPICS: Mapping[str, Topic] = MappingProxyType(
    {
        "weather": Topic(
            marks=(
                "weather", "sky", "sun", "sunshine", "rain", "rainbow", "storm", "wind", "cloud",
                "clouds", "umbrella", "forecast",
            ),
            things=(
                Thing("the weather", ("lovely", "fine", "sunny"), ("awful", "stormy", "rainy")),
                Thing("the weather", ("lovely", "fine", "mild"), ("bad", "cold", "foggy")),
                Thing("the sky", ("clear", "blue", "bright"), ("grey", "dark", "cloudy")),
                Thing("the wind", ("soft", "gentle", "warm"), ("cold", "bitter", "rough")),
                Thing("the clouds", ("white", "light"), ("heavy", "dark", "black"), plural=True),
            ),
            deeds=(
                "watch the clouds", "talk about the weather", "look up at the sky",
                "listen to the forecast", "talk about the forecast", "walk in the wind",
            ),
            turns={
                "bright": (
                    "enjoy the sunshine", "sit in the warm sun", "look at a beautiful rainbow",
                    "laugh at {poss} old umbrella",
                ),
                "gloomy": (
                    "wait in the cold rain", "shiver in the bitter wind", "worry about the storm",
                    "look for {poss} lost umbrella",
                ),
            },
        ),
        "food": Topic(
            marks=(
                "soup", "apple", "apples", "bread", "pancake", "pancakes", "kitchen", "cake",
                "cakes", "dinner", "lunch", "meal", "cook", "cooks", "cooked", "cooking", "bake",
                "bakes", "baked", "baking", "eat", "eats", "ate", "eating",
            ),
            things=(
                Thing("the soup", ("warm", "delicious", "tasty"), ("salty", "cold", "bland")),
                Thing("the bread", ("fresh", "warm", "tasty"), ("dry", "stale", "burnt")),
                Thing("the kitchen", ("bright", "warm", "cosy"), ("dark", "messy", "cold")),
                Thing("the apples", ("sweet", "fresh", "ripe"), ("sour", "rotten"), plural=True),
                Thing("the pancakes", ("sweet", "delicious"), ("burnt", "cold"), plural=True),
            ),
            deeds=(
                "cook dinner", "bake bread", "buy apples", "make soup", "eat lunch",
                "help in the kitchen",
            ),
            turns={
                "bright": (
                    "enjoy a delicious meal", "share a sweet cake", "smile at the tasty pancakes",
                    "praise the fresh bread",
                ),
                "gloomy": (
                    "sigh over the burnt bread", "wipe up the spilled soup",
                    "complain about the sour apples", "worry about {poss} cold dinner",
                ),
            },
        ),
        "school": Topic(
            marks=(
                "school", "lesson", "lessons", "classroom", "question", "questions", "teacher",
                "teachers", "book", "books", "test", "notebook", "homework", "classmates",
                "library",
            ),
            things=(
                Thing("the lesson", ("interesting", "easy", "exciting"), ("dull", "boring")),
                Thing("the classroom", ("bright", "clean", "cosy"), ("dark", "cold", "messy")),
                Thing("the test", ("easy", "interesting"), ("difficult", "confusing")),
                Thing("the teachers", ("kind", "friendly"), ("strict", "angry"), plural=True),
                Thing("the books", ("exciting", "beautiful"), ("dull", "boring"), plural=True),
            ),
            deeds=(
                "walk to school", "read a book", "study for the test", "sit in the classroom",
                "write in {poss} notebook", "work in the library",
            ),
            turns={
                "bright": (
                    "enjoy the lesson", "laugh with {poss} classmates", "praise the kind teacher",
                    "smile at the easy questions",
                ),
                "gloomy": (
                    "worry about the test", "look for {poss} lost notebook",
                    "complain about the boring lesson", "sigh over {poss} difficult homework",
                ),
            },
        ),
        "sea": Topic(
            marks=(
                "sea", "wave", "waves", "beach", "boat", "boats", "sand", "shell", "shells",
                "sandcastle", "swim", "swims", "swam", "swimming", "sail", "sails", "sailed",
                "sailing",
            ),
            things=(
                Thing("the sea", ("calm", "blue", "warm"), ("rough", "grey", "cold")),
                Thing("the beach", ("sunny", "clean", "golden"), ("empty", "dirty", "wet")),
                Thing("the sand", ("soft", "warm", "golden"), ("cold", "dirty", "wet")),
                Thing("the waves", ("calm", "gentle"), ("rough", "wild", "dark"), plural=True),
                Thing("the boats", ("colourful", "bright"), ("broken", "rusty"), plural=True),
            ),
            deeds=(
                "walk along the beach", "swim in the sea", "look for shells",
                "sail in a small boat", "sit on the sand", "watch the waves",
            ),
            turns={
                "bright": (
                    "enjoy the warm sand", "collect beautiful shells", "laugh at the gentle waves",
                    "build a lovely sandcastle",
                ),
                "gloomy": (
                    "shiver in the rough sea", "look for {poss} lost boat",
                    "complain about the dirty beach", "sigh over {poss} broken shells",
                ),
            },
        ),
        "music": Topic(
            marks=(
                "song", "songs", "piano", "concert", "melody", "singer", "singers", "choir",
                "violin", "music", "guitar", "sing", "sings", "sang", "singing",
            ),
            things=(
                Thing("the song", ("sweet", "cheerful", "lovely"), ("sad", "gloomy", "dull")),
                Thing("the concert", ("exciting", "wonderful"), ("boring", "dull", "noisy")),
                Thing("the piano", ("wonderful", "beautiful"), ("broken", "dusty")),
                Thing("the singers", ("cheerful", "merry"), ("tired", "nervous"), plural=True),
                Thing("the songs", ("lively", "sweet"), ("sad", "boring"), plural=True),
            ),
            deeds=(
                "play the piano", "sing in the choir", "practise the violin",
                "listen to music", "write a song", "talk about a concert",
            ),
            turns={
                "bright": (
                    "enjoy the lively music", "sing a cheerful song", "smile at the singers",
                    "play a sweet melody",
                ),
                "gloomy": (
                    "complain about the dull concert", "listen to a sad song",
                    "look for {poss} lost guitar", "sigh over {poss} broken violin",
                ),
            },
        ),
        "animals": Topic(
            marks=(
                "dog", "dogs", "cat", "cats", "bird", "birds", "horse", "rabbit", "rabbits",
                "farm", "puppy",
            ),
            things=(
                Thing("the dog", ("playful", "friendly", "healthy"), ("sick", "hungry")),
                Thing("the horse", ("friendly", "healthy"), ("sick", "tired", "thin")),
                Thing("the farm", ("lovely", "lively", "clean"), ("muddy", "dirty", "empty")),
                Thing("the cats", ("playful", "soft"), ("hungry", "thin", "sick"), plural=True),
                Thing("the birds", ("merry", "colourful"), ("frightened", "sick"), plural=True),
            ),
            deeds=(
                "feed the cats", "walk the dog", "watch the birds", "visit the farm",
                "brush the horse", "look after the rabbits",
            ),
            turns={
                "bright": (
                    "play with a friendly dog", "laugh at the playful cats",
                    "hug the soft rabbit", "smile at {poss} merry puppy",
                ),
                "gloomy": (
                    "worry about the sick horse", "look for {poss} lost dog",
                    "cry over the thin rabbit", "sigh over the hungry birds",
                ),
            },
        ),
        "travel": Topic(
            marks=(
                "train", "hotel", "mountain", "mountains", "town", "road", "roads", "suitcase",
                "ticket", "postcard", "travel", "travels", "travelled", "travelling", "trip",
            ),
            things=(
                Thing("the train", ("comfortable", "clean"), ("late", "crowded", "noisy")),
                Thing("the hotel", ("cosy", "clean", "comfortable"), ("dirty", "noisy", "dark")),
                Thing("the town", ("lovely", "lively", "beautiful"), ("empty", "ugly", "dirty")),
                Thing("the mountains", ("beautiful", "sunny"), ("foggy", "dangerous"), plural=True),
                Thing("the roads", ("safe", "sunny"), ("muddy", "dangerous", "icy"), plural=True),
            ),
            deeds=(
                "take the train", "travel to a small town", "pack {poss} suitcase",
                "buy a ticket", "drive to the mountains", "stay at a hotel",
            ),
            turns={
                "bright": (
                    "enjoy the trip", "explore a lovely town", "write a cheerful postcard",
                    "praise the cosy hotel",
                ),
                "gloomy": (
                    "wait for the late train", "look for {poss} lost ticket",
                    "complain about the noisy hotel", "worry about {poss} broken suitcase",
                ),
            },
        ),
        "garden": Topic(
            marks=(
                "garden", "rose", "roses", "tulip", "tulips", "tree", "trees", "grass", "flower",
                "flowers", "weeds",
            ),
            things=(
                Thing("the garden", ("green", "sunny", "lovely"), ("bare", "dry", "messy")),
                Thing("the grass", ("green", "soft", "fresh"), ("dry", "brown", "wet")),
                Thing("the tree", ("green", "healthy", "beautiful"), ("bare", "sick", "withered")),
                Thing("the roses", ("fragrant", "beautiful"), ("withered", "dry"), plural=True),
                Thing("the tulips", ("colourful", "fresh"), ("withered", "brown"), plural=True),
            ),
            deeds=(
                "water the roses", "plant tulips", "work in the garden", "sit under the tree",
                "cut the grass", "pick flowers",
            ),
            turns={
                "bright": (
                    "enjoy the fragrant roses", "smile at the colourful flowers",
                    "praise the beautiful tulips", "laugh in {poss} sunny garden",
                ),
                "gloomy": (
                    "cry over the withered flowers", "sigh over {poss} bare tree",
                    "complain about the weeds", "worry about the brown grass",
                ),
            },
        ),
    }
)  # fmt: skip

MOOD_VERBS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "bright": ("enjoy", "smile", "laugh", "praise", "celebrate"),
        "gloomy": ("sigh", "cry", "complain", "worry", "shiver"),
    }
)


@runtime_checkable
class Dice(Protocol):
    """Where the choices come from, see :class:`icl_lib.tasks.stories.Choices`."""

    nats: float

    def pick(self, options: Sequence) -> object:
        """Return one of the options."""


def forms(verb: str) -> tuple[str, str, str]:
    """Return a verb's third person, its past and its -ing form.

    Explained in: 07_pretraining
    """
    if verb in IRREGULAR:
        return IRREGULAR[verb]
    if verb.endswith("e"):
        return verb + "s", verb + "d", verb[:-1] + "ing"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies", verb[:-1] + "ied", verb + "ing"
    s = "es" if verb.endswith(("ch", "sh", "ss", "x")) else "s"
    return verb + s, verb + "ed", verb + "ing"


def be(tense: str, plural: bool) -> str:
    """Return "is", "are", "was", "were" or "will be"."""
    if tense == "future":
        return "will be"
    return ("were" if plural else "was") if tense == "past" else ("are" if plural else "is")


def predicate(phrase: str, tense: str, plural: bool) -> str:
    """Return a verb phrase in the tense, agreeing with its subject: "walks to school"."""
    verb, _, rest = phrase.partition(" ")
    third, past, ing = forms(verb)
    word = {
        "now": f"{be('now', plural)} {ing}",
        "habit": verb if plural else third,
        "past": past,
        "future": f"will {verb}",
    }[tense]
    return f"{word} {rest}" if rest else word


def contracted(sentence: str) -> str:
    """Return the sentence as it is said casually: "She's", "They're", "He'll"."""
    for pronoun in ("She", "He", "They"):
        for full, short in ((" is ", "'s "), (" are ", "'re "), (" will ", "'ll ")):
            if sentence.startswith(pronoun + full):
                return pronoun + short + sentence.removeprefix(pronoun + full)
    return sentence


class Writer:
    """Makes the sentences of one text, all in one tense, register and mood and on one topic.

    Parameters
    ----------
    dice
        Makes the choices.
    topic, register, mood
        What the text is to be.
    """

    def __init__(self, dice: Dice, topic: str, register: str, mood: str):
        self.dice, self.register, self.mood = dice, register, mood
        self.phrases = TOPICS[topic]
        self.tense = dice.pick(("now", "now", "habit", "past", "past", "future"))
        self.time: str | None = dice.pick(TIMES[self.tense])
        self.pronoun = dice.pick(("she", "he", "they"))
        self.person = dice.pick(PEOPLE[self.pronoun])
        self.known = False

    def opener(self) -> str:
        """Return an address to the reader."""
        return self.dice.pick(OPENERS[self.register])

    def closer(self) -> str:
        """Return a farewell."""
        return self.dice.pick(CLOSERS[self.register])

    def thing(self) -> str:
        """Return a remark on a thing of the topic: "The waves are calm and gentle."."""
        before, thing = self.dice.nats, self.dice.pick(self.phrases.things)
        words = thing.words[self.mood]
        first = self.dice.pick(words)
        others = [word for word in words if word != first]
        second = self.dice.pick(others)
        what = self.dice.pick((first, f"{first} and {second}"))
        told = {first} if what == first else {first, second}
        same = [t.words[self.mood] for t in self.phrases.things if t.name == thing.name]
        chances = [told <= set(w) and 0.5 / len(w) / (len(w) - 1) ** (len(told) - 1) for w in same]
        self.dice.nats = before - math.log(sum(chances) / len(self.phrases.things))
        return self._sentence(thing.name, f"{be(self.tense, thing.plural)} {what}")

    def deed(self) -> str:
        """Return what somebody does, which belongs to the topic and tells no mood."""
        return self._person(self.dice.pick(self.phrases.deeds))

    def turn(self) -> str:
        """Return what somebody does in the mood of the text."""
        return self._person(self.dice.pick(self.phrases.turns[self.mood]))

    def feeling(self) -> str:
        """Return how somebody feels, or what they do because of it."""
        if self.dice.pick((True, True, False)):
            degree = self.dice.pick(("", "very ", "so "))
            feels = self.dice.pick(FEELINGS[self.mood])
            return self._person(f"{be(self.tense, self.pronoun == 'they')} {degree}{feels}", True)
        return self._person(self.dice.pick(DEEDS_OF_FEELING[self.mood]))

    def _person(self, phrase: str, finished: bool = False) -> str:
        """Join person and phrase; once known, the person is mostly called by the pronoun."""
        plural = self.pronoun == "they"
        phrase = phrase.replace("{poss}", POSSESSIVES[self.pronoun])
        told = phrase if finished else predicate(phrase, self.tense, plural)
        name = self.dice.pick((self.pronoun,) * 3 + (self.person,)) if self.known else self.person
        self.known = True
        return self._sentence(name, told)

    def _sentence(self, subject: str, told: str) -> str:
        parts = [subject, told]
        if self.time is not None:  # the first sentence says when
            parts.insert(self.dice.pick((0, 0, 2)), self.time)
            self.time = None
        sentence = " ".join(parts) + "."
        sentence = sentence[0].upper() + sentence[1:]
        return contracted(sentence) if self.register == "plain" else sentence
