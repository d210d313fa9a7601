"""Similarities on vectors with known answers, their invariances, and what they show by chance."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.meta import nulls
from icl_lib.meta.similarity import (
    attention_change_similarity,
    attention_map_similarity,
    centred,
    cosine,
    jensen_shannon,
    norm_ratio,
    output_update_similarity,
)


def row(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def rotation(n, seed):
    return torch.linalg.qr(draw(n, n, seed=seed)).Q


def all_of(n):
    return torch.ones(n, dtype=torch.bool)


def test_cosine_by_hand():
    assert cosine(row(3, 4), row(4, 3)).item() == pytest.approx(24 / 25)
    assert cosine(row(1, 0), row(-2, 0)).item() == -1
    assert cosine(row(0, 0), row(1, 0)).isnan()


def test_update_similarity_by_hand():
    zero, icl, ft = row(1, 0), row(1, 1), row(1, -2)
    assert output_update_similarity(zero, icl, ft, normalised=False).item() == -1
    a, b = row(1 / math.sqrt(2) - 1, 1 / math.sqrt(2)), row(1 / math.sqrt(5) - 1, -2 / math.sqrt(5))
    wanted = float(a @ b / (a.norm() * b.norm()))
    assert output_update_similarity(zero, icl, ft).item() == pytest.approx(wanted)
    assert wanted > -0.6  # normalising first has brought opposite updates closer


def test_norm_ratio_by_hand():
    assert norm_ratio(row(3, 4), row(3, 14)).item() == pytest.approx(2)


def test_map_similarities_by_hand():
    a, b, seen = row(1, 2, 3, 99), row(3, 2, 1, -99), torch.tensor([True, True, True, False])
    assert attention_map_similarity(a, b, seen).item() == pytest.approx(10 / 14)
    assert attention_map_similarity(a, b, seen, centre=True).item() == pytest.approx(-1)
    assert centred(a, seen).tolist() == [-1, 0, 1, 0]
    change = attention_change_similarity(row(1, 1, 1, 5), a, b, seen)
    assert change.item() == pytest.approx((0 * 2 + 1 * 1 + 2 * 0) / 5)


def test_divergence_by_hand():
    assert jensen_shannon(row(1, 0), row(0, 1)).item() == pytest.approx(1)
    assert jensen_shannon(row(0.2, 0.3), row(0.4, 0.6)).item() == pytest.approx(0, abs=1e-12)
    m = [0.75, 0.25]
    wanted = 0.5 * math.log2(1 / m[0]) + 0.5 * sum(0.5 * math.log2(0.5 / x) for x in m)
    assert jensen_shannon(row(1, 0), row(0.5, 0.5)).item() == pytest.approx(wanted)


@given(st.integers(0, 10_000))
def test_no_basis_is_special(seed):
    three = draw(3, 5, 8, seed=seed)
    turned = three @ rotation(8, seed + 1)
    for normalised in (True, False):
        before = output_update_similarity(*three, normalised=normalised)
        after = output_update_similarity(*turned, normalised=normalised)
        assert torch.allclose(before, after, atol=1e-12)
    assert torch.allclose(norm_ratio(*three[:2]), norm_ratio(*turned[:2]), atol=1e-12)


@given(st.integers(0, 10_000), st.floats(-20, 20))
def test_softmax_and_centred_scores_ignore_a_constant(seed, constant):
    a, b = draw(2, 4, 9, seed=seed)
    one, other = (attention_map_similarity(a + c, b, all_of(9), centre=True) for c in (0, constant))
    assert torch.allclose(one, other, atol=1e-10)
    one, other = (jensen_shannon((a + c).softmax(-1), b.softmax(-1)) for c in (0, constant))
    assert torch.allclose(one, other, atol=1e-12)


def test_padding_changes_nothing():
    a, b = draw(2, 4, 6)
    seen = torch.ones(6, dtype=torch.bool)
    wide = torch.cat([a, draw(4, 3, seed=1)], 1), torch.cat([b, draw(4, 3, seed=2)], 1)
    more = torch.cat([seen, torch.zeros(3, dtype=torch.bool)])
    for centre in (True, False):
        short = attention_map_similarity(a, b, seen, centre=centre)
        long = attention_map_similarity(*wide, more, centre=centre)
        assert torch.allclose(short, long, atol=1e-14)


# ---- what independent updates show ------------------------------------------------------------


@pytest.mark.parametrize(
    ("square", "published"),
    [(0.25, 0.053), (1, 0.146), (3, 0.250), (10, 0.349), (100, 0.450)],
)
def test_normalised_null_by_simulation(square, published):
    rho = row(math.sqrt(square))
    closed = nulls.normalised_update_similarity(rho, rho).item()
    assert closed == pytest.approx(published, abs=5e-4)
    zero, a, b = draw(3, 400, 2048, seed=3)
    scale = math.sqrt(square) * zero.norm(dim=1, keepdim=True)
    icl, ft = (zero + scale * r / r.norm(dim=1, keepdim=True) for r in (a, b))
    assert output_update_similarity(zero, icl, ft).mean().item() == pytest.approx(closed, abs=4e-3)
    raw = output_update_similarity(zero, icl, ft, normalised=False)
    assert abs(raw.mean().item()) < 4e-3
    assert raw.std().item() == pytest.approx(nulls.cosine_spread(2048), rel=0.1)


def test_normalised_null_of_unequal_updates():
    closed = nulls.normalised_update_similarity(row(0.5), row(2.0)).item()
    zero, a, b = draw(3, 400, 2048, seed=4)
    size = zero.norm(dim=1, keepdim=True)
    icl, ft = (zero + rho * size * r / r.norm(dim=1, keepdim=True) for rho, r in ((0.5, a), (2, b)))
    assert output_update_similarity(zero, icl, ft).mean().item() == pytest.approx(closed, abs=4e-3)
    assert nulls.normalised_update_similarity(row(0.0), row(2.0)).item() == 0


@pytest.mark.parametrize(("c", "published"), [(0.5, 0.2), (1, 0.5), (2, 0.8), (5, 25 / 26)])
def test_offset_null_by_simulation(c, published):
    assert nulls.offset_similarity(row(c)).item() == pytest.approx(published)
    a, b = draw(2, 300, 4000, seed=5)
    found = attention_map_similarity(a + c, b + c, all_of(4000)).mean().item()
    assert found == pytest.approx(published, abs=3e-3)
    assert (
        abs(attention_map_similarity(a + c, b + c, all_of(4000), centre=True).mean().item()) < 3e-3
    )


@pytest.mark.parametrize(
    ("zero", "icl", "least"),
    [(0.705, 0.927, 0.753), (0.393, 0.450, 0.094), (0.659, 0.890, 0.677), (0.726, 0.900, 0.635),
     (0.463, 0.792, 0.613), (0.375, 0.571, 0.314), (0.714, 0.950, 0.825), (0.359, 0.465, 0.165)],
)  # fmt: skip
def test_least_base_rates_of_the_published_accuracies(zero, icl, least):
    assert nulls.least_base_rate(zero, icl) == pytest.approx(least, abs=6e-4)


def test_base_rate_bounds_are_reached():
    assert nulls.most_base_rate(0.393, 0.450) == pytest.approx(0.741, abs=6e-4)
    assert nulls.most_base_rate(0.375, 0.571) == pytest.approx(0.914, abs=6e-4)
    assert nulls.least_base_rate(0.5, 0.3) == 0
    with pytest.raises(ValueError, match=r"got 1\.0 and 0\.5"):
        nulls.least_base_rate(1.0, 0.5)
    with pytest.raises(ValueError, match="at least 0"):
        nulls.normalised_update_similarity(row(-1.0), row(1.0))
