"""A recorded training run and its trained weight give the same answers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from icl_lib.dual import record, record_linear, relative_difference
from icl_lib.optim import rules

RUNS = st.fixed_dictionaries(
    {
        "o": st.integers(1, 6),
        "d": st.integers(1, 8),
        "batches": st.lists(st.integers(1, 9), min_size=1, max_size=12),
        "bias": st.booleans(),
        "seed": st.integers(0, 10**6),
        "lr": st.floats(1e-3, 0.3),
        "momentum": st.sampled_from([0.0, 0.5, 0.9]),
        "dampening": st.sampled_from([0.0, 0.3]),
        "nesterov": st.booleans(),
        "weight_decay": st.sampled_from([0.0, 1e-2, 0.3]),
        "maximize": st.booleans(),
        "decaying": st.booleans(),
        "clip": st.booleans(),
    }
)


def layer_and_data(o, d, sizes, bias=True, seed=0):
    g = torch.Generator().manual_seed(seed)
    layer = nn.Linear(d, o, bias=bias, dtype=torch.float64)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, generator=g, dtype=torch.float64) / 3)
    shapes = [(b, w) for b in sizes for w in (d, o)]
    tensors = [torch.randn(*s, generator=g, dtype=torch.float64) for s in shapes]
    queries = torch.randn(11, d, generator=g, dtype=torch.float64)
    return layer, list(zip(tensors[::2], tensors[1::2], strict=True)), queries


def train(layer, data, optimizer, *, clip=False, scheduler=None):
    for x, y in data:
        optimizer.zero_grad()
        (torch.tanh(layer(x)) - y).square().mean().backward()
        if clip:
            nn.utils.clip_grad_norm_(layer.parameters(), 0.05)
        optimizer.step()
        if scheduler:
            scheduler.step()


def assert_dual(form, layer, x, tolerance=1e-12):
    assert relative_difference(form(x), layer(x).detach()) <= tolerance
    assert relative_difference(form.primal(x), layer(x).detach()) <= tolerance
    assert relative_difference(form(x, chunk=2), form(x)) <= tolerance


@given(RUNS)
def test_any_run_of_descent_equals_attention_over_its_examples(run):
    nesterov = run["nesterov"] and run["momentum"] > 0
    layer, data, x = layer_and_data(run["o"], run["d"], run["batches"], run["bias"], run["seed"])
    optimizer = torch.optim.SGD(
        layer.parameters(),
        lr=run["lr"],
        momentum=run["momentum"],
        dampening=0.0 if nesterov else run["dampening"],
        nesterov=nesterov,
        weight_decay=run["weight_decay"],
        maximize=run["maximize"],
    )
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8) if run["decaying"] else None
    with record_linear(layer, optimizer) as recording:
        train(layer, data, optimizer, clip=run["clip"], scheduler=scheduler)
    form = recording.dual_form()
    assert len(recording) == len(form) == sum(run["batches"])
    assert recording.steps == len(run["batches"])
    assert_dual(form, layer, x)


@pytest.mark.parametrize(
    ("rule", "settings"),
    [
        (rules.SGD, {"weight_decay": 0.1}),
        (rules.Momentum, {"momentum": 0.9, "dampening": 0.2, "weight_decay": 0.1}),
        (rules.Nesterov, {"momentum": 0.9, "weight_decay": 0.1}),
    ],
)
def test_rules_of_the_book_are_recorded_too(rule, settings):
    layer, data, x = layer_and_data(3, 5, [4] * 9)
    optimizer = rule(layer.parameters(), lr=0.2, **settings)
    with record_linear(layer, optimizer) as recording:
        train(layer, data, optimizer)
    assert_dual(recording.dual_form(), layer, x)


def test_plain_descent_keeps_keys_and_scales_error_signals_by_the_step_size():
    layer, data, _ = layer_and_data(2, 3, [1, 1], bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.25)
    start = layer.weight.detach().clone()
    with record_linear(layer, optimizer) as recording:
        train(layer, data[:1], optimizer)
    form = recording.dual_form()
    (x, y) = data[0]
    out = torch.tanh(x @ start.T)
    slope = (out - y) * (1 - out**2)  # the mean runs over the two outputs of one example
    torch.testing.assert_close(form.update.keys, x)
    torch.testing.assert_close(form.update.errors, -0.25 * slope)
    torch.testing.assert_close(form.initial, start)


def test_bias_is_the_weight_of_a_constant_input():
    layer, data, _ = layer_and_data(2, 3, [4, 4])
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    with record_linear(layer, optimizer) as recording:
        train(layer, data, optimizer)
    form = recording.dual_form()
    assert form.bias
    assert bool((form.update.keys[:, -1] == 1).all())
    torch.testing.assert_close(form.as_matrix()[:, -1], layer.bias.detach())


def test_bias_may_have_its_own_group_or_none():
    for groups in (
        lambda l: [{"params": [l.weight], "weight_decay": 0.3}, {"params": [l.bias], "lr": 0.5}],
        lambda l: [{"params": [l.weight], "lr": 0.0}, {"params": [l.bias], "momentum": 0.5}],
        lambda l: [{"params": [l.weight], "momentum": 0.9}],
    ):
        layer, data, x = layer_and_data(2, 3, [4] * 6)
        optimizer = torch.optim.SGD(groups(layer), lr=0.1)
        with record_linear(layer, optimizer) as recording:
            train(layer, data, optimizer)
        assert_dual(recording.dual_form(), layer, x)


def test_frozen_bias_stays_where_it_was():
    layer, data, x = layer_and_data(2, 3, [4] * 6)
    layer.bias.requires_grad_(False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, weight_decay=0.1)
    with record_linear(layer, optimizer) as recording:
        train(layer, data, optimizer)
    assert_dual(recording.dual_form(), layer, x)


def test_sequences_become_examples_in_reading_order(generator):
    layer, _, x = layer_and_data(2, 3, [1])
    tokens = torch.randn(4, 5, 3, generator=generator, dtype=torch.float64)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with record_linear(layer, optimizer) as recording:
        layer(tokens).square().sum().backward()
        optimizer.step()
    form = recording.dual_form()
    torch.testing.assert_close(form.update.keys[:, :-1], tokens.reshape(20, 3))
    assert_dual(form, layer, x)


def test_layer_used_twice_in_a_pass_is_recorded_twice_in_the_order_of_its_calls(generator):
    layer, _, x = layer_and_data(3, 3, [1])
    start = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05, momentum=0.9)
    with record_linear(layer, optimizer) as recording:
        for _ in range(5):
            optimizer.zero_grad()
            layer(torch.relu_(layer(start))).square().mean().backward()
            optimizer.step()
    form = recording.dual_form()
    assert len(form) == 40
    torch.testing.assert_close(form.update.keys[:4, :-1], start)
    assert_dual(form, layer, x)


def test_gradient_accumulation_is_one_step_with_all_its_examples():
    layer, data, x = layer_and_data(2, 3, [4] * 6)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    with record_linear(layer, optimizer) as recording:
        for i, (inputs, y) in enumerate(data):
            (layer(inputs) - y).square().mean().backward()
            if i % 3 == 2:
                optimizer.step()
                optimizer.zero_grad(set_to_none=i == 2)
    form = recording.dual_form()
    assert form.step.tolist() == [0] * 12 + [1] * 12
    assert_dual(form, layer, x)


def test_gradients_that_are_thrown_away_leave_no_trace():
    layer, data, x = layer_and_data(2, 3, [4] * 6)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    with record_linear(layer, optimizer) as recording:
        layer(data[0][0]).sum().backward()
        optimizer.zero_grad()
        optimizer.step()  # nothing to do: no gradient
        layer(data[0][0]).sum().backward()
        optimizer.zero_grad(set_to_none=False)
        train(layer, data, optimizer)
        optimizer.zero_grad(set_to_none=False)
        optimizer.step()  # momentum and weight decay go on without a gradient
        with torch.no_grad():
            layer(data[0][0])
    assert len(recording) == 24
    assert_dual(recording.dual_form(), layer, x)


def test_gradients_that_are_never_cleared_count_again():
    layer, data, x = layer_and_data(2, 3, [2] * 3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with record_linear(layer, optimizer) as recording:
        for inputs, y in data:
            (layer(inputs) - y).square().mean().backward()
            optimizer.step()
    assert len(recording) == 2 + 4 + 6
    assert_dual(recording.dual_form(), layer, x)


def test_recording_may_start_in_the_middle_and_is_frozen_at_its_end():
    layer, data, x = layer_and_data(2, 3, [4] * 9)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    train(layer, data[:3], optimizer)
    with record_linear(layer, optimizer) as recording:
        train(layer, data[3:6], optimizer)
        assert_dual(recording.dual_form(), layer, x)
        train(layer, data[6:], optimizer)
    expected = layer(x).detach()
    train(layer, data, optimizer)
    assert relative_difference(recording.dual_form()(x), expected) < 1e-12


def test_every_linear_layer_of_a_network_has_its_dual_form(generator):
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    x = torch.randn(30, 5, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (30,), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    with record(model, optimizer) as recordings:
        for _ in range(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    forms = {name: r.dual_form() for name, r in recordings.items()}
    assert list(forms) == ["0", "2"]
    out = forms["2"](torch.tanh(forms["0"](x)))
    assert relative_difference(out, model(x).detach()) < 1e-12


def test_inputs_are_copied_so_a_reused_buffer_does_no_harm():
    layer, data, x = layer_and_data(2, 3, [4] * 4)
    buffer = torch.empty(4, 3, dtype=torch.float64)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with record_linear(layer, optimizer) as recording:
        for inputs, y in data:
            optimizer.zero_grad()
            buffer.copy_(inputs)
            (layer(input=buffer) - y).square().mean().backward()
            optimizer.step()
    assert_dual(recording.dual_form(), layer, x)


def test_float32_run_has_its_dual_form_to_float32():
    layer, data, x = layer_and_data(3, 5, [8] * 50)
    layer = layer.float()
    data = [(a.float(), b.float()) for a, b in data]
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    with record_linear(layer, optimizer) as recording:
        train(layer, data, optimizer)
    assert_dual(recording.dual_form(), layer, x.float(), tolerance=3e-5)


def test_empty_recording_is_the_layer_itself():
    layer, _, x = layer_and_data(2, 3, [1])
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with record_linear(layer, optimizer) as recording:
        pass
    assert len(recording.dual_form()) == 0
    assert_dual(recording.dual_form(), layer, x)


# ---- what has no dual form is an error ----------------------------------------------------------


@pytest.mark.parametrize(
    "make", [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, rules.Adam, rules.AdamW]
)
def test_rules_that_divide_entry_by_entry_are_refused(make):
    layer, _, _ = layer_and_data(2, 3, [1])
    optimizer = make(layer.parameters(), lr=0.1)
    with (
        pytest.raises(TypeError, match=f"{make.__name__} has no dual form.*entry by entry"),
        record_linear(layer, optimizer),
    ):
        pass


def penalty(layer, x):
    return layer(x).square().mean() + 0.1 * layer.weight.square().sum()


def second_use(layer, x):
    return (layer(x) + x @ layer.weight.T).square().mean()


@pytest.mark.parametrize("loss", [penalty, second_use])
def test_gradient_from_elsewhere_is_refused(loss):
    layer, data, _ = layer_and_data(2, 3, [4])
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with record_linear(layer, optimizer):
        loss(layer, data[0][0]).backward()
        with pytest.raises(RuntimeError, match="is not the sum of the recorded outer products"):
            optimizer.step()


def test_clipping_entry_by_entry_is_refused():
    layer, data, _ = layer_and_data(2, 3, [4])
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with record_linear(layer, optimizer):
        layer(data[0][0]).square().sum().backward()
        nn.utils.clip_grad_value_(layer.parameters(), 0.1)
        with pytest.raises(RuntimeError, match="entry by entry"):
            optimizer.step()


def test_weight_changed_behind_the_recorder_is_refused():
    layer, data, _ = layer_and_data(2, 3, [4] * 3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with record_linear(layer, optimizer) as recording:
        train(layer, data, optimizer)
        with torch.no_grad():
            layer.weight.mul_(0.99)
    with pytest.raises(RuntimeError, match="something else changed the weight"):
        recording.dual_form()


@pytest.mark.usefixtures("unchecked")
def test_layers_that_cannot_be_recorded_are_named():
    layer, _, _ = layer_and_data(2, 3, [1])
    sgd = torch.optim.SGD(layer.parameters(), lr=0.1)
    conv = nn.Conv1d(1, 1, 1)
    with pytest.raises(TypeError, match="got Conv1d"), record_linear(conv, sgd):
        pass
    other = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="does not train"), record_linear(other, sgd):
        pass
    with pytest.raises(ValueError, match="no linear layer"), record(nn.Sequential(other), sgd):
        pass
    layer.weight.requires_grad_(False)
    with pytest.raises(ValueError, match="frozen"), record_linear(layer, sgd):
        pass
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    sgd = torch.optim.SGD(normed.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="parametrised"), record_linear(normed, sgd):
        pass


def test_sweep_of_step_sizes_in_one_tensor_is_refused():
    layer, data, _ = layer_and_data(2, 3, [4])
    rates = torch.full((2, 1), 0.1, dtype=torch.float64)
    optimizer = rules.SGD([layer.weight], lr=rates)
    with record_linear(layer, optimizer), pytest.raises(ValueError, match=r"lr has shape \(2, 1\)"):
        train(layer, data, optimizer)
