"""Exercises of chapter 9: whose tokens count, baselines, the best policy on a leash, DPO."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from icl_lib.exercises.core import Exercise, Step, expect_close
from icl_lib.finetune import dpo_loss, leashed_optimum, leave_one_out

USER, ASSISTANT, END = 1, 2, 0


def _draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


# ---- whose tokens count -------------------------------------------------------------------------


def _mask(tokens: Tensor) -> Tensor:
    speaking, said = False, []
    for token in tokens.tolist():
        said.append(speaking)
        if token == ASSISTANT:
            speaking = True
        elif token == END:
            speaking = False
    return torch.tensor(said)


def _mask_with_the_mark(tokens):
    speaking, said = False, []
    for token in tokens.tolist():
        speaking = speaking or token == ASSISTANT
        said.append(speaking)
        speaking = speaking and token != END
    return torch.tensor(said)


def _mask_without_the_end(tokens):
    return _mask(tokens) & (tokens != END)


def _mask_last_answer_only(tokens):
    start = (tokens == ASSISTANT).nonzero()[-1]
    return torch.arange(len(tokens)) > start


def _mask_everything(tokens):
    return torch.ones(len(tokens), dtype=torch.bool)


def _check_mask(row: list[int], said: list[int]):
    def test(f) -> None:
        tokens = torch.tensor(row)
        wanted = torch.tensor([i in said for i in range(len(row))])
        expect_close(f(tokens), wanted, what=f"tokens {row}")

    return test


MASK = Exercise(
    "ch09-mask",
    "which tokens of a conversation the assistant has to learn",
    (
        Step("what the assistant says, without its mark", _check_mask(
            [USER, 7, 8, ASSISTANT, 9, 6, END], [4, 5, 6])),
        Step("an empty answer still has to stop", _check_mask([USER, 7, ASSISTANT, END], [3])),
        Step("two turns", _check_mask(
            [USER, 7, ASSISTANT, 9, END, USER, 8, 5, ASSISTANT, 6, END], [3, 4, 9, 10])),
        Step("nobody speaks yet", _check_mask([USER, 7, 8], [])),
    ),
    _mask,
    {
        "counts the mark": _mask_with_the_mark,
        "never learns to stop": _mask_without_the_end,
        "last answer only": _mask_last_answer_only,
        "everything": _mask_everything,
    },
)  # fmt: skip


# ---- a baseline of the others -------------------------------------------------------------------


def _baseline(rewards: Tensor) -> Tensor:
    k = rewards.shape[1]
    return rewards - (rewards.sum(1, keepdim=True) - rewards) / (k - 1)


def _baseline_mean(rewards):
    return rewards - rewards.mean(1, keepdim=True)


def _baseline_all_prompts(rewards):
    return leave_one_out(rewards.flatten()[:, None], rewards.numel()).reshape(rewards.shape)


def _baseline_none(rewards):
    return rewards


def _two_answers(f) -> None:
    found = f(torch.tensor([[3.0, 1.0]]).double())
    expect_close(found, torch.tensor([[2.0, -2.0]]), what="rewards 3 and 1")


def _several_answers(f) -> None:
    rewards = _draw(1, 5)
    wanted = leave_one_out(rewards.reshape(-1, 1), 5).reshape(1, 5)
    expect_close(f(rewards), wanted, what="five answers to one prompt")


def _each_prompt(f) -> None:
    rewards = _draw(4, 3, seed=1) + 10 * torch.arange(4).double()[:, None]
    wanted = leave_one_out(rewards.reshape(-1, 1), 3).reshape(4, 3)
    expect_close(f(rewards), wanted, what="four prompts, some easier than others")


BASELINE = Exercise(
    "ch09-baseline",
    "the advantage of an answer over the other answers to the same prompt",
    (
        Step("two answers: each minus the other", _two_answers),
        Step("several: each minus the mean of the others", _several_answers),
        Step("every prompt for itself", _each_prompt),
    ),
    _baseline,
    {
        "mean of all, itself included": _baseline_mean,
        "mixes the prompts": _baseline_all_prompts,
        "no baseline": _baseline_none,
    },
)


# ---- the best policy on a leash -----------------------------------------------------------------


def _optimum(reference: Tensor, reward: Tensor, beta: float) -> Tensor:
    return (reference.log() + reward / beta).softmax(0)


def _optimum_without_reference(reference, reward, beta):
    return (reward / beta).softmax(0)


def _optimum_times_beta(reference, reward, beta):
    return (reference.log() + reward * beta).softmax(0)


def _optimum_overflows(reference, reward, beta):
    grown = reference * (reward / beta).exp()
    return grown / grown.sum()


def _optimum_unnormalised(reference, reward, beta):
    return reference * (reward / beta).exp()


def _optimum_by_hand(f) -> None:
    reference = torch.tensor([0.5, 0.5], dtype=torch.float64)
    reward = torch.tensor([math.log(3.0), 0.0], dtype=torch.float64)
    expect_close(f(reference, reward, 1.0), torch.tensor([0.75, 0.25]), what="β = 1")


def _optimum_reference(f) -> None:
    reference = torch.tensor([0.9, 0.1], dtype=torch.float64)
    expect_close(f(reference, torch.zeros(2).double(), 1.0), reference, what="no reward")


def _optimum_beta(f) -> None:
    reference, reward = _draw(6).softmax(0), _draw(6, seed=1)
    for beta in (0.3, 2.0):
        wanted = leashed_optimum(reference.log(), reward, beta).exp()
        expect_close(f(reference, reward, beta), wanted, what=f"β = {beta}")


def _optimum_loose(f) -> None:
    reference = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    reward = torch.tensor([1.0, 5.0, 2.0], dtype=torch.float64)
    wanted = torch.tensor([0.0, 1.0, 0.0])
    expect_close(f(reference, reward, 1e-3), wanted, what="β = 0.001")


OPTIMUM = Exercise(
    "ch09-optimum",
    "the policy that maximises E[r] − β KL",
    (
        Step("probabilities grow with exp(r)", _optimum_by_hand),
        Step("without reward nothing moves", _optimum_reference),
        Step("β divides the reward", _optimum_beta),
        Step("a very loose leash does not overflow", _optimum_loose),
    ),
    _optimum,
    {
        "forgets the reference": _optimum_without_reference,
        "β multiplies": _optimum_times_beta,
        "overflows": _optimum_overflows,
        "does not sum to one": _optimum_unnormalised,
    },
)


# ---- direct preference optimisation -------------------------------------------------------------


def _dpo(chosen, rejected, reference_chosen, reference_rejected, beta):
    gap = beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
    return -F.logsigmoid(gap).mean()


def _dpo_without_reference(chosen, rejected, reference_chosen, reference_rejected, beta):
    return -F.logsigmoid(beta * (chosen - rejected)).mean()


def _dpo_wrong_sign(chosen, rejected, reference_chosen, reference_rejected, beta):
    return _dpo(rejected, chosen, reference_rejected, reference_chosen, beta)


def _dpo_overflows(chosen, rejected, reference_chosen, reference_rejected, beta):
    gap = beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
    return -torch.sigmoid(gap).log().mean()


def _dpo_no_beta(chosen, rejected, reference_chosen, reference_rejected, beta):
    return _dpo(chosen, rejected, reference_chosen, reference_rejected, 1.0)


def _dpo_start(f) -> None:
    c, j = -5 + _draw(2, 4)
    expect_close(
        f(c, j, c, j, 0.1),
        torch.tensor(math.log(2), dtype=torch.float64),
        what="policy = reference",
    )


def _dpo_compare(f) -> None:
    four = tuple(-10 + 3 * _draw(4, 8, seed=3))
    for beta in (1.0, 0.2):
        wanted = dpo_loss(*four, beta=beta)
        expect_close(f(*four, beta), wanted, what=f"eight pairs, β = {beta}")


def _dpo_large(f) -> None:
    zero, far = torch.zeros(1).double(), torch.full((1,), -2000.0).double()
    expect_close(f(far, zero, zero, zero, 1.0), torch.tensor(2000.0), what="a lost pair, far away")


DPO_LOSS = Exercise(
    "ch09-dpo",
    "the loss of direct preference optimisation from four log-probabilities",
    (
        Step("at the reference it is log 2", _dpo_start),
        Step("the chosen answer has to gain, in units of β", _dpo_compare),
        Step("finite for large gaps", _dpo_large),
    ),
    _dpo,
    {
        "no reference": _dpo_without_reference,
        "rewards the rejected": _dpo_wrong_sign,
        "overflows": _dpo_overflows,
        "forgets β": _dpo_no_beta,
    },
)

EXERCISES = (MASK, BASELINE, OPTIMUM, DPO_LOSS)
