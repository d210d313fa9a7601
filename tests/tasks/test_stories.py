"""The stories: same for a seed, read back as what they were made to be, in correct forms."""

import itertools
import math
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.tasks import stories as grammar
from icl_lib.tasks import story_english, story_japanese, story_reading
from icl_lib.tasks.stories import stories
from icl_lib.tasks.story_reading import agreement, marks, read_attributes

FIRST_ENGLISH = [
    "You know what?",
    "Every week Anna walks in the wind.",
    "The sky is blue and bright.",
    "Anna laughs at her old umbrella.",
    "She laughs a lot.",
    "That's it, see you.",
]
FIRST_JAPANESE = [
    "今朝は晴れだね。",
    "子どもたちが雲を眺めている。",
    "子どもたちは本当に幸せそうだ。",
    "また手紙を書くよ。",
]


@pytest.fixture(scope="module")
def many():
    return stories(3000, seed=11)


def test_a_seed_makes_the_same_stories_on_every_machine():
    assert stories(1, seed=5, language="en")[0].text == " ".join(FIRST_ENGLISH)
    assert stories(1, seed=5, language="ja")[0].text == "".join(FIRST_JAPANESE)
    assert stories(4, seed=5)[:2] == stories(2, seed=5)
    assert stories(5, seed=5) != stories(5, seed=6)


def test_every_story_is_read_as_what_it_was_made_to_be(many):
    for story in many:
        made = {name: getattr(story, name) for name in grammar.ATTRIBUTES}
        assert read_attributes(story.text) == made, story.text


def test_every_story_agrees_with_itself(many):
    for story in many:
        checks = agreement(story.text)
        assert False not in checks.values(), (story.text, checks)
        assert checks["tense"] is True
        assert checks["number"] is (True if story.language == "en" else None)


def test_stories_have_three_to_six_sentences_and_all_attributes(many):
    assert {len(story_reading.sentences(s.text)) for s in many} == {3, 4, 5, 6}
    for name, values in (
        ("topic", grammar.TOPICS), ("language", grammar.LANGUAGES),
        ("register", grammar.REGISTERS), ("mood", grammar.MOODS),
    ):  # fmt: skip
        counted = Counter(getattr(story, name) for story in many)
        expected = len(many) / len(values)
        assert set(counted) == set(values)
        assert all(abs(n - expected) < 5 * expected**0.5 for n in counted.values())
    assert len({s.text for s in many}) > 0.99 * len(many)


def test_today_begins_with_the_sentence_of_the_article_among_others():
    begun = [s.text for s in stories(4000, seed=1, language="ja") if s.text.startswith("今日は")]
    firsts = Counter(story_reading.sentences(text)[0] for text in begun)
    assert firsts["今日はいい天気ですね。"] > 10
    weather = sum(read_attributes(text)["topic"] == "weather" for text in begun) / len(begun)
    assert 0.15 < weather < 0.6


@pytest.mark.parametrize("name", grammar.ATTRIBUTES)
def test_a_fixed_attribute_holds_and_unknown_ones_are_refused(name):
    values = {"language": "ja", "topic": "sea", "register": "plain", "mood": "gloomy"}
    assert {getattr(s, name) for s in stories(20, **{name: values[name]})} == {values[name]}
    with pytest.raises(ValueError, match=rf"{name} must be one of .*; got 'warlike'"):
        stories(1, **{name: "warlike"})


def test_empty_requests_are_refused():
    with pytest.raises(ValueError, match="at least one text, got 0"):
        stories(0)


@pytest.mark.parametrize("language", grammar.LANGUAGES)
def test_nats_are_the_surprise_of_a_text_under_the_grammar(language):
    """What texts seen once cost together says how often they come again."""
    kind = {"language": language, "topic": "weather", "register": "polite", "mood": "bright"}
    written = stories(30_000, seed=4, **kind)
    once = {story.text: story.nats for story in written[:15_000]}
    again = sum(story.text in once for story in written[15_000:])
    expected = 15_000 * sum(math.exp(-nats) for nats in once.values())
    assert expected > 30
    assert abs(again - expected) < 4 * expected**0.5


def test_corpus_closes_every_text():
    written = grammar.corpus(7, seed=3)
    assert written.endswith(grammar.END)
    assert written.split(grammar.END)[:-1] == [s.text for s in stories(7, seed=3)]


def test_nats_are_the_logarithms_of_the_choices():
    dice = grammar.Choices([7, 0, 5, 1])
    assert [dice.pick("abc"), dice.pick("x"), dice.pick("abcb")] == ["b", "x", "b"]
    assert dice.nats == pytest.approx(math.log(3) + math.log(2))
    dice.unsaid("abc", "b")
    assert dice.nats == pytest.approx(math.log(2))
    free = stories(1, seed=2)[0]
    fixed = stories(1, seed=2, topic=free.topic, language=free.language)[0]
    assert fixed.text == free.text
    assert free.nats - fixed.nats == pytest.approx(math.log(8 * 2))


@pytest.mark.parametrize("rules", [story_english, story_japanese])
def test_phrases_hold_marks_of_their_own_topic_and_mood_only(rules):
    for name, topic in rules.TOPICS.items():
        named = [thing.name for thing in topic.things if thing.name]
        for phrase in (*named, *topic.deeds, *itertools.chain(*topic.turns.values())):
            found = marks(phrase.replace(" ", "") + "は" if rules is story_japanese else phrase)
            assert set(found["topic"]) == {name}, phrase
            expected = {mood for mood, turns in topic.turns.items() if phrase in turns}
            assert set(found["mood"]) == expected, phrase
        for thing in topic.things:
            for mood, words in thing.words.items():
                for word in words:
                    assert set(marks(word)["mood"]) == {mood}, word


def test_register_phrases_tell_no_mood_and_no_topic():
    for rules in (story_english, story_japanese):
        for both in (rules.OPENERS, rules.CLOSERS):
            for register, phrases in both.items():
                for phrase in phrases:
                    found = marks(phrase)
                    assert set(found["register"]) == {register}, phrase
                    assert not found["mood"], phrase
                    assert not found["topic"], phrase


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("walk", ("walks", "walked", "walking")), ("cry", ("cries", "cried", "crying")),
        ("watch", ("watches", "watched", "watching")), ("enjoy", ("enjoys", "enjoyed", "enjoying")),
        ("bake", ("bakes", "baked", "baking")), ("swim", ("swims", "swam", "swimming")),
        ("brush", ("brushes", "brushed", "brushing")),
    ],
)  # fmt: skip
def test_english_verb_forms(verb, expected):
    assert story_english.forms(verb) == expected


@pytest.mark.parametrize(
    ("phrase", "tense", "plural", "expected"),
    [
        ("walk to school", "now", False, "is walking to school"),
        ("walk to school", "now", True, "are walking to school"),
        ("walk to school", "habit", False, "walks to school"),
        ("walk to school", "habit", True, "walk to school"),
        ("eat lunch", "past", True, "ate lunch"),
        ("eat lunch", "future", False, "will eat lunch"),
    ],
)
def test_english_verbs_agree(phrase, tense, plural, expected):
    assert story_english.predicate(phrase, tense, plural) == expected


def test_casual_sentences_are_contracted():
    assert story_english.contracted("She is glad.") == "She's glad."
    assert story_english.contracted("They will be glad.") == "They'll be glad."
    assert story_english.contracted("The sea is calm.") == "The sea is calm."
    assert story_english.contracted("She isolates.") == "She isolates."


JAPANESE_FORMS = {
    "歩く": "歩いている 歩いています 歩く 歩きます 歩いた 歩きました 歩くだろう 歩くでしょう",
    "泳ぐ": "泳いでいる 泳いでいます 泳ぐ 泳ぎます 泳いだ 泳ぎました 泳ぐだろう 泳ぐでしょう",
    "散歩する": "散歩している 散歩しています 散歩する 散歩します 散歩した 散歩しました "
    "散歩するだろう 散歩するでしょう",
    "青い": "青い 青いです 青い 青いです 青かった 青かったです 青いだろう 青いでしょう",
    "きれいだ": "きれいだ きれいです きれいだ きれいです きれいだった きれいでした "
    "きれいだろう きれいでしょう",
    "荒れている": "荒れている 荒れています 荒れている 荒れています 荒れていた 荒れていました "
    "荒れているだろう 荒れているでしょう",
    "混んでいる": "混んでいる 混んでいます 混んでいる 混んでいます 混んでいた 混んでいました "
    "混んでいるだろう 混んでいるでしょう",
}


@pytest.mark.parametrize("plain", JAPANESE_FORMS)
def test_japanese_forms(plain):
    order = itertools.product(("now", "habit", "past", "future"), ("plain", "polite"))
    made = [story_japanese.conjugated(plain, tense, register) for tense, register in order]
    assert made == JAPANESE_FORMS[plain].split()


def test_every_japanese_phrase_can_be_conjugated_and_its_tense_is_read_back():
    found = {"now": "present", "habit": "present", "past": "past", "future": "future"}
    for topic in story_japanese.TOPICS.values():
        phrases = (*topic.deeds, *itertools.chain(*topic.turns.values()))
        for verb in {phrase.rpartition(" ")[2] for phrase in phrases}:
            for tense, register in itertools.product(found, grammar.REGISTERS):
                said = story_japanese.conjugated(verb, tense, register) + "。"
                past = bool(story_reading.PAST_END.search(said))
                future = bool(story_reading.FUTURE_END.search(said))
                assert (past, future) == (tense == "past", tense == "future"), said
                polite = bool(story_reading.POLITE_END.search(said))
                assert polite == (register == "polite"), said
    with pytest.raises(ValueError, match="no conjugation is known for '食う'"):
        story_japanese.conjugated("食う", "now", "polite")


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("The waves is calm today.", "number"),
        ("My parents walks to school every day.", "number"),
        ("Yesterday Anna fed the cats. He was happy.", "reference"),
        ("Yesterday Anna packed his suitcase.", "reference"),
        ("Yesterday my uncle packs his suitcase.", "tense"),
        ("Tomorrow the sea was calm.", "tense"),
        ("Today the sea is calm. The train is clean.", "topic"),
        ("Today the sea is calm and rough.", "mood"),
        ("Thank you for asking. Hey, write back, okay?", "register"),
        ("今日は姉が海で泳いでいます。父は喜んでいます。", "reference"),
        ("昨日は姉が海で泳いでいます。", "tense"),
        ("明日は海が青かったです。", "tense"),
        ("今日は姉が海で泳いだ。", "tense"),
        ("今日は海が青いです。姉が泳いでいる。", "register"),
        ("今日は海が青くて、犬がいます。", "topic"),
        ("今日は海が明るくて暗いです。", "mood"),
    ],
)  # fmt: skip
def test_what_does_not_agree_is_found_and_nothing_else(text, broken):
    assert [name for name, kept in agreement(text).items() if kept is False] == [broken]


@pytest.mark.parametrize("text", ["", "12345", "???", "<|end|>", "。。。"])
def test_where_nothing_is_said_nothing_is_read(text):
    if not re.search("[a-z]", text):
        assert set(read_attributes(text).values()) == {None}
    assert set(agreement(text).values()) == {None}


def test_mixed_languages_and_tied_topics_are_not_decided():
    assert read_attributes("今日は sunny")["language"] is None
    assert read_attributes("The sea and the train.")["topic"] is None
    assert read_attributes("The sea, the sand and the train.")["topic"] == "sea"


@given(st.text(max_size=80))
def test_any_text_can_be_read(text):
    assert set(read_attributes(text)) == set(grammar.ATTRIBUTES)
    assert len(agreement(text)) == 6
