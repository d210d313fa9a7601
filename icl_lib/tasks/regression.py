"""In-context linear regression: prompts that hold examples of one hidden linear function.

A prompt is N pairs (x_i, y_i) of the same function; every prompt has a function of its own. What a
reader of the prompt can know about it stands in the prompt and nowhere else.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Distribution = Literal["normal", "uniform"]


@dataclass(frozen=True)
class Prompts:
    """A batch of prompts.

    Attributes
    ----------
    inputs
        The points x, ``[B, N, d]``.
    targets
        Their values y, noise included, ``[B, N]``.
    weights
        The hidden weights w of each prompt, ``[B, d]``. No learner may see them.
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def points(self) -> int:
        """N, the number of pairs in a prompt."""
        return self.inputs.shape[-2]

    @property
    def dimension(self) -> int:
        """d, the input dimension."""
        return self.inputs.shape[-1]


def linear_prompts(
    batch: int,
    points: int,
    dimension: int,
    *,
    noise: float = 0.0,
    input_scale: float = 1.0,
    weight_scale: float = 1.0,
    distribution: Distribution = "normal",
    covariance: Float[Tensor, "d d"] | None = None,
    intercept: bool = False,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Prompts:
    r"""Draw prompts of linear functions.

    .. math:: y_i = w \cdot x_i + \text{noise}\,\varepsilon_i, \qquad
              w \sim N(0, \text{weight\_scale}^2 I), \quad \varepsilon_i \sim N(0, 1)

    Parameters
    ----------
    batch, points, dimension
        B prompts of N pairs with d inputs.
    noise
        Standard deviation of the noise on y.
    input_scale
        Standard deviation of each input for ``"normal"``; half the width of its interval for
        ``"uniform"``.
    weight_scale
        Standard deviation of each weight.
    distribution
        ``"normal"``: independent normal inputs; ``"uniform"``: uniform in ± ``input_scale``.
    covariance
        Σ: the inputs drawn so are multiplied by its Cholesky factor, which for ``"normal"`` and
        ``input_scale`` 1 makes them N(0, Σ). ``None`` leaves all directions alike.
    intercept
        The last input is the constant 1, so that the last weight shifts the function: with d = 2
        the functions are straight lines with slope and intercept.
    generator
        Decides everything; the tensors are made on its device.
    dtype
        Of all three tensors.

    Returns
    -------
    Prompts
        Inputs ``[B, N, d]``, targets ``[B, N]``, weights ``[B, d]``.

    Raises
    ------
    ValueError
        If a size is not positive, a scale is negative, the distribution is unknown, or the
        covariance is no symmetric positive definite d × d matrix.

    Source: Garg et al. 2022 (``"normal"``); von Oswald et al. 2023 (``"uniform"``).
    Explained in: 01_learning_without_learning
    """
    _check_sizes(batch=batch, points=points, dimension=dimension)
    _check_scales(noise=noise, input_scale=input_scale, weight_scale=weight_scale)
    kind = {"dtype": dtype, "device": generator.device, "generator": generator}
    if distribution == "normal":
        inputs = input_scale * torch.randn(batch, points, dimension, **kind)
    elif distribution == "uniform":
        inputs = input_scale * (2 * torch.rand(batch, points, dimension, **kind) - 1)
    else:
        raise ValueError(f"distribution must be 'normal' or 'uniform', got {distribution!r}")
    if covariance is not None:
        inputs = inputs @ _factor(covariance, dimension).to(inputs).mT
    if intercept:
        inputs[..., -1] = 1.0
    weights = weight_scale * torch.randn(batch, dimension, **kind)
    errors = noise * torch.randn(batch, points, **kind)
    targets = torch.einsum("bnd,bd->bn", inputs, weights) + errors
    return Prompts(inputs, targets, weights)


def interleave(
    inputs: Float[Tensor, "*batch N d"], targets: Float[Tensor, "*batch N"]
) -> Float[Tensor, "*batch 2*N d+1"]:
    """Write each pair as two tokens: x_1, y_1, x_2, y_2, …

    Token 2i holds x_i in its first d places, token 2i+1 holds y_i in its last; the others are 0.
    The prediction for y_i is read at token 2i, which has seen the pairs before i and x_i.

    Parameters
    ----------
    inputs, targets
        Points and values.

    Returns
    -------
    Tensor
        2N tokens of width d + 1.

    Source: Garg et al. 2022. Differs: y has a place of its own; in the paper it shares
    the first place with x.
    Explained in: 01_learning_without_learning
    """
    asked = torch.cat([inputs, torch.zeros_like(targets)[..., None]], dim=-1)
    told = torch.cat([torch.zeros_like(inputs), targets[..., None]], dim=-1)
    return torch.stack([asked, told], dim=-2).flatten(-3, -2)


def question_tokens(
    inputs: Float[Tensor, "*batch N d"], targets: Float[Tensor, "*batch N"]
) -> Float[Tensor, "*batch N 2*d+1"]:
    """Write each pair as one token that also asks the next question: (x_{i−1}, y_{i−1}, x_i).

    The prediction for y_i is read at token i, which has seen the pairs before i and x_i. Before the
    first pair there is none, so the first token holds zeros in its place. Half as many tokens as
    :func:`interleave`, and no layer has to find out which y belongs to which x.

    Parameters
    ----------
    inputs, targets
        Points and values. The last target is not used: nothing is asked after it.

    Returns
    -------
    Tensor
        N tokens of width 2d + 1.

    Explained in: 01_learning_without_learning
    """
    pairs = torch.cat([inputs, targets[..., None]], dim=-1)
    before = torch.cat([torch.zeros_like(pairs[..., :1, :]), pairs[..., :-1, :]], dim=-2)
    return torch.cat([before, inputs], dim=-1)


def shuffle_targets(prompts: Prompts, shown: int, *, generator: torch.Generator) -> Prompts:
    """Give the first ``shown`` points each other's targets: the control with the pairing broken.

    Every prompt gets its own order. The same points and the same values are there; only which
    belongs to which is lost. The points after them keep their own targets.

    Parameters
    ----------
    prompts
        Left as they are.
    shown
        How many pairs are mixed.
    generator
        Decides the order.

    Raises
    ------
    ValueError
        If there are fewer than ``shown`` points.

    Source: the control of Min et al. 2022 (random labels), for regression.
    Explained in: 01_learning_without_learning
    """
    if not 0 <= shown <= prompts.points:
        raise ValueError(f"shown must be between 0 and {prompts.points} (the points), got {shown}")
    keys = torch.rand(len(prompts), shown, generator=generator, device=generator.device)
    mixed = prompts.targets[:, :shown].gather(1, keys.argsort(dim=1).to(prompts.targets.device))
    targets = torch.cat([mixed, prompts.targets[:, shown:]], dim=1)
    return Prompts(prompts.inputs, targets, prompts.weights)


def _factor(covariance: Tensor, dimension: int) -> Tensor:
    """Return the lower triangular L with L Lᵀ = Σ."""
    if covariance.shape != (dimension, dimension):
        raise ValueError(
            f"covariance has shape {tuple(covariance.shape)}, expected {(dimension, dimension)}"
        )
    if not torch.allclose(covariance, covariance.mT):
        raise ValueError("covariance must be symmetric, got one that differs from its transpose")
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        smallest = torch.linalg.eigvalsh(covariance)[0].item()
        raise ValueError(
            f"covariance must be positive definite, its smallest eigenvalue is {smallest:.3g}"
        )
    return factor


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def _check_scales(**scales: float) -> None:
    for name, scale in scales.items():
        if not scale >= 0:
            raise ValueError(f"{name} must not be negative, got {scale}")
