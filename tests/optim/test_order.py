"""Data order: a function of seed and step, each example once per epoch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.optim import Generated, Shuffled, derive_seed


@given(examples=st.integers(1, 40), share=st.floats(0.01, 1.0), seed=st.integers(0, 1000))
def test_every_example_comes_once_per_epoch(examples, share, seed):
    size = max(1, int(share * examples))
    source = Shuffled(torch.arange(examples), size, seed=seed)
    steps = 3 * examples
    seen = torch.cat([source(step) for step in range(steps)])
    assert len(seen) == steps * size
    for epoch in seen[: len(seen) // examples * examples].reshape(-1, examples):
        assert torch.equal(epoch.sort().values, torch.arange(examples))


def test_a_step_does_not_depend_on_the_steps_asked_for_before():
    forward = Shuffled(torch.arange(50), 7, seed=3)
    batches = [forward(step) for step in range(40)]
    fresh = Shuffled(torch.arange(50), 7, seed=3)
    for step in (39, 0, 13, 14, 2):
        assert torch.equal(fresh(step), batches[step])


def test_seeds_and_epochs_give_different_orders():
    a, b = (Shuffled(torch.arange(100), 10, seed=s) for s in (0, 1))
    assert not torch.equal(a.order(0), b.order(0))
    assert not torch.equal(a.order(0).clone(), a.order(1))
    assert len({derive_seed(0, 1), derive_seed(1, 0), derive_seed(0, 1, 0), derive_seed(0, 2)}) == 4


def test_tensors_stay_aligned_and_unshuffled_order_is_that_of_the_data():
    x = torch.arange(12.0)
    first, second = Shuffled((x, 2 * x), 5, seed=1)(4)
    assert torch.equal(second, 2 * first)
    assert Shuffled(x, 5, shuffle=False)(2).tolist() == [10, 11, 0, 1, 2]


def test_generated_batches_depend_on_step_and_seed_only():
    def source(seed):
        return Generated(lambda g: torch.randn(3, generator=g), seed=seed)

    assert torch.equal(source(1)(5), source(1)(5))
    assert not torch.equal(source(1)(5), source(1)(6))
    assert not torch.equal(source(1)(5), source(2)(5))


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match=r"tensors have \[3, 4\] examples; they must agree"):
        Shuffled((torch.zeros(3), torch.zeros(4)), 2)
    with pytest.raises(ValueError, match=r"between 1 and 3 \(the examples\), got 4"):
        Shuffled(torch.zeros(3), 4)
