"""Policy gradient: unbiased to rounding on a policy that can be enumerated, and its optimum."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib import optim
from icl_lib.finetune.chat import answer_log_probs
from icl_lib.finetune.policy import (
    PolicyGradient,
    leashed_objective,
    leashed_optimum,
    leave_one_out,
    policy_gradient_loss,
    returns_to_go,
    sample_answers,
    token_kl,
)
from icl_lib.models.gpt import GPT, GPTConfig

END, VOCABULARY, STEPS = 0, 3, 2
CONFIG = GPTConfig(vocab_size=VOCABULARY, context=6, layers=1, heads=1, width=4, init="fan_in")


def policy(seed: int, spread: float = 1.5) -> GPT:
    model = GPT(CONFIG, seed=seed, dtype=torch.float64)
    with torch.no_grad():
        model.tokens.weight.mul_(spread)
    return model


def every_answer() -> tuple[torch.Tensor, torch.Tensor]:
    """All texts of at most two tokens after the prompt (2, 1): 0, then xy for x ≠ 0."""
    found = [(END,), *((x, y) for x in (1, 2) for y in range(VOCABULARY))]
    tokens = torch.full((len(found), 2 + STEPS), END)
    answer = torch.zeros(len(found), 2 + STEPS, dtype=torch.bool)
    for i, text in enumerate(found):
        tokens[i, :2] = torch.tensor([2, 1])
        tokens[i, 2 : 2 + len(text)] = torch.tensor(text)
        answer[i, 2 : 2 + len(text)] = True
    return tokens, answer


TOKENS, ANSWER = every_answer()


def log_probs(model: GPT) -> torch.Tensor:
    return answer_log_probs(model(TOKENS), TOKENS, ANSWER)


def gradient(loss: torch.Tensor, model: GPT) -> torch.Tensor:
    found = torch.autograd.grad(
        loss, list(model.parameters()), allow_unused=True, retain_graph=True
    )
    return torch.cat(
        [
            (torch.zeros_like(p) if g is None else g).flatten()
            for g, p in zip(found, model.parameters(), strict=True)
        ]
    )


def test_the_enumeration_is_complete():
    assert log_probs(policy(0)).sum(1).exp().sum().item() == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=8)
@given(st.integers(0, 100), st.sampled_from([0.0, 0.3, 2.0]), st.sampled_from([2, 3]))
def test_expected_gradient_of_the_estimator_is_the_exact_gradient(seed, beta, group):
    """Sum over every possible group of answers, weighted by its probability: equal to ∇J."""
    model, reference = policy(seed), policy(seed + 1)
    g = torch.Generator().manual_seed(seed)
    reward = torch.randn(len(TOKENS), generator=g, dtype=torch.float64)
    theirs = log_probs(reference).detach()
    ours = log_probs(model)
    exact = gradient(leashed_objective(ours.sum(1), theirs.sum(1), reward, beta), model)

    p = ours.detach().sum(1).exp()
    ratio = ours.detach() - theirs
    groups = torch.tensor(list(itertools.product(range(len(TOKENS)), repeat=group)))
    chance, rows = p[groups].prod(1), groups.flatten()
    advantage = leave_one_out(returns_to_go(reward[rows], ratio[rows], beta), group)
    weight = (chance * len(groups)).repeat_interleave(group)[:, None]
    expected = policy_gradient_loss(ours[rows], advantage * weight)
    found = -gradient(expected, model)
    assert (found - exact).abs().max().item() < 1e-12 * max(1.0, exact.abs().max().item())


def test_without_the_to_go_trick_the_mean_is_the_same():
    model, reference = policy(0), policy(1)
    reward = torch.arange(len(TOKENS)).double()
    ours, theirs = log_probs(model), log_probs(reference).detach()
    ratio, p = ours.detach() - theirs, ours.detach().sum(1).exp()
    to_go = returns_to_go(reward, ratio, 0.7)
    whole = (reward - 0.7 * ratio.sum(1))[:, None].expand_as(to_go)
    means = [gradient((p * (ours * r).sum(1)).sum(), model) for r in (to_go, whole)]
    assert (means[0] - means[1]).abs().max().item() < 1e-12


def test_leaving_out_the_past_of_the_leash_lowers_the_variance():
    model, reference = policy(0, 3.0), policy(1, 3.0)
    reward = torch.zeros(len(TOKENS), dtype=torch.float64)
    ours, theirs = log_probs(model), log_probs(reference).detach()
    ratio, p = ours.detach() - theirs, ours.detach().sum(1).exp()
    to_go = returns_to_go(reward, ratio, 1.0)
    whole = (reward - ratio.sum(1))[:, None].expand_as(to_go)

    def variance(returns):
        each = torch.stack([gradient((ours[i] * returns[i]).sum(), model) for i in range(len(p))])
        mean = (p[:, None] * each).sum(0)
        return (p * ((each - mean) ** 2).sum(1)).sum()

    assert variance(to_go) < variance(whole)


def test_token_kl_sums_to_the_divergence_of_whole_texts():
    model, reference = policy(3, 3.0), policy(4)
    with torch.no_grad():
        each = token_kl(model(TOKENS), reference(TOKENS), ANSWER).sum(1)
        a, b = log_probs(model).sum(1), log_probs(reference).sum(1)
    exact = (a.exp() * (a - b)).sum().item()
    assert (a.exp() * each).sum().item() == pytest.approx(exact, abs=1e-12)
    assert (each >= 0).all()
    spread = [(a.exp() * (k - exact) ** 2).sum().item() for k in (each, a - b)]
    assert spread[0] < spread[1]


def test_closed_form_beats_every_other_policy(generator):
    log_reference = torch.randn(7, generator=generator, dtype=torch.float64).log_softmax(0)
    reward = torch.randn(7, generator=generator, dtype=torch.float64)
    best = leashed_optimum(log_reference, reward, 0.4)
    top = leashed_objective(best, log_reference, reward, 0.4).item()
    log_z = torch.logsumexp(log_reference + reward / 0.4, 0)
    assert top == pytest.approx(0.4 * log_z.item(), abs=1e-12)
    for _ in range(200):
        noise = 0.3 * torch.randn(7, generator=generator, dtype=torch.float64)
        other = (best + noise).log_softmax(0)
        assert leashed_objective(other, log_reference, reward, 0.4).item() <= top + 1e-12


def test_gradient_ascent_on_the_exact_objective_reaches_the_closed_form(generator):
    log_reference = torch.randn(6, generator=generator, dtype=torch.float64).log_softmax(0)
    reward = torch.randn(6, generator=generator, dtype=torch.float64)
    theta = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    rule = torch.optim.LBFGS(
        [theta], max_iter=500, tolerance_grad=1e-12, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        rule.zero_grad()
        loss = -leashed_objective(theta.log_softmax(0), log_reference, reward, 0.5)
        loss.backward()
        return loss

    rule.step(closure)
    best = leashed_optimum(log_reference, reward, 0.5)
    assert (theta.log_softmax(0) - best).abs().max().item() < 1e-5


def test_leash_limits_strong_keeps_the_reference_weak_takes_the_best():
    log_reference = torch.tensor([0.7, 0.2, 0.1]).double().log()
    reward = torch.tensor([0.0, 1.0, 3.0]).double()
    assert torch.allclose(leashed_optimum(log_reference, reward, 1e9), log_reference, atol=1e-6)
    assert leashed_optimum(log_reference, reward, 1e-3).exp()[2].item() == pytest.approx(1.0)


def test_leave_one_out_is_the_distance_to_the_mean_of_the_others(generator):
    returns = torch.randn(6, 2, generator=generator, dtype=torch.float64)
    found = leave_one_out(returns, 3)
    for start in (0, 3):
        for i in range(3):
            others = [start + j for j in range(3) if j != i]
            wanted = returns[start + i] - returns[others].mean(0)
            assert torch.allclose(found[start + i], wanted, atol=1e-12)


def test_clip_is_without_effect_on_fresh_texts_and_stops_the_push_on_old_ones():
    now = torch.tensor([[-1.0, -1.0]], requires_grad=True)
    gain = torch.tensor([[1.0, -1.0]])
    for clip in (None, 0.2):
        loss = policy_gradient_loss(now, gain, clip=clip)
        assert torch.allclose(torch.autograd.grad(loss, now)[0], -gain)
    pushed = torch.tensor([[-1.5, -0.5]])  # both already moved beyond 1 ± 0.2 in the gain's way
    loss = policy_gradient_loss(now, gain, old_log_probs=pushed, clip=0.2)
    assert torch.autograd.grad(loss, now)[0].abs().max().item() == 0.0


def test_answers_stop_at_the_end_and_prompts_of_different_lengths_do_not_mix(generator):
    model = policy(5)
    prompts = [torch.tensor([2, 1]), torch.tensor([1]), torch.tensor([1, 2, 2])] * 20
    tokens, answer = sample_answers(model, prompts, 3, END, generator=generator)
    for prompt, row, said in zip(prompts, tokens, answer, strict=True):
        n = len(prompt)
        assert torch.equal(row[:n], prompt)
        written = row[said]
        assert torch.equal(said.nonzero()[:, 0], torch.arange(n, n + len(written)))
        assert END not in written[:-1].tolist()
        assert len(written) == 3 or written[-1] == END
        assert (row[n + len(written) :] == END).all()


def test_answers_are_drawn_from_the_models_distribution():
    model = policy(2)
    g = torch.Generator().manual_seed(0)
    n = 20_000
    tokens, answer = sample_answers(model, [torch.tensor([2, 1])] * n, STEPS, END, generator=g)
    assert tokens.shape == (n, 4)
    code = (tokens[:, 2] * 10 + tokens[:, 3] * answer[:, 3]).bincount(minlength=30)
    with torch.no_grad():
        wanted = log_probs(model).sum(1).exp()
    for row, said, p in zip(TOKENS, ANSWER, wanted.tolist(), strict=True):
        share = code[row[2] * 10 + row[3] * said[3]].item() / n
        assert abs(share - p) < 5 * (p * (1 - p) / n) ** 0.5 + 1e-4


def count_ones(tokens, answer):
    return ((tokens == 1) & answer).sum(1).double()


def test_training_climbs_to_the_closed_form():
    """On the two-token language the trained policy comes near the optimum that is known."""
    beta = 0.3
    model, reference = policy(0), policy(1)
    goal = PolicyGradient(reference, count_ones, beta=beta, steps=STEPS, end=END, group=16)
    prompts = [torch.tensor([2, 1])] * 4
    rule = optim.Adam(model.parameters(), 0.03)
    optim.train(model, goal, lambda step: (prompts, optim.derive_seed(0, step)), rule, steps=150)
    with torch.no_grad():
        ours, theirs = log_probs(model).sum(1), log_probs(reference).sum(1)
    reward = count_ones(TOKENS, ANSWER)
    best = leashed_objective(leashed_optimum(theirs, reward, beta), theirs, reward, beta)
    reached = leashed_objective(ours, theirs, reward, beta)
    start = leashed_objective(theirs, theirs, reward, beta)
    assert reached <= best + 1e-12
    assert (reached - start) / (best - start) > 0.95


def test_records_hold_reward_leash_length_and_what_is_watched():
    model = policy(0)
    watched = {"zeros": lambda tokens, answer: -count_ones(tokens, answer)}
    goal = PolicyGradient(
        copy.deepcopy(model), count_ones, beta=0.1, steps=2, end=END, group=2, watch=watched
    )
    goal(model, ([torch.tensor([2, 1])] * 3, 0))
    (row,) = goal.records
    assert row["kl"] == pytest.approx(0.0, abs=1e-12)
    assert row["zeros"] == -row["reward"]
    assert 1 <= row["length"] <= 2


def test_the_same_seed_gives_the_same_loss():
    model, prompts = policy(0), [torch.tensor([2, 1])] * 4
    goal = PolicyGradient(policy(1), count_ones, beta=0.1, steps=2, end=END, group=2)
    assert goal(model, (prompts, 3)).item() == goal(model, (prompts, 3)).item()


def test_bad_inputs_are_refused(generator):
    model = policy(0)
    with pytest.raises(ValueError, match="at least one token"):
        sample_answers(model, [], 2, END, generator=generator)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        sample_answers(model, [torch.tensor([1])], 0, END, generator=generator)
    with pytest.raises(ValueError, match="do not fit"):
        sample_answers(model, [torch.tensor([1])], 6, END, generator=generator)
    with pytest.raises(ValueError, match="beta must be at least 0"):
        PolicyGradient(model, count_ones, beta=-1.0, steps=2, end=END)
    with pytest.raises(ValueError, match="group must be at least 2"):
        PolicyGradient(model, count_ones, beta=1.0, steps=2, end=END, group=1)
    with pytest.raises(ValueError, match="do not divide into groups"):
        leave_one_out(torch.zeros(5, 2), 2)
    with pytest.raises(ValueError, match="beta must be above 0"):
        leashed_optimum(torch.zeros(2), torch.zeros(2), 0.0)
    with pytest.raises(ValueError, match="clip must be above 0"):
        policy_gradient_loss(torch.zeros(1, 1), torch.zeros(1, 1), clip=0.0)
