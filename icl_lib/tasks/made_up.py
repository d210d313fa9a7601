"""Made-up labelled sentences, written as files of the six data sets are: same names, same formats.

They mean little and were written for this book. What they are for: every step from a folder of
files to a result can be shown and tested where the data sets themselves are not at hand.
"""

import csv
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

NOUNS = [
    "film",
    "story",
    "ending",
    "cast",
    "plot",
    "music",
    "dialogue",
    "opening",
    "scene",
    "script",
    "camera",
    "finale",
]
VERBS = ["is", "seems", "remains", "feels", "looks", "sounds", "turns out", "stays"]
ADVERBS = ["truly", "quite", "rather", "simply", "always", "never-endingly", "oddly", "plainly"]
PRAISE = [
    "moving",
    "funny",
    "warm",
    "clever",
    "honest",
    "charming",
    "bright",
    "rich",
    "tender",
    "lively",
]
BLAME = ["dull", "clumsy", "hollow", "noisy", "stale", "shallow", "tired", "flat", "messy", "cold"]
DEGREES = (
    "a disaster|painful|unbearable|a waste", "dull|clumsy|thin|tired", "average|as expected|there",
    "pleasant|clever|neat|warm", "a triumph|dazzling|perfect|a joy",
)  # fmt: skip
PEOPLE = ["a baker", "two sisters", "an old sailor", "the mayor", "a young nurse", "three students"]
DEEDS = ["opens a café", "finds a letter", "loses a house", "hides a painting", "saves a dog"]
PLACES = [
    "in lyon",
    "by the harbour",
    "near málaga",
    "during the war",
    "after a storm",
    "in the hills",
]
VERDICTS = ["a touch too long", "my favourite part", "less than it hopes", "better than it sounds"]
TOPICS = (
    ("Minister", "election", "border", "treaty", "parliament"),
    ("Goalkeeper", "match", "season", "league", "stadium"),
    ("Retailer", "profit", "merger", "market", "quarter"),
    ("Start-up", "chip", "software", "satellite", "browser"),
)
NEWS = ("praises new {0}", "worries about {0}", "delays {0} again", "wins debate on {0}")
DETAILS = ("A {0} near Oslo", "The long {0}", "One more {0}", "Nobody's {0}", "Another {0} in May")
ENDS = ("surprised observers.", "drew crowds on Monday.", "was confirmed \\ by a spokesman.")
NAMES = ["Anna", "Boris", "Chloé", "Dmitri", "Emma", "Farid", "Greta", "Hugo"]
FACTS = ["the shop was open", "the train was late", "the roof leaked", "the soup was cold"]


def write_files(folder: str | Path, *, seed: int = 0) -> list[Path]:
    """Write the files of all six data sets, each into a folder of its name.

    ``subj`` is in Latin-1, as the real file is; the others are UTF-8. Files that are divided after
    reading have a few hundred lines more than their validation part.

    Parameters
    ----------
    folder
        Gets the six folders.
    seed
        Of the order of the lines.

    Returns
    -------
    list of Path
        The files.

    Explained in: 19_real_models
    """
    generator, folder = torch.Generator().manual_seed(seed), Path(folder)
    stars, subjects = _shuffled(_sentiment(), generator), _shuffled(_subjectivity(), generator)
    degrees, news = _shuffled(_five(), generator), _shuffled(_articles(), generator)
    pairs = _shuffled(_pairs(), generator)
    parts = {
        "sst2/stsa.binary.train": _lines(stars[:400]),
        "sst2/stsa.binary.dev": _lines(stars[400:600]),
        "sst5/stsa.fine.train": _lines(degrees[:400]),
        "sst5/stsa.fine.dev": _lines(degrees[400:600]),
        "mr/rt-polarity.all": _lines(stars[:1400]),
        "subj/subj.all": _lines(subjects[:2300]),
        "agnews/train.csv": _csv(news[:400]),
        "agnews/test.csv": _csv(news[400:600]),
        "cb/train.jsonl": _json(pairs[:200]),
        "cb/val.jsonl": _json(pairs[200:256]),
    }
    return [_write(folder / name, text) for name, text in parts.items()]


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("latin-1" if path.name == "subj.all" else "utf-8"))
    return path


def _shuffled(rows: Iterator[tuple], generator: torch.Generator) -> list[tuple]:
    found = list(rows)
    return [found[i] for i in torch.randperm(len(found), generator=generator).tolist()]


def _sentiment() -> Iterator[tuple[int, str]]:
    for label, words in enumerate((BLAME, PRAISE)):
        for noun, verb, adverb, word in itertools.product(NOUNS, VERBS, ADVERBS, words):
            yield label, f"the {noun} {verb} {adverb} {word} ."


def _five() -> Iterator[tuple[int, str]]:
    for label, words in enumerate(DEGREES):
        for noun, verb, word in itertools.product(NOUNS, VERBS, words.split("|")):
            yield label, f"this {noun} {verb} {word} ."


def _subjectivity() -> Iterator[tuple[int, str]]:
    for who, what, where in itertools.product(PEOPLE, DEEDS, PLACES):
        for then in itertools.product(DEEDS, PLACES[:3]):
            yield 1, f"{who} {what} {where} and then {' '.join(then)} ."
    for noun, verb, adverb, word in itertools.product(NOUNS, VERBS, ADVERBS, VERDICTS):
        yield 0, f"for me the {noun} {verb} {adverb} {word} , a real cliché ."


def _articles() -> Iterator[tuple[int, str, str]]:
    for label, (who, *things) in enumerate(TOPICS, start=1):
        for news, detail, end in itertools.product(NEWS, DETAILS, ENDS):
            for first, second in itertools.permutations(things, 2):
                title = f"{who} {news.format(first)}"
                yield label, title, f"{detail.format(second)} {end}"


def _pairs() -> Iterator[tuple[str, str, str]]:
    for name, fact, other in itertools.product(NAMES, FACTS, FACTS):
        if fact != other:
            yield "entailment", f"{name} knew that {fact} and not that {other}.", fact
            yield "contradiction", f"{name} was wrong to think that {fact}. In truth {other}.", fact
            yield "neutral", f"{name} wondered whether {fact}, since {other}.", fact


def _lines(rows: Sequence[tuple[int, str]]) -> str:
    return "".join(f"{label} {text}\n" for label, text in rows)


def _csv(rows: Sequence[tuple[int, str, str]]) -> str:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return written.getvalue()


def _json(rows: Sequence[tuple[str, str, str]]) -> str:
    return "".join(
        json.dumps({"premise": p, "hypothesis": h, "label": label, "idx": i}) + "\n"
        for i, (label, p, h) in enumerate(rows)
    )
