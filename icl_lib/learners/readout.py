r"""Reading a number out of frozen features: one linear map, by one solve.

What does a network know after layer l? Put a linear read-out of its own on that layer, fit it to
the true targets, and look at what it predicts. The features are frozen, so the best read-out is a
ridge regression: nothing has to be trained.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Readout:
    """A linear map from features to a number.

    Attributes
    ----------
    weight
        ``[F]``.
    bias
        One number.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Float[Tensor, "*batch F"]) -> Float[Tensor, "*batch"]:
        """Return the prediction at each place."""
        return features @ self.weight + self.bias


def ridge_readout(
    features: Float[Tensor, "*batch F"],
    targets: Float[Tensor, "*places"],
    *,
    penalty: float = 1e-4,
) -> Readout:
    r"""Fit one read-out to all places of all prompts.

    .. math:: \min_{a,\,b}\; \frac1M \sum_j (a \cdot h_j + b - y_j)^2
              + \lambda \sum_f s_f^2\,a_f^2

    with :math:`s_f` the standard deviation of feature f: the penalty does not depend on the units
    of a feature. The bias is free. It is solved in float64.

    Parameters
    ----------
    features
        h of each place. Give those of other prompts than the ones to be judged.
    targets
        y of each place.
    penalty
        λ, not negative. With 0 the features must be linearly independent.

    Returns
    -------
    Readout
        In the dtype of the features.

    Raises
    ------
    ValueError
        If shapes do not fit, λ is negative, or with λ = 0 the solution is not unique.

    Source: ridge regression, Hoerl and Kennard (1970); a read-out for each layer is the probe of Fu
    et al. (2023), who train theirs by gradient descent.

    Explained in: 12_deeper
    """
    if features.shape[:-1] != targets.shape:
        raise ValueError(
            f"features have shape {tuple(features.shape)}, targets {tuple(targets.shape)}; "
            "expected [*batch, F] and [*batch]"
        )
    if not penalty >= 0:
        raise ValueError(f"penalty must not be negative, got {penalty}")
    rows, wanted = features.reshape(-1, features.shape[-1]).double(), targets.reshape(-1).double()
    centre, middle = rows.mean(dim=0), wanted.mean()
    rows, wanted = rows - centre, wanted - middle
    spread = rows.square().mean(dim=0)
    gram = rows.mT @ rows / len(rows) + penalty * torch.diag(spread)
    # a feature that never varies says nothing: its weight is 0
    gram = gram + torch.diag((spread == 0).to(gram) * (penalty > 0))
    weight, problem = torch.linalg.solve_ex(gram, rows.mT @ wanted / len(rows))
    singular = penalty == 0 and torch.linalg.matrix_rank(gram) < len(gram)
    if problem.item() or singular:
        raise ValueError("features are linearly dependent; a penalty above 0 makes it unique")
    return Readout(weight.to(features), (middle - centre @ weight).to(features))


def layer_readouts(
    features: Float[Tensor, "layers *batch F"],
    targets: Float[Tensor, "*batch"],
    unseen: Float[Tensor, "depth *others F"],
    *,
    penalty: float = 1e-4,
) -> Float[Tensor, "depth *others"]:
    """Fit one read-out for each layer and return what they say on other prompts.

    Parameters
    ----------
    features, targets
        Frozen features of every layer, and the true values, of the prompts that are fitted.
    unseen
        Features of the prompts that are judged.
    penalty
        As in :func:`ridge_readout`.

    Raises
    ------
    ValueError
        As :func:`ridge_readout`, or if the numbers of layers differ.

    Explained in: 12_deeper
    """
    if len(features) != len(unseen):
        raise ValueError(f"got features of {len(features)} layers and of {len(unseen)}")
    fitted = [ridge_readout(layer, targets, penalty=penalty) for layer in features]
    return torch.stack([read(layer) for read, layer in zip(fitted, unseen, strict=True)])
