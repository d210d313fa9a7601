"""A reader's own results beside the paper's: every Parquet file below a folder, one table."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from icl_lib.meta.published import PARTS, SIZES, published
from icl_lib.meta.result import Result

QUANTITIES: Mapping[str, tuple[str, str, str, float]] = MappingProxyType(
    {
        "zero-shot, %": ("zero-shot", "accuracy_zero_shot", "none", 100),
        "finetuned, %": ("finetuned", "accuracy_finetuned", "none", 100),
        "in-context, %": ("in-context", "accuracy_in_context", "none", 100),
        "Rec2FTP, %": ("rec2ftp", "rec2ftp", "none", 100),
        "its base rate, %": ("", "rec2ftp_base_rate", "none", 100),
        "SimAOU": ("simaou", "simaou", "none", 1),
        "of another query": ("", "simaou", "shuffled-pairing", 1),
        "of fresh weights": ("", "simaou", "untrained", 1),
        "SimAM before": ("simam-before", "simam_before", "none", 1),
        "SimAM": ("simam", "simam", "none", 1),
        "Kendall": ("kendall", "kendall_published", "none", 1),
    }
)
"""Rows of the table: the paper's quantity, if it has one; our metric, its control, and its unit."""


def gather(folder: str | Path) -> Result | None:
    """Return everything that comparisons and sweeps have saved below a folder.

    Parameters
    ----------
    folder
        Need not exist. Of each Parquet file, the one with its examples is read with it.

    Returns
    -------
    Result or None
        ``None`` if there is no result.

    Raises
    ------
    ResultError
        If a Parquet file holds something else; the message names the file.
    FileNotFoundError
        If a file with examples is missing.

    Explained in: 19_real_models
    """
    files = sorted(Path(folder).rglob("*.parquet"))
    files = [f for f in files if not f.name.startswith(".") and ".examples." not in f.name]
    return Result.concat(Result.load(file) for file in files) if files else None


def beside_paper(result: Result | None, *, position: str = "prediction") -> pd.DataFrame:
    """Return the paper's numbers and a reader's own: a row for each data set and quantity.

    Parameters
    ----------
    result
        Of real data sets; tasks that the paper does not have are left out. Means over seeds.
    position
        Where inside was measured.

    Returns
    -------
    pandas.DataFrame
        A column for each of the paper's models, then one for each model, step size and number of
        seeds in the result. NaN where nobody measured, or nothing yet.

    Source: Dai et al. (2023), tables 1 to 5.

    Explained in: 19_real_models
    """
    table = {f"paper, {size}": _papers(size) for size in SIZES}
    if result is not None:
        rows = result.table
        rows = rows[rows.layer.isna() & rows.task.isin(PARTS) & (rows.position == position)]
        for (model, lr, descent), found in rows.groupby(["model", "lr", "descent"], sort=False):
            kind = "" if descent == "plain" else f", {descent}"
            table[f"{model}, η = {lr:g}{kind}"] = _own(found)
    index = pd.MultiIndex.from_product([PARTS, QUANTITIES], names=["data set", "quantity"])
    return pd.DataFrame({name: column.reindex(index) for name, column in table.items()})


def _papers(size: str) -> pd.Series:
    found = {}
    for quantity, (theirs, _, _, _) in QUANTITIES.items():
        if theirs:
            found |= {(part, quantity): v for part, v in published(theirs, size).items()}
    return pd.Series(found)


def _own(rows: pd.DataFrame) -> pd.Series:
    found = {}
    for quantity, (_, metric, control, unit) in QUANTITIES.items():
        chosen = rows[(rows.metric == metric) & (rows.control == control)]
        means = chosen.groupby("task").value.mean()
        found |= {(task, quantity): unit * value for task, value in means.items()}
    return pd.Series(found, dtype="float64")
