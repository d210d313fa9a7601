"""The linear transformer: its formula written as a loop, its forms, its symmetries, bad input."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.models.linear_transformer import LinearTransformer, LinearTransformerConfig

SIZES = {
    "batch": st.integers(1, 3), "examples": st.integers(1, 6), "dimension": st.integers(1, 4),
    "heads": st.integers(1, 2), "layers": st.integers(1, 3), "seed": st.integers(0, 999),
}  # fmt: skip


def draw(batch, examples, dimension, *asked, seed=0):
    g = torch.Generator().manual_seed(seed)
    kind = {"generator": g, "dtype": torch.float64}
    inputs = torch.randn(batch, examples, dimension, **kind)
    targets = torch.randn(batch, examples, **kind)
    return inputs, targets, torch.randn(batch, *asked, dimension, **kind)


def network(**settings):
    seed = settings.pop("seed", 0)
    return LinearTransformer(LinearTransformerConfig(**settings), seed=seed).double()


def by_loop(model, x, y, query, start=None):
    """The formula for one prompt and one query, token by token; softmax with its sink included."""
    config, said = model.config, []
    told = [torch.cat([x[i], y[i : i + 1]]) for i in range(len(x))]
    first = torch.zeros(1).to(x) if start is None else -(query @ start)[None]
    asked = torch.cat([query, first])
    for key_query, value_out in model.matrices():

        def read(token, told=told, key_query=key_query, value_out=value_out):
            total = torch.zeros_like(token)
            for m, v in zip(key_query, value_out, strict=True):
                scores = torch.stack([e @ m @ token for e in told])
                if config.attention == "softmax":
                    scores = scores.exp() / (scores.exp().sum() + config.sink)
                total = total + v @ sum(s * e for s, e in zip(scores, told, strict=True))
            return total / len(told) if config.average else total

        told, asked = [e + read(e) for e in told], asked + read(asked)
        said.append(-asked[-1])
    return torch.stack(said)


@pytest.mark.parametrize("attention", ["linear", "softmax"])
@given(**SIZES, average=st.booleans(), looped=st.booleans(), form=st.sampled_from(
    ["factored", "merged", "sparse"]
))  # fmt: skip
def test_every_layer_equals_the_formula_written_as_a_loop(
    attention, batch, examples, dimension, heads, layers, seed, average, looped, form
):
    model = network(
        dimension=dimension, layers=layers, heads=heads, attention=attention, average=average,
        looped=looped, form=form, init_scale=0.4, seed=seed,
        sink=1.5 if attention == "softmax" and seed % 2 else 0.0,
    )  # fmt: skip
    inputs, targets, query = draw(batch, examples, dimension, seed=seed)
    start = torch.linspace(-1, 1, dimension, dtype=torch.float64) if seed % 3 else None
    found = model.readouts(inputs, targets, query, start=start)
    assert found.shape == (layers, batch)
    for b in range(batch):
        wanted = by_loop(model, inputs[b], targets[b], query[b], start)
        torch.testing.assert_close(found[:, b], wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(model(inputs, targets, query, start=start), found[-1])


def test_several_queries_do_not_see_each_other():
    model = network(dimension=3, layers=2, heads=2)
    inputs, targets, queries = draw(4, 5, 3, 7)
    together = model(inputs, targets, queries)
    alone = torch.stack([model(inputs, targets, queries[:, m]) for m in range(7)], dim=1)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-13)


def test_the_order_of_the_demonstrations_does_not_matter_and_their_pairing_does():
    model = network(dimension=3, layers=2, init_scale=0.5)
    inputs, targets, query = draw(4, 5, 3)
    order = torch.tensor([3, 0, 4, 1, 2])
    same = model(inputs[:, order], targets[:, order], query)
    torch.testing.assert_close(same, model(inputs, targets, query))
    assert not torch.allclose(model(inputs[:, order], targets, query), same)


def test_only_two_products_of_a_head_matter():
    model = network(dimension=4, layers=2, init_scale=0.5)
    merged = LinearTransformer.from_layers(model.matrices())
    parts = draw(3, 6, 4)
    torch.testing.assert_close(merged(*parts), model(*parts), rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        model.key.mul_(-3.0)
        model.out.div_(-3.0)
    torch.testing.assert_close(merged(*parts), model(*parts), rtol=1e-12, atol=1e-12)


def test_a_looped_network_is_the_untied_one_with_its_matrices_repeated():
    looped = network(dimension=3, layers=4, looped=True, init_scale=0.3)
    untied = LinearTransformer.from_layers(looped.matrices())
    parts = draw(3, 6, 3)
    torch.testing.assert_close(untied.readouts(*parts), looped.readouts(*parts))
    assert untied.key_query.shape == (4, 1, 4, 4)
    assert looped.query.shape == (1, 1, 4, 4)


def test_gradients_of_several_layers_agree_with_finite_differences():
    model = network(dimension=2, layers=3, looped=True, form="merged", init_scale=0.4)
    parts = draw(2, 4, 2)

    def loss(*weights):
        names = [name for name, _ in model.named_parameters()]
        given = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(model, given, parts).square().mean()

    assert torch.autograd.gradcheck(
        loss, tuple(p.detach().requires_grad_() for p in model.parameters())
    )


def test_average_divides_by_the_number_of_demonstrations():
    pair = (torch.eye(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64))
    parts = draw(2, 5, 3)
    whole = LinearTransformer.from_layers([pair])(*parts)
    mean = LinearTransformer.from_layers([pair], average=True)(*parts)
    torch.testing.assert_close(mean, whole / 5)


def test_the_sparse_form_has_one_small_matrix_a_head_and_writes_only_y():
    model = network(dimension=3, form="sparse", layers=2)
    assert {name: p.shape for name, p in model.named_parameters()} == {
        "preconditioner": (2, 1, 3, 3)
    }
    inputs, targets, query = draw(2, 5, 3)
    *_, (told, asked) = model.states(inputs, targets, query)
    assert torch.equal(told[..., :-1], inputs)
    assert torch.equal(asked[..., 0, :-1], query)
    assert not torch.allclose(told[..., -1], targets)


def test_states_hold_the_tokens_before_and_after_every_layer():
    model = network(dimension=3, layers=2, init_scale=0.5)
    inputs, targets, query = draw(2, 5, 3)
    states = list(model.states(inputs, targets, query))
    assert len(states) == 3
    told, asked = states[0]
    assert torch.equal(told, torch.cat([inputs, targets[..., None]], dim=-1))
    assert torch.equal(asked[:, 0, :-1], query)
    assert not asked[..., -1].any()
    said = torch.stack([-asked[:, 0, -1] for _, asked in states[1:]])
    assert torch.equal(said, model.readouts(inputs, targets, query))


def test_the_seed_decides_the_weights_and_the_global_generator_does_not():
    torch.manual_seed(0)
    first = network(dimension=2, seed=3).state_dict()
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), after)
    again, other = network(dimension=2, seed=3), network(dimension=2, seed=4)
    assert all(torch.equal(first[name], value) for name, value in again.state_dict().items())
    assert not torch.equal(first["key"], other.state_dict()["key"])


def test_a_prompt_without_a_batch_and_one_with_two_batch_axes():
    model = network(dimension=3, init_scale=0.5)
    inputs, targets, query = draw(6, 5, 3)
    folded = model(inputs.view(2, 3, 5, 3), targets.view(2, 3, 5), query.view(2, 3, 3))
    torch.testing.assert_close(folded.flatten(), model(inputs, targets, query))
    assert model(inputs[0], targets[0], query[0]).shape == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimension": 0}, "dimension must be at least 1, got 0"),
        ({"layers": 0}, "layers must be at least 1"),
        ({"form": "dense"}, "form must be one of"),
        ({"attention": "cosine"}, "attention must be one of"),
        ({"sink": -1.0, "attention": "softmax"}, "sink must not be negative"),
        ({"init_scale": float("nan")}, "init_scale must not be negative, got nan"),
        ({"sink": 1.0}, "sink must be 0"),
    ],
)
def test_a_bad_configuration_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        LinearTransformerConfig(**{"dimension": 3, **change})


@pytest.mark.parametrize(
    ("inputs", "targets", "query", "message"),
    [
        ((2, 5, 2), (2, 5), (2, 2), r"expected \[\*batch, N, 3\] and"),
        ((2, 5, 3), (2, 5), (1, 3), "query has shape"),
        ((2, 5, 3), (2, 5), (2, 2), "query has shape"),
        ((2, 5, 3), (2, 5), (2, 4, 4, 3), "query has shape"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(inputs, targets, query, message):
    with pytest.raises(ValueError, match=message):
        network(dimension=3)(*(torch.zeros(s).double() for s in (inputs, targets, query)))


def test_layers_that_do_not_fit_each_other_are_refused():
    eye = torch.eye(3)
    with pytest.raises(ValueError, match="at least one layer"):
        LinearTransformer.from_layers([])
    with pytest.raises(ValueError, match="expected all"):
        LinearTransformer.from_layers([(eye, torch.eye(4))])
    with pytest.raises(ValueError, match="expected all"):
        LinearTransformer.from_layers([(eye, torch.ones(3, 2))])
