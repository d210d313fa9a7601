"""Counts behind printed percentages: found by trying all, as a slow search does."""

import itertools

import pytest

from icl_lib.meta.published import PARTS, SIZES
from icl_lib.meta.reported import EXAMPLES, Reported, reported

CB = Reported(56, 42.9, 57.1, 55.4, 100.0)


def slow(r: Reported) -> set[tuple[int, int]]:
    """Return the pairs of counts that a table of all possible answers allows."""
    n, found = r.examples, set()

    def fits(count, of, printed, places):
        return round(100 * count / of, places) == printed

    zeros, fts = ([k for k in range(n + 1) if fits(k, n, a, 1)] for a in (r.zero_shot, r.finetuned))
    for zero, ft in itertools.product(zeros, fts):
        for both in range(max(0, zero + ft - n), min(zero, ft) + 1):
            corrected = ft - both
            for hits in range(corrected + 1):
                if corrected and fits(hits, corrected, r.rec2ftp, 2):
                    found.add((hits, corrected))
    return found


@pytest.mark.parametrize(
    "r", [CB, Reported(56, 37.5, 55.4, 57.1, 87.5), Reported(100, 60.0, 66.0, 80.0, 66.67)]
)
def test_counts_are_those_of_a_slow_search(r):
    assert {(s.hits, s.n) for s in r.corrected()} == slow(r)


def test_the_example_of_the_chapter():
    r = Reported(872, 70.5, 73.9, 92.7, 91.84)
    assert [(s.hits, s.n) for s in r.corrected()] == [(45 * k, 49 * k) for k in range(1, 6)]


def test_bounds_of_cb():
    assert CB.wrong == 32
    assert CB.base_rate() == pytest.approx(((31 - 24) / 32, 31 / 32))
    assert CB.if_no_easier == pytest.approx(31 / 56)
    assert CB.verdict() == "likely above"
    assert max(s.n for s in CB.corrected()) == 32


def test_verdicts():
    assert Reported(1000, 90.0, 95.0, 5.0, 100.0).verdict() == "above"
    assert Reported(1000, 50.0, 60.0, 90.0, 80.0).verdict() == "unknown"


def test_percentages_that_no_counts_give_are_refused():
    with pytest.raises(ValueError, match=r"no count of 7 examples is 50\.0 per cent"):
        Reported(7, 50.0, 57.1, 57.1, 100.0)
    with pytest.raises(ValueError, match="no counts of 56 examples give"):
        Reported(56, 37.5, 55.4, 57.1, 87.77)


@pytest.mark.parametrize("size", SIZES)
def test_all_printed_percentages_have_counts(size):
    found = reported(size)
    assert list(found) == list(PARTS) == list(EXAMPLES)
    for r in found.values():
        low, high = r.base_rate()
        assert 0 <= low <= r.rec2ftp / 100
        assert low < high <= 1
