"""Reading labelled texts from files that nobody has cleaned: errors name the line.

Three formats: ``LABEL text`` lines, CSV rows ``label, text, text``, and JSON lines.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from icl_lib.tasks.classification import Example


class DataError(ValueError):
    """A data set cannot be read; the message names the file and the line."""


@dataclass(frozen=True)
class Columns:
    """Where label and texts stand.

    Attributes
    ----------
    label
        Name of the column with the label.
    texts
        Names of the columns with the texts, in the order of the template. In files without
        names, columns are counted and these names only serve in messages.
    joined
        Whether the texts are one text, joined by a space.
    """

    label: str
    texts: tuple[str, ...]
    joined: bool = False


def read_lines(path: str | Path, *, encoding: str | None = None) -> list[str]:
    """Return the lines of a text file, decoded as UTF-8 or, if no line fits that, as Windows-1252.

    Windows-1252 is Latin-1 with printed characters where Latin-1 has control codes. Where a byte
    has no meaning in it, Latin-1 is used.

    Parameters
    ----------
    path
        The file. A byte-order mark is no text; lines end with a line feed, and a carriage return
        before it is dropped.
    encoding
        Decode as this and try nothing else.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If the file is empty, is not in the given encoding, holds zero bytes, or mixes encodings:
        some lines with letters beyond ASCII are UTF-8 and some are not. The message names a line of
        each kind.

    Explained in: 19_real_models
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}")
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if not raw.strip():
        raise DataError(f"{path.name} is empty")
    if b"\0" in raw:
        number = raw[: raw.index(b"\0")].count(b"\n") + 1
        raise DataError(
            f"line {number} of {path.name} holds a zero byte, as UTF-16 does; save it as UTF-8"
        )
    rows = [row.removesuffix(b"\r") for row in raw.split(b"\n")]
    if not rows[-1]:
        rows.pop()
    if encoding is None:
        encoding = _guess(rows, path.name)
    return [_decode(row, encoding, number, path.name) for number, row in enumerate(rows, 1)]


def _guess(rows: list[bytes], name: str) -> str:
    kinds: dict[bool, int] = {}
    for number, row in enumerate(rows, 1):
        if not row.isascii():
            kinds.setdefault(_fits(row, "utf-8"), number)
    if len(kinds) == 2:
        raise DataError(
            f"{name} mixes encodings: line {kinds[True]} is UTF-8, line {kinds[False]} is not; "
            "give one encoding for all"
        )
    if kinds.keys() != {False}:
        return "utf-8"
    return "cp1252" if all(_fits(row, "cp1252") for row in rows) else "latin-1"


def _fits(row: bytes, encoding: str) -> bool:
    try:
        row.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _decode(row: bytes, encoding: str, number: int, name: str) -> str:
    try:
        return row.decode(encoding)
    except UnicodeDecodeError as problem:
        raise DataError(
            f"line {number} of {name} is not {encoding}: {problem.reason} at byte {problem.start}"
        ) from None


def labelled_lines(
    path: str | Path, classes: Mapping[str, int], *, encoding: str | None = None
) -> list[Example]:
    """Return the examples of ``LABEL text`` lines.

    Parameters
    ----------
    path
        The file.
    classes
        Number of the class for each label of the file.
    encoding
        See :func:`read_lines`.

    Raises
    ------
    DataError
        For a line without text, or with a label that is not among the classes.

    Explained in: 19_real_models
    """
    name, found = Path(path).name, []
    for number, line in enumerate(read_lines(path, encoding=encoding), 1):
        label, _, text = line.strip().partition(" ")
        where = f"line {number} of {name}"
        found.append(Example(_texts([text], ["text"], where), _class(label, classes, where)))
    return found


def csv_rows(
    path: str | Path,
    classes: Mapping[str, int],
    columns: Columns,
    *,
    encoding: str | None = None,
) -> list[Example]:
    """Return the examples of CSV rows without names: the label first, then the texts.

    Raises
    ------
    DataError
        For a row with too few or too many columns, an empty text, or an unknown label.

    Explained in: 19_real_models
    """
    name, found = Path(path).name, []
    text = "".join(f"{line}\n" for line in read_lines(path, encoding=encoding))
    reader, line = csv.reader(io.StringIO(text, newline=""), strict=True), 1
    for row in _csv(reader, name):
        where = f"line {line} of {name}"
        line = reader.line_num + 1
        if len(row) != 1 + len(columns.texts):
            wanted = ", ".join((columns.label, *columns.texts))
            raise DataError(f"{where} has {len(row)} columns, expected {wanted}")
        found.append(_example(row[0], row[1:], classes, columns, where))
    return found


def _csv(reader, name: str) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as problem:
        raise DataError(f"line {reader.line_num} of {name} is no CSV: {problem}") from None


def json_lines(
    path: str | Path,
    classes: Mapping[str, int],
    columns: Columns,
    *,
    encoding: str | None = None,
) -> list[Example]:
    """Return the examples of a file with a JSON object a line.

    Raises
    ------
    DataError
        For a line that is no JSON object, lacks a column, has an empty text or an unknown label.

    Explained in: 19_real_models
    """
    name, found = Path(path).name, []
    for number, line in enumerate(read_lines(path, encoding=encoding), 1):
        where = f"line {number} of {name}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as problem:
            raise DataError(f"{where} is no JSON: {problem}") from None
        if not isinstance(row, dict):
            raise DataError(f"{where} holds a {type(row).__name__}, expected an object")
        found.append(from_row(row, classes, columns, where))
    return found


def from_row(row: Mapping, classes: Mapping[str, int], columns: Columns, where: str) -> Example:
    """Return the example of one row with named columns.

    Parameters
    ----------
    row, classes, columns
        The row, its labels, its columns.
    where
        How an error names the row.

    Raises
    ------
    DataError
        If a column is missing, a text is empty or no text, or the label is unknown.

    Explained in: 19_real_models
    """
    missing = [name for name in (*columns.texts, columns.label) if name not in row]
    if missing:
        raise DataError(
            f"{where} lacks the column {missing[0]!r}; it has {', '.join(map(repr, row))}"
        )
    return _example(row[columns.label], [row[n] for n in columns.texts], classes, columns, where)


def _example(
    label: object, texts: list, classes: Mapping[str, int], columns: Columns, where: str
) -> Example:
    parts = _texts(texts, columns.texts, where)
    return Example((" ".join(parts),) if columns.joined else parts, _class(label, classes, where))


def _texts(texts: list, names, where: str) -> tuple[str, ...]:
    for text, name in zip(texts, names, strict=True):
        if not isinstance(text, str):
            raise DataError(f"{where} has {type(text).__name__} as its {name}, expected a text")
        if not text.strip():
            raise DataError(f"{where} has an empty {name}")
    return tuple(text.strip() for text in texts)


def _class(label: object, classes: Mapping[str, int], where: str) -> int:
    if str(label) not in classes:
        raise DataError(f"{where} has the label {label!r}, expected {', '.join(classes)}")
    return classes[str(label)]
