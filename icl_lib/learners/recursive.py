r"""Fits that take one pair after the other, for many prompts at once.

The state is the weights w and a factor F of the (pseudo-)inverse of the Gram matrix,
:math:`F F^\top = \big(\sum x_i x_i^\top + \lambda I\big)^{+}`. A pair changes both by one product
of vectors. The factor is kept, not its square, and that makes the recursion as accurate as a fit of
each prefix by itself: rounding is magnified by the condition number of the inputs, not by that of
their Gram matrix.
"""

import torch
from torch import Tensor

CHUNK = 2**17
"""Numbers in one factor for all prompts of a chunk: about a megabyte, so that caches hold it."""

DOUBT = 1e4
"""So many times the rounding error may the product of two relative distances fall to."""


def fit_ridge(inputs: Tensor, targets: Tensor, penalty: float) -> Tensor:
    r"""Return the ridge weights of all prefixes, ``[B, N + 1, d]``.

    With :math:`f = F^\top x`, :math:`\beta = 1/(1 + f \cdot f)` the step is
    :math:`w \leftarrow w + \beta F f\,(y - w \cdot x)` and
    :math:`F \leftarrow F - \frac{\beta}{1 + \sqrt\beta} F f f^\top`.

    Source: Sherman and Morrison 1950; Potter's form, as in Bierman 1977.
    Explained in: 13_function_classes
    """
    batch, points, dimension = inputs.shape
    weights = inputs.new_zeros(batch, points + 1, dimension)
    factor = torch.eye(dimension, dtype=inputs.dtype, device=inputs.device) / penalty**0.5
    _absorb(weights, factor.expand(batch, -1, -1).clone(), inputs, targets, start=0)
    return weights


def _absorb(weights: Tensor, factor: Tensor, inputs: Tensor, targets: Tensor, start: int) -> None:
    """Take the pairs from ``start`` on, none of which adds a direction; fill in the weights."""
    for k in range(start, inputs.shape[1]):
        x, before = inputs[:, k, :, None], weights[:, k, :, None]
        coordinates = factor.mT @ x
        gain, root = _gains(factor, coordinates)
        missed = targets[:, k, None, None] - before.mT @ x
        torch.add(before, gain * missed, out=weights[:, k + 1, :, None])
        factor.addcmul_(root, coordinates.mT, value=-1)


def fit_least_squares(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the least-squares weights of all prefixes, and which prompts to doubt.

    Where the first d inputs are plainly independent, one QR factorisation of them settles the first
    d prefixes; the other pairs are taken as in :func:`fit_ridge`. Other prompts go through
    :func:`_fit_any`.

    Returns
    -------
    tuple
        Weights ``[B, N + 1, d]`` and flags ``[B]``: where the inputs are so close to singular that
        the order in which they came decides, a fit by singular values is safer.

    Source: Golub 1965 (QR); Greville 1960 (a pseudo-inverse column by column).
    Explained in: 01_learning_without_learning
    """
    first = inputs[:, : inputs.shape[-1]]
    basis, triangle = torch.linalg.qr(first.mT)
    scale = first.norm(dim=-1).cummax(dim=-1).values
    outside = triangle.diagonal(dim1=-2, dim2=-1).abs() / torch.where(scale > 0, scale, 1)
    plain = outside.amin(-1).square() > DOUBT * torch.finfo(inputs.dtype).eps
    if plain.all():
        return _fit_independent(inputs, targets, basis, triangle), ~plain
    weights = inputs.new_empty(len(inputs), inputs.shape[1] + 1, inputs.shape[2])
    weights[plain] = _fit_independent(*(t[plain] for t in (inputs, targets, basis, triangle)))
    weights[~plain], doubtful = _fit_any(inputs[~plain], targets[~plain])
    return weights, torch.zeros_like(plain).masked_scatter(~plain, doubtful)


def _fit_independent(inputs: Tensor, targets: Tensor, basis: Tensor, triangle: Tensor) -> Tensor:
    """Fit prompts whose first inputs are X = (QR)ᵀ, with Q and R given."""
    batch, points, dimension = inputs.shape
    weights, few = inputs.new_zeros(batch, points + 1, dimension), basis.shape[-1]
    lower = triangle.mT
    along = torch.linalg.solve_triangular(lower, targets[:, :few, None], upper=False)
    weights[:, 1 : few + 1] = (along * basis.mT).cumsum(dim=1)
    if points > dimension:
        factor = torch.linalg.solve_triangular(lower, basis, upper=False, left=False)
        _absorb(weights, factor.contiguous(), inputs, targets, start=dimension)
    return weights


def _fit_any(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    r"""Fit prompts in which any pair may or may not add a direction.

    The directions seen so far are kept as orthonormal columns. A pair whose input has a component q
    outside of them settles one more: :math:`w \leftarrow w + \frac{q}{q \cdot x} (y - w \cdot x)`,
    and F gets the column :math:`c = q/(q \cdot x)` while its others lose :math:`c\,f^\top`. Any
    other pair is taken as in :func:`fit_ridge`.
    """
    batch, points, dimension = inputs.shape
    weights = inputs.new_zeros(batch, points + 1, dimension)
    factor = inputs.new_zeros(batch, dimension, dimension)
    seen = _Directions(inputs)
    for k in range(points):
        x, before = inputs[:, k, :, None], weights[:, k, :, None]
        coordinates = factor.mT @ x
        missed = targets[:, k, None, None] - before.mT @ x
        fresh, rank = seen.add(x)
        if fresh is None:
            gain, root = _gains(factor, coordinates)
        elif rank is not None:  # new to every prompt, as usual for the first d pairs
            gain = root = fresh
        else:
            gain, root = _gains(factor, coordinates)
            is_new = seen.is_new
            gain, root = torch.where(is_new, fresh, gain), torch.where(is_new, fresh, root)
        torch.add(before, gain * missed, out=weights[:, k + 1, :, None])
        factor.addcmul_(root, coordinates.mT, value=-1)
        if fresh is not None:
            seen.write(factor, fresh, rank)
            seen.advance()
    return weights, seen.doubtful


def _gains(factor: Tensor, coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """Return β F f and β/(1 + √β) F f."""
    image = factor @ coordinates
    total = 1 + coordinates.mT @ coordinates
    return image / total, image / (total + total.sqrt())


class _Directions:
    """The directions that the inputs of each prompt have spanned so far."""

    def __init__(self, inputs: Tensor):
        batch, _, self.dimension = inputs.shape
        self.epsilon = torch.finfo(inputs.dtype).eps
        self.basis = inputs.new_zeros(batch, self.dimension, self.dimension)
        self.ranks = torch.zeros(batch, 1, 1, dtype=torch.long, device=inputs.device)
        self.scale = inputs.new_zeros(batch, 1, 1)
        self.smallest = inputs.new_ones(batch, 1, 1)
        self.doubtful = torch.zeros(batch, dtype=torch.bool, device=inputs.device)
        self.is_new = self.doubtful[:, None, None]
        self.common: int | None = 0  # the rank, while all prompts share it

    def add(self, x: Tensor) -> tuple[Tensor | None, int | None]:
        """Return q/(q·x) where x adds a direction, and the column for it if all prompts agree.

        ``None`` in place of the first if no prompt can gain one.
        """
        if self.common == self.dimension:
            return None, None
        basis = self.basis if self.common is None else self.basis[..., : self.common]
        outside = x
        for _ in range(2):  # the second pass removes what rounding left in the first
            outside = outside - basis @ (basis.mT @ outside)
        length = outside.norm(dim=-2, keepdim=True)
        self.scale = torch.maximum(self.scale, x.norm(dim=-2, keepdim=True))
        relative = length / torch.where(self.scale > 0, self.scale, 1)
        self.is_new = relative > 10 * self.dimension * self.epsilon
        self.is_new &= self.ranks < self.dimension
        doubt = self.is_new & (relative * self.smallest < DOUBT * self.epsilon)
        self.doubtful |= doubt[:, 0, 0]
        self.smallest = torch.where(
            self.is_new, torch.minimum(self.smallest, relative), self.smallest
        )
        if not self.is_new.any():
            return None, None
        column = self.common if self.common is not None and self.is_new.all() else None
        direction = outside / torch.where(self.is_new, length, 1)
        self.write(self.basis, direction, column)
        along = torch.where(self.is_new, direction.mT @ x, 1)
        return direction / along, column

    def write(self, matrix: Tensor, column: Tensor, place: int | None) -> None:
        """Put a column in its place: the common one, or each prompt's own if it has a new one."""
        if place is not None:
            matrix[..., place : place + 1] = column
        else:
            where = self.ranks.clamp(max=self.dimension - 1).expand_as(column)
            old = matrix.gather(-1, where)
            matrix.scatter_(-1, where, torch.where(self.is_new, column, old))

    def advance(self) -> None:
        """Count the new directions."""
        self.ranks = self.ranks + self.is_new
        low, high = self.ranks.min().item(), self.ranks.max().item()
        self.common = int(low) if low == high else None
