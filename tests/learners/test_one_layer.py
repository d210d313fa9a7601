"""What one layer sees: every linear-attention layer is a weighted sum of it, and it is no more."""

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib.learners.one_layer import one_layer_features
from icl_lib.models.linear_transformer import LinearTransformer


def drawn(seed, batch, examples, d):
    g = torch.Generator().manual_seed(seed)
    kind = {"generator": g, "dtype": torch.float64}
    return torch.randn(batch, examples, d, **kind), torch.randn(batch, examples, **kind), (
        torch.randn(batch, d, **kind)
    )  # fmt: skip


@settings(max_examples=30)
@given(seed=st.integers(0, 99), d=st.integers(1, 4), heads=st.integers(1, 5))
def test_a_layer_with_any_heads_is_a_weighted_sum_of_the_features(seed, d, heads):
    g = torch.Generator().manual_seed(seed)
    pair = torch.randn(2, heads, d + 1, d + 1, generator=g, dtype=torch.float64)
    model = LinearTransformer.from_layers([(pair[0], pair[1])], average=True)
    x, y, q = drawn(seed, 200, 6, d)
    with torch.no_grad():
        said = model(x, y, q)
    features = one_layer_features(x, y, q)
    assert features.shape[-1] == (d + 1) * (d + 2) // 2 * d
    coefficients = torch.linalg.lstsq(features, said[:, None]).solution
    torch.testing.assert_close((features @ coefficients)[:, 0], said, rtol=0, atol=1e-9)


def test_the_query_alone_is_not_among_them():
    x, y, q = drawn(0, 4000, 6, 2)
    features, wanted = one_layer_features(x, y, q), q.sum(-1, keepdim=True)
    missed = wanted - features @ torch.linalg.lstsq(features, wanted).solution
    assert missed.pow(2).mean() > 0.05 * wanted.pow(2).mean()


def test_order_of_demonstrations_does_not_matter():
    x, y, q = drawn(1, 5, 6, 3)
    turned = one_layer_features(x.flip(1), y.flip(1), q)
    torch.testing.assert_close(one_layer_features(x, y, q), turned, rtol=0, atol=1e-12)


def test_shapes_that_do_not_fit_are_told(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as for a reader
    x, y, q = drawn(1, 5, 6, 3)
    with pytest.raises(ValueError, match="do not fit"):
        one_layer_features(x, y, q[:, :2])
