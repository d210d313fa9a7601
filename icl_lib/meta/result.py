"""What a comparison found: a tidy table, one number a row, saved with its settings."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

FORMAT = "icl-comparison-1"

KEYS = ("model", "task", "seed", "lr", "position", "descent", "control", "metric", "layer", "head")
"""Columns that name a row. Layer and head are missing where a number is of the whole model."""

VALUES = ("value", "low", "high", "n")
"""The number, its 95 % interval, and how many queries it is made of."""

COUNTS = ("seed", "layer", "head", "n")


class ResultError(ValueError):
    """A file holds no comparison; the message says what is wrong with it."""


@dataclass(frozen=True, eq=False)
class Result:
    """The numbers of a comparison, or of many.

    Attributes
    ----------
    table
        Columns ``KEYS`` and ``VALUES``.
    examples
        One row for each seed, control, condition and query: the right label, the predicted one,
        the log-probability of each.
    settings
        Everything that decided the numbers, as plain data; of several results, a list.
    """

    table: pd.DataFrame
    examples: pd.DataFrame
    settings: Mapping | list

    def rows(self, metric: str, *, control: str = "none", per_head: bool = False) -> pd.DataFrame:
        """Return the rows of a metric under a control, layer by layer.

        Raises
        ------
        KeyError
            If there are none; the message lists the metrics that there are.
        """
        t = self.table
        found = t[(t.metric == metric) & (t.control == control) & t.layer.notna()]
        found = found[found["head"].notna() if per_head else found["head"].isna()]
        return self._some(found, metric, control)

    def overall(self, metric: str, *, control: str = "none") -> pd.DataFrame:
        """Return the rows of a metric over all layers, one for each seed and setting.

        Raises
        ------
        KeyError
            As :meth:`rows`.
        """
        t = self.table
        found = t[(t.metric == metric) & (t.control == control) & t.layer.isna()]
        return self._some(found, metric, control)

    def value(self, metric: str, *, control: str = "none") -> float:
        """Return a metric over all layers, queries and seeds.

        Raises
        ------
        KeyError
            As :meth:`rows`.
        """
        return float(self.overall(metric, control=control).value.mean())

    def _some(self, found: pd.DataFrame, metric: str, control: str) -> pd.DataFrame:
        if len(found):
            return found.reset_index(drop=True)
        known = sorted(set(self.table[self.table.control == control].metric))
        raise KeyError(
            f"nothing was measured of {metric!r} under {control!r}; there are "
            f"{', '.join(known) or 'no metrics'} under it, and the controls "
            f"{', '.join(sorted(set(self.table.control)))}"
        )

    def summary(self) -> pd.DataFrame:
        """Return the means over layers, queries and seeds: a row a metric, a column a control."""
        whole = self.table[self.table.layer.isna()]
        return whole.pivot_table(index="metric", columns="control", values="value", sort=False)

    def save(self, path: str | Path) -> Path:
        """Write the table to a Parquet file and the examples beside it, whole or not at all.

        Parameters
        ----------
        path
            A file that ends in ``.parquet``; the examples go to ``….examples.parquet``.

        Raises
        ------
        ValueError
            If it ends otherwise.
        """
        path = _parquet(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(examples_path(path), self.examples, {})
        _write(path, self.table, self.settings)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Result":
        """Read what :meth:`save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file, or the examples beside it are missing.
        ResultError
            If the file is damaged or holds something else.
        """
        path = _parquet(path)
        table, settings = _read(path)
        missing = [name for name in (*KEYS, *VALUES) if name not in table]
        if missing:
            raise ResultError(f"{path.name} lacks the columns {', '.join(missing)}")
        return cls(table, _read(examples_path(path))[0], settings)

    @classmethod
    def concat(cls, results: Iterable["Result"]) -> "Result":
        """Put several results into one table.

        Raises
        ------
        ValueError
            If there are none.
        """
        results = list(results)
        if not results:
            raise ValueError("there are no results to put together")
        settings = []
        for r in results:
            settings += r.settings if isinstance(r.settings, list) else [r.settings]
        table = pd.concat([r.table for r in results], ignore_index=True)
        examples = pd.concat([r.examples for r in results], ignore_index=True)
        return cls(table, examples, settings)


def examples_path(path: Path) -> Path:
    """Return where the examples of a result stand."""
    return path.with_name(path.name.removesuffix(".parquet") + ".examples.parquet")


def make_table(rows: Iterable[Mapping]) -> pd.DataFrame:
    """Return rows as a table with the columns ``KEYS`` and ``VALUES`` and fitting types."""
    table = pd.DataFrame(list(rows), columns=[*KEYS, *VALUES])
    return table.astype(dict.fromkeys(COUNTS, "Int64") | dict.fromkeys(VALUES[:3], "float64"))


def _parquet(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".parquet":
        raise ValueError(f"a result is saved to a file that ends in .parquet, got {path.name}")
    return path


def _write(path: Path, frame: pd.DataFrame, settings) -> None:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    about = {b"icl_format": FORMAT.encode(), b"icl_settings": json.dumps(settings).encode()}
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **about})
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        pq.write_table(table, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _read(path: Path) -> tuple[pd.DataFrame, dict | list]:
    if not path.is_file():
        raise FileNotFoundError(f"no result at {path}")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as problem:
        raise ResultError(f"{path.name} is damaged or no Parquet file: {problem}") from None
    about = table.schema.metadata or {}
    found = about.get(b"icl_format", b"").decode()
    if found != FORMAT:
        raise ResultError(f"{path.name} has format {found!r}; this version reads {FORMAT!r}")
    return table.to_pandas(), json.loads(about[b"icl_settings"])
