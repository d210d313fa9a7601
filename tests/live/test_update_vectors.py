"""UpdateVectors: what it teaches in the browser, that its chance is chance, and what it refuses."""

import math

import pytest
from live.harness import Move, Visit, write_page

from icl_lib.live import UpdateVectors
from icl_lib.live.figures.update_vectors import (
    chance,
    length_for,
    normalised_similarity,
    random_pairs,
    simulated,
    uniform,
)

ICL, FT = "Length of the ICL update ρ", "Length of the finetuning update ρ′"
ANGLE, SHIFT = "Angle between them", "Length of a shift that both share"


@pytest.mark.browser
def test_chance_rises_with_the_lengths_and_a_shared_shift_survives_the_exchange(browser, tmp_path):
    visit = Visit(browser, write_page(tmp_path, UpdateVectors()).as_uri()).ready()
    start = visit.numbers()
    assert abs(start["raw"]) < 1e-12
    assert start["normalised"] == pytest.approx(0.25, abs=1e-12)
    assert start["chance"] == pytest.approx(0.25, abs=1e-12)
    assert "nothing in common" in visit.page.inner_text(".icl-sentence")
    for slider in (ICL, FT):
        visit.press(Move("slider", slider, "Home"))
    assert 0 < visit.numbers()["chance"] < 0.003
    for slider in (ICL, FT):
        visit.press(Move("slider", slider, "End"))
    assert 0.44 < visit.numbers()["normalised"] < 0.5
    visit.press(Move("slider", ANGLE, "ArrowRight", 6))
    apart = visit.numbers()
    assert apart["raw"] == pytest.approx(-0.5)
    assert apart["normalised"] > 0.15
    assert "point apart" in visit.page.inner_text(".icl-sentence")
    visit.page.get_by_role("button", name="Independent, both √3 long").click()
    assert visit.numbers() == start
    visit.press(Move("slider", SHIFT, "ArrowRight", 20))
    shared = visit.numbers()
    assert shared["raw"] == pytest.approx(shared["shuffled_raw"]) == pytest.approx(4 / 7)
    assert "partners exchanged" in visit.page.inner_text(".icl-sentence")
    visit.close()


@pytest.mark.parametrize(("square", "published"), [(0.25, 0.053), (1, 0.146), (3, 0.25),
                                                   (10, 0.349), (100, 0.45)])  # fmt: skip
def test_chance_is_the_closed_form_and_drawing_gives_the_same(square, published):
    length = math.sqrt(square)
    assert chance(length, length) == pytest.approx(published, abs=6e-4)
    assert simulated(length, length) == pytest.approx(chance(length, length), abs=0.012)
    assert simulated(length, 0.5) == pytest.approx(chance(length, 0.5), abs=0.012)
    assert length_for(chance(length, length)) == pytest.approx(length)


def test_published_is_chance_and_an_agreement_that_the_raw_cosine_gives():
    s, other = math.hypot(1, 1.3), math.hypot(1, 0.4)
    agreement = math.sqrt((1 + 1 / s) * (1 + 1 / other)) / 2 * 0.7
    found = normalised_similarity(1.3, 0.4, (0.0, 0.0, 0.7))
    assert found == pytest.approx(chance(1.3, 0.4) + agreement, abs=1e-14)


def test_directions_are_random_and_those_of_the_page():
    numbers = uniform(17)
    first = [next(numbers) for _ in range(20_000)]
    assert sum(first) / len(first) == pytest.approx(0.5, abs=0.01)
    assert all(0 <= x < 1 for x in first)
    pairs = random_pairs()
    for column in zip(*pairs, strict=True):
        squares = sum(c * c for c in column) / len(pairs)
        assert squares == pytest.approx(1 / 64, rel=0.15)


def test_still_picture_and_sentence_tell_the_numbers():
    figure = UpdateVectors(1.0, 1.0, angle=120.0, shift=4.0)
    assert "nan" not in figure.picture()
    assert f"{figure.numbers()['chance']:.3f}" in figure.sentence()
    assert "-0.000" not in UpdateVectors().sentence()


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"icl must be between 0\.1 and 10, got 0"):
        UpdateVectors(0.0)
    with pytest.raises(ValueError, match="angle must be between 0 and 180, got 270"):
        UpdateVectors(angle=270)
    with pytest.raises(ValueError, match="shift must be between 0 and 4"):
        UpdateVectors(shift=5)
