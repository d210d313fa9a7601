"""Scores of learning in context: definitions by loop, known cases, bad input."""

import math

import pytest
import torch
import torch.nn.functional as F

from icl_lib.models.gpt import GPT, GPTConfig
from icl_lib.models.record import Record
from icl_lib.scaling import (
    answer,
    in_context_score,
    loss_by_position,
    prefix_matching,
    prompt_losses,
    series_right,
)


@pytest.fixture(scope="module")
def model():
    return GPT(GPTConfig(11, 12, 2, 2, 8, init="fan_in"), seed=3, dtype=torch.float64).eval()


@pytest.fixture
def documents():
    return torch.randint(11, (5, 13), generator=torch.Generator().manual_seed(0))


def test_losses_are_those_of_one_token_at_a_time(model, documents):
    losses = prompt_losses(model, documents)
    assert losses.shape == (5, 12)
    for b in range(5):
        for t in (0, 4, 11):
            logits = model(documents[b : b + 1, : t + 1])[0, -1]
            wanted = F.cross_entropy(logits, documents[b, t + 1])
            assert losses[b, t].item() == pytest.approx(wanted.item(), abs=1e-12)
    torch.testing.assert_close(loss_by_position(model, documents), losses.mean(0))


def test_later_tokens_do_not_touch_earlier_losses(model, documents):
    changed = documents.clone()
    changed[:, 8:] = (changed[:, 8:] + 1) % 11
    before, after = prompt_losses(model, documents), prompt_losses(model, changed)
    torch.testing.assert_close(before[:, :7], after[:, :7])


def test_score_is_late_minus_early_and_ignores_the_middle():
    losses = torch.tensor([3.0, 3.0, 9.0, 1.0, 2.0])
    score = in_context_score(losses, early=slice(0, 2), late=slice(3, 5))
    assert score.item() == pytest.approx(-1.5)
    flat = in_context_score(torch.full((2, 5), 0.7), early=slice(0, 2), late=slice(3, 5))
    assert flat.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("slices", [(slice(0, 3), slice(2, 5)), (slice(0, 2), slice(7, 9))])
def test_score_of_positions_that_overlap_or_are_missing_is_refused(slices):
    early, late = slices
    with pytest.raises(ValueError, match="positions below 5 that do not overlap"):
        in_context_score(torch.zeros(5), early=early, late=late)


def test_answers_are_chosen_among_the_candidates_only(model, documents):
    candidates = torch.tensor([[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]])
    answers = torch.tensor([0, 1, 0, 1, 0])
    said = answer(model, documents[:, :12], candidates, answers)
    for b in range(5):
        logits = model(documents[b : b + 1, :12])[0, -1][candidates[b]]
        assert said.right[b].item() == (logits.argmax() == answers[b]).item()
        wanted = logits.log_softmax(0)[answers[b]].item()
        assert said.log_probability[b].item() == pytest.approx(wanted, abs=1e-12)
    assert said.accuracy == pytest.approx(said.right.double().mean().item())


def test_prefix_matching_is_the_attention_to_what_followed(model):
    period = torch.tensor([3, 4])
    fresh = torch.randint(11, (2, 12), generator=torch.Generator().manual_seed(1))
    x = fresh.gather(1, torch.arange(12) % period[:, None])
    documents = torch.cat([torch.zeros(2, 1, dtype=torch.long), x], dim=1)
    found = prefix_matching(model, documents, period)
    record = Record("weights")
    model(documents[:, :-1], record=record)
    total, count = torch.zeros(2, 2).double(), 0
    for b, p in enumerate(period.tolist()):
        for t in range(1, 12):
            if t - p >= 1:  # the same word stood p places back, and is no first token
                assert documents[b, t] == documents[b, t - p]
                total += record["weights"][:, b, :, t, t - p + 1]
                count += 1
    torch.testing.assert_close(found, total / count)


def test_series_is_a_power_and_hides_small_chances():
    logs = torch.tensor([math.log(0.5), math.log(0.7)])
    assert series_right(logs, 1) == pytest.approx(0.6)
    assert series_right(logs, 5) == pytest.approx(0.6**5)
    with pytest.raises(ValueError, match="at least 1 answer, got 0"):
        series_right(logs, 0)
