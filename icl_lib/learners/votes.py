"""Bayes' rule where the hidden function has a discrete part: every possible shape votes.

A sparse linear function hides which of its weights are not 0; a decision tree hides what its nodes
ask. Both have few enough shapes to list. Each shape makes its own guess, and the guesses are
averaged with the probability that the pairs give to each shape.
"""

from itertools import combinations, product

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib.learners.prefixes import check_pairs

MOST_SHAPES = 4096
"""Shapes beyond which a vote is refused."""

LARGEST = 4_000_000
"""Numbers that one table, prompts × shapes × points × points, may hold."""


def sparse_vote(
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
    nonzero: int,
    *,
    noise: float = 1e-3,
) -> Float[Tensor, "*batch N+1 d"]:
    r"""Return the posterior mean of linear functions with s non-zero weights.

    .. math:: \hat w_k = \sum_S p(S \mid \text{pairs})\, \mathbb E[w \mid S, \text{pairs}], \qquad
              p(S \mid \text{pairs}) \propto N(y;\, 0,\, X_S X_S^\top + \text{noise}^2 I)

    S runs over the sets of s inputs, all equally likely; the weights inside are N(0, 1). Given S
    the answer is ridge on the inputs of S alone. The pairs are taken one after the other: each
    updates the mean and the covariance of every S, and its likelihood.

    Parameters
    ----------
    inputs, targets
        The pairs.
    nonzero
        s.
    noise
        Standard deviation of the noise on y. Without noise in the prompts a small one gives the
        same answers up to its size, and float64 is advisable.

    Raises
    ------
    ValueError
        If the pairs do not fit together, s is out of range, the noise is not positive, or there
        are more than :data:`MOST_SHAPES` sets.

    Source: Bayes' rule for a mixture of linear models with normal weights.
    Explained in: 13_function_classes
    """
    check_pairs(inputs, targets)
    dimension = inputs.shape[-1]
    if not 1 <= nonzero <= dimension:
        raise ValueError(f"nonzero must be between 1 and {dimension} (inputs), got {nonzero}")
    if not noise > 0:
        raise ValueError(f"noise must be positive, got {noise}")
    sets = torch.tensor(list(combinations(range(dimension), nonzero)), device=inputs.device)
    _check_shapes(len(sets))
    chosen = inputs[..., sets].movedim(-2, -3)  # [*batch, sets, N, s]
    means, evidence = _posteriors(chosen, targets[..., None, :], noise)
    chances = torch.softmax(evidence, dim=-2)  # over the sets, [*batch, sets, N + 1]
    spread = torch.nn.functional.one_hot(sets, dimension).to(inputs.dtype)
    return torch.einsum("...pk,...pks,psd->...kd", chances, means, spread)


def _posteriors(x: Tensor, y: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Return posterior means [..., N + 1, s] and log evidences [..., N + 1] of linear models."""
    *batch, points, size = x.shape
    mean, evidence = x.new_zeros(*batch, size), x.new_zeros(batch)
    covariance = torch.eye(size, dtype=x.dtype, device=x.device).expand(*batch, size, size)
    means, evidences = [mean], [evidence]
    for i in range(points):
        point = x[..., i, :]
        reach = (covariance @ point[..., None])[..., 0]
        variance = (reach * point).sum(-1) + noise**2
        surprise = y[..., i] - (mean * point).sum(-1)
        gain = reach / variance[..., None]
        mean = mean + gain * surprise[..., None]
        covariance = covariance - gain[..., :, None] * reach[..., None, :]
        evidence = evidence - (variance.log() + surprise.square() / variance) / 2
        means.append(mean)
        evidences.append(evidence)
    return torch.stack(means, dim=-2), torch.stack(evidences, dim=-1)


def tree_vote(
    inputs: Float[Tensor, "*batch N d"], targets: Float[Tensor, "*batch N"], depth: int
) -> Float[Tensor, "*batch N"]:
    r"""Guess each target by Bayes' rule for full decision trees whose nodes ask for signs.

    A tree is possible after k pairs if two of them have the same value exactly when they end in
    the same leaf. All possible trees are equally likely: leaves have independent values from one
    density, so the pairs are as likely under each of them. A possible tree votes for the value of
    the query's leaf, or for the mean of all leaves, 0, where no pair fell into it.

    Parameters
    ----------
    inputs, targets
        The pairs, without noise, of trees that ask each node for one input, uniformly, and have
        leaves with independent values of mean 0.
    depth
        Questions from the root to a leaf.

    Returns
    -------
    Tensor
        Guess k has seen the first k pairs.

    Raises
    ------
    ValueError
        If the pairs do not fit together, there are more than :data:`MOST_SHAPES` trees, or some
        prompt fits no tree of this depth (noise, or another depth).

    Source: Bayes' rule; the trees are those of Garg et al. 2022.
    Explained in: 13_function_classes
    """
    check_pairs(inputs, targets)
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    *batch, points, dimension = inputs.shape
    _check_shapes(dimension ** (2**depth - 1))
    asked = torch.tensor(list(product(range(dimension), repeat=2**depth - 1)))
    x, y = inputs.reshape(-1, points, dimension), targets.reshape(-1, points)
    group = max(1, LARGEST // (len(asked) * points**2))
    parts = [
        _vote(a, b, asked.to(x.device), depth)
        for a, b in zip(x.split(group), y.split(group), strict=True)
    ]
    return torch.cat(parts).reshape(*batch, points)


def _vote(x: Tensor, y: Tensor, asked: Tensor, depth: int) -> Tensor:
    leaves = _leaves(x >= 0, asked, depth)
    earlier = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril(-1)
    same_leaf = (leaves[..., :, None] == leaves[..., None, :]) & earlier
    same_value = (y[:, :, None] == y[:, None, :])[:, None] & earlier
    contradicted = (same_leaf != same_value).any(-1).cumsum(-1)  # [B, trees, N]
    if (contradicted[..., -1] > 0).all(-1).any():
        raise ValueError(f"some prompt fits no tree of depth {depth}")
    possible = torch.cat([torch.zeros_like(contradicted[..., :1]), contradicted[..., :-1]], -1) == 0
    told = (
        same_leaf.to(y.dtype) @ y[:, None, :, None] / same_leaf.sum(-1, keepdim=True).clamp(min=1)
    )
    votes = possible.to(y.dtype)
    return (votes * told[..., 0]).sum(1) / votes.sum(1)


def _leaves(right: Tensor, asked: Tensor, depth: int) -> Tensor:
    """Return in which leaf of every tree each point ends, ``[B, trees, N]``."""
    trees = torch.arange(len(asked), device=right.device)[:, None]
    node = torch.zeros(
        len(right), len(asked), right.shape[1], dtype=torch.long, device=right.device
    )
    answers = right.movedim(-1, 1)  # [B, d, N]
    for _ in range(depth):
        which = asked[trees, node]
        node = 2 * node + 1 + answers.gather(1, which).long()
    return node


def _check_shapes(count: int) -> None:
    if count > MOST_SHAPES:
        raise ValueError(f"a vote over {count} shapes is refused; at most {MOST_SHAPES}")
