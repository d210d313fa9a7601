"""Texts from files, JSON and data sets; and what is said when there are none."""

import builtins
import json

import pytest

from icl_lib.tasks.sources import load_text


def test_a_text_file_is_one_text(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("今日は\n\nfine", "utf-8")
    assert load_text(file) == ["今日は\n\nfine"]
    assert load_text(str(file)) == load_text(file)


def test_a_json_list_is_many_texts(tmp_path):
    file = tmp_path / "many.json"
    file.write_text(json.dumps(["one", "", "今日は"]), "utf-8")
    assert load_text(file) == ["one", "今日は"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"many\.json is no JSON"),
        ('{"a": 1}', r"many\.json holds a dict, expected a list of texts"),
        ('["a", 3]', r"entry 1 of many\.json is a int, expected a text"),
        ('["", " "]', r"many\.json holds no text"),
        ("[]", r"many\.json holds no text"),
        ("", r"many\.json holds no text"),
    ],
)
def test_other_json_is_refused(tmp_path, content, message):
    file = tmp_path / "many.json"
    file.write_text(content, "utf-8")
    with pytest.raises(ValueError, match=message):
        load_text(file)


def test_missing_broken_and_empty_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no text file at .*none\.txt"):
        load_text(tmp_path / "none.txt")
    with pytest.raises(FileNotFoundError, match="no text file at"):
        load_text(tmp_path / "none.json")
    (tmp_path / "latin.txt").write_bytes("größer".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.txt is not UTF-8"):
        load_text(tmp_path / "latin.txt")


def saved(tmp_path, **columns):
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "set"
    datasets.DatasetDict({"train": datasets.Dataset.from_dict(columns)}).save_to_disk(str(folder))
    return folder


def test_a_saved_data_set_gives_its_column(tmp_path):
    folder = saved(tmp_path, text=["one", "", "今日は"], title=["a", "b", "c"], size=[1, 2, 3])
    assert load_text(folder) == ["one", "今日は"]
    assert load_text(folder, column="title") == ["a", "b", "c"]
    with pytest.raises(ValueError, match="has no column 'body'; there are text, title, size"):
        load_text(folder, column="body")
    with pytest.raises(ValueError, match=r"column 'size' of .* holds int, not text"):
        load_text(folder, column="size")
    with pytest.raises(ValueError, match="has no split 'test'; there are train"):
        load_text(folder, split="test")


def test_a_missing_text_in_a_data_set_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"column 'text' of .* holds NoneType, not text, in row 1"):
        load_text(saved(tmp_path, text=["one", None, "two"]))


def test_a_folder_that_is_no_data_set_is_refused(tmp_path):
    pytest.importorskip("datasets")
    with pytest.raises(ValueError, match="is a folder, but no data set saved by `datasets`"):
        load_text(tmp_path)


def test_a_data_set_by_name_comes_from_the_library(tmp_path):
    """A folder of text files is a data set with a name: its path."""
    pytest.importorskip("datasets")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "train.txt").write_text("one\n今日は\n", "utf-8")
    assert load_text(f"hf:{tmp_path / 'texts'}") == ["one", "今日は"]
    with pytest.raises(ValueError, match="name of a data set after hf:, got nothing"):
        load_text("hf:")


def test_a_data_set_that_cannot_be_reached_is_named(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")

    def offline(*arguments, **options):
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(ConnectionError, match="'far/away' is not on this machine and could not"):
        load_text("hf:far/away")


def test_an_unknown_data_set_is_named(tmp_path):
    pytest.importorskip("datasets")
    with pytest.raises(FileNotFoundError, match="no data set is called"):
        load_text(f"hf:{tmp_path / 'nowhere'}")


def test_without_the_library_the_message_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        ImportError, match=r'need the `datasets` library: pip install "icl-lib\[hf\]"'
    ):
        load_text("hf:some/set")
