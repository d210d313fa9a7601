"""Text from anywhere: a file, a list of texts in JSON, a data set of the ``datasets`` library."""

import json
from pathlib import Path

from icl_lib.tasks.text import read_text

HUB = "hf:"


def load_text(name: str | Path, *, column: str = "text", split: str = "train") -> list[str]:
    """Load the texts that a model is to learn from.

    Parameters
    ----------
    name
        A UTF-8 text file, which is one text; a ``.json`` file with a list of texts; a folder that
        ``datasets`` has saved; or ``hf:NAME``, a data set that ``datasets`` knows by that name.
    column
        Which column of a data set holds the text.
    split
        Which part of a data set is read.

    Returns
    -------
    list of str
        At least one text, none of them empty.

    Raises
    ------
    FileNotFoundError
        If there is no such file or data set.
    ValueError
        If the file is not UTF-8, holds no text, or is no list of texts; or if the data set has no
        such column or split.
    ImportError
        If a data set is asked for and ``datasets`` is not installed.
    ConnectionError
        If the data set is not on this machine and cannot be fetched.

    Explained in: 07_pretraining
    """
    if str(name).startswith(HUB):
        return _data_set(str(name).removeprefix(HUB), column, split)
    path = Path(name)
    if path.is_dir():
        return _saved(path, column, split)
    if path.suffix == ".json":
        return _json(path)
    return [read_text(path)]


def _json(path: Path) -> list[str]:
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as problem:
        raise ValueError(f"{path.name} is no JSON: {problem}") from None
    if not isinstance(content, list):
        raise ValueError(f"{path.name} holds a {type(content).__name__}, expected a list of texts")
    for place, text in enumerate(content):
        if not isinstance(text, str):
            raise ValueError(
                f"entry {place} of {path.name} is a {type(text).__name__}, expected a text"
            )
    return _filled(content, path.name)


def _library():
    try:
        import datasets
    except ImportError:
        raise ImportError(
            'data sets need the `datasets` library: pip install "icl-lib[hf]"; a text file or a '
            "JSON list of texts needs nothing"
        ) from None
    return datasets


def _data_set(name: str, column: str, split: str) -> list[str]:
    if not name:
        raise ValueError(f"expected the name of a data set after {HUB}, got nothing")
    return _texts(hub_rows(name, None, split), column, name)


def hub_rows(name: str, subset: str | None, split: str):
    """Return the rows of a data set that ``datasets`` knows by name, fetched if needed.

    Parameters
    ----------
    name, subset, split
        Of the data set; ``None`` if it has no subsets.

    Raises
    ------
    FileNotFoundError
        If no data set is called so.
    ValueError
        If it has no such subset or split.
    ImportError
        If ``datasets`` is not installed.
    ConnectionError
        If the data set is not on this machine and cannot be fetched.

    Explained in: 19_real_models
    """
    datasets = _library()
    names = (name,) if subset is None else (name, subset)
    try:
        return datasets.load_dataset(*names, split=split)
    except FileNotFoundError as problem:
        raise FileNotFoundError(f"no data set is called {name!r}: {problem}") from None
    except (ConnectionError, TimeoutError, datasets.exceptions.DatasetGenerationError) as problem:
        raise ConnectionError(
            f"data set {name!r} is not on this machine and could not be fetched: {problem}"
        ) from None


def _saved(folder: Path, column: str, split: str) -> list[str]:
    datasets = _library()
    try:
        found = datasets.load_from_disk(str(folder))
    except FileNotFoundError:
        raise ValueError(f"{folder} is a folder, but no data set saved by `datasets`") from None
    if isinstance(found, datasets.DatasetDict):
        if split not in found:
            raise ValueError(f"{folder} has no split {split!r}; there are {', '.join(found)}")
        found = found[split]
    return _texts(found, column, str(folder))


def _texts(rows, column: str, name: str) -> list[str]:
    if column not in rows.column_names:
        raise ValueError(
            f"data set {name} has no column {column!r}; there are {', '.join(rows.column_names)}"
        )
    texts = list(rows[column])
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"column {column!r} of {name} holds {type(text).__name__}, not text, in row {row}"
            )
    return _filled(texts, name)


def _filled(texts: list[str], name: str) -> list[str]:
    """Drop empty rows, which data sets use as separators; refuse a source without any text."""
    kept = [text for text in texts if text.strip()]
    if not kept:
        raise ValueError(f"{name} holds no text")
    return kept
