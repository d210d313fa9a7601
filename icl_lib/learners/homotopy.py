r"""The path of the Lasso from no weights down to a given penalty, for many problems at once.

As the penalty λ falls, the weights move along straight lines; where one reaches 0 or the slope of
the loss along an idle one reaches λ, it leaves or enters, and the direction changes. Each change is
one pivot of a tableau that starts as the Gram matrix G and holds, for the active set A and the idle
set I, :math:`-G_{AA}^{-1}`, :math:`G_{AA}^{-1} G_{AI}` and the Schur complement of A.
"""

import torch
from torch import Tensor


class Path:
    """P problems on their way, ``[P, …]``; a problem that has arrived stays where it is.

    ``values`` holds the weights of active coordinates and the slopes of idle ones.
    """

    def __init__(self, gram: Tensor, moment: Tensor, penalty: float):
        self.penalty = penalty
        self.tableau = gram.clone()
        self.values = moment.clone()
        self.signs = torch.zeros_like(moment)
        self.level, first = moment.abs().max(dim=-1)
        self.smallest_pivot = (
            100 * torch.finfo(gram.dtype).eps * gram.diagonal(dim1=-2, dim2=-1).amax(-1)
        )
        self.left = torch.zeros_like(moment, dtype=torch.bool)
        self.arrived = self.level <= penalty
        self.rows = torch.arange(len(gram), device=gram.device)
        self._pivot(first, ~self.arrived)

    def step(self) -> None:
        """Go to the next change of the active set, or to the penalty if that comes first."""
        speed = (self.tableau @ self.signs[..., None])[..., 0]
        lengths = self._lengths(speed)
        length, place = lengths.min(dim=-1)
        end = self.level - self.penalty
        last = end <= length
        length = torch.where(self.arrived, 0, torch.minimum(length, end))
        self.values = torch.addcmul(self.values, length[:, None], speed, value=-1)
        self.level = self.level - length
        going = ~(self.arrived | last)
        self.arrived = self.arrived | last
        self._pivot(place, going)

    def _lengths(self, speed: Tensor) -> Tensor:
        """Return how far λ can fall until each coordinate changes."""
        level = self.level[:, None]
        active = self.signs != 0
        shrinking = self.signs * speed > 0
        to_zero = torch.where(shrinking, self.values / speed, torch.inf)
        up = torch.where(speed < 1, (level - self.values) / (1 - speed), torch.inf)
        down = torch.where(speed > -1, (level + self.values) / (1 + speed), torch.inf)
        pivots = self.tableau.diagonal(dim1=-2, dim2=-1)
        barred = self.left | (pivots <= self.smallest_pivot[:, None])
        to_enter = torch.where(barred, torch.inf, torch.minimum(up, down))
        return torch.where(active, to_zero, to_enter).clamp(min=0)

    def _pivot(self, place: Tensor, going: Tensor) -> None:
        """Let one coordinate of each problem that is going enter or leave."""
        where = place[:, None]
        sign = self.signs.gather(1, where)
        value = self.values.gather(1, where)
        leaving = sign != 0
        go = going[:, None]
        self.left = torch.zeros_like(self.left).scatter_(1, where, go & leaving)
        new_sign = torch.where(leaving, 0, value.sign())
        new_value = torch.where(leaving, sign * self.level[:, None], 0)
        self.signs.scatter_(1, where, torch.where(go, new_sign, sign))
        self.values.scatter_(1, where, torch.where(go, new_value, value))
        self._sweep(place, leaving, go)

    def _sweep(self, place: Tensor, leaving: Tensor, go: Tensor) -> None:
        column = self.tableau[self.rows, :, place]
        pivot = column.gather(1, place[:, None])
        pivot = torch.where(go, pivot, 1)
        scaled = column / pivot
        self.tableau.addcmul_(torch.where(go, column, 0)[:, :, None], scaled[:, None], value=-1)
        new = torch.where(leaving, -scaled, scaled)
        new.scatter_(1, place[:, None], -1 / pivot)
        new = torch.where(go, new, column)
        self.tableau[self.rows, :, place] = new
        self.tableau[self.rows, place, :] = new

    def keep(self, chosen: Tensor) -> None:
        """Drop all problems but these."""
        for name in ("tableau", "values", "signs", "level", "smallest_pivot", "left", "arrived"):
            setattr(self, name, getattr(self, name)[chosen])
        self.rows = self.rows[: len(self.level)]


def follow(gram: Tensor, moment: Tensor, penalty: float) -> Tensor:
    """Return the weights at the end of the path, ``[P, d]``; 0 where 6 d changes were too few.

    Source: Osborne, Presnell and Turlach 2000; Efron et al. 2004.
    Explained in: 13_function_classes
    """
    weights = torch.zeros_like(moment)
    path, names = Path(gram, moment, penalty), torch.arange(len(gram), device=gram.device)
    for _ in range(6 * moment.shape[-1]):
        if 4 * path.arrived.sum() >= len(names):
            ended = path.arrived
            weights[names[ended]] = torch.where(path.signs != 0, path.values, 0)[ended]
            path.keep(~ended)
            names = names[~ended]
        if not len(names):
            break
        path.step()
    weights[names[path.arrived]] = torch.where(path.signs != 0, path.values, 0)[path.arrived]
    return weights
