"""The numbers of the paper's tables 1 to 5, read from the ledger of claims.

They stand in ``icl_lib/ledger/16_paper_experiment.toml`` alone.
"""

from icl_lib import claims

PARTS = ("sst2", "sst5", "mr", "subj", "agnews", "cb")
"""The paper's data sets, and the parts that the tasks of the lab language play."""

SIZES = {"1.3B": "13b", "2.7B": "27b"}
"""The paper's models, and how the ledger spells them."""

TABLES = {
    "zero-shot": "t1",
    "finetuned": "t1",
    "in-context": "t1",
    "rec2ftp": "t2",
    "simaou-random": "t3",
    "simaou": "t3",
    "simam-before": "t4",
    "simam": "t4",
    "kendall-random": "t5",
    "kendall": "t5",
}
"""Each quantity and its table. Those of tables 1 and 2 are per cent."""


def claim_name(quantity: str, size: str, part: str) -> str:
    """Return the name in the ledger of one published number.

    Raises
    ------
    KeyError
        If the paper has no such quantity, model or data set.

    Explained in: 16_paper_experiment
    """
    for what, name, known in (
        ("quantity", quantity, tuple(TABLES)),
        ("size", size, tuple(SIZES)),
        ("data set", part, (*PARTS, "mean")),
    ):
        if name not in known:
            raise KeyError(f"the paper has no {what} {name!r}; it has {', '.join(known)}")
    return f"ch16-{TABLES[quantity]}-{quantity}-{SIZES[size]}-{part}"


def published(quantity: str, size: str) -> dict[str, float]:
    """Return a row of the paper's tables: a number for each data set, and the mean if printed.

    Parameters
    ----------
    quantity
        One of ``TABLES``.
    size
        ``1.3B`` or ``2.7B``.

    Raises
    ------
    KeyError
        If the paper has no such row.

    Source: Dai et al. (2023), tables 1 to 5.

    Explained in: 16_paper_experiment
    """
    known, found = claims.ledger(), {}
    for part in (*PARTS, "mean"):
        name = claim_name(quantity, size, part)
        if name in known:  # table 1 prints no means
            found[part] = known[name].value
    return found
