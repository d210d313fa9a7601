r"""Policy-gradient training of a GPT: raise the reward of what it writes, on a leash.

.. math:: J(π) = E_{x∼π}[r(x)] − β\,\mathrm{KL}(π \,\|\, π_\text{ref}),
    \qquad
    \mathrm{KL} = E_{x∼π}\Bigl[\sum_t \log\frac{π(x_t|x_{<t})}{π_\text{ref}(x_t|x_{<t})}\Bigr]

A text is a sequence of actions, the model is the policy, the reward comes at the end.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from icl_lib.finetune.chat import answer_log_probs, collate
from icl_lib.models.gpt import GPT

Reward = Callable[[Int[Tensor, "B T"], Bool[Tensor, "B T"]], Float[Tensor, "B"]]
"""Gives each row one number, from its tokens and from where the answer stands."""


def sample_answers(
    model: GPT,
    prompts: Sequence[Int[Tensor, "_"]],
    steps: int,
    end: int,
    *,
    generator: torch.Generator,
    temperature: float = 1.0,
) -> tuple[Int[Tensor, "B T"], Bool[Tensor, "B T"]]:
    """Let the model answer each prompt once; an answer stops at ``end`` or after ``steps`` tokens.

    Parameters
    ----------
    prompts
        Token rows, of any lengths.
    steps
        Longest answer.
    end
        The token that closes an answer and is part of it; also what rows are filled up with.
    generator, temperature
        As in :meth:`icl_lib.models.gpt.GPT.generate`.

    Returns
    -------
    tuple
        Tokens, filled up on the right, and which of them the model has written.

    Raises
    ------
    ValueError
        If there is no prompt, one is empty, or prompt and answer exceed the context.

    Explained in: 09_chatgpt
    """
    if not prompts or any(len(p) == 0 for p in prompts):
        raise ValueError("expected prompts of at least one token each")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    longest = max(len(p) for p in prompts)
    left = torch.stack(
        [torch.nn.functional.pad(p, (longest - len(p), 0), value=end) for p in prompts]
    )
    lengths = torch.tensor([len(p) for p in prompts])
    real = torch.arange(longest) >= longest - lengths[:, None]
    mask = None if bool(real.all()) else real
    out = model.generate(left, steps, temperature=temperature, generator=generator, mask=mask)
    rows = []
    for prompt, written in zip(prompts, out[:, longest:], strict=True):
        stops = (written == end).nonzero()
        written = written[: int(stops[0]) + 1] if len(stops) else written
        said = torch.arange(len(prompt) + len(written)) >= len(prompt)
        rows.append((torch.cat([prompt, written]), said))
    return collate(rows, end)


def token_kl(
    logits: Float[Tensor, "B T V"], reference: Float[Tensor, "B T V"], answer: Bool[Tensor, "B T"]
) -> Float[Tensor, "B T-1"]:
    r"""Return the divergence of the next-token distributions at each place of the answer.

    .. math:: \sum_v π(v|x_{≤t}) \log \frac{π(v|x_{≤t})}{π_\text{ref}(v|x_{≤t})}

    Summed over the places of texts that π wrote, its mean is KL(π ‖ π_ref) of whole texts: an
    unbiased estimate, never negative, and of smaller variance than the log-ratio of the tokens
    that happened to be drawn.

    Explained in: 09_chatgpt
    """
    log_p, log_q = logits.log_softmax(-1)[:, :-1], reference.log_softmax(-1)[:, :-1]
    return (log_p.exp() * (log_p - log_q)).sum(-1) * answer[:, 1:]


def returns_to_go(
    reward: Float[Tensor, "B"],
    log_ratio: Float[Tensor, "B T"],
    beta: float,
) -> Float[Tensor, "B T"]:
    r"""Return what is still to come at each token: the reward, less the leash from here on.

    .. math:: G_t = r(x) − β \sum_{s ≥ t} \log\frac{π(x_s|x_{<s})}{π_\text{ref}(x_s|x_{<s})}

    What the leash cost before t cannot be changed by the choice at t, so it is left out; that
    removes noise and no signal.

    Explained in: 09_chatgpt
    """
    to_come = log_ratio.flip(1).cumsum(1).flip(1)
    return reward[:, None] - beta * to_come


def leave_one_out(returns: Float[Tensor, "B T"], group: int) -> Float[Tensor, "B T"]:
    r"""Return each return minus the mean of the others that answer the same prompt.

    .. math:: A_i = G_i − \frac{1}{k−1} \sum_{j ≠ i} G_j

    The baseline of an answer does not depend on that answer, so the gradient stays unbiased.

    Parameters
    ----------
    returns
        Rows in groups of k that follow each other.
    group
        k, at least 2.

    Raises
    ------
    ValueError
        If the rows do not divide into groups of at least two.

    Source: Kool, van Hoof and Welling (2019); Ahmadian et al. (2024).

    Explained in: 09_chatgpt
    """
    if group < 2 or len(returns) % group:
        raise ValueError(
            f"{len(returns)} answers do not divide into groups of {group}; a group needs at least 2"
        )
    grouped = returns.unflatten(0, (-1, group))
    others = (grouped.sum(dim=1, keepdim=True) - grouped) / (group - 1)
    return (grouped - others).flatten(0, 1)


def policy_gradient_loss(
    log_probs: Float[Tensor, "B T"],
    advantages: Float[Tensor, "B T"],
    *,
    old_log_probs: Float[Tensor, "B T"] | None = None,
    clip: float | None = None,
) -> Float[Tensor, ""]:
    r"""Return a number whose gradient is the policy gradient of the batch, with the sign of a loss.

    .. math:: L = −\frac1B \sum_{i,t} \min\bigl(ρ A,\ \mathrm{clip}(ρ, 1−ε, 1+ε)\, A\bigr),
        \qquad ρ = \frac{π(x_t)}{π_\text{old}(x_t)}

    On texts that the present policy wrote ρ is 1, and the gradient is that of REINFORCE,
    −(1/B) Σ A ∇ log π: unbiased, whatever the baseline in A. (The *value* of L says nothing.)

    Parameters
    ----------
    log_probs
        Of the tokens written, zero outside of the answer.
    advantages
        A, taken as given numbers.
    old_log_probs
        Of the policy that wrote the texts; the present one if not given.
    clip
        ε of PPO; needed only when the texts are used for more than one update.

    Raises
    ------
    ValueError
        If ``clip`` is not above 0.

    Source: Williams (1992); Schulman et al. (2017), eq. 7.

    Explained in: 09_chatgpt
    """
    old = log_probs if old_log_probs is None else old_log_probs
    ratio = (log_probs - old.detach()).exp()
    gain = ratio * advantages.detach()
    if clip is not None:
        if not clip > 0:
            raise ValueError(f"clip must be above 0, got {clip}")
        gain = torch.minimum(gain, ratio.clamp(1 - clip, 1 + clip) * advantages.detach())
    return -gain.sum() / len(log_probs)


class PolicyGradient:
    r"""REINFORCE with a leave-one-out baseline and a leash: a loss for :func:`optim.train`.

    Each call writes ``group`` answers to every prompt, rewards them, and returns the loss whose
    gradient estimates −∇J without bias. Batches are ``(prompts, seed)``; the seed decides what is
    written, so that a run can be repeated and resumed.

    Parameters
    ----------
    reference
        π_ref, which the leash is tied to; never changed.
    reward
        r, given tokens and answer; called without gradients.
    beta
        β ≥ 0, the strength of the leash, in units of reward per nat.
    steps, end, temperature
        As in :func:`sample_answers`. The gradient is unbiased for temperature 1, the only one
        offered.
    group
        k, answers to each prompt.
    watch
        Other rewards to record on the same answers, by name: they train nothing.

    Attributes
    ----------
    records
        One row for each call: mean ``reward``, ``kl`` in nats for a whole text, mean ``length``,
        and what is watched.

    Raises
    ------
    ValueError
        If β is negative or the group smaller than 2.

    Source: Ouyang et al. (2022), eq. 2, without its pre-training term; Ahmadian et al. (2024) for
    the leave-one-out estimator in place of PPO.

    Explained in: 09_chatgpt
    """

    def __init__(
        self,
        reference: GPT,
        reward: Reward,
        *,
        beta: float,
        steps: int,
        end: int,
        group: int = 4,
        watch: dict[str, Reward] | None = None,
    ):
        if not beta >= 0:
            raise ValueError(f"beta must be at least 0, got {beta}")
        if group < 2:
            raise ValueError(f"group must be at least 2 for a leave-one-out baseline, got {group}")
        self.reference, self.reward, self.beta = reference, reward, beta
        self.steps, self.end, self.group = steps, end, group
        self.watch = watch or {}
        self.records: list[dict[str, float]] = []

    def __call__(self, model: GPT, batch: tuple[Sequence[Tensor], int]) -> Float[Tensor, ""]:
        prompts, seed = batch
        rows = [prompt for prompt in prompts for _ in range(self.group)]
        generator = torch.Generator().manual_seed(seed)
        tokens, answer = sample_answers(model, rows, self.steps, self.end, generator=generator)
        logits = model(tokens)
        log_probs = answer_log_probs(logits, tokens, answer)
        with torch.no_grad():
            theirs = self.reference(tokens)
            log_ratio = log_probs.detach() - answer_log_probs(theirs, tokens, answer)
            reward = self.reward(tokens, answer)
            kl = token_kl(logits.detach(), theirs, answer).sum(1).mean()
            self._record(tokens, answer, reward, kl)
            returns = returns_to_go(reward, log_ratio, self.beta)
            advantages = leave_one_out(returns, self.group)
        return policy_gradient_loss(log_probs, advantages)

    def _record(self, tokens: Tensor, answer: Tensor, reward: Tensor, kl: Tensor) -> None:
        row = {
            "reward": reward.mean().item(),
            "kl": kl.item(),
            "length": answer.sum(1).double().mean().item(),
        }
        for name, other in self.watch.items():
            row[name] = other(tokens, answer).mean().item()
        self.records.append(row)


def leashed_optimum(
    log_reference: Float[Tensor, "*B X"], reward: Float[Tensor, "*B X"], beta: float
) -> Float[Tensor, "*B X"]:
    r"""Return the log-probabilities of the best policy over X texts, in closed form.

    .. math:: π^*(x) = \frac{π_\text{ref}(x)\, e^{r(x)/β}}{Z},
        \qquad Z = \sum_x π_\text{ref}(x)\, e^{r(x)/β}

    It maximises E[r] − β KL(π ‖ π_ref), and the maximum is β log Z.

    Parameters
    ----------
    log_reference
        log π_ref of every text; ``-inf`` forbids one.
    reward
        r.
    beta
        β > 0.

    Raises
    ------
    ValueError
        If β is not above 0: without a leash only the best text is left.

    Source: Korbak et al. (2022); Rafailov et al. (2023), eq. 4.

    Explained in: 09_chatgpt
    """
    if not beta > 0:
        raise ValueError(f"beta must be above 0, got {beta}; without a leash take the best text")
    return (log_reference + reward / beta).log_softmax(-1)


def leashed_objective(
    log_probs: Float[Tensor, "*B X"],
    log_reference: Float[Tensor, "*B X"],
    reward: Float[Tensor, "*B X"],
    beta: float,
) -> Float[Tensor, "*B"]:
    r"""Return J = Σ_x π(x) (r(x) − β log π(x)/π_ref(x)), summed over all texts.

    Explained in: 09_chatgpt
    """
    p = log_probs.exp()
    gap = torch.where(p > 0, log_probs - log_reference, 0.0)
    return (p * (reward - beta * gap)).sum(-1)
