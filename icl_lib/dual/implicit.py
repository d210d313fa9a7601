"""The implicit update of an MLP: context as an exact change of rank one of its first matrix.

A block feeds the output A(C, x) of attention, which sees a context C, into an MLP. The same output
comes from the MLP without context, if its first matrix W gets one outer product added.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib.dual.factored import OuterSum


@dataclass(frozen=True, eq=False)
class MLP:
    """The part of a block after attention: W_out g(W a + b) + b_out, plus a skip if there is one.

    Attributes
    ----------
    w_in, b_in
        W, ``h d``, and b, ``h``: the layer that the update changes.
    w_out, b_out
        ``o h`` and ``o``.
    activation
        g, elementwise.
    """

    w_in: Float[Tensor, "h d"]
    b_in: Float[Tensor, "h"]
    w_out: Float[Tensor, "o h"]
    b_out: Float[Tensor, "o"]
    activation: Callable[[Tensor], Tensor] = torch.nn.functional.gelu

    def __call__(
        self, a: Float[Tensor, "*M d"], *, skip: Float[Tensor, "*M o"] | None = None
    ) -> Float[Tensor, "*M o"]:
        """Return the block's output for MLP inputs ``a``; ``skip`` is added if it is given."""
        hidden = self.activation(a @ self.w_in.T + self.b_in)
        out = hidden @ self.w_out.T + self.b_out
        return out if skip is None else skip + out


def implicit_update(
    weight: Float[Tensor, "h d"], without: Float[Tensor, "d"], within: Float[Tensor, "d"]
) -> OuterSum:
    """Return the update of rank one that stands for the context at one token.

    ΔW = (W ΔA) A(x)ᵀ / ‖A(x)‖²,  ΔA = A(C, x) − A(x). Then (W + ΔW) A(x) = W A(C, x) exactly.

    Parameters
    ----------
    weight
        W, the first matrix of the MLP.
    without
        A(x): what the MLP is fed without context.
    within
        A(C, x): what it is fed with context.

    Returns
    -------
    OuterSum
        One term: value W ΔA / ‖A(x)‖², key A(x).

    Raises
    ------
    ValueError
        If widths disagree or A(x) is zero, where no matrix can do it.

    Notes
    -----
    Source: Dherin et al. (2025), theorem on the implicit weight update. In a block with layer
    normalisation, A is the normalised input of the MLP.
    Explained in: 06_meta_optimizer.
    """
    if not weight.shape[1] == len(without) == len(within):
        raise ValueError(
            f"the matrix takes width {weight.shape[1]}, A(x) has {len(without)} "
            f"and A(C, x) {len(within)}; they must agree"
        )
    square = without @ without
    if square == 0:
        raise ValueError("A(x) is zero; no matrix maps it to anything else")
    return OuterSum((weight @ (within - without) / square)[None], without[None])


def implicit_mlp(
    mlp: MLP,
    without: Float[Tensor, "d"],
    within: Float[Tensor, "d"],
    *,
    skip_change: Float[Tensor, "o"] | None = None,
) -> MLP:
    """Return the MLP that needs no context at this token.

    W becomes W + ΔW. With a skip connection around the MLP the context also travels past it; the
    output bias takes that part: Δb_out = the change of the skipped vector.

    Parameters
    ----------
    mlp
        The MLP of the block.
    without, within
        Its input without and with context, as in :func:`implicit_update`.
    skip_change
        Skipped vector with context minus without; ``None`` if the block has no skip connection.

    Returns
    -------
    MLP
        ``implicit_mlp(...)(without, skip=skip_without) == mlp(within, skip=skip_within)``.

    Raises
    ------
    ValueError
        As :func:`implicit_update`.

    Notes
    -----
    Source: Dherin et al. (2025), the theorem and its version for skip connections.
    Explained in: 06_meta_optimizer.
    """
    w_in = mlp.w_in + implicit_update(mlp.w_in, without, within).as_matrix()
    b_out = mlp.b_out if skip_change is None else mlp.b_out + skip_change
    return replace(mlp, w_in=w_in, b_out=b_out)


def implicit_steps(weight: Float[Tensor, "h d"], inputs: Float[Tensor, "steps d"]) -> OuterSum:
    """Return the updates of a context that grows token by token, one term per token.

    Row 0 of ``inputs`` is A(x), row i is A(c_1 … c_i, x). Step i adds
    W (A_i − A_{i−1}) A(x)ᵀ / ‖A(x)‖². The terms sum to the update of the whole context.

    Parameters
    ----------
    weight
        W, the first matrix of the MLP.
    inputs
        What the MLP is fed at this token for each length of the context, the empty one first.

    Returns
    -------
    OuterSum
        ``steps − 1`` terms that share one key: the rank stays 1.

    Raises
    ------
    ValueError
        If widths disagree or A(x) is zero.

    Notes
    -----
    Source: Dherin et al. (2025), the sequence of updates. Each is a gradient step with rate
    1/‖A(x)‖² on the loss trace(Δ_iᵀ W), which is linear in W and new at each step.
    Explained in: 06_meta_optimizer.
    """
    if weight.shape[1] != inputs.shape[1]:
        raise ValueError(
            f"the matrix takes width {weight.shape[1]}, its inputs have {inputs.shape[1]}; "
            "they must agree"
        )
    square = inputs[0] @ inputs[0]
    if square == 0:
        raise ValueError("A(x) is zero; no matrix maps it to anything else")
    changes = inputs.diff(dim=0)
    return OuterSum(changes @ weight.T / square, inputs[:1].expand(len(changes), -1))


def carry_over(
    weight: Float[Tensor, "h d"],
    without: Float[Tensor, "M d"],
    within: Float[Tensor, "M d"],
) -> Float[Tensor, "M M"]:
    """Return how well the update made for token i serves token j.

    R_ij = ‖(W + ΔW_i) A_j(x) − W A_j(C, x)‖ / ‖W A_j(x) − W A_j(C, x)‖. Zero on the diagonal, where
    the update is exact; 1 is what no update at all gives; above 1 it does harm.

    Parameters
    ----------
    weight
        W, the first matrix of the MLP.
    without, within
        Inputs of the MLP without and with context for M tokens or queries.

    Returns
    -------
    Tensor
        ``M M``: row i gives the token for which the update was made, column j where it is used.

    Raises
    ------
    ValueError
        If shapes disagree or a row of ``without`` is zero.

    Notes
    -----
    Source: measures what Dherin et al. (2025) leave to the reader and Goldwaser et al. (2025)
    state: the update depends on the token.
    Explained in: 06_meta_optimizer.
    """
    if without.shape != within.shape or without.shape[1] != weight.shape[1]:
        raise ValueError(
            f"the matrix takes width {weight.shape[1]}, inputs are {tuple(without.shape)} and "
            f"{tuple(within.shape)}; they must agree"
        )
    square = without.square().sum(-1)
    if (square == 0).any():
        raise ValueError("A(x) is zero for some token; no matrix maps it to anything else")
    wanted = (within - without) @ weight.T
    overlap = without @ without.T / square[:, None]
    got = overlap[:, :, None] * wanted[:, None, :]
    return (got - wanted[None]).norm(dim=-1) / wanted.norm(dim=-1)
