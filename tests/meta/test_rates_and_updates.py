"""Shares with their intervals; the updates themselves, head by head."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from icl_lib.meta.finetuning import Finetuning, finetune
from icl_lib.meta.observe import observe
from icl_lib.meta.prompts import (
    choose_demonstrations,
    choose_queries,
    make_batches,
    opening,
    with_demonstrations,
)
from icl_lib.meta.rates import Share, recall_to_finetuning, share
from icl_lib.meta.updates import (
    compare_matrices,
    effective_rank,
    finetuned_updates,
    in_context_update,
    matrix_cosine,
    principal_angles,
    rotated,
    subspace_overlap,
)
from icl_lib.meta.walk import read_prefix


def flags(text):
    return torch.tensor([letter == "+" for letter in text])


def test_recall_by_hand():
    found = recall_to_finetuning(flags("++------"), flags("+-+++--+"), flags("+++-+-+-"))
    # wrong at first: the last six; finetuning mends 3 of them, in-context 4, both 2
    assert (found.rec2ftp.hits, found.rec2ftp.n) == (2, 3)
    assert (found.base_rate.hits, found.base_rate.n) == (4, 6)
    assert (found.precision.hits, found.precision.n) == (2, 4)
    assert found.lift == pytest.approx(1.0)
    assert found.least == pytest.approx((5 / 8 - 2 / 8) / (6 / 8))
    assert found.least <= found.base_rate.value


def test_nothing_to_recall_is_no_number():
    found = recall_to_finetuning(flags("++"), flags("++"), flags("++"))
    assert math.isnan(found.rec2ftp.value)
    assert math.isnan(found.rec2ftp.low)
    assert math.isnan(found.least)
    assert math.isnan(found.lift)


@given(st.integers(0, 40), st.integers(1, 40))
def test_interval_is_that_of_the_binomial_tails(hits, n):
    hits = min(hits, n)
    found = Share(hits, n)
    assert found.low <= found.value <= found.high
    if hits:
        assert binom.sf(hits - 1, n, found.low) == pytest.approx(0.025, rel=1e-6)
    if hits < n:
        assert binom.cdf(hits, n, found.high) == pytest.approx(0.025, rel=1e-6)
    assert (found.low == 0) == (hits == 0)
    assert (found.high == 1) == (hits == n)


def test_share_of_some():
    assert share(flags("+-+-"), flags("++--")).value == 0.5


# ---- matrices ---------------------------------------------------------------------------------


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def basis(*columns):
    return torch.eye(4, dtype=torch.float64)[:, list(columns)]


def test_angles_by_hand():
    a, b = basis(0, 1), basis(1, 2)
    assert subspace_overlap(a, b).item() == pytest.approx(0.5)
    assert principal_angles(a, b).tolist() == pytest.approx([0, math.pi / 2])
    turned = torch.tensor([[math.cos(0.3), 0], [0, 1], [math.sin(0.3), 0], [0, 0]]).double()
    assert principal_angles(a, turned).tolist() == pytest.approx([0, 0.3], abs=1e-7)


def test_ranks_and_cosines_by_hand():
    assert effective_rank(torch.tensor([2.0, 0, 0])).item() == 1
    assert effective_rank(torch.ones(5)).item() == pytest.approx(5)
    a = torch.tensor([[1.0, 0], [0, 1]])
    assert matrix_cosine(a, torch.tensor([[1.0, 0], [0, 0]])).item() == pytest.approx(0.5**0.5)


def test_matrices_with_one_direction_in_common_by_hand():
    a, b = torch.diag(torch.tensor([2.0, 1, 0, 0])), torch.diag(torch.tensor([0.0, 3, 1, 0]))
    found = {name: value.item() for name, value in compare_matrices(a, b, rank=2).items()}
    assert found["update_overlap_out"] == found["update_overlap_in"] == pytest.approx(0.5)
    assert found["update_first_angle"] == pytest.approx(0, abs=0.1)  # the other is 90 degrees
    assert found["update_spectrum"] == pytest.approx((2 * 3 + 1) / math.sqrt(5 * 10))
    assert found["update_rank_icl"] == pytest.approx(25 / 17)
    assert found["update_rank_ft"] == pytest.approx(100 / 82)
    turned = compare_matrices(a, torch.roll(b, 1, dims=1), rank=2)  # columns 2 and 3, rows 1 and 2
    assert turned["update_overlap_out"].item() == pytest.approx(0.5)
    assert turned["update_overlap_in"].item() == pytest.approx(0)


def test_equal_matrices_have_all_in_common():
    a = draw(2, 3, 6, 6)
    found = compare_matrices(a, 2.5 * a)
    for name in ("update_overlap_out", "update_overlap_in", "update_spectrum"):
        assert torch.allclose(found[name], torch.ones(2, 3).double(), atol=1e-12)
    assert found["update_first_angle"].abs().max() < 1e-4
    assert torch.allclose(found["update_rank_icl"], found["update_rank_ft"])


@given(st.integers(0, 1000))
def test_turning_both_changes_nothing_and_turning_one_keeps_the_spectrum(seed):
    a, b = draw(2, 5, 6, 6, seed=seed)
    q, r = (torch.linalg.qr(draw(6, 6, seed=seed + i)).Q for i in (1, 2))
    before, after = compare_matrices(a, b), compare_matrices(q @ a @ r, q @ b @ r)
    for name in before:
        loose = 1e-3 if name == "update_first_angle" else 1e-8  # acos is steep at 1
        assert torch.allclose(before[name], after[name], atol=loose), name
    alone = compare_matrices(a, rotated(b, torch.Generator().manual_seed(seed)))
    for name in ("update_spectrum", "update_rank_icl", "update_rank_ft"):
        assert torch.allclose(before[name], alone[name], atol=1e-9), name


def test_random_matrices_overlap_as_chance_says():
    a, b = draw(2, 3000, 8, 8, seed=1)
    found = compare_matrices(a, b, rank=2)
    assert found["update_overlap_out"].mean().item() == pytest.approx(2 / 8, abs=0.01)
    assert found["update_overlap_in"].mean().item() == pytest.approx(2 / 8, abs=0.01)
    cosines = matrix_cosine(a, b)
    assert abs(cosines.mean().item()) < 0.01
    assert cosines.std().item() == pytest.approx(1 / 8, abs=0.01)  # 1/√(8·8)


def test_updates_of_a_model_are_the_papers(model, toy):
    shown = choose_demonstrations(toy, 5, 0)
    beginning = with_demonstrations(toy, shown)
    prefix = read_prefix(model, beginning.tokens, beginning.demonstration)
    update = in_context_update(prefix)
    twin, _ = finetune(model, shown, Finetuning(lr=0.3), opening=toy.prefix)
    (batch,) = make_batches([toy.render(choose_queries(toy, 1)[0])], tokens_at_once=99)
    seen = observe(model, batch, read_prefix(model, opening(toy).tokens), toy.label_tokens)
    tuned = finetuned_updates(model, twin, seen.text_inputs, seen.seen)
    for layer, head in ((0, 0), (2, 1)):
        slow = torch.zeros(8, 8, dtype=torch.float64)
        for i in beginning.demonstration.nonzero()[:, 0]:  # Σ_i (W_V x'_i) ⊗ (W_K x'_i)
            slow += torch.outer(prefix.values[layer, head, i], prefix.keys[layer, head, i])
        assert torch.allclose(update[layer, head], slow, atol=1e-12)
        x, part = seen.text_inputs[0, layer], slice(8 * head, 8 * head + 8)
        both = []
        for net in (model, twin):
            a = net.blocks[layer].attention
            v, k = (p.weight[part] @ x.T + p.bias[part, None] for p in (a.v_proj, a.k_proj))
            both.append(v @ k.T)
        assert torch.allclose(tuned[0, layer, head], both[1] - both[0], atol=1e-12)
