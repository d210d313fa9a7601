"""Figures of the dual-form chapter take what the library returns and are the same every time."""

import numpy as np
import torch

from icl_lib import plots
from icl_lib.dual import step_weights

ALT = "A sentence that tells what this figure shows to a reader."


def test_step_weights_takes_tensors_and_draws_the_same_bytes_twice():
    curves = {
        "plain": step_weights(5, lr=0.1)[0],
        "momentum": step_weights(5, lr=1, momentum=0.9)[0],
    }
    first, second = (plots.step_weights(curves, alt=ALT) for _ in range(2))
    assert first.light == second.light
    assert first.dark == second.dark
    assert first.light != first.dark


def test_spectra_draw_a_zero_singular_value_at_the_floor():
    zero, tiny = (
        plots.update_spectra({"SGD": torch.tensor([2.0, 1.0, last])}, 2, alt=ALT)
        for last in (0.0, 1e-30)
    )
    assert zero.light == tiny.light


def test_leaning_draws_one_image_for_each_query_and_example():
    rng = np.random.default_rng(0)
    figure = plots.leaning(
        rng.random((2, 8, 8)),
        ["is 1, says 1", "is 2, says 3"],
        rng.random((2, 3, 8, 8)),
        np.array([[1.0, 0.5, -0.5], [2.0, 1.0, -1.0]]),
        [["1", "1", "7"], ["3", "3", "2"]],
        alt=ALT,
    )
    assert figure.light.count(b"<image ") == 2 * (1 + 3)


def test_agreement_shows_every_way_and_every_seed():
    one = plots.digit_agreement({"scores": [0.8]}, alt=ALT)
    two = plots.digit_agreement({"scores": [0.8, 0.7], "errors": [1.0, 1.0]}, alt=ALT)
    assert len(two.light) > len(one.light)
