"""How alike are two algorithms? The measures of the papers, each on what the two predict.

``guesses`` are predictions at the N positions of each prompt, ``[*batch, N]``: guess k has seen the
first k pairs. Means run over the batch, so a curve over positions is what comes back, unless a
function says otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Guesses = Float[Tensor, "*batch N"]


def squared_difference(first: Guesses, second: Guesses) -> Float[Tensor, "N"]:
    r"""Return the squared prediction difference (SPD) at each position.

    .. math:: \text{SPD}_k = \mathbb E\,(\hat y_k - \hat y'_k)^2

    Parameters
    ----------
    first, second
        The guesses of two algorithms on the same prompts.

    Raises
    ------
    ValueError
        If their shapes differ.

    Source: Akyürek et al. 2023.
    Explained in: 13_function_classes
    """
    _check_same(first, second)
    return _over_batch((first - second).square())


def prediction_difference(first: Guesses, second: Guesses) -> Float[Tensor, "N"]:
    r"""Return the mean absolute prediction difference at each position.

    .. math:: \mathbb E\,|\hat y_k - \hat y'_k|

    Parameters
    ----------
    first, second
        The guesses of two algorithms on the same prompts.

    Raises
    ------
    ValueError
        If their shapes differ.

    Source: von Oswald et al. 2023, whose distance it is for a single output.
    Explained in: 11_one_step
    """
    _check_same(first, second)
    return _over_batch((first - second).abs())


def implied_weights(
    queries: Float[Tensor, "*batch M d"], guesses: Float[Tensor, "*batch M"]
) -> Float[Tensor, "*batch d"]:
    r"""Return the weights of the linear function that best explains guesses on many queries.

    .. math:: \hat w = \arg\min_w \sum_{j \le M} (w \cdot x_j - \hat y_j)^2

    Ask one algorithm M questions after one and the same context. If it is linear in the query, the
    weights reproduce every guess; how far they do not is for the caller to look at.

    Parameters
    ----------
    queries
        At least d of them, in general position.
    guesses
        The answers.

    Raises
    ------
    ValueError
        If there are fewer than d queries: then many weights explain the guesses.

    Source: Akyürek et al. 2023.
    Explained in: 13_function_classes
    """
    asked, dimension = queries.shape[-2:]
    if queries.shape[:-1] != guesses.shape or asked < dimension:
        raise ValueError(
            f"expected at least {dimension} queries with one guess each, got queries of shape "
            f"{tuple(queries.shape)} and guesses of shape {tuple(guesses.shape)}"
        )
    return (torch.linalg.pinv(queries) @ guesses[..., None])[..., 0]


def weight_difference(
    first: Float[Tensor, "*batch prefixes d"], second: Float[Tensor, "*batch prefixes d"]
) -> Float[Tensor, "prefixes"]:
    r"""Return the implied linear weight difference (ILWD) at each prefix.

    .. math:: \text{ILWD}_k = \mathbb E\,\lVert \hat w_k - \hat w'_k \rVert^2

    Parameters
    ----------
    first, second
        Weights of two algorithms: a learner's own, or :func:`implied_weights`.

    Raises
    ------
    ValueError
        If their shapes differ.

    Source: Akyürek et al. 2023.
    Explained in: 13_function_classes
    """
    _check_same(first, second)
    return _over_batch((first - second).square().sum(-1))


def sensitivities(
    predict: Callable[[Tensor], Tensor], queries: Float[Tensor, "*batch d"]
) -> Float[Tensor, "*batch d"]:
    r"""Return how each guess reacts to its query, :math:`\partial \hat y / \partial x_q`.

    For an algorithm that is linear in the query these are its effective weights.

    Parameters
    ----------
    predict
        Maps queries ``[*batch, d]`` to guesses ``[*batch]``, each from its own query alone.
    queries
        Where the slope is taken.

    Raises
    ------
    ValueError
        If there is not one guess for each query.

    Source: von Oswald et al. 2023.
    Explained in: 11_one_step
    """
    with torch.enable_grad():
        points = queries.detach().clone().requires_grad_()
        guesses = predict(points)
        if guesses.shape != points.shape[:-1]:
            raise ValueError(
                f"expected guesses of shape {tuple(points.shape[:-1])}, got {tuple(guesses.shape)}"
            )
        (slopes,) = torch.autograd.grad(guesses.sum(), points)
    return slopes


def sensitivity_cosine(
    first: Float[Tensor, "*batch d"], second: Float[Tensor, "*batch d"]
) -> Float[Tensor, ""]:
    r"""Return the mean cosine between the sensitivities of two algorithms.

    Parameters
    ----------
    first, second
        What :func:`sensitivities` returned, or effective weights.

    Raises
    ------
    ValueError
        If the shapes differ, or a sensitivity is 0 and so has no direction.

    Source: von Oswald et al. 2023.
    Explained in: 11_one_step
    """
    return _cosines(first, second, "a sensitivity").mean()


def sensitivity_difference(
    first: Float[Tensor, "*batch d"], second: Float[Tensor, "*batch d"]
) -> Float[Tensor, ""]:
    r"""Return the mean Euclidean distance between the sensitivities of two algorithms.

    It is the "model difference" of the paper. Unlike the cosine it sees a wrong length.

    Parameters
    ----------
    first, second
        What :func:`sensitivities` returned, or effective weights.

    Raises
    ------
    ValueError
        If the shapes differ.

    Source: von Oswald et al. 2023.
    Explained in: 11_one_step
    """
    _check_same(first, second)
    return (first - second).norm(dim=-1).mean()


def error_similarity(first: Guesses, second: Guesses, targets: Guesses) -> Float[Tensor, ""]:
    r"""Return the similarity of errors: do two algorithms go wrong in the same places?

    .. math:: \mathbb E\,\cos(\hat y - y,\; \hat y' - y), \qquad
              \text{vectors over the N positions of one prompt}

    Parameters
    ----------
    first, second
        The guesses of two algorithms on the same prompts.
    targets
        The true values.

    Raises
    ------
    ValueError
        If the shapes differ, or an algorithm makes no error in some prompt: then there is no
        direction to compare.

    Source: Fu et al. 2023.
    Explained in: 12_deeper
    """
    _check_same(first, targets)
    _check_same(second, targets)
    return _cosines(first - targets, second - targets, "an error").mean()


@dataclass(frozen=True)
class Match:
    """Which member of a family of algorithms is most like a given one.

    Attributes
    ----------
    steps
        Its number of steps.
    similarity
        Its similarity of errors, at most 1.
    similarities
        That of every member, ``[steps + 1]``: a flat curve is a weak match.
    """

    steps: int
    similarity: float
    similarities: Tensor


def best_matching_steps(
    guesses: Guesses, family: Float[Tensor, "steps *batch N"], targets: Guesses
) -> Match:
    r"""Find the number of steps after which an iterative learner errs most like an algorithm.

    Parameters
    ----------
    guesses
        Those of the algorithm, say a transformer or one of its layers.
    family
        The learner's guesses after 0, 1, 2, … steps: ``predict_next`` of its trajectory.
    targets
        The true values.

    Returns
    -------
    Match
        Of equally similar members the one with the fewest steps.

    Raises
    ------
    ValueError
        As :func:`error_similarity`.

    Source: Fu et al. 2023.
    Explained in: 12_deeper
    """
    similarities = torch.stack([error_similarity(guesses, one, targets) for one in family])
    best = int(similarities.argmax())
    return Match(best, similarities[best].item(), similarities)


def _over_batch(values: Tensor) -> Tensor:
    return values.flatten(0, -2).mean(0) if values.ndim > 1 else values


def _check_same(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        raise ValueError(f"shapes {tuple(first.shape)} and {tuple(second.shape)} must agree")


def _cosines(first: Tensor, second: Tensor, what: str) -> Tensor:
    _check_same(first, second)
    lengths = torch.stack([first.norm(dim=-1), second.norm(dim=-1)])
    if not (lengths > 0).all():
        raise ValueError(f"{what} is zero, and so has no direction to compare")
    return (first * second).sum(-1) / lengths.prod(0)
