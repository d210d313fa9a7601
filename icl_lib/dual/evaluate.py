"""A trained linear layer in its dual form: first weights, plus attention over training examples."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from icl_lib.dual.factored import OuterSum


@dataclass(frozen=True, eq=False)
class DualForm:
    """The layer F(x) = W_0 x + Σ_i e_i (x_i · x), with all its training examples at hand.

    Parameters
    ----------
    initial
        What is left of the weight before training, ``o d``: W_0, shrunk by weight decay.
    update
        ΔW, one term for each recorded example.
    step
        ``N``: the training step in which each example was used.
    bias
        Whether the last column of the keys is the constant input 1 of a bias.

    Notes
    -----
    Source: Irie, Csordás and Schmidhuber (2022), section 3; Aizerman et al. (1964).
    Explained in: 05_dual_form.
    """

    initial: Float[Tensor, "o d"]
    update: OuterSum
    step: Int[Tensor, "N"]
    bias: bool = False

    def __len__(self) -> int:
        return len(self.update)

    def as_matrix(self) -> Float[Tensor, "o d"]:
        """Return the trained weight W_0 + ΔW; with a bias, that is its last column."""
        return self.initial + self.update.as_matrix()

    def __call__(
        self, x: Float[Tensor, "*M d"], *, chunk: int | None = None
    ) -> Float[Tensor, "*M o"]:
        """Answer queries by attention over the training examples; see :meth:`OuterSum.apply`."""
        x = self._queries(x)
        return x @ self.initial.T + self.update.apply(x, chunk=chunk)

    def primal(self, x: Float[Tensor, "*M d"]) -> Float[Tensor, "*M o"]:
        """Answer queries with the trained matrix."""
        return self._queries(x) @ self.as_matrix().T

    def scores(self, x: Float[Tensor, "*M d"]) -> Float[Tensor, "*M N"]:
        """Return the attention scores x_i · x of each query on each training example."""
        return self.update.scores(self._queries(x))

    def contributions(
        self, x: Float[Tensor, "M d"], readout: Float[Tensor, "M o"]
    ) -> Float[Tensor, "M N"]:
        """Return what each training example adds to one number read off the output.

        .. math:: c_{mi} = (r_m · e_i)(x_i · x_m), \\qquad Σ_i c_{mi} = r_m · ΔW x_m

        Parameters
        ----------
        x
            Queries.
        readout
            r, one direction of the output for each query: a unit vector reads one class, the
            difference of two reads the margin between them.
        """
        return (readout @ self.update.errors.T) * self.scores(x)

    def _queries(self, x: Tensor) -> Tensor:
        width = self.initial.shape[1] - self.bias
        if x.shape[-1] != width:
            raise ValueError(f"queries have width {x.shape[-1]}, the layer takes {width}")
        return pad(x, (0, 1), value=1.0) if self.bias else x


def relative_difference(a: Float[Tensor, "*shape"], b: Float[Tensor, "*shape"]) -> float:
    """Return ‖a − b‖ / ‖b‖, the residual that the book prints; 0 if both are zero.

    Explained in: 05_dual_form.
    """
    gap, size = (a - b).norm().item(), b.norm().item()
    return gap / size if size else (0.0 if gap == 0 else float("inf"))


def sum_by_group(
    values: Float[Tensor, "M N"], group: Int[Tensor, "N"], groups: int
) -> Float[Tensor, "M G"]:
    """Add up the columns of each group: visits of one example, or examples of one class.

    Parameters
    ----------
    values
        One number for each query and recorded example.
    group
        The group of each recorded example, ``0 … groups − 1``.
    groups
        G.

    Notes
    -----
    Explained in: 05_dual_form.
    """
    return values.new_zeros(len(values), groups).index_add_(1, group, values)


@dataclass(frozen=True)
class Fit:
    """The closest that Σ_i w_i e_i ⊗ x_i comes to a matrix, with one free number per example.

    Attributes
    ----------
    weights
        w, ``N``.
    residual
        ‖target − Σ_i w_i e_i ⊗ x_i‖ / ‖target‖: 0 if the matrix is in the span, up to 1.
    """

    weights: Float[Tensor, "N"]
    residual: float


def fit_to_examples(target: Float[Tensor, "o d"], update: OuterSum) -> Fit:
    """Give each example its best weight, by least squares over all entries of the matrix.

    If the update rule is linear with one number per example (SGD, momentum, weight decay), the
    residual is zero to rounding. If it is not (Adam divides entry by entry), no choice of weights
    reaches the update. It takes o · d numbers for each example: a tool for small layers.

    Parameters
    ----------
    target
        The update W_T − W_0 that training made.
    update
        The error signals and inputs of the same run.

    Raises
    ------
    ValueError
        If the shapes differ, or if there are at least as many examples as entries: then almost
        any matrix is in the span and the residual tells nothing.

    Notes
    -----
    Explained in: 05_dual_form.
    """
    o, d = update.shape
    if target.shape != (o, d):
        raise ValueError(f"the target has shape {tuple(target.shape)}, the update {(o, d)}")
    if len(update) >= o * d:
        raise ValueError(f"{len(update)} examples span any matrix of {o * d} entries; use fewer")
    # a residual far below the rounding of the matrix product needs orthogonal columns, not Gram
    columns = (update.errors[:, :, None] * update.keys[:, None, :]).reshape(len(update), o * d).T
    flat = target.reshape(o * d, 1)
    weights = torch.linalg.lstsq(columns, flat, driver=_driver(columns)).solution
    return Fit(weights[:, 0], relative_difference(columns @ weights, flat))


def _driver(a: Tensor) -> str:
    return "gelsd" if a.device.type == "cpu" else "gels"  # only the CPU has the rank-safe one
