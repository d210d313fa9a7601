"""Splits that hold for any vectors, inverses that undo their nulls, verdicts on made-up numbers."""

import math

import pytest
import torch

from icl_lib.meta import Result, nulls
from icl_lib.meta.chance import (
    IN_PART,
    NOT_SHOWN,
    SURVIVES,
    above_null,
    by_task,
    interval,
    left_by,
    length_for_similarity,
    length_from_both,
    normalised_from_raw,
    share_for_rank_similarity,
    shared_rank_similarity,
    softmax_map_similarity,
    split_similarity,
)
from icl_lib.meta.ranks import kendall
from icl_lib.meta.result import make_table
from icl_lib.meta.similarity import beside, cosine, norm_ratio, output_update_similarity


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_chance_and_agreement_add_up_to_the_published_similarity_of_any_vectors():
    zero, icl, ft = draw(3, 50, 4, 7) * torch.tensor([1.0, 3.0, 0.2]).double()[:, None, None, None]
    split = split_similarity(zero, icl, ft)
    published = output_update_similarity(zero, icl, ft)
    assert (split.total - published).abs().max() < 1e-13
    c, d = cosine(zero, icl), cosine(zero, ft)
    assert torch.allclose(split.chance, ((1 - c) * (1 - d)).sqrt() / 2, atol=1e-12)
    agreement = ((1 + c) * (1 + d)).sqrt() / 2 * split.beside
    assert torch.allclose(split.agreement, agreement, atol=1e-12)


def test_outputs_at_right_angles_beside_the_zero_shot_one_have_chance_alone():
    zero, a, b = torch.eye(3, dtype=torch.float64) * torch.tensor([2.0, 3.0, 5.0]).double()[:, None]
    split = split_similarity(zero, -0.3 * zero + a, 0.4 * zero + b)
    assert split.agreement.abs() < 1e-15
    assert split.beside.abs() < 1e-15
    at_right_angles = split_similarity(zero, zero + a, zero + b)
    ratios = norm_ratio(zero, zero + a), norm_ratio(zero, zero + b)
    assert at_right_angles.chance.item() == pytest.approx(
        nulls.normalised_update_similarity(*ratios).item(), abs=1e-15
    )


def test_raw_similarity_splits_with_the_same_agreement_beside():
    zero, icl, ft = draw(3, 60, 5)
    raw, cut = (split_similarity(zero, icl, ft, normalised=n) for n in (False, True))
    assert torch.equal(raw.beside, cut.beside)
    published = output_update_similarity(zero, icl, ft, normalised=False)
    assert (raw.total - published).abs().max() < 1e-13
    a, b = cosine(zero, icl - zero), cosine(zero, ft - zero)
    agreement = ((1 - a**2) * (1 - b**2)).sqrt() * raw.beside
    assert torch.allclose(raw.agreement, agreement, atol=1e-12)
    assert torch.allclose(beside(zero, icl), beside(zero, icl - zero), atol=1e-12)
    assert (beside(zero, icl) * zero).sum(-1).abs().max() < 1e-13


def test_three_unrelated_outputs_have_a_raw_similarity_of_one_half():
    zero, icl, ft = torch.eye(3, dtype=torch.float64)
    split = split_similarity(zero, icl, ft, normalised=False)
    assert split.chance.item() == pytest.approx(0.5)
    assert split.agreement.item() == pytest.approx(0.0, abs=1e-15)


def test_a_reversed_output_has_a_chance_of_one():
    zero = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert split_similarity(zero, -2 * zero, -zero).chance.item() == pytest.approx(1.0)


@pytest.mark.parametrize("score", [0.0, 0.053, 0.25, 0.349, 0.49])
def test_length_undoes_the_null(score):
    rho = torch.tensor(length_for_similarity(score), dtype=torch.float64)
    assert nulls.normalised_update_similarity(rho, rho).item() == pytest.approx(score, abs=1e-12)


def test_length_for_a_quarter_is_the_root_of_three():
    assert length_for_similarity(0.25) == pytest.approx(math.sqrt(3))
    for score in (-0.1, 0.5, 0.7):
        with pytest.raises(ValueError, match="up to, but not including"):
            length_for_similarity(score)


def test_normalised_from_raw_is_the_metric_for_updates_at_right_angles():
    zero, a, b = torch.eye(3, dtype=torch.float64)
    icl, ft = zero + 1.7 * a, zero + 0.6 * (0.8 * a + 0.6 * b)
    raw = output_update_similarity(zero, icl, ft, normalised=False)
    found = normalised_from_raw(raw, norm_ratio(zero, icl), norm_ratio(zero, ft))
    assert found.item() == pytest.approx(output_update_similarity(zero, icl, ft).item())
    assert raw.item() == pytest.approx(0.8)


def test_length_from_both_undoes_it():
    rho = torch.tensor(0.8, dtype=torch.float64)
    for raw in (-0.2, 0.0, 0.4):
        normalised = normalised_from_raw(torch.tensor(raw).double(), rho, rho).item()
        assert length_from_both(normalised, raw) == pytest.approx(0.8)
    with pytest.raises(ValueError, match=r"no length makes 0\.1 of 0\.5"):
        length_from_both(0.1, 0.5)
    with pytest.raises(ValueError, match="no length"):
        length_from_both(0.9, 1.0)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_rows_that_share_a_part_of_their_variance_have_greiners_tau(share):
    common = draw(3000, 30)
    rows = [math.sqrt(share) * common + math.sqrt(1 - share) * draw(3000, 30, seed=s)
            for s in (1, 2)]  # fmt: skip
    tau = kendall(*rows).a.mean().item()
    closed = shared_rank_similarity(torch.tensor(share, dtype=torch.float64)).item()
    assert tau == pytest.approx(closed, abs=0.008)
    assert share_for_rank_similarity(closed) == pytest.approx(share)


def test_impossible_shares_are_refused():
    with pytest.raises(ValueError, match="between -1 and 1"):
        shared_rank_similarity(torch.tensor(1.5))
    with pytest.raises(ValueError, match="between -1 and 1, got 2"):
        share_for_rank_similarity(2)


@pytest.mark.parametrize("spread", [0.3, 0.7, 1.0])
def test_independent_maps_agree_after_the_softmax(spread):
    one, other = (spread * draw(2, 400, 4000)).softmax(-1)
    closed = softmax_map_similarity(torch.tensor(spread, dtype=torch.float64)).item()
    assert cosine(one, other).mean().item() == pytest.approx(closed, abs=0.004)


# ---- verdicts -----------------------------------------------------------------------------------


def test_above_null_needs_an_interval_above_zero_and_more_than_half():
    values = [0.5, 0.6, 0.55, 0.5]
    assert above_null(values, [0.1, 0.1, 0.2, 0.1]).verdict == SURVIVES
    near = above_null(values, [0.4, 0.5, 0.45, 0.41])
    assert near.verdict == IN_PART
    assert near.share == pytest.approx(1.76 / 2.15)
    assert above_null(values, [0.1, 0.9, 0.2, 0.8]).verdict == NOT_SHOWN
    assert above_null(values, values).verdict == NOT_SHOWN
    assert above_null([-0.1, -0.2, -0.15], [-0.3, -0.4, -0.35]).verdict == NOT_SHOWN


def test_left_by_asks_what_is_left():
    values = [0.5, 0.6, 0.55, 0.5]
    assert left_by(values, [0.4, 0.5, 0.5, 0.4]).verdict == SURVIVES
    assert left_by(values, [0.1, 0.1, 0.12, 0.1]).verdict == IN_PART
    assert left_by(values, [0.2, -0.2, 0.1, -0.1]).verdict == NOT_SHOWN
    with pytest.raises(ValueError, match="got 4 values and 1"):
        left_by(values, [0.1])


def test_interval_is_students():
    low, high = interval([1.0, 2.0, 3.0])
    assert high - 2 == pytest.approx(2 - low) == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)
    with pytest.raises(ValueError, match="two values or more"):
        interval([1.0])


def test_by_task_means_over_seeds_and_one_position():
    shared = {"model": "m", "lr": 0.1, "descent": "plain", "control": "none", "metric": "x"}
    shared |= {"layer": None, "head": None, "low": 0.0, "high": 0.0, "n": 3}
    rows = [
        shared | {"task": task, "seed": seed, "position": position, "value": value}
        for task, seed, position, value in (
            ("b", 0, "prediction", 1.0),
            ("b", 1, "prediction", 3.0),
            ("b", 2, "prediction", math.nan),
            ("b", 0, "published", 9.0),
            ("a", 0, "prediction", 5.0),
        )
    ]
    result = Result(make_table(rows), make_table([]), {})
    assert list(by_task(result, "x").items()) == [("b", 2.0), ("a", 5.0)]
    assert by_task(result, "x", position="published") == {"b": 9.0}
    with pytest.raises(KeyError, match="nothing was measured"):
        by_task(result, "y")
    with pytest.raises(KeyError, match="not measured at the elsewhere position"):
        by_task(result, "x", position="elsewhere")
