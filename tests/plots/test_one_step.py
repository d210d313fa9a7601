"""Figures of chapter 11 draw what they are given, the same bytes every time."""

import numpy as np

from icl_lib import plots

ALT = "A sentence that tells what this figure shows to a reader."
RNG = np.random.default_rng(0)


def twice(draw, *args):
    first, second = (draw(*args, alt=ALT) for _ in range(2))
    assert first.light == second.light
    assert first.dark == second.dark != first.light
    return first


def test_training_shows_every_level():
    losses = np.linspace(0.4, 0.2, 200)
    one = twice(plots.layer_training, losses, {"best": 0.2})
    two = plots.layer_training(losses, {"best": 0.2, "guessing 0": 0.4}, alt=ALT)
    assert len(two.light) > len(one.light)


def test_maps_draw_two_matrices_for_each_layer():
    pair = (RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3)))
    figure = twice(plots.layer_maps, {"a": pair, "b": pair, "c": pair}, ["M", "V"])
    assert figure.light.count(b"<image ") == 2 * 3 + 2  # and two colour bars


def test_the_maps_of_a_row_share_their_scale():
    small, large = np.eye(3), 5 * np.eye(3)
    alone = plots.layer_maps({"a": (small, small)}, ["M", "V"], alt=ALT)
    scaled = plots.layer_maps({"a": (large, large)}, ["M", "V"], alt=ALT)
    pictures = [f.light.split(b"<image ")[1].split(b"base64,")[1][:400] for f in (alone, scaled)]
    assert pictures[0] == pictures[1]
    beside = plots.layer_maps({"a": (small, small), "b": (large, large)}, ["M", "V"], alt=ALT)
    both = [part.split(b"base64,")[1][:400] for part in beside.light.split(b"<image ")[1:3]]
    assert both[0] != both[1]


def test_way_draws_one_line_for_each_seed():
    ways = np.linspace(0, 1, 5)
    one = twice(plots.way_losses, ways, {"smooth": np.full((1, 5), 0.2)}, 0.4)
    rows = np.stack([np.full(5, 0.2), np.full(5, 0.3)])
    assert len(plots.way_losses(ways, {"smooth": rows}, 0.4, alt=ALT).light) > len(one.light)


def test_scales_take_panels_with_seeds():
    data = {
        "scales": [1, 2], "step": [0.2, 0.4], "nothing": [0.4, 0.8],
        "trained": [[0.2, 0.4], [0.21, 0.39]],
    }  # fmt: skip
    twice(plots.scale_losses, {"inputs": data, "weights": data})


def test_temperatures_take_up_to_four_curves():
    taus = [1.0, 2.0, 4.0]
    curves = {str(k): [1 / t**k for t in taus] for k in range(1, 5)}
    figure = twice(plots.temperature_errors, taus, curves)
    fewer = plots.temperature_errors(taus, {"1": curves["1"]}, alt=ALT)
    assert len(figure.light) > len(fewer.light)
