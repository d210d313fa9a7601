"""OneHead in Python: its losses are those of the library's layers; bad input is refused."""

import pytest
import torch

from icl_lib.learners import constructions
from icl_lib.live import OneHead
from icl_lib.models.linear_transformer import LinearTransformer

D, N, P = 3, 5, 6


def parts(seed=0):
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    inputs, weights, queries = draw(P, N, D), draw(P, D), draw(P, D)
    inputs, weights, queries = (t.round(decimals=3) for t in (inputs, weights, queries))
    return [draw(D + 1, D + 1), draw(D + 1, D + 1), inputs, weights, queries]


def made(**options):
    return OneHead(*parts(), variance=1.0, fourth=3.0, **options)


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("way", [0.0, 0.3, 1.0])
def test_the_loss_on_the_way_is_that_of_the_mixed_layer(way, rescale):
    key_query, value_out, inputs, weights, _ = parts()
    trained = (key_query, value_out)
    if rescale:
        trained = constructions.rescaled((key_query, value_out))
    built = constructions.one_step(D, N, 0.6).merged()
    layer = tuple((1 - way) * a + way * b for a, b in zip(trained, built, strict=True))
    x = 1.5 * inputs
    units = torch.eye(D, dtype=torch.float64).expand(P, D, D)
    targets = torch.einsum("bnd,bd->bn", x, weights)
    used = LinearTransformer.from_layers([layer])(x, targets, units).detach()
    wanted = 1.5**2 / 2 * (used - weights).square().sum(-1).mean().item()
    figure = made(step_size=0.6, input_scale=1.5, rescale=rescale)
    assert figure.loss(way) == pytest.approx(wanted, rel=1e-10)


def test_picture_and_sentence_tell_both_ends():
    figure = made(step_size=0.6, way=0.5)
    assert f"{figure.loss(0):.3g} for the trained" in figure.sentence()
    assert "at 50% of the way" in figure.sentence()
    assert "constructed" in figure.picture()


def test_prompts_travel_with_three_decimals():
    _, _, *prompts = parts()
    noisy = [t + 1e-5 for t in prompts]
    figure = OneHead(*parts()[:2], *noisy, variance=1.0, fourth=3.0)
    assert figure.weights == [[round(x, 3) for x in row] for row in prompts[1].tolist()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.__setitem__(1, torch.zeros(3, 3)), "value_out must be a square matrix"),
        (lambda p: p.__setitem__(0, torch.zeros(4, 3)), "key_query must be a square matrix"),
        (lambda p: p.__setitem__(3, p[3][:2]), "expected as many weights and queries"),
        (lambda p: p.__setitem__(2, p[2][..., :2]), "must have 3 numbers"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change, message):
    given = parts()
    change(given)
    with pytest.raises(ValueError, match=message):
        OneHead(*given, variance=1.0, fourth=3.0)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"way must be between 0.0 and 1.0, got 1.2"):
        made(way=1.2)
    with pytest.raises(ValueError, match="step_size must be between"):
        made(step_size=0.0)
