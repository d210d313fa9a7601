"""Forgetting is measured as defined, the remedies enter the loss exactly, and training reacts."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib import optim
from icl_lib.finetune import (
    LabelTask,
    Recipe,
    accuracy,
    bits_per_byte,
    cost_at_gain,
    finetune,
    held_out_loss,
    kl_divergence,
    label_loss,
    outcome,
    perplexity,
    relative_change,
    text_loss,
)
from icl_lib.finetune.supervised import Objective
from icl_lib.models.gpt import GPT, GPTConfig

V, T = 9, 12
CONFIG = GPTConfig(vocab_size=V, context=T, layers=1, heads=2, width=8, init="fan_in")
NOTHING = torch.empty(0, dtype=torch.long)


def model(seed: int = 0) -> GPT:
    return GPT(CONFIG, seed=seed, dtype=torch.float64)


def windows(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, V, (count, T), generator=torch.Generator().manual_seed(seed))


def task(count: int = 24) -> LabelTask:
    """The first token of the prompt says which of two labels is right."""
    g = torch.Generator().manual_seed(0)
    prompts = [torch.randint(0, 6, (int(n),), generator=g) for n in torch.randint(3, 7, (count,),
               generator=g)]  # fmt: skip
    gold = [int(p[0]) % 2 for p in prompts]
    return LabelTask.of(prompts, [torch.tensor([6]), torch.tensor([7])], gold, context=T)


def test_perplexity_of_a_model_that_knows_nothing_is_the_size_of_the_vocabulary():
    blank = model()
    with torch.no_grad():
        for p in blank.parameters():
            p.zero_()
    assert perplexity(blank, windows(5)) == pytest.approx(V, rel=1e-12)
    assert held_out_loss(blank, windows(5)) == pytest.approx(math.log(V), rel=1e-12)


@given(count=st.integers(1, 9), chunk=st.integers(1, 10))
def test_chunks_do_not_change_the_loss(count, chunk):
    whole = text_loss(model(), windows(count)).item()
    assert held_out_loss(model(), windows(count), chunk=chunk) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("empty", [windows(0), windows(3)[:, :1]])
def test_old_text_without_a_token_to_predict_is_refused(empty):
    with pytest.raises(ValueError, match="at least one window of two tokens, got shape"):
        perplexity(model(), empty)


def test_bits_per_byte_of_uniform_bytes_is_eight_and_it_is_additive_in_tokens():
    assert bits_per_byte(math.log(256), 10, 10) == pytest.approx(8)
    assert bits_per_byte(1.0, 10, 40) == pytest.approx(bits_per_byte(1.0, 5, 20))
    with pytest.raises(ValueError, match="at least 1, got 3 and 0"):
        bits_per_byte(1.0, 3, 0)


@given(seed=st.integers(0, 1000))
def test_kl_is_that_of_torch_never_negative_and_zero_for_equal_distributions(seed):
    g = torch.Generator().manual_seed(seed)
    a, b = 3 * torch.randn(2, 4, 3, V, dtype=torch.float64, generator=g)
    p, q = torch.distributions.Categorical(logits=a), torch.distributions.Categorical(logits=b)
    expected = torch.distributions.kl_divergence(p, q)
    assert torch.allclose(kl_divergence(a, b), expected, rtol=0, atol=1e-12)
    assert bool((kl_divergence(a, b) >= 0).all())
    assert kl_divergence(a, a + 5).abs().max() < 1e-12


def test_gradient_of_the_kl_is_the_difference_of_the_two_distributions():
    g = torch.Generator().manual_seed(0)
    reference = torch.randn(5, V, dtype=torch.float64, generator=g)
    logits = torch.randn(5, V, dtype=torch.float64, generator=g, requires_grad=True)
    kl_divergence(reference, logits).sum().backward()
    expected = (logits.softmax(-1) - reference.softmax(-1)).detach()
    assert torch.allclose(logits.grad, expected, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: kl_divergence(reference, x), (logits,))


@pytest.mark.parametrize(("replay", "kl"), [(0.0, 0.0), (0.25, 0.0), (0.0, 2.0), (0.25, 0.5)])
def test_objective_is_the_formula(replay, kl):
    recipe = Recipe(lr=0.1, steps=1, batch=8, replay=replay, kl=kl, windows=3)
    current, reference, examples = model(1), model(0), task(8)
    old = windows(6)
    rows = torch.tensor([4, 0]) if replay else torch.tensor([4, 0, 5]) if kl else NOTHING
    found = Objective(recipe, examples, old, reference)(current, (torch.arange(6), rows))
    expected = (1 - replay) * label_loss(current, examples[torch.arange(6)])
    if replay:
        expected = expected + replay * text_loss(current, old[rows])
    if kl:
        a, b = reference(old[rows][:, :-1]), current(old[rows][:, :-1])
        expected = expected + kl * kl_divergence(a, b).mean()
    assert found.item() == pytest.approx(expected.item(), abs=1e-12)


def test_without_remedies_a_step_of_sgd_is_minus_the_step_size_times_the_gradient():
    base, examples = model(), task(4)
    tuned = finetune(base, examples, Recipe(lr=0.1, steps=1, batch=4, rule="SGD")).model
    label_loss(base, examples).backward()
    for before, after in zip(base.parameters(), tuned.parameters(), strict=True):
        expected = before.detach() - 0.1 * before.grad
        assert torch.allclose(after.detach(), expected, rtol=0, atol=1e-12)


def test_a_small_task_is_learned_and_the_base_is_left_alone():
    base, examples = model(), task()
    first = [p.detach().clone() for p in base.parameters()]
    tuned = finetune(base, examples, Recipe(lr=0.03, steps=60, batch=8)).model
    assert accuracy(tuned, examples) > 0.95
    assert accuracy(base, examples) < 0.8
    assert all(torch.equal(a, b) for a, b in zip(first, base.parameters(), strict=True))


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    def run(seed):
        recipe = Recipe(lr=0.03, steps=4, batch=8, replay=0.25, kl=0.1, method="lora", seed=seed)
        return finetune(model(), task(), recipe, old=windows(8)).run.losses

    assert run(0) == run(0)
    assert run(0) != run(1)


def test_a_run_that_was_stopped_goes_on_from_its_checkpoint_with_the_same_bits(tmp_path):
    def run(steps, path):
        recipe = Recipe(lr=0.03, steps=steps, batch=8, replay=0.25, kl=0.1)
        keep = [optim.Checkpoint(path, every=1)] if path else []
        return finetune(model(), task(), recipe, old=windows(8), callbacks=keep).run.losses

    run(3, tmp_path / "run.pt")
    assert run(6, tmp_path / "run.pt") == run(6, None)


def test_replay_and_penalty_keep_more_of_what_was_learned():
    old = torch.arange(T).repeat(16, 1) % V
    base = model()
    rule = torch.optim.AdamW(base.parameters(), lr=0.02)
    for _ in range(60):
        rule.zero_grad()
        text_loss(base, old).backward()
        rule.step()
    assert perplexity(base, old) < 1.2
    plain = Recipe(lr=0.03, steps=40, batch=8)
    costs = {}
    for name, options in {"none": {}, "replay": {"replay": 0.25}, "kl": {"kl": 1.0}}.items():
        recipe = Recipe(**{**plain.__dict__, **options})
        tuned = finetune(base, task(), recipe, old=old if options else None).model
        costs[name] = perplexity(tuned, old)
    assert costs["none"] > 1.2 * costs["replay"]
    assert costs["none"] > 1.2 * costs["kl"]


def test_a_huge_penalty_keeps_the_model_where_it_is():
    base = model()
    recipe = Recipe(lr=1e-3, steps=10, batch=8, rule="SGD")
    loose = finetune(base, task(), recipe).model
    strict = finetune(base, task(), Recipe(**{**recipe.__dict__, "kl": 50.0}), old=windows(8)).model
    assert relative_change(base, strict) < 0.8 * relative_change(base, loose)


def test_outcome_of_the_base_itself_has_no_change():
    found = outcome(model(), model(), task(), windows(4))
    assert found.change == 0
    assert found.perplexity == pytest.approx(perplexity(model(), windows(4)))
    assert found.accuracy == accuracy(model(), task())


def test_cost_at_gain_interpolates_at_the_first_crossing():
    gains, costs = [0.5, 0.7, 0.9, 0.6, 0.95], [1.0, 2.0, 4.0, 9.0, 16.0]
    assert cost_at_gain(gains, costs, 0.8) == pytest.approx(math.sqrt(8.0))  # log-linear
    assert cost_at_gain(gains, costs, 0.9) == pytest.approx(4.0)
    assert cost_at_gain(gains, costs, 0.4) == 1.0
    assert math.isnan(cost_at_gain(gains, costs, 0.99))
    with pytest.raises(ValueError, match="got 2 gains and 1 costs"):
        cost_at_gain([0.1, 0.2], [1.0], 0.2)


@given(unit=st.floats(1e-3, 1e3), target=st.floats(0.5, 0.95))
def test_cost_at_gain_does_not_depend_on_the_unit_of_the_cost(unit, target):
    gains, costs = [0.5, 0.7, 0.95], [2.0, 3.0, 50.0]
    scaled = cost_at_gain(gains, [unit * c for c in costs], target)
    assert scaled == pytest.approx(unit * cost_at_gain(gains, costs, target), rel=1e-9)


@pytest.mark.parametrize(
    ("gains", "costs", "target"),
    [
        ([0.5, math.nan, 0.9], [1.0, 2.0, 3.0], 0.8),  # the way to 0.9 would be unknown
        ([0.5, 0.9], [1.0, math.inf], 0.8),
        ([0.5, 0.9], [0.0, 2.0], 0.8),
        ([0.5, 0.9], [1.0, 2.0], math.nan),
    ],
)
def test_cost_at_gain_refuses_what_it_cannot_interpolate(gains, costs, target):
    with pytest.raises(ValueError, match="must be finite, costs finite and positive, got gains"):
        cost_at_gain(gains, costs, target)


def test_chunks_below_one_are_refused():
    with pytest.raises(ValueError, match="chunk must be at least 1, got 0"):
        perplexity(model(), windows(2), chunk=0)


def test_the_share_of_replay_is_that_of_whole_rows():
    recipe = Recipe(lr=0.1, steps=1, batch=8, replay=0.3)
    assert (recipe.old_rows, recipe.share) == (2, 0.25)
    assert Recipe(lr=0.1, steps=1, batch=8).share == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "half"}, "unknown method 'half'; there are full, last-layer"),
        ({"rule": "Lion"}, "unknown rule 'Lion'; there are AdamW, SGD"),
        ({"on": "prompt"}, "counts label or all tokens, got 'prompt'"),
        ({"replay": 1.0}, "from 0 to below 1, got 1.0"),
        ({"replay": -0.1}, "from 0 to below 1"),
        ({"replay": 0.99}, "leaves no row for the task"),
        ({"kl": -1.0}, "at least 0, got -1.0"),
        ({"kl": math.nan}, "finite and at least 0, got nan"),
        ({"lr": 0.0}, "step size must be positive and finite, got 0.0"),
        ({"lr": math.nan}, "step size must be positive and finite, got nan"),
        ({"steps": 0}, "at least 1, got 0"),
    ],
)
def test_bad_recipes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**{"lr": 0.1, "steps": 1, "batch": 8, **options})


def test_remedies_without_old_text_and_batches_beyond_the_task_are_refused():
    with pytest.raises(ValueError, match="need windows of old text, got none"):
        finetune(model(), task(), Recipe(lr=0.1, steps=1, batch=8, replay=0.5))
    kl = Recipe(lr=0.1, steps=1, batch=8, kl=1.0, windows=4)
    with pytest.raises(ValueError, match=r"takes 4 windows of old text .* got shape \(3, 12\)"):
        finetune(model(), task(), kl, old=windows(3))
    with pytest.raises(ValueError, match=r"two tokens or more, got shape \(5, 1\)"):
        finetune(model(), task(), kl, old=windows(5)[:, :1])
    with pytest.raises(ValueError, match="between 1 and 4"):
        finetune(model(), task(4), Recipe(lr=0.1, steps=1, batch=8))
