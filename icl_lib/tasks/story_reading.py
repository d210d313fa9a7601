"""Reading a story: what can be told of its language, topic, register, mood, tense and agreement.

The reader knows the phrases of the grammar and nothing else. So it judges a text that a model has
written by the rules by which the model's texts were made, and says ``None`` where they are silent.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType

from icl_lib.tasks import story_english as english
from icl_lib.tasks import story_japanese as japanese

KANA = re.compile(r"[\u3041-\u30ff]")
LATIN = re.compile(r"[A-Za-z]")
POLITE_END = re.compile(r"(です|ます|でした|ました|でしょう|ください|ますか|ですか)[ねよか]?。")
PAST_END = re.compile(r"(た|んだ|泳いだ|でした|かったです)[ねよ]?。")
FUTURE_END = re.compile(r"(でしょう|だろう)ね?。")
FULL = re.compile(r"\b(she is|he is|they are|(she|he|they) will)\b")
SHORT = re.compile(r"\b(she|he|they)'(s|re|ll)\b")


def language(text: str) -> str | None:
    """Return ``"ja"`` if the text has kana, ``"en"`` if it has Latin letters, else ``None``.

    Explained in: 07_pretraining
    """
    found = ["ja"] * bool(KANA.search(text)) + ["en"] * bool(LATIN.search(text))
    return found[0] if len(found) == 1 else None


def sentences(text: str) -> list[str]:
    """Cut a text after each full stop or question mark; an unfinished rest is left out.

    Explained in: 07_pretraining
    """
    return [part.strip() for part in re.findall(r"[^.?。]*[.?。]", text)]


def marks(text: str) -> dict[str, Counter[str]]:
    """Count the words that give away topic, mood and register.

    Returns
    -------
    dict
        For ``topic``, ``mood`` and ``register``: how often each value is marked.

    Explained in: 07_pretraining
    """
    spoken = language(text)
    if spoken == "en":
        return _english_marks(text)
    if spoken == "ja":
        return _japanese_marks(text)
    return {"topic": Counter(), "mood": Counter(), "register": Counter()}


def read_attributes(text: str) -> dict[str, str | None]:
    """Read language, topic, register and mood off a text.

    Returns
    -------
    dict
        The attributes of :class:`icl_lib.tasks.stories.Story`. The topic is the one most often
        marked. Register and mood need marks of one side only. ``None`` where nothing, or nothing
        clear, is said.

    Explained in: 08_fine_tuning
    """
    counted = marks(text)
    best = counted["topic"].most_common(2)
    tie = len(best) == 2 and best[0][1] == best[1][1]
    return {
        "language": language(text),
        "topic": best[0][0] if best and not tie else None,
        "register": _only(counted["register"]),
        "mood": _only(counted["mood"]),
    }


def agreement(text: str) -> dict[str, bool | None]:
    """Check what must hold through a whole text.

    Returns
    -------
    dict
        ``number``: verbs agree with their subjects; ``reference``: pronouns stand for the person
        that was named, and in Japanese the person stays the same; ``tense``: verbs fit the word for
        the time; ``topic``, ``register``, ``mood``: one from beginning to end. ``None`` where the
        text holds nothing that could be checked.

    Explained in: 07_pretraining
    """
    counted = marks(text)
    kept = {name: len(counted[name]) == 1 if counted[name] else None for name in counted}
    spoken = language(text)
    reader = {"en": _read_english, "ja": _read_japanese}.get(spoken)
    grammar = reader(text) if reader else dict.fromkeys(("number", "reference", "tense"))
    return {**grammar, **kept}


def _only(counted: Counter[str]) -> str | None:
    return next(iter(counted)) if len(counted) == 1 else None


def _all(checks: Iterable[bool]) -> bool | None:
    """Return whether all hold, ``None`` if there are none."""
    found = list(checks)
    return all(found) if found else None


@cache
def _english_words() -> Mapping[str, Mapping[str, frozenset[str]]]:
    """Return the words that mark each topic and each mood."""
    moods: dict[str, set[str]] = {"bright": {"rainbow"}, "gloomy": {"lost", "spilled"}}
    for mood, words in moods.items():
        words.update(english.FEELINGS[mood])
        for verb in english.MOOD_VERBS[mood]:
            words.update((verb, *english.forms(verb)))
        for topic in english.TOPICS.values():
            words.update(word for thing in topic.things for word in thing.words[mood])
    topics = {name: frozenset(topic.marks) for name, topic in english.TOPICS.items()}
    return MappingProxyType(
        {"topic": topics, "mood": {mood: frozenset(words) for mood, words in moods.items()}}
    )


def _english_marks(text: str) -> dict[str, Counter[str]]:
    lower = text.lower()
    words = Counter(re.findall(r"[a-z]+", lower))
    found = {}
    for name, values in _english_words().items():
        counted = {value: sum(words[mark] for mark in known) for value, known in values.items()}
        found[name] = +Counter(counted)
    register = Counter({"polite": len(FULL.findall(lower)), "plain": len(SHORT.findall(lower))})
    for value, phrases in english.REGISTER_MARKS.items():
        register[value] += sum(bool(re.search(rf"\b{p}\b", lower)) for p in phrases)
    return {**found, "register": +register}


def _japanese_marks(text: str) -> dict[str, Counter[str]]:
    topic = {name: sum(map(text.count, t.marks)) for name, t in japanese.TOPICS.items()}
    mood = {name: sum(map(text.count, words)) for name, words in japanese.MOOD_MARKS.items()}
    register: Counter[str] = Counter()
    for sentence in sentences(text):
        if sentence in japanese.OPENERS["polite"] + japanese.CLOSERS["polite"]:
            register["polite"] += 1
        else:
            register["polite" if POLITE_END.search(sentence) else "plain"] += 1
    return {"topic": +Counter(topic), "mood": +Counter(mood), "register": register}


@cache
def _english_verbs() -> Mapping[str, frozenset[tuple[str, str]]]:
    """Return for each verb form the pairs (number, tense) it can have; ``any`` fits both."""
    verbs: dict[str, set[tuple[str, str]]] = {
        "is": {("one", "present")}, "'s": {("one", "present")}, "are": {("many", "present")},
        "'re": {("many", "present")}, "was": {("one", "past")}, "were": {("many", "past")},
        "will": {("any", "future")}, "'ll": {("any", "future")},
    }  # fmt: skip
    phrases = [p for t in english.TOPICS.values() for p in t.deeds]
    phrases += [p for t in english.TOPICS.values() for turns in t.turns.values() for p in turns]
    phrases += [p for deeds in english.DEEDS_OF_FEELING.values() for p in deeds]
    for verb in {phrase.split()[0] for phrase in phrases}:
        third, past, _ = english.forms(verb)
        verbs.setdefault(third, set()).add(("one", "present"))
        verbs.setdefault(verb, set()).add(("many", "present"))
        verbs.setdefault(past, set()).add(("any", "past"))
    return MappingProxyType({form: frozenset(uses) for form, uses in verbs.items()})


@cache
def _english_subjects() -> Mapping[str, str]:
    """Return what each subject is: ``she``, ``he``, ``they``, or a thing, ``one`` or ``many``."""
    known = {name.lower(): who for who, names in english.PEOPLE.items() for name in names}
    known |= {who: who for who in english.PEOPLE}
    for topic in english.TOPICS.values():
        known |= {thing.name: "many" if thing.plural else "one" for thing in topic.things}
    return MappingProxyType(known)


@cache
def _english_pattern() -> re.Pattern[str]:
    times = "|".join(t for ts in english.TIMES.values() for t in ts).lower()
    subjects = "|".join(sorted(_english_subjects(), key=len, reverse=True))
    return re.compile(rf"(?:(?:{times}) )?({subjects})(?: |(?='))('?[a-z]+)(.*)")


def _read_english(text: str) -> dict[str, bool | None]:
    tenses = {"now": "present", "habit": "present", "past": "past", "future": "future"}
    lower = text.lower()
    when = {tenses[k] for k, ts in english.TIMES.items() for t in ts if _word(t.lower(), lower)}
    number, tense, reference, person = [], [], [], None
    for sentence in sentences(lower):
        parsed = _english_pattern().fullmatch(sentence)
        uses = _english_verbs().get(parsed[2], frozenset()) if parsed else frozenset()
        if not uses:
            continue
        who = _english_subjects()[parsed[1]]
        many = "many" if who in ("they", "many") else "one"
        number.append(any(n in (many, "any") for n, _ in uses))
        tense += [any(t in when for _, t in uses)] if len(when) == 1 else [False] * bool(when)
        if who in ("one", "many"):
            continue
        reference += [person == who] if person or parsed[1] == who else []
        person = person or who
        said = re.findall(r"\b(her|his|their)\b", parsed[3])
        reference += [word == english.POSSESSIVES[who] for word in said]
    return {"number": _all(number), "reference": _all(reference), "tense": _all(tense)}


def _word(phrase: str, text: str) -> bool:
    return re.search(rf"\b{phrase}\b", text) is not None


def _read_japanese(text: str) -> dict[str, bool | None]:
    known = {s for both in (japanese.OPENERS, japanese.CLOSERS) for ss in both.values() for s in ss}
    told = [sentence for sentence in sentences(text) if sentence not in known]
    when = {k for k, ts in japanese.TIMES.items() for t in ts if t in text}
    tense = []
    for sentence in told if when else []:
        past, future = PAST_END.search(sentence), FUTURE_END.search(sentence)
        found = "past" if past else "future" if future else "present"
        tense.append(when == {found} or (found == "present" and not when & {"past", "future"}))
    people = [re.search(rf"({'|'.join(japanese.PEOPLE)})[がは]", s) for s in told]
    named = [person[1] for person in people if person]
    same = [person == named[0] for person in named[1:]]
    return {"number": None, "reference": _all(same), "tense": _all(tense)}
