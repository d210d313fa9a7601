"""Data order as a pure function of the step: which examples does step t see?

A batch source of :func:`icl_lib.optim.train` is any function ``batches(step)``. Since it holds no
state, a run that resumes at step t sees what it would have seen, and there is nothing to save.
"""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor


def derive_seed(*path: int) -> int:
    """Return a seed that depends on all numbers of ``path`` and on their order.

    Two neighbouring seeds of the caller give unrelated streams.
    """
    text = ",".join(str(int(number)) for number in path).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "little")


class Shuffled:
    """Minibatches of a data set in seeded random order, each example once per epoch.

    The epochs follow each other without a gap, so every batch has the same size and one batch in
    an epoch may hold examples of two. ``source(step)`` returns the batch of that step.

    Parameters
    ----------
    tensors
        One tensor or several of equal first dimension N.
    batch_size
        Examples in a batch.
    seed
        Decides the order, together with the epoch.
    shuffle
        ``False`` keeps the order of the data.

    Raises
    ------
    ValueError
        If the tensors differ in length, or the batch size is not between 1 and N.
    """

    def __init__(
        self,
        tensors: Tensor | tuple[Tensor, ...],
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
    ):
        self.tensors = tensors if isinstance(tensors, tuple) else (tensors,)
        self.single = isinstance(tensors, Tensor)
        lengths = [len(t) for t in self.tensors]
        if len(set(lengths)) != 1:
            raise ValueError(f"tensors have {lengths} examples; they must agree")
        self.examples = lengths[0]
        if not 1 <= batch_size <= self.examples:
            raise ValueError(
                f"batch_size must be between 1 and {self.examples} (the examples), got {batch_size}"
            )
        self.batch_size, self.seed, self.shuffle = batch_size, seed, shuffle
        self._epoch, self._order = -1, torch.empty(0)

    def __repr__(self) -> str:
        return (
            f"Shuffled({self.examples} examples, batch_size={self.batch_size}, "
            f"seed={self.seed}, shuffle={self.shuffle})"
        )

    def order(self, epoch: int) -> Tensor:
        """Return the permutation of the examples in ``epoch``."""
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch))
            self._order = (
                torch.randperm(self.examples, generator=generator)
                if self.shuffle
                else torch.arange(self.examples)
            )
            self._epoch = epoch
        return self._order

    def indices(self, step: int) -> Tensor:
        """Return the numbers of the examples that step ``step`` sees."""
        start, left, parts = step * self.batch_size, self.batch_size, []
        while left:
            epoch, place = divmod(start, self.examples)
            part = self.order(epoch)[place : place + left]
            parts.append(part)
            start, left = start + len(part), left - len(part)
        return torch.cat(parts)

    def __call__(self, step: int) -> Tensor | tuple[Tensor, ...]:
        indices = self.indices(step)
        batch = tuple(t[indices.to(t.device)] for t in self.tensors)
        return batch[0] if self.single else batch


class Generated:
    """Batches made on the fly: ``make(generator)`` with a generator seeded by the step.

    Parameters
    ----------
    make
        Draws one batch, a tensor or a tuple of tensors, with the generator it is given.
    seed
        Decides all batches.
    """

    def __init__(self, make: Callable[[torch.Generator], object], *, seed: int = 0):
        self.make, self.seed = make, seed

    def __repr__(self) -> str:
        return f"Generated({getattr(self.make, '__qualname__', self.make)}, seed={self.seed})"

    def __call__(self, step: int) -> object:
        return self.make(torch.Generator().manual_seed(derive_seed(self.seed, step)))
