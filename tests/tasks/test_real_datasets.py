"""The six data sets: their prompts, their files, and files that are not as they should be."""

import json

import pytest

from icl_lib.tasks import real_datasets
from icl_lib.tasks.catalogue import GROUPS, find_task, group_of, task_names, wrong_tasks_for
from icl_lib.tasks.classification import Example
from icl_lib.tasks.data_files import (
    Columns,
    DataError,
    csv_rows,
    from_row,
    json_lines,
    labelled_lines,
    read_lines,
)
from icl_lib.tasks.lab_tasks import measured_tasks
from icl_lib.tasks.real_datasets import data_set, data_sets, divided, load_task
from icl_lib.tasks.text import CharTokenizer

LETTERS = CharTokenizer.of("".join(map(chr, range(32, 127))) + "\n…é")
TWO = {"0": 0, "1": 1}


def file(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# ---- prompts ----------------------------------------------------------------------------------

TOPICS = (
    "Classify the news articles into the categories of World, Sports, Business, and Technology."
)
PROMPTS = {
    ("sst2", "paper"): "Sentence: x Label:",
    ("sst5", "paper"): "Sentence: x Label:",
    ("mr", "paper"): "Review: x Sentiment:",
    ("subj", "paper"): "Input: x Type:",
    ("agnews", "paper"): f"{TOPICS} News: x Type:",
    ("agnews", "code"): f"{TOPICS} Article: x Answer:",
    ("cb", "paper"): "x Question: y True, False, or Neither? Answer:",
    ("cb", "code"): "x Question: y. True, False, or Neither? Answer:",
}
LABELS = {
    "sst2": "Negative Positive",
    "sst5": "terrible bad neutral good great",
    "mr": "Negative Positive",
    "subj": "objective subjective",
    "agnews": "World Sports Business Technology",
    "cb": "True False Neither",
}


def test_prompts_and_labels_are_the_papers():
    assert list(data_sets()) == list(LABELS)
    for name, about in data_sets().items():
        assert about.labels == tuple(LABELS[name].split())
        for variant in real_datasets.VARIANTS:
            wanted = PROMPTS.get((name, variant), PROMPTS[name, "paper"])
            assert about.templates[variant].write(("x", "y")) == wanted
        assert about.templates["paper"].label.format("Word") == " Word"
    with pytest.raises(KeyError, match="no data set is called 'imdb'; there are sst2,"):
        data_set("imdb")


# ---- files ------------------------------------------------------------------------------------


def test_sst2_from_its_files(tmp_path):
    file(tmp_path, "stsa.binary.train", "1 a fine film .\n0 dull\n")
    file(tmp_path, "stsa.binary.dev", "0 so so\r\n")
    task = load_task("sst2", LETTERS, source=tmp_path)
    assert task.split("train") == [Example(("a fine film .",), 1), Example(("dull",), 0)]
    assert task.split("validation") == [Example(("so so",), 0)]
    assert LETTERS.decode(task.render(task.split("validation")[0])) == "Sentence: so so Label:"


def test_subj_in_latin_1_is_divided_once(tmp_path, monkeypatch):
    content = "".join(f"{i % 2} text {i} caf\xe9\n" for i in range(40)).encode("latin-1")
    file(tmp_path, "subj.all", content)
    about = real_datasets.data_sets()["subj"]
    small = type(about)(**{**vars(about), "held_out": 10})
    monkeypatch.setattr(real_datasets, "data_set", lambda name: small)
    task, again = (load_task("subj", LETTERS, source=tmp_path) for _ in range(2))
    assert task.splits == again.splits
    parts = {s: {e.parts for e in task.split(s)} for s in ("train", "validation")}
    assert (len(parts["train"]), len(parts["validation"])) == (30, 10)
    assert not parts["train"] & parts["validation"]
    for example in (*task.split("train"), *task.split("validation")):
        number = int(example.parts[0].split()[1])
        assert example.parts[0].endswith("café")
        assert task.labels[example.gold] == ("objective" if number % 2 else "subjective")


def test_agnews_and_cb_from_their_files(tmp_path, monkeypatch):
    file(tmp_path, "train.csv", '"3","Oil, up","It ""rose""\nagain."\n"4","Chips","New."\n')
    file(tmp_path, "test.csv", '"1","Peace","Talks."\n')
    news = load_task("agnews", LETTERS, source=tmp_path)
    assert news.split("train")[0] == Example(('Oil, up It "rose"\nagain.',), 2)
    assert news.split("validation") == [Example(("Peace Talks.",), 0)]
    row = {"premise": "It rains.", "hypothesis": "it is wet", "label": "neutral", "idx": 7}
    file(tmp_path, "train.jsonl", json.dumps(row) + "\n")
    file(tmp_path, "val.jsonl", json.dumps(row | {"label": "contradiction"}) + "\n")
    pairs = load_task("cb", LETTERS, source=tmp_path, variant="code")
    assert [pairs.labels[pairs.split(s)[0].gold] for s in ("train", "validation")] == [
        "Neither", "False",
    ]  # fmt: skip
    text = LETTERS.decode(pairs.render(pairs.split("train")[0]))
    assert text == "It rains. Question: it is wet. True, False, or Neither? Answer:"


def test_missing_files_and_variants_are_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"SST2 needs stsa.binary.train and stsa.binary.dev"
    ):
        load_task("sst2", LETTERS, source=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"train.csv and test.csv or test.csv in"):
        load_task("agnews", LETTERS, source=tmp_path)
    with pytest.raises(ValueError, match="variant must be paper or code"):
        load_task("sst2", LETTERS, source=tmp_path, variant="mine")


def test_tasks_by_name(tmp_path):
    (tmp_path / "sst2").mkdir()
    file(tmp_path / "sst2", "stsa.binary.train", "1 a\n")
    file(tmp_path / "sst2", "stsa.binary.dev", "0 b\n")
    assert find_task("sst2", LETTERS, source=tmp_path).split("train") == [Example(("a",), 1)]
    with pytest.raises(ValueError, match="made of texts"):
        find_task("sst2", None, source=tmp_path)
    assert find_task("lab-cb", None).name == "lab-cb"
    assert find_task("practice-cb", None).name == "practice-cb"
    with pytest.raises(KeyError, match=r"'sst3'; there are lab-sst2, .*, sst2, sst5, "):
        find_task("sst3", LETTERS)


def test_groups_of_six():
    assert [len(names) for names in GROUPS.values()] == [6, 6, 6]
    assert task_names(["real", "lab-cb", "sst2"]) == [*data_sets(), "lab-cb"]
    assert group_of("practice-mr") == "practice"
    with pytest.raises(
        KeyError, match=r"no task is called 'imdb'; .* and the groups lab, practice"
    ):
        task_names(["sst2", "imdb"])


def test_a_wrong_task_asks_for_something_else():
    opinion = {"sst2", "sst5", "mr"}
    for group, start in (("real", ""), ("lab", "lab-")):
        for name in GROUPS[group]:
            others = {other.removeprefix(start) for other in wrong_tasks_for(name)}
            assert name.removeprefix(start) not in others
            assert others <= set(data_sets())
            assert not (name.removeprefix(start) in opinion and others & opinion)
    asked = {name: task.asked for name, task in measured_tasks().items()}
    assert all(asked[n] != asked[o] for n in asked for o in wrong_tasks_for(n))


def test_from_the_hub(monkeypatch):
    asked = []

    def rows(name, subset, split):
        asked.append((name, subset, split))
        return [{"sentence": "fine", "label": 1, "idx": 0}, {"sentence": "dull", "label": 0}]

    monkeypatch.setattr(real_datasets, "hub_rows", rows)
    task = load_task("sst2", LETTERS)
    assert task.split("train") == [Example(("fine",), 1), Example(("dull",), 0)]
    assert asked == [("nyu-mll/glue", "sst2", "train"), ("nyu-mll/glue", "sst2", "validation")]
    with pytest.raises(DataError, match="row 0 of mine/subj lacks the column 'text'"):
        load_task("subj", LETTERS, source="hf:mine/subj")
    assert asked[-1] == ("mine/subj", None, "train")


# ---- errors name the line ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 good\n2 bad\n", "line 2 of x has the label '2', expected 0, 1"),
        ("1 good\n\n0 bad\n", "line 2 of x has an empty text"),
        ("1 good\n1\n", "line 2 of x has an empty text"),
        ("1 good\n1   \n", "line 2 of x has an empty text"),
        ("", "x is empty"),
        ("1 good\n0 bad\n".encode("utf-16"), "line 1 of x holds a zero byte, as UTF-16 does"),
        (b"1 good\n0 ba\0d\n", "line 2 of x holds a zero byte"),
        (b"1 caf\xc3\xa9\n0 ok\n1 caf\xe9\n", "x mixes encodings: line 1 is UTF-8, line 3 is not"),
    ],
)
def test_lines(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        labelled_lines(file(tmp_path, "x", content), TWO)


def test_encodings(tmp_path):
    assert read_lines(file(tmp_path, "a", b"\xef\xbb\xbfcaf\xc3\xa9\n")) == ["café"]
    assert read_lines(file(tmp_path, "b", b"caf\xe9\n\x85\n")) == ["café", "…"]
    assert read_lines(file(tmp_path, "c", b"caf\xe9\n\x81\n")) == ["café", "\x81"]
    with pytest.raises(DataError, match=r"line 2 of d is not utf-8: .* at byte 3"):
        read_lines(file(tmp_path, "d", b"ok\ncaf\xe9\n"), encoding="utf-8")
    mixed = file(tmp_path, "e", b"caf\xc3\xa9\ncaf\xe9\n")
    assert read_lines(mixed, encoding="latin-1") == ["cafÃ©", "café"]
    with pytest.raises(FileNotFoundError, match="no file at"):
        read_lines(tmp_path / "lost")


NEWS = Columns("class", ("title", "description"), joined=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('"1","a","b"\n"0","a"\n', "line 2 of x has 2 columns, expected class, title, description"),
        ('"1","a","b\nc"\n"7","a","b"\n', "line 3 of x has the label '7'"),
        ('"1","a",""\n', "line 1 of x has an empty description"),
        ('"1","a","b"\n\n', "line 2 of x has 0 columns"),
        ('"1","a","b\n', "line 1 of x is no CSV: unexpected end of data"),
    ],
)
def test_csv(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        csv_rows(file(tmp_path, "x", content), TWO, NEWS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"a": "x", "label": 1}\n{"a": "x"}\n',
            "line 2 of x lacks the column 'label'; it has",
        ),
        ('{"label": 1}\n', "line 1 of x lacks the column 'a'"),
        ('{"a": "x", "label": 1}\n{"a"\n', "line 2 of x is no JSON"),
        ("[1]\n", "line 1 of x holds a list, expected an object"),
        ('{"a": 3, "label": 1}\n', "line 1 of x has int as its a, expected a text"),
        ('{"a": "x", "label": -1}\n', "line 1 of x has the label -1"),
    ],
)
def test_json_lines(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        json_lines(file(tmp_path, "x", content), TWO, Columns("label", ("a",)))


def test_rows_with_names():
    row = {"premise": " a ", "hypothesis": "b", "label": 0}
    found = from_row(row, TWO, Columns("label", ("premise", "hypothesis")), "row 0")
    assert found == Example(("a", "b"), 0)


def test_dividing_keeps_equal_texts_together():
    examples = [Example((f"text {i // 3}",), 0) for i in range(30)]
    found = divided(examples, 10)
    parts = [{e.parts for e in found[s]} for s in ("train", "validation")]
    assert not parts[0] & parts[1]
    assert len(found["validation"]) == 12
    assert len(found["train"]) == 18
    with pytest.raises(DataError, match="30 examples, 30 are for validation"):
        divided(examples, 30)
    with pytest.raises(DataError, match="too few different texts"):
        divided(examples[:3], 1)
