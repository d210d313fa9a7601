"""A matrix kept as a sum of outer products, with the algebra that needs no matrix.

``OuterSum(errors, keys)`` stands for ΔW = Σ_i e_i ⊗ x_i, the form in which gradient descent
writes its updates. N examples cost N (o + d) numbers, whatever the size of the matrix.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

SCORES_AT_ONCE = 1 << 22
"""Entries of the score matrix that one block may hold when no ``chunk`` is given."""


@dataclass(frozen=True, eq=False, repr=False)
class OuterSum:
    """The matrix ΔW = Σ_i e_i ⊗ x_i = Eᵀ X, stored as E and X.

    Applied to a query x it is unnormalised linear attention: ΔW x = Σ_i e_i (x_i · x), with the
    error signals as values and the training inputs as keys.

    Parameters
    ----------
    errors
        E, ``N o``: one row per example, the values.
    keys
        X, ``N d``: one row per example, the keys.

    Raises
    ------
    ValueError
        If the two are no matrices with the same number of rows, dtype and device.

    Notes
    -----
    Source: Irie, Csordás and Schmidhuber (2022), section 3; Dai et al. (2023), eqs. 8 and 9.
    Explained in: 05_dual_form.
    """

    errors: Float[Tensor, "N o"]
    keys: Float[Tensor, "N d"]

    def __post_init__(self) -> None:
        e, x = self.errors, self.keys
        if e.ndim != 2 or x.ndim != 2:
            raise ValueError(f"errors and keys must be matrices, got {e.ndim} and {x.ndim} axes")
        if len(e) != len(x):
            raise ValueError(f"got {len(e)} error signals and {len(x)} keys; they must agree")
        if e.dtype != x.dtype or e.device != x.device:
            raise ValueError(
                f"errors are {e.dtype} on {e.device}, keys {x.dtype} on {x.device}; they must agree"
            )

    @classmethod
    def zero(
        cls, o: int, d: int, *, dtype: torch.dtype | None = None, device: torch.device | None = None
    ) -> "OuterSum":
        """Return the empty sum: no examples, the zero matrix of shape ``o d``."""
        return cls(
            torch.zeros(0, o, dtype=dtype, device=device),
            torch.zeros(0, d, dtype=dtype, device=device),
        )

    # ---- what it is -------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return f"OuterSum(N={len(self)}, o={self.shape[0]}, d={self.shape[1]}, {self.dtype})"

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(o, d)`` of the matrix it stands for."""
        return self.errors.shape[1], self.keys.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        return self.keys.dtype

    @property
    def device(self) -> torch.device:
        return self.keys.device

    @property
    def T(self) -> "OuterSum":
        """The transposed matrix: errors and keys change places."""
        return type(self)(self.keys, self.errors)

    def as_matrix(self) -> Float[Tensor, "o d"]:
        """Return ΔW = Eᵀ X itself: the primal form, ``o d`` numbers."""
        return self.errors.T @ self.keys

    def to(self, *args, **kwargs) -> "OuterSum":
        """Move or convert both factors, with the arguments of :meth:`torch.Tensor.to`."""
        return type(self)(self.errors.to(*args, **kwargs), self.keys.to(*args, **kwargs))

    # ---- evaluation -------------------------------------------------------------------------

    def scores(self, x: Float[Tensor, "*M d"]) -> Float[Tensor, "*M N"]:
        """Return x_i · x, how much each example's key matches each query."""
        return self._queries(x) @ self.keys.T

    def apply(self, x: Float[Tensor, "*M d"], *, chunk: int | None = None) -> Float[Tensor, "*M o"]:
        """Return ΔW x for each query as attention, Σ_i e_i (x_i · x): the dual form.

        Parameters
        ----------
        x
            Queries.
        chunk
            Examples handled at a time; at most ``M * chunk`` scores are held. It changes memory
            and rounding, nothing else. By default about 4 million scores.

        Raises
        ------
        ValueError
            If the queries have another width than the keys, or ``chunk`` is below 1.
        """
        flat = self._queries(x).reshape(-1, self.shape[1])
        out = flat.new_zeros(len(flat), self.shape[0])
        for e, k in self._blocks(_block_size(chunk, SCORES_AT_ONCE // max(1, len(flat)))):
            out = torch.addmm(out, flat @ k.T, e)
        return out.reshape(*x.shape[:-1], self.shape[0])

    def apply_as_matrix(self, x: Float[Tensor, "*M d"]) -> Float[Tensor, "*M o"]:
        """Return ΔW x for each query by building the matrix first: the primal form."""
        return self._queries(x) @ self.as_matrix().T

    # ---- algebra ----------------------------------------------------------------------------

    def __add__(self, other: "OuterSum") -> "OuterSum":
        return type(self).concat([self, other])

    def __sub__(self, other: "OuterSum") -> "OuterSum":
        return self + (-other)

    def __neg__(self) -> "OuterSum":
        return type(self)(-self.errors, self.keys)

    def __mul__(self, factor: float | Tensor) -> "OuterSum":
        if isinstance(factor, Tensor) and factor.ndim:
            raise ValueError(f"a factor is one number, got shape {tuple(factor.shape)}; see weigh")
        return type(self)(self.errors * factor, self.keys)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float | Tensor) -> "OuterSum":
        return self * (1 / divisor)

    def __getitem__(self, index: slice | Tensor) -> "OuterSum":
        """Return the part of the sum that runs over some examples: a slice, a mask, indices."""
        return type(self)(self.errors[index], self.keys[index])

    @classmethod
    def concat(cls, sums: Sequence["OuterSum"]) -> "OuterSum":
        """Add several sums: their examples one after the other."""
        shapes = {s.shape for s in sums}
        if len(shapes) != 1:
            raise ValueError(f"sums to add must have one shape, got {sorted(shapes)}")
        return cls(torch.cat([s.errors for s in sums]), torch.cat([s.keys for s in sums]))

    def weigh(self, weights: Float[Tensor, "N"]) -> "OuterSum":
        """Return Σ_i w_i e_i ⊗ x_i, with one number for each example."""
        if weights.shape != (len(self),):
            raise ValueError(f"got {tuple(weights.shape)} weights for {len(self)} examples")
        return type(self)(self.errors * weights[:, None], self.keys)

    def left(self, a: Float[Tensor, "p o"]) -> "OuterSum":
        """Return A ΔW = Σ_i (A e_i) ⊗ x_i."""
        return type(self)(self.errors @ a.T, self.keys)

    def right(self, b: Float[Tensor, "d q"]) -> "OuterSum":
        """Return ΔW B = Σ_i e_i ⊗ (Bᵀ x_i)."""
        return type(self)(self.errors, self.keys @ b)

    # ---- size and angle ---------------------------------------------------------------------

    def inner(
        self,
        other: "OuterSum",
        *,
        by: Literal["auto", "pairs", "rows"] = "auto",
        chunk: int | None = None,
    ) -> Float[Tensor, ""]:
        """Return ⟨ΔW, ΔW'⟩ = Σ_ij (e_i · e'_j)(x_i · x'_j), the sum of entrywise products.

        Parameters
        ----------
        other
            A sum of the same shape.
        by
            ``pairs``: over pairs of examples, N N' (o + d) products. ``rows``: over the rows of
            the two matrices, a few at a time, (N + N') o d products. ``auto`` takes the cheaper.
        chunk
            Examples, or rows, handled at a time.

        Notes
        -----
        If a sum cancels almost completely, ``pairs`` loses half of the digits.
        """
        if other.shape != self.shape:
            raise ValueError(f"shapes are {self.shape} and {other.shape}; they must agree")
        (o, d), n, m = self.shape, len(self), len(other)
        if by not in ("auto", "pairs", "rows"):
            raise ValueError(f"by must be auto, pairs or rows, got {by!r}")
        if by == "pairs" or (by == "auto" and n * m * (o + d) <= (n + m) * o * d):
            return self._inner_by_pairs(other, _block_size(chunk, SCORES_AT_ONCE // max(1, m)))
        return self._inner_by_rows(other, _block_size(chunk, SCORES_AT_ONCE // max(1, d)))

    def norm(self) -> Float[Tensor, ""]:
        """Return the Frobenius norm of ΔW, accurate also when the sum cancels."""
        if len(self) < min(self.shape):
            return torch.linalg.matrix_norm(self._core())
        blocks = self.errors.split(max(1, SCORES_AT_ONCE // self.shape[1]), dim=1)
        return torch.stack([torch.linalg.matrix_norm(e.T @ self.keys) for e in blocks]).norm()

    def cosine(self, other: "OuterSum") -> Float[Tensor, ""]:
        """Return the cosine of the angle between two matrices; 0 if one of them is zero."""
        product = self.norm() * other.norm()
        return torch.where(product > 0, self.inner(other) / product, torch.zeros_like(product))

    def singular_values(self) -> Float[Tensor, "r"]:
        """Return the min(N, o, d) singular values that may differ from zero, largest first."""
        return torch.linalg.svdvals(self._core())

    def rank(self, *, tolerance: float | None = None) -> int:
        """Return how many singular values exceed ``tolerance`` times the largest one.

        Without ``tolerance``: max(o, d) times the rounding unit, as in numpy.
        """
        if not len(self):
            return 0
        values = self.singular_values()
        if tolerance is None:
            tolerance = max(self.shape) * torch.finfo(self.dtype).eps
        return int((values > tolerance * values[0]).sum())

    # ---- inside -----------------------------------------------------------------------------

    def _queries(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.shape[1]:
            raise ValueError(f"queries have width {x.shape[-1]}, keys {self.shape[1]}")
        return x

    def _blocks(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.errors.split(size), self.keys.split(size), strict=True)

    def _inner_by_pairs(self, other: "OuterSum", size: int) -> Tensor:
        total = self.errors.new_zeros(())
        for e, x in self._blocks(size):
            total = total + ((e @ other.errors.T) * (x @ other.keys.T)).sum()
        return total

    def _inner_by_rows(self, other: "OuterSum", size: int) -> Tensor:
        total = self.errors.new_zeros(())
        rows = zip(self.errors.split(size, dim=1), other.errors.split(size, dim=1), strict=True)
        for e, f in rows:
            total = total + ((e.T @ self.keys) * (f.T @ other.keys)).sum()
        return total

    def _core(self) -> Tensor:
        """A matrix with the same singular values, at most min(N, o) by min(N, d)."""
        e, x = self.errors.T, self.keys.T
        if len(self) < e.shape[0]:
            e = torch.linalg.qr(e, mode="r").R
        if len(self) < x.shape[0]:
            x = torch.linalg.qr(x, mode="r").R
        return e @ x.T


def _block_size(chunk: int | None, default: int) -> int:
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    return chunk or max(1, default)
