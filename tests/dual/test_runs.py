"""The chapter's training loop books each example under its own name."""

import pytest
import torch
from torch import nn

from icl_lib.dual import fresh_layer, relative_difference, train_recorded


def run(generator, **options):
    x = torch.arange(24, dtype=torch.float64).reshape(8, 3).sin()
    y = x[:, :2].cos()
    layer = nn.Linear(3, 2, dtype=torch.float64)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.5)
    loss = nn.functional.mse_loss
    form, index = train_recorded(layer, optimizer, loss, x, y, generator=generator, **options)
    return layer, form, index, x


def test_index_names_the_example_behind_every_key(generator):
    layer, form, index, x = run(generator, batch=3, epochs=4)
    assert index.sort().values.tolist() == sorted(list(range(8)) * 4)
    torch.testing.assert_close(form.update.keys[:, :3], x[index])
    assert form.step[-1] == 11  # three minibatches of 3, 3 and 2 in each of four passes
    assert relative_difference(form(x), layer(x).detach()) < 1e-12


def test_without_a_generator_examples_keep_their_order():
    _, _, index, _ = run(None, batch=5)
    assert index.tolist() == list(range(8))


@pytest.mark.usefixtures("unchecked")
def test_lengths_must_agree():
    x = torch.zeros(3, 2)
    layer = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="got 3 examples and 2 targets"):
        train_recorded(layer, optimizer, nn.functional.mse_loss, x, x[:2], batch=1)


def test_fresh_layers_are_zero_or_drawn_from_the_generator_alone():
    assert all(not p.any() for p in fresh_layer(3, 2).parameters())
    drawn = [
        fresh_layer(300, 200, std=0.5, generator=torch.Generator().manual_seed(1)).weight
        for _ in range(2)
    ]
    assert torch.equal(*drawn)
    assert drawn[0].std().item() == pytest.approx(0.5, rel=0.02)
    with pytest.raises(ValueError, match="need a generator"):
        fresh_layer(3, 2, std=1.0)
