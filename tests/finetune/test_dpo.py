"""Direct preference optimisation against trl, against its closed form, and on a tiny model."""

import copy
import math
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib import optim
from icl_lib.finetune.chat import collate
from icl_lib.finetune.dpo import DPO, dpo_loss, implicit_reward, sequence_log_probs
from icl_lib.finetune.policy import leashed_optimum
from icl_lib.finetune.preferences import bradley_terry_loss
from icl_lib.models.gpt import GPT, GPTConfig

CONFIG = GPTConfig(vocab_size=9, context=12, layers=1, heads=2, width=8, init="fan_in")


def four(seed: int, n: int = 16) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return [-20 * torch.rand(n, generator=g, dtype=torch.float64) for _ in range(4)]


def a_trainer(**settings) -> SimpleNamespace:
    """What trl's methods ask of the trainer that they belong to, on one process."""
    accelerator = SimpleNamespace(
        device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x
    )
    return SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=accelerator,
        args=SimpleNamespace(center_rewards_coefficient=None),
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=["sigmoid"],
        loss_weights=[1.0],
        use_weighting=False,
        **settings,
    )


@pytest.mark.parametrize("beta", [0.05, 0.3, 2.0])
def test_equal_to_trl_from_the_models_logits_to_the_loss(beta):
    """trl's own ``DPOTrainer._compute_loss``, called with a bare object as its trainer."""
    trainer = pytest.importorskip("trl.trainer.dpo_trainer").DPOTrainer
    model, reference = (GPT(CONFIG, seed=s, dtype=torch.float64) for s in (0, 1))
    chosen, rejected = rows(0, 6), rows(1, 6)
    theirs = [sequence_log_probs(reference, *r) for r in (chosen, rejected)]

    def forward(input_ids, attention_mask, labels, use_cache, fused_lm_head):
        log_p = model(input_ids)[:, :-1].log_softmax(-1)
        kept = labels[:, 1:] != -100
        picked = log_p.gather(-1, labels[:, 1:].clamp(min=0)[..., None])[..., 0]
        return SimpleNamespace(
            log_probs=picked * kept,
            entropy=-(log_p.exp() * log_p).sum(-1),
            mean_logits=log_p.mean(-1),
            is_top1=log_p.argmax(-1) == labels[:, 1:],
        )

    tokens, answer = (torch.cat(both) for both in zip(chosen, rejected, strict=True))
    inputs = {
        "input_ids": tokens,
        "attention_mask": torch.ones_like(tokens),
        "completion_mask": answer.long(),
        "ref_chosen_logps": theirs[0],
        "ref_rejected_logps": theirs[1],
    }
    wanted = trainer._compute_loss(a_trainer(beta=beta), forward, inputs, False)
    found = DPO(beta)(model, (*chosen, *rejected, *theirs))
    assert wanted.dtype == torch.float64
    assert abs(found - wanted).item() < 1e-12
    ours, others = (torch.autograd.grad(loss, model.tokens.weight)[0] for loss in (found, wanted))
    assert (ours - others).abs().max().item() < 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_reward_loss_equals_trl(seed):
    """trl's own ``RewardTrainer.compute_loss``, called with a bare object as its trainer."""
    trainer = pytest.importorskip("trl.trainer.reward_trainer").RewardTrainer
    g = torch.Generator().manual_seed(seed)
    chosen, rejected = 5 * torch.randn(2, 12, generator=g, dtype=torch.float64)
    outputs = SimpleNamespace(logits=torch.cat([chosen, rejected])[:, None])
    inputs = {"attention_mask": torch.ones(24, 4)}
    wanted = trainer.compute_loss(a_trainer(beta=1.0), lambda **given: outputs, inputs)
    assert abs(bradley_terry_loss(chosen, rejected) - wanted).item() < 1e-12


@given(st.integers(0, 10_000), st.floats(0.01, 5.0))
def test_loss_is_bradley_terry_of_the_implicit_rewards(seed, beta):
    c, j, rc, rj = four(seed)
    wanted = bradley_terry_loss(implicit_reward(c, rc, beta), implicit_reward(j, rj, beta))
    assert abs(dpo_loss(c, j, rc, rj, beta=beta) - wanted).item() < 1e-12 * max(1, wanted.item())


def test_at_the_reference_the_loss_is_log_two():
    c, j, _, _ = four(0)
    assert dpo_loss(c, j, c, j, beta=0.3).item() == pytest.approx(math.log(2), abs=1e-12)


@pytest.mark.parametrize("beta", [0.2, 1.0, 3.0])
def test_minimum_over_all_policies_is_the_leashed_optimum(beta):
    """With as many pairs as one likes, DPO ends at π_ref exp(r/β)/Z: no other policy is better."""
    g = torch.Generator().manual_seed(0)
    log_reference = torch.randn(5, generator=g, dtype=torch.float64).log_softmax(0)
    reward = torch.randn(5, generator=g, dtype=torch.float64)
    first, second = torch.combinations(torch.arange(5)).T
    share = torch.sigmoid(reward[first] - reward[second])  # of the decisions for the first
    theta = log_reference.clone().requires_grad_()
    rule = torch.optim.LBFGS(
        [theta], max_iter=2000, tolerance_grad=1e-13, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        rule.zero_grad()
        p = theta.log_softmax(0)
        loss = 0.0
        for i in range(len(first)):
            a, b = first[i : i + 1], second[i : i + 1]
            given = (log_reference[a], log_reference[b])
            loss = loss + share[i] * dpo_loss(p[a], p[b], *given, beta=beta)
            loss = loss + (1 - share[i]) * dpo_loss(p[b], p[a], *given[::-1], beta=beta)
        loss.backward()
        return loss

    rule.step(closure)
    best = leashed_optimum(log_reference, reward, beta)
    assert (theta.log_softmax(0) - best).abs().max().item() < 1e-5


def test_implicit_reward_of_the_optimum_is_the_reward_up_to_a_constant():
    log_reference = torch.tensor([0.5, 0.3, 0.2]).double().log()
    reward = torch.tensor([1.0, -2.0, 0.5]).double()
    found = implicit_reward(leashed_optimum(log_reference, reward, 0.7), log_reference, 0.7)
    gap = found - reward
    assert (gap - gap[0]).abs().max().item() < 1e-12


@given(st.integers(0, 1000), st.floats(0.05, 0.45))
def test_smoothed_labels_mix_both_orders(seed, epsilon):
    c, j, rc, rj = four(seed)
    plain, turned = dpo_loss(c, j, rc, rj, beta=0.1), dpo_loss(j, c, rj, rc, beta=0.1)
    found = dpo_loss(c, j, rc, rj, beta=0.1, label_smoothing=epsilon)
    assert abs(found - ((1 - epsilon) * plain + epsilon * turned)).item() < 1e-12


def rows(seed: int, count: int):
    g = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        length = int(torch.randint(4, 10, (1,), generator=g))
        tokens = torch.randint(1, 9, (length,), generator=g)
        made.append((tokens, torch.arange(length) >= 2))
    return collate(made, 0, width=10)


def test_objective_of_a_model_is_the_loss_of_its_sequence_log_probabilities():
    model, reference = (GPT(CONFIG, seed=s, dtype=torch.float64) for s in (0, 1))
    chosen, rejected = rows(0, 6), rows(1, 6)
    theirs = [sequence_log_probs(reference, *r, batch=4) for r in (chosen, rejected)]
    ours = [sequence_log_probs(model, *r) for r in (chosen, rejected)]
    found = DPO(0.3)(model, (*chosen, *rejected, *theirs))
    assert abs(found - dpo_loss(*ours, *theirs, beta=0.3)).item() < 1e-12


def test_training_widens_the_margin_and_leaves_the_reference_alone():
    reference = GPT(CONFIG, seed=0)
    model = copy.deepcopy(reference)
    chosen, rejected = rows(0, 32), rows(1, 32)
    theirs = [sequence_log_probs(reference, *r) for r in (chosen, rejected)]
    data = (*chosen, *rejected, *theirs)
    run = optim.train(
        model, DPO(0.5), optim.Shuffled(data, 16), optim.Adam(model.parameters(), 3e-3), steps=40
    )
    ours = [sequence_log_probs(model, *r) for r in (chosen, rejected)]
    margin = (ours[0] - theirs[0]) - (ours[1] - theirs[1])
    assert run.losses[0] == pytest.approx(math.log(2), abs=1e-5)
    assert (margin > 0).double().mean().item() > 0.9


def test_bad_inputs_are_refused():
    c, j, rc, rj = four(0)
    with pytest.raises(ValueError, match="beta must be above 0"):
        dpo_loss(c, j, rc, rj, beta=0.0)
    with pytest.raises(ValueError, match="label_smoothing"):
        dpo_loss(c, j, rc, rj, beta=1.0, label_smoothing=0.5)
    empty = torch.zeros(0)
    with pytest.raises(ValueError, match="at least one pair"):
        dpo_loss(empty, empty, empty, empty, beta=1.0)
