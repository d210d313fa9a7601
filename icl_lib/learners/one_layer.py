"""All that one layer of linear attention can see of a prompt."""

import torch
from jaxtyping import Float
from torch import Tensor


def one_layer_features(
    inputs: Float[Tensor, "*batch N d"],
    targets: Float[Tensor, "*batch N"],
    query: Float[Tensor, "*batch d"],
) -> Float[Tensor, "*batch features"]:
    r"""Return the numbers that the heads of one layer can weigh and add.

    A head says :math:`\sum_i (v^\top e_i)(e_i^\top M e_q)` with :math:`e_i = (x_i, y_i)` and
    :math:`e_q = (x_q, 0)`. So whatever its matrices, and whatever the number of heads, the answer
    is a weighted sum of the products

    .. math:: \Big[\tfrac1N \sum_i e_i e_i^\top\Big]_{ab} \cdot [x_q]_c , \qquad a \le b .

    Least squares on these features gives the best that any such layer can do.

    Parameters
    ----------
    inputs, targets
        N demonstrations.
    query
        One query for each prompt, shown with a 0 in the place of its answer.

    Returns
    -------
    Tensor
        ``(d + 1)(d + 2)/2 · d`` numbers for each prompt.

    Raises
    ------
    ValueError
        If shapes do not fit each other.

    Explained in: 15_limits
    """
    if inputs.shape[:-1] != targets.shape or query.shape != (*inputs.shape[:-2], inputs.shape[-1]):
        raise ValueError(
            f"inputs {tuple(inputs.shape)}, targets {tuple(targets.shape)} and query "
            f"{tuple(query.shape)} do not fit; expected [*batch, N, d], [*batch, N], [*batch, d]"
        )
    tokens = torch.cat([inputs, targets[..., None]], dim=-1)
    products = tokens.mT @ tokens / inputs.shape[-2]
    rows, columns = torch.triu_indices(tokens.shape[-1], tokens.shape[-1], device=inputs.device)
    seen = products[..., rows, columns]
    return (seen[..., :, None] * query[..., None, :]).flatten(-2)
