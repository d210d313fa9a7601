"""The paper's tables as the ledger holds them: complete, consistent, with their tolerances."""

import statistics

import pytest

from icl_lib import claims
from icl_lib.meta.published import PARTS, SIZES, TABLES, claim_name, published


def test_all_numbers_of_the_tables_are_there():
    for quantity, table in TABLES.items():
        for size in SIZES:
            row = published(quantity, size)
            assert list(row) == [*PARTS, *(["mean"] if table != "t1" else [])]


@pytest.mark.parametrize("quantity", TABLES)
def test_printed_means_are_means_of_the_printed_numbers(quantity):
    for size in SIZES:
        row = published(quantity, size)
        if "mean" in row:
            unit = 0.01 if quantity == "rec2ftp" else 0.001
            mean = statistics.mean(row[part] for part in PARTS)
            assert row["mean"] == pytest.approx(mean, abs=0.6 * unit)


def test_some_numbers_as_printed():
    assert published("in-context", "2.7B")["sst2"] == 95.0
    assert published("rec2ftp", "1.3B")["sst5"] == 66.67
    assert published("simaou", "1.3B")["mean"] == 0.186
    assert published("simam-before", "2.7B")["cb"] == 0.228
    assert published("kendall", "2.7B")["mr"] == 0.264


@pytest.mark.parametrize("quantity", TABLES)
def test_the_tolerance_is_the_spread_of_the_paper_s_own_numbers(quantity):
    twelve = [published(quantity, size)[part] for size in SIZES for part in PARTS]
    wanted = 0.01 if quantity.endswith("random") else statistics.pstdev(twelve)
    for size in SIZES:
        for part in published(quantity, size):
            claim = claims.ledger()[claim_name(quantity, size, part)]
            assert claim.tolerance == pytest.approx(wanted, rel=0.05)
            assert f"Table {TABLES[quantity][1]}" in claim.source
            assert claim.kind == "equal"


def test_unknown_rows_are_refused():
    for row in (("accuracy", "1.3B", "sst2"), ("simaou", "6.7B", "sst2"), ("simaou", "1.3B", "x")):
        with pytest.raises(KeyError, match="the paper has no"):
            claim_name(*row)
    with pytest.raises(KeyError, match="it has zero-shot"):
        published("accuracy", "1.3B")
