"""Who contributes to a prediction, and how far Adam is from any dual form."""

import pytest
import torch
from torch import nn

from icl_lib.dual import (
    OuterSum,
    fit_to_examples,
    record_linear,
    relative_difference,
    sum_by_group,
    train_one_by_one,
)
from icl_lib.optim import rules


def run(rule, *, examples=12, o=5, d=7, seed=0, **settings):
    """Train on single examples; return the update, what SGD would book, and the dual form."""
    g = torch.Generator().manual_seed(seed)
    layer = nn.Linear(d, o, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.zero_()
    xs = torch.randn(examples, d, generator=g, dtype=torch.float64)
    ys = torch.randn(examples, o, generator=g, dtype=torch.float64)
    optimizer = rule(layer.parameters(), **settings)
    raw = train_one_by_one(layer, optimizer, lambda a, b: (a - b).square().sum(), xs, ys)
    return layer.weight.detach(), raw


def test_contributions_add_up_to_the_update(generator):
    layer = nn.Linear(4, 3, dtype=torch.float64)
    x = torch.randn(20, 4, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (20,), generator=generator)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5, momentum=0.9)
    with record_linear(layer, optimizer) as recording:
        for _ in range(7):
            optimizer.zero_grad()
            nn.functional.cross_entropy(layer(x), y).backward()
            optimizer.step()
    form = recording.dual_form()
    readout = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    queries = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    parts = form.contributions(queries, readout)
    assert parts.shape == (6, 140)
    whole = (readout * (form(queries) - form._queries(queries) @ form.initial.T)).sum(dim=1)
    torch.testing.assert_close(parts.sum(dim=1), whole)
    visits = torch.arange(20).repeat(7)
    per_example = sum_by_group(parts, visits, 20)
    torch.testing.assert_close(per_example[:, 3], parts[:, 3::20].sum(dim=1))
    with pytest.raises(ValueError, match="queries have width 3, the layer takes 4"):
        form(torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize(
    "settings", [{}, {"momentum": 0.9}, {"weight_decay": 0.1}, {"momentum": 0.5, "nesterov": True}]
)
def test_linear_rules_are_in_the_span_of_their_examples(settings):
    update, raw = run(torch.optim.SGD, lr=0.02, **settings)
    assert fit_to_examples(update, raw).residual < 1e-12


@pytest.mark.parametrize("rule", [torch.optim.Adam, rules.Adam, torch.optim.RMSprop])
def test_adam_is_not_in_the_span(rule):
    update, raw = run(rule, lr=0.02)
    assert fit_to_examples(update, raw).residual > 0.2


def test_first_step_of_adam_has_rank_one_and_the_signs_of_the_input_as_key():
    update, raw = run(rules.Adam, examples=1, lr=0.1)
    signs = OuterSum(raw.errors.sign(), raw.keys.sign())
    assert relative_difference(update, 0.1 * signs.as_matrix()) < 1e-6
    one = signs.rank()
    assert one == 1
    assert fit_to_examples(update, raw).residual == pytest.approx(
        (1 - signs.cosine(raw).item() ** 2) ** 0.5, abs=1e-6
    )


def test_two_steps_of_adam_have_more_than_rank_two():
    update, _ = run(rules.Adam, examples=2, lr=0.1)
    assert torch.linalg.matrix_rank(update) > 2
    plain, _ = run(rules.SGD, examples=2, lr=0.1)
    assert torch.linalg.matrix_rank(plain) == 2


@pytest.mark.usefixtures("unchecked")
def test_fit_refuses_what_tells_nothing():
    update, raw = run(torch.optim.SGD, examples=40, lr=0.02)
    with pytest.raises(ValueError, match="40 examples span any matrix of 35 entries"):
        fit_to_examples(update, raw)
    with pytest.raises(ValueError, match=r"the target has shape \(7, 5\), the update \(5, 7\)"):
        fit_to_examples(update.T, raw)


def test_relative_difference_of_zeros():
    zero, one = torch.zeros(2), torch.ones(2)
    assert relative_difference(zero, zero) == 0
    assert relative_difference(one, zero) == float("inf")
