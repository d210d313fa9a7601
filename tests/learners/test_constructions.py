"""Hand-built weights: attention with them equals the algorithms, to rounding, at random sizes."""

import itertools

import jaxtyping
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib import learners
from icl_lib.learners import constructions
from icl_lib.learners.iterative import gd_plus_plus, preconditioned
from icl_lib.models.linear_transformer import LinearTransformer
from icl_lib.tasks.regression import linear_prompts

SIZES = {
    "batch": st.integers(1, 3), "examples": st.integers(1, 12), "dimension": st.integers(1, 8),
    "seed": st.integers(0, 9999),
}  # fmt: skip
RATES = st.floats(-1.5, 1.5)


def draw(batch, examples, dimension, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = linear_prompts(
        batch, examples + 1, dimension, generator=generator, dtype=torch.float64, noise=0.3
    )
    x, y = drawn.inputs, drawn.targets
    return (x[:, :-1], y[:, :-1], x[:, -1]), generator


def answer(weights, query):
    """What weights after all pairs say about the query."""
    return (weights[..., -1, :] * query).sum(-1)


def gap(found, wanted):
    return ((found - wanted).abs() / wanted.abs().clamp(min=1)).max().item()


@given(**SIZES, step_size=RATES)
def test_one_layer_is_one_step(batch, examples, dimension, seed, step_size):
    (x, y, query), _ = draw(batch, examples, dimension, seed)
    head = constructions.one_step(dimension, examples, step_size)
    layer = LinearTransformer.from_layers([head.merged()])
    wanted = answer(learners.gradient_descent(x, y, 1, step_size), query)
    assert gap(layer(x, y, query), wanted) <= 1e-12


def test_the_four_matrices_are_those_of_the_paper_entry_by_entry():
    start = torch.tensor([3.0, 4.0], dtype=torch.float64)
    head = constructions.one_step(2, 5, 0.5, start=start)
    assert head.key.tolist() == head.query.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert head.value.tolist() == [[0, 0, 0], [0, 0, 0], [3, 4, -1]]
    assert head.out.tolist() == [[0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.1]]


@given(**SIZES, steps=st.integers(1, 4), step_size=st.floats(-0.3, 0.3))
def test_one_step_a_layer_from_any_start(batch, examples, dimension, seed, steps, step_size):
    (x, y, query), generator = draw(batch, examples, dimension, seed)
    start = torch.randn(dimension, generator=generator, dtype=torch.float64)
    layers = constructions.descent_layers(dimension, examples, [step_size] * steps, start=start)
    found = LinearTransformer.from_layers(layers).readouts(x, y, query, start=start)
    w = start.expand(batch, dimension)
    for step in range(steps):
        slopes = torch.einsum("bnd,bd->bn", x, w) - y
        w = w - step_size / examples * torch.einsum("bn,bnd->bd", slopes, x)
        assert gap(found[step], (w * query).sum(-1)) <= 1e-12


@given(**SIZES, steps=st.integers(1, 4), step_size=st.floats(-0.5, 0.5))
def test_stacked_layers_are_gradient_descent_after_every_layer(
    batch, examples, dimension, seed, steps, step_size
):
    (x, y, query), _ = draw(batch, examples, dimension, seed)
    layers = constructions.descent_layers(dimension, examples, [step_size] * steps)
    found = LinearTransformer.from_layers(layers).readouts(x, y, query)
    for step in range(steps):
        wanted = answer(learners.gradient_descent(x, y, step + 1, step_size), query)
        assert gap(found[step], wanted) <= 1e-12


@given(**SIZES, steps=st.integers(1, 3))
def test_preconditioned_layers_with_any_matrix(batch, examples, dimension, seed, steps):
    (x, y, query), generator = draw(batch, examples, dimension, seed)
    shape = (steps, dimension, dimension)
    matrices = 0.2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    layers = constructions.descent_layers(
        dimension, examples, [1.0] * steps, preconditioners=list(matrices)
    )
    found = LinearTransformer.from_layers(layers)(x, y, query)
    assert gap(found, answer(preconditioned(x, y, matrices), query)) <= 1e-12


@given(
    **SIZES, rates=st.lists(st.tuples(st.floats(-0.3, 0.3), st.floats(-0.03, 0.03)), min_size=1,
    max_size=4),
)  # fmt: skip
def test_gd_plus_plus_layers(batch, examples, dimension, seed, rates):
    (x, y, query), _ = draw(batch, examples, dimension, seed)
    etas, gammas = [list(values) for values in zip(*rates, strict=True)]
    layers = constructions.gd_plus_plus_layers(dimension, examples, etas, gammas)
    found = LinearTransformer.from_layers(layers)(x, y, query)
    assert gap(found, answer(gd_plus_plus(x, y, etas, gammas), query)) <= 1e-12


def test_gd_plus_plus_reshapes_the_inputs_as_it_says():
    (x, y, query), _ = draw(2, 6, 3)
    layers = constructions.gd_plus_plus_layers(3, 6, [0.4], [0.02])
    *_, (told, asked) = LinearTransformer.from_layers(layers).states(x, y, query)
    turn = torch.eye(3, dtype=torch.float64) - 0.02 * x.mT @ x
    torch.testing.assert_close(told[..., :-1], x @ turn)
    torch.testing.assert_close(asked[:, 0, :-1], (turn @ query[..., None])[..., 0])


def test_without_shrinking_gd_plus_plus_is_plain_descent():
    plain = constructions.descent_layers(3, 7, [0.2, 0.1])
    same = constructions.gd_plus_plus_layers(3, 7, [0.2, 0.1], [0.0, 0.0])
    torch.testing.assert_close(plain, same, rtol=0, atol=0)


@given(**SIZES, factor=st.floats(0.1, 10), sign=st.sampled_from([-1, 1]))
def test_a_factor_moved_between_the_products_is_undone(
    batch, examples, dimension, seed, factor, sign
):
    layer = constructions.one_step(dimension, examples, 0.7).merged()
    other = (layer[0] * factor * sign, layer[1] / factor * sign)
    for found, wanted in zip(constructions.rescaled(other), layer, strict=True):
        torch.testing.assert_close(found, wanted)
    parts, _ = draw(batch, examples, dimension, seed)
    network, same = (LinearTransformer.from_layers([pair]) for pair in (other, layer))
    assert gap(network(*parts), same(*parts)) <= 1e-12


# ---- softmax ------------------------------------------------------------------------------------


def softmax_gap(temperature, second, sink_of, centred, examples=8, dimension=3):
    """Root mean squared difference to the limit, relative to the limit."""
    (x, y, query), _ = draw(500, examples, dimension, seed=4)
    sink = sink_of(temperature)
    layer = constructions.softmax_step(
        dimension, examples, 0.6, temperature, second=second, sink=sink
    )
    network = LinearTransformer.from_layers([layer], attention="softmax", sink=sink)
    points = x - x.mean(dim=1, keepdim=True) if centred else x
    wanted = answer(learners.gradient_descent(points, y, 1, 0.6), query)
    return ((network(x, y, query) - wanted).norm() / wanted.norm()).item()


@pytest.mark.parametrize(
    ("second", "sink_of", "centred", "order"),
    [
        ("opposite", lambda t: 0.0, True, 2),
        ("uniform", lambda t: 0.0, True, 1),
        ("opposite", lambda t: 8 * t**2, False, 2),
        ("uniform", lambda t: 8 * t**2, False, 1),
    ],
)
def test_two_softmax_heads_tend_to_their_limit_with_the_stated_order(
    second, sink_of, centred, order
):
    errors = [softmax_gap(t, second, sink_of, centred) for t in (1e2, 2e2, 4e2, 8e2)]
    assert errors[-1] < 0.02
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine == pytest.approx(2**order, rel=0.03)


def test_without_a_sink_the_plain_step_is_never_reached():
    errors = [softmax_gap(t, "opposite", lambda _: 0.0, False) for t in (1e2, 1e3, 1e4)]
    assert min(errors) > 0.1
    assert errors[1] == pytest.approx(errors[2], rel=1e-3)


def test_a_fixed_sink_leaves_the_share_that_the_formula_names():
    (x, y, query), _ = draw(50, 8, 3, seed=1)
    sink, tau = 24.0, 1e4
    layer = constructions.softmax_step(3, 8, 0.6, tau, sink=sink)
    found = LinearTransformer.from_layers([layer], attention="softmax", sink=sink)(x, y, query)
    scores = torch.einsum("bnd,bd->bn", x, query)
    scores = scores - scores.sum(1, keepdim=True) / (8 + sink)
    torch.testing.assert_close(found, 0.6 / 8 * (y * scores).sum(1), rtol=1e-6, atol=1e-6)


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.one_step(0, 3, 0.1), "dimension must be at least 1, got 0"),
        (lambda c: c.one_step(2, 0, 0.1), "examples must be at least 1, got 0"),
        (lambda c: c.one_step(2, 3, 0.1, start=torch.zeros(3)), r"start has shape \(3,\)"),
        (lambda c: c.descent_layers(2, 3, []), "at least one step size"),
        (
            lambda c: c.descent_layers(2, 3, [0.1, 0.1], preconditioners=[torch.eye(2)]),
            "expected 2 preconditioners",
        ),
        (
            lambda c: c.descent_layers(2, 3, [0.1], preconditioners=[torch.eye(3)]),
            r"of shape \(2, 2\), got",
        ),
        (lambda c: c.gd_plus_plus_layers(2, 3, [0.1], []), "1 step sizes and 0 shrinks"),
        (lambda c: c.softmax_step(2, 3, 0.1, 0.0), "temperature must be positive, got 0"),
        (lambda c: c.softmax_step(2, 3, 0.1, float("nan")), "temperature must be positive"),
        (lambda c: c.softmax_step(2, 3, 0.1, 1.0, sink=-1.0), "sink must not be negative"),
        (lambda c: c.softmax_step(2, 3, 0.1, 1.0, second="third"), "second must be one of"),
        (lambda c: c.rescaled((torch.zeros(3, 3), torch.eye(3))), "cannot be made 1"),
    ],
)
def test_bad_input_is_refused(call, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as for a reader
    with pytest.raises(ValueError, match=message):
        call(constructions)
