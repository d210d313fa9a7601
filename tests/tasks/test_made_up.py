"""Made-up files: the six data sets can be read from them, and nothing in them is real."""

import collections

import pytest

from icl_lib.tasks import made_up
from icl_lib.tasks.catalogue import find_task
from icl_lib.tasks.real_datasets import data_sets


class Bytes:
    def encode(self, text):
        return list(text.encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("made-up")
    made_up.write_files(where)
    return where


@pytest.mark.parametrize("name", data_sets())
def test_each_data_set_is_read_with_all_its_classes(folder, name):
    task = find_task(name, Bytes(), source=folder)
    for split, least in (("train", 200), ("validation", 56)):
        examples = task.split(split)
        assert len(examples) >= least
        counts = collections.Counter(example.gold for example in examples)
        assert set(counts) == set(range(len(task.labels)))
        assert min(counts.values()) > len(examples) / len(task.labels) / 2
    both = {e.parts for e in task.split("train")} & {e.parts for e in task.split("validation")}
    assert not both


def test_subj_is_latin_1_and_the_others_are_utf_8(folder):
    for file in folder.rglob("*.*"):
        raw = file.read_bytes()
        if file.name == "subj.all":
            assert "é" in raw.decode("latin-1")
            with pytest.raises(UnicodeDecodeError):
                raw.decode("utf-8")
        else:
            raw.decode("utf-8")


def test_seed_decides_the_order_alone(folder, tmp_path):
    again, other = tmp_path / "a", tmp_path / "b"
    for where, seed in ((again, 0), (other, 1)):
        made_up.write_files(where, seed=seed)
    name = "cb/train.jsonl"
    assert (again / name).read_bytes() == (folder / name).read_bytes()
    assert (other / name).read_bytes() != (folder / name).read_bytes()
