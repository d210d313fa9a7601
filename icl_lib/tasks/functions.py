"""In-context problems beyond dense linear functions: sparse ones, decision trees, small networks.

Every prompt has a function of its own, drawn at random. What a reader can know about it stands in
the prompt. Inputs are independent standard normal numbers, times a scale.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from icl_lib.tasks.regression import Prompts


def sparse_prompts(
    batch: int,
    points: int,
    dimension: int,
    nonzero: int,
    *,
    noise: float = 0.0,
    input_scale: float = 1.0,
    weight_scale: float = 1.0,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Prompts:
    r"""Draw prompts of linear functions with few non-zero weights.

    .. math:: y_i = \sum_{j \in S} w_j x_{ij} + \text{noise}\,\varepsilon_i, \qquad |S| = s

    The set S is uniform among all of its size, and w_j is normal inside it. With fewer examples
    than inputs least squares cannot know that most weights are 0; Lasso can.

    Parameters
    ----------
    batch, points, dimension
        B prompts of N pairs with d inputs.
    nonzero
        s, how many weights are not 0.
    noise
        Standard deviation of the noise on y.
    input_scale, weight_scale
        Standard deviation of each input and of each non-zero weight.
    generator
        Decides everything; the tensors are made on its device.
    dtype
        Of all three tensors.

    Raises
    ------
    ValueError
        If a size is not positive, a scale is negative, or ``nonzero`` is above ``dimension``.

    Source: Garg et al. 2022, sparse linear functions (there d = 20 and s = 3).
    Explained in: 13_function_classes
    """
    _check(noise, input_scale, weight_scale, batch=batch, points=points, dimension=dimension)
    if not 1 <= nonzero <= dimension:
        raise ValueError(f"nonzero must be between 1 and {dimension} (inputs), got {nonzero}")
    kind = {"dtype": dtype, "device": generator.device, "generator": generator}
    inputs = input_scale * torch.randn(batch, points, dimension, **kind)
    order = torch.rand(batch, dimension, **kind).argsort(dim=1)
    weights = weight_scale * torch.randn(batch, dimension, **kind) * (order < nonzero)
    errors = noise * torch.randn(batch, points, **kind)
    return Prompts(inputs, torch.einsum("bnd,bd->bn", inputs, weights) + errors, weights)


def network_prompts(
    batch: int,
    points: int,
    dimension: int,
    hidden: int,
    *,
    noise: float = 0.0,
    input_scale: float = 1.0,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Prompts:
    r"""Draw prompts of two-layer networks with ReLU units and no biases.

    .. math:: y = \sqrt{2/r}\,\sum_{j=1}^{r} a_j \max(0, u_j \cdot x)

    All a_j and all entries of u_j are standard normal, so that :math:`E\,y^2 = |x|^2`, as it is
    for the linear functions.

    Parameters
    ----------
    batch, points, dimension
        B prompts of N pairs with d inputs.
    hidden
        r, units of each network.
    noise
        Standard deviation of the noise on y.
    input_scale
        Standard deviation of each input.
    generator
        Decides everything; the tensors are made on its device.
    dtype
        Of all three tensors.

    Returns
    -------
    Prompts
        ``weights`` holds u_1, a_1, u_2, a_2, … in one row, ``[B, r (d + 1)]``.

    Raises
    ------
    ValueError
        If a size is not positive or a scale is negative.

    Source: Garg et al. 2022, two-layer networks (there d = 20 and r = 100).
    Explained in: 13_function_classes
    """
    _check(noise, input_scale, batch=batch, points=points, dimension=dimension, hidden=hidden)
    kind = {"dtype": dtype, "device": generator.device, "generator": generator}
    inputs = input_scale * torch.randn(batch, points, dimension, **kind)
    weights = torch.randn(batch, hidden, dimension + 1, **kind)
    units = torch.einsum("bnd,brd->bnr", inputs, weights[..., :-1]).relu()
    targets = (2 / hidden) ** 0.5 * torch.einsum("bnr,br->bn", units, weights[..., -1])
    errors = noise * torch.randn(batch, points, **kind)
    return Prompts(inputs, targets + errors, weights.flatten(1))


def tree_prompts(
    batch: int,
    points: int,
    dimension: int,
    depth: int,
    *,
    noise: float = 0.0,
    input_scale: float = 1.0,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Prompts:
    """Draw prompts of full binary decision trees.

    Each inner node asks for the sign of one input, drawn uniformly; one goes left where it is
    negative and right where it is not. Each of the 2^depth leaves holds a standard normal value.

    Parameters
    ----------
    batch, points, dimension
        B prompts of N pairs with d inputs.
    depth
        Questions between the root and a leaf. An input may be asked for twice.
    noise
        Standard deviation of the noise on y.
    input_scale
        Standard deviation of each input; the answers do not depend on it.
    generator
        Decides everything; the tensors are made on its device.
    dtype
        Of all three tensors.

    Returns
    -------
    Prompts
        ``weights`` holds the values of the leaves from left to right, ``[B, 2^depth]``.

    Raises
    ------
    ValueError
        If a size is not positive or a scale is negative.

    Source: Garg et al. 2022, decision trees (there d = 20 and depth 4).
    Explained in: 13_function_classes
    """
    _check(noise, input_scale, batch=batch, points=points, dimension=dimension, depth=depth)
    kind = {"dtype": dtype, "device": generator.device, "generator": generator}
    inputs = input_scale * torch.randn(batch, points, dimension, **kind)
    asked = torch.randint(
        dimension, (batch, 2**depth - 1), generator=generator, device=generator.device
    )
    leaves = torch.randn(batch, 2**depth, **kind)
    errors = noise * torch.randn(batch, points, **kind)
    return Prompts(inputs, leaves.gather(1, find_leaves(inputs, asked)) + errors, leaves)


def find_leaves(
    inputs: Float[Tensor, "B N d"], asked: Int[Tensor, "B nodes"]
) -> Int[Tensor, "B N"]:
    """Return the number of the leaf, from the left, in which each point ends.

    Parameters
    ----------
    inputs
        The points.
    asked
        Which input each inner node asks for, root first, then level by level.

    Raises
    ------
    ValueError
        If the number of inner nodes is not 2^depth − 1.

    Explained in: 13_function_classes
    """
    nodes = asked.shape[1]
    if (nodes + 1) & nodes or nodes < 1:
        raise ValueError(f"a full tree has 1, 3, 7, … inner nodes, got {nodes}")
    node = torch.zeros(inputs.shape[:2], dtype=torch.long, device=inputs.device)
    for _ in range((nodes + 1).bit_length() - 1):
        which = asked.gather(1, node)
        right = inputs.gather(2, which[..., None])[..., 0] >= 0
        node = 2 * node + 1 + right.long()
    return node - nodes


def _check(*scales: float, **sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    for scale in scales:
        if not scale >= 0:
            raise ValueError(f"noise and scales must not be negative, got {scale}")
