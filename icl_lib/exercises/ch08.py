"""Exercises of chapter 8: the loss on a label, LoRA from scratch, the pull of the KL penalty."""

import torch
import torch.nn.functional as F
from torch import Tensor

from icl_lib.exercises.core import Exercise, Step, expect_close


def _draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


# ---- the loss on a label ------------------------------------------------------------------------


def _label(logits: Tensor, tokens: Tensor, start: int) -> Tensor:
    log_p = logits[start - 1 : -1].log_softmax(-1)
    return -log_p.gather(1, tokens[start:, None]).mean()


def _label_late(logits, tokens, start):
    return -logits[start:].log_softmax(-1).gather(1, tokens[start:, None]).mean()


def _label_whole(logits, tokens, start):
    return F.cross_entropy(logits[:-1], tokens[1:])


def _label_sum(logits, tokens, start):
    return _label(logits, tokens, start) * (len(tokens) - start)


def _label_no_softmax(logits, tokens, start):
    return -logits[start - 1 : -1].gather(1, tokens[start:, None]).mean()


def _check_label(prompt: int, label: int):
    def test(f) -> None:
        logits = _draw(prompt + label, 7, seed=prompt)
        tokens = torch.arange(prompt + label) * 3 % 7
        wanted = F.cross_entropy(logits[prompt - 1 : -1], tokens[prompt:])
        expect_close(f(logits, tokens, prompt), wanted, what=f"prompt of {prompt}, label {label}")

    return test


LABEL = Exercise(
    "ch08-label",
    "the loss on the label, and on nothing else",
    (
        Step("a prompt and a label of one token each", _check_label(1, 1)),
        Step("a longer prompt does not enter", _check_label(5, 1)),
        Step("a label of several tokens: their mean", _check_label(4, 3)),
    ),
    _label,
    {
        "reads the logits one place late": _label_late,
        "counts the prompt too": _label_whole,
        "sum instead of mean": _label_sum,
        "no softmax": _label_no_softmax,
    },
)


# ---- LoRA from scratch --------------------------------------------------------------------------


def _lora(x: Tensor, w: Tensor, a: Tensor, b: Tensor, alpha: float) -> Tensor:
    return x @ w.T + alpha / len(a) * (x @ a.T) @ b.T


def _lora_without_rank(x, w, a, b, alpha):
    return x @ w.T + alpha * (x @ a.T) @ b.T


def _lora_replaces(x, w, a, b, alpha):
    return alpha / len(a) * (x @ a.T) @ b.T


def _lora_by_width(x, w, a, b, alpha):
    return x @ w.T + alpha / a.shape[1] * (x @ a.T) @ b.T


def _check_lora(rank: int, rows: int, *, zero: bool = False):
    def test(f) -> None:
        x, w, a, b = _draw(rows, 5), _draw(4, 5, seed=1), _draw(rank, 5, seed=2), _draw(4, rank)
        b = torch.zeros_like(b) if zero else b
        wanted = x @ (w + 6.0 / rank * b @ a).T
        what = f"rank {rank}, {rows} rows of x{', B = 0' if zero else ''}"
        expect_close(f(x, w, a, b, 6.0), wanted, what=what)

    return test


LORA = Exercise(
    "ch08-lora",
    "a frozen matrix and a low-rank product beside it",
    (
        Step("B = 0: nothing has changed yet", _check_lora(1, 1, zero=True)),
        Step("rank 1: one outer product, times α", _check_lora(1, 2)),
        Step("rank 3: the factor is α/r", _check_lora(3, 2)),
    ),
    _lora,
    {
        "α instead of α/r": _lora_without_rank,
        "forgets the frozen matrix": _lora_replaces,
        "divides by the width": _lora_by_width,
    },
)


# ---- the pull of the KL penalty -----------------------------------------------------------------


def _pull(reference: Tensor, logits: Tensor) -> Tensor:
    return logits.softmax(-1) - reference.softmax(-1)


def _pull_backwards(reference, logits):
    return reference.softmax(-1) - logits.softmax(-1)


def _pull_of_logits(reference, logits):
    return logits - reference


def _pull_of_reverse(reference, logits):
    p = logits.softmax(-1)
    gap = logits.log_softmax(-1) - reference.log_softmax(-1)
    return p * (gap - (p * gap).sum(-1, keepdim=True))


def _gradient(reference: Tensor, logits: Tensor) -> Tensor:
    leaf = logits.clone().requires_grad_()
    log_p0 = reference.log_softmax(-1)
    (log_p0.exp() * (log_p0 - leaf.log_softmax(-1))).sum().backward()
    return leaf.grad


def _check_pull(reference: Tensor, logits: Tensor, what: str):
    def test(f) -> None:
        expect_close(f(reference, logits), _gradient(reference, logits), what=what)

    return test


PULL = Exercise(
    "ch08-pull",
    "the gradient of KL(π₀‖π) with respect to the logits of π",
    (
        Step("no pull where the two agree", _check_pull(_draw(4), _draw(4), "equal logits")),
        Step("a constant added to all logits pulls at nothing",
             _check_pull(_draw(4), _draw(4) + 3.0, "shifted logits")),
        Step("two tokens, by hand", _check_pull(torch.zeros(2).double(),
             torch.tensor([2.0, 0.0]).double(), "π₀ = (½, ½), logits (2, 0)")),
        Step("many places at once", _check_pull(_draw(3, 6), _draw(3, 6, seed=1), "three places")),
    ),
    _pull,
    {
        "the wrong way round": _pull_backwards,
        "difference of logits": _pull_of_logits,
        "gradient of KL(π‖π₀)": _pull_of_reverse,
    },
)  # fmt: skip

EXERCISES = (LABEL, LORA, PULL)
