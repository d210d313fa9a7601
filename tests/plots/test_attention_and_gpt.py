"""Figures of the attention and GPT chapters show the numbers that they are given."""

import inspect

import numpy as np
import pytest
from matplotlib.figure import Figure

from icl_lib import plots
from icl_lib.palette import color


def drawn(function, *args, **options) -> Figure:
    """Draw the light variant and return the matplotlib figure."""
    fig = Figure()
    inspect.unwrap(function)(fig, "light", *args, **options)
    return fig


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_attention_map_writes_each_weight_into_its_cell():
    weights = np.array([[1.0, 0.0], [0.25, 0.75]])
    axes = drawn(plots.attention_maps, {"w": weights}, ["a", "b"], ["c", "d"]).axes[0]
    assert texts(axes) == ["1.00", "0.00", "0.25", "0.75"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["c", "d"]


def test_numbers_on_dark_cells_are_light():
    axes = drawn(plots.attention_maps, {"w": np.array([[1.0, 0.0]])}, ["a"], ["c", "d"]).axes[0]
    inks = [text.get_color() for text in axes.texts]
    assert inks == [color("background", "light"), color("text", "light")]


def test_scores_above_one_keep_their_own_scale():
    fig = drawn(plots.attention_maps, {"s": [[4.0, 0.0]], "w": [[0.9, 0.1]]}, ["a"], ["c", "d"])
    assert [axes.images[0].get_clim()[1] for axes in fig.axes] == [4.0, 1.0]


def test_parameter_shares_of_each_model_add_to_one():
    axes = drawn(plots.parameter_parts, ["m", "n"], {"x": [1, 3], "y": [3, 1]}).axes[0]
    widths = np.array([[bar.get_width() for bar in container] for container in axes.containers])
    np.testing.assert_allclose(widths, [[0.25, 0.75], [0.75, 0.25]])
    np.testing.assert_allclose([bar.get_x() for bar in axes.containers[1]], [0.25, 0.75])


def test_training_curve_names_every_reference():
    fig = drawn(
        plots.training_curve, [3.0, 2.0, 1.0], {0: 3.0, 3: 1.1}, {"ln V": 3.1, "floor": 0.5}
    )
    assert texts(fig.axes[0]) == ["ln V", "floor"]
    assert fig.axes[0].get_ylim()[0] == 0


def test_spaces_are_visible_in_head_maps():
    fig = drawn(plots.head_maps, np.eye(3)[None], ["a", " ", "b"], ["head"])
    assert [label.get_text() for label in fig.axes[0].get_xticklabels()] == ["a", "␣", "b"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_hard_and_soft_look_up_stand_side_by_side(theme):
    fig = Figure()
    inspect.unwrap(plots.lookup_weights)(fig, theme, ["a", "b"], [0, 1], [0.25, 0.75])
    heights = [[bar.get_height() for bar in container] for container in fig.axes[0].containers]
    assert heights == [[0, 1], [0.25, 0.75]]
