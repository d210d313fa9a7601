"""The still picture and the words of the figure in the plane, beside the library's learners."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib import learners
from icl_lib.live import InContextRegression
from icl_lib.live.figures.in_context_regression import descend, fit_line
from icl_lib.models.regressor import InContextRegressor, RegressorConfig
from icl_lib.recipes.regression import Portable

numbers = st.floats(-2.5, 2.5).map(lambda x: round(x, 2))
pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6)


def tensors(pairs):
    told = torch.tensor(pairs, dtype=torch.float64)
    return torch.stack([told[:, 0], torch.ones(len(pairs)).double()], dim=1), told[:, 1]


@settings(max_examples=30, deadline=None)
@given(pairs, st.integers(0, 12))
def test_steps_are_those_of_the_library(pairs, steps):
    ours = torch.tensor(descend(pairs, steps, 0.2), dtype=torch.float64)
    theirs = learners.gradient_descent(*tensors(pairs), steps, 0.2, trajectory=True)[:, -1]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(pairs)
def test_the_line_fits_as_well_as_least_squares_of_the_library(pairs):
    x, y = tensors(pairs)
    ours = torch.tensor(fit_line(pairs), dtype=torch.float64)
    theirs = learners.least_squares(x, y)[-1]
    torch.testing.assert_close(x @ ours, x @ theirs, rtol=0, atol=1e-8)


def test_no_pair_and_one_pair():
    assert fit_line([]) == (0.0, 0.0)
    assert descend([], 2, 0.2) == [(0.0, 0.0)] * 3
    assert fit_line([(2.0, 5.0)]) == pytest.approx((2.0, 1.0))


def figure(**options):
    config = RegressorConfig(dimension=2, points=8, layers=1, heads=1, width=4)
    network = Portable(InContextRegressor(config, seed=1))
    return InContextRegression(network, [[1.0, 2.0], [-1.0, 0.0]], question=0.5, **options)


def test_together_the_words_and_the_picture_hold_every_reader():
    both = figure(together=True, steps=4, step_size=0.25)
    slope, shift = descend(both.pairs, 4, 0.25)[-1]
    assert f"4 steps of gradient descent say {0.5 * slope + shift:.2f}" in both.sentence()
    assert "least squares 1.50" in both.sentence()
    alone = figure(steps=4)
    assert both.picture().count("<polyline") == alone.picture().count("<polyline") + 6
    assert "least squares" not in alone.sentence()
    assert math.isfinite(slope)
