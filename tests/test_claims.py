"""The ledger compares, keeps every seed, and never lets a missing number pass."""

import json
import math

import pytest

from icl_lib import claims
from icl_lib.claims import Claim, Record


def claim(kind, value=2.0, tolerance=0.1):
    return Claim("c", "ch", "A statement.", value, kind, tolerance, "somewhere")


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("equal", [1.9, 2.1], [1.89, 2.11]),
        ("relative", [1.8, 2.2], [1.79, 2.21]),
        ("at_most", [-5.0, 2.1], [2.11]),
        ("at_least", [1.9, 50.0], [1.89]),
    ],
)
def test_verdict_has_the_right_side_and_edge(kind, good, bad):
    for value in good:
        assert claim(kind).verdict(value + 1e-12 * (1 if value < 2 else -1)) == "holds"
    for value in bad:
        assert claim(kind).verdict(value) == "fails"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["equal", "relative", "at_most", "at_least"])
def test_no_number_never_holds(kind, value):
    assert claim(kind).verdict(value) == "fails"


def test_every_ledger_entry_names_an_existing_chapter_and_source():
    from pathlib import Path

    notebooks = {p.stem for p in (Path(__file__).parents[1] / "notebooks").glob("*.ipynb")}
    assert claims.ledger()
    for entry in claims.ledger().values():
        assert entry.chapter in notebooks, entry.id
        assert entry.source.strip(), entry.id
        assert entry.statement.strip().endswith("."), entry.id
        assert entry.tolerance >= 0, entry.id


def test_check_keeps_all_seeds_and_compares_their_mean(monkeypatch):
    monkeypatch.setattr(claims, "ledger", lambda: {"c": claim("equal")})
    record = claims.check("c", [1.0, 3.0])
    assert (record.measured, record.per_seed, record.verdict) == (2.0, (1.0, 3.0), "holds")
    assert "mean of 2 measurements" in record.line()


def test_a_count_keeps_all_its_digits():
    entry = claim("equal", value=124_439_808, tolerance=0)
    line = Record(entry, 124_439_807.0, (124_439_807.0,), entry.verdict(124_439_807.0)).line()
    assert line == "c: fails, measured 124,439,807, claim 124,439,808"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (claim("equal"), "2 ± 0.1"),
        (claim("equal", 124_439_808, 0), "124,439,808"),
        (claim("equal", 0.123456789, 0), "0.123456789"),
        (claim("relative", tolerance=0.01), "2 ± 1 %"),
        (claim("at_most", 1e-12, 0), "≤ 1e-12"),
        (claim("at_most"), "≤ 2.1"),
        (claim("at_least"), "≥ 1.9"),
    ],
)
def test_target_is_shown_with_its_tolerance(entry, words):
    assert entry.target() == words


def test_measured_value_is_shown_in_full_only_where_it_must_be_exact():
    assert claim("equal").show(2 / 3) == "0.666667"
    assert claim("equal", tolerance=0).show(2 / 3) == "0.666666666667"
    assert {claim("equal").show(x) for x in (None, math.nan, math.inf)} == {"not finite"}


def test_failed_claim_is_recorded_by_check_and_raised_by_require(monkeypatch):
    monkeypatch.setattr(claims, "ledger", lambda: {"c": claim("equal")})
    assert claims.check("c", 9.0).verdict == "fails"
    with pytest.raises(AssertionError, match="c: fails, measured 9"):
        claims.require("c", 9.0)


def test_nan_record_is_valid_json_and_fails(monkeypatch):
    monkeypatch.setattr(claims, "ledger", lambda: {"c": claim("equal")})
    bundle = claims.check("c", math.nan)._repr_mimebundle_()
    data = json.loads(json.dumps(bundle[claims.MIME], allow_nan=False))
    assert data["measured"] is None
    assert data["verdict"] == "fails"


def test_unknown_claim_and_empty_measurement_say_so(monkeypatch):
    monkeypatch.setattr(claims, "ledger", lambda: {"c": claim("equal")})
    with pytest.raises(KeyError, match="no claim 'd'; it has c"):
        claims.check("d", 1.0)
    with pytest.raises(ValueError, match="at least one measured number"):
        claims.check("c", [])


def test_html_escapes_and_carries_an_anchor():
    shown = Record(claim("equal"), 2.0, (2.0,), "holds")._repr_mimebundle_()["text/html"]
    assert 'id="claim-c"' in shown
    assert "<br>" in shown


def test_bad_ledger_is_refused():
    with pytest.raises(ValueError, match="unknown kind 'about'"):
        claims._parse("ch", '[x]\nkind="about"\nvalue=1\nstatement="s."\nsource="s"')
