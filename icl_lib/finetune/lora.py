"""LoRA: a frozen matrix and a small trainable product beside it, W + (α/r) B A.

The product is a sum of r outer products, the form of :class:`icl_lib.dual.OuterSum`: LoRA learns
the r "examples" of the dual form instead of reading them from data.
"""

import copy
import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icl_lib.dual import OuterSum

TARGETS = ("q_proj", "v_proj")
"""Matrices that get a product when nothing else is said: those of the LoRA paper."""


class LoRALinear(nn.Module):
    r"""A linear layer with its weight frozen and a low-rank product added.

    .. math:: h = W_0\,x + b + \frac{α}{r}\,B\,(A\,x)

    :math:`A`, ``r d``, starts with normal numbers of variance 1/d, :math:`B`, ``o r``, at zero: so
    the layer starts as the one it replaces.

    Parameters
    ----------
    layer
        Weight ``o d`` and bias; used as they are, not copied, and frozen.
    rank
        r, at least 1 and at most min(o, d).
    alpha
        α; the product is multiplied by α/r.
    generator
        Draws A.

    Raises
    ------
    TypeError
        If ``layer`` is no linear layer.
    ValueError
        If the rank is no whole number or out of range, or α not positive and finite.

    Source: Hu et al. (2022), section 4.1. The paper says only that A starts as a Gaussian; its
    variance is our choice.

    Explained in: 08_fine_tuning
    """

    def __init__(
        self,
        layer: nn.Module,
        rank: int,
        *,
        alpha: float,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"LoRA goes beside a torch.nn.Linear, got {type(layer).__name__}")
        o, d = layer.weight.shape
        if not isinstance(rank, int) or not 1 <= rank <= min(o, d):
            raise ValueError(
                f"the rank must be between 1 and {min(o, d)} for a {o} × {d} matrix, got {rank!r}"
            )
        if not 0 < alpha < math.inf:
            raise ValueError(f"alpha must be positive and finite, got {alpha}")
        self.layer, self.rank, self.scale = layer.requires_grad_(False), rank, alpha / rank
        draw = torch.randn(rank, d, generator=generator) / math.sqrt(d)
        self.A = nn.Parameter(draw.to(layer.weight))
        self.B = nn.Parameter(layer.weight.new_zeros(o, rank))
        self.kept: Tensor | None = None
        self.register_state_dict_pre_hook(_refuse_if_merged)

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n o"]:
        if self.kept is not None:
            return self.layer(x)
        return self.layer(x) + self.scale * (x @ self.A.T @ self.B.T)

    @property
    def weight(self) -> Float[Tensor, "o d"]:
        """W_0 + (α/r) B A: the matrix that the layer acts as."""
        return self.layer.weight if self.kept is not None else self.layer.weight + self.product()

    @property
    def bias(self) -> Float[Tensor, "o"] | None:
        """The bias of the layer."""
        return self.layer.bias

    def product(self) -> Float[Tensor, "o d"]:
        """Return ΔW = (α/r) B A as a matrix."""
        return self.scale * (self.B @ self.A)

    def update(self) -> OuterSum:
        """Return ΔW as a sum of r outer products: (α/r) times a column of B, a row of A."""
        return OuterSum(self.scale * self.B.detach().T, self.A.detach())

    @torch.no_grad()
    def merge(self) -> None:
        """Add the product to the weight: from now on the layer costs what it cost before LoRA.

        Raises
        ------
        ValueError
            If it is merged already.
        """
        if self.kept is not None:
            raise ValueError("the product is in the weight already; unmerge first")
        kept = self.layer.weight.clone()
        self.layer.weight += self.product()
        self.kept = kept

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put the first weight back, bit for bit: it was kept, not computed by a subtraction.

        Raises
        ------
        ValueError
            If it is not merged.
        """
        if self.kept is None:
            raise ValueError("the product is not in the weight; merge first")
        self.layer.weight.copy_(self.kept)
        self.kept = None


def _refuse_if_merged(lora: LoRALinear, prefix: str, keep_vars: bool) -> None:
    if lora.kept is not None:  # whoever loads it would add the product a second time
        raise ValueError(
            f"{prefix.rstrip('.') or 'the layer'} is merged: its weight holds the product already. "
            "Unmerge before saving, or save the plain model that fold returns"
        )


def add_lora(
    model: nn.Module,
    rank: int,
    *,
    alpha: float | None = None,
    targets: Sequence[str] = TARGETS,
    seed: int = 0,
) -> list[nn.Parameter]:
    """Put a :class:`LoRALinear` in place of each linear layer with one of the target names.

    Everything else in the model is frozen.

    Parameters
    ----------
    model
        Changed in place.
    rank, alpha
        r and α; α = r if not given, so that the factor is 1.
    targets
        Names of attributes, such as ``("q_proj",)``; a sequence of names, not one string.
    seed
        Draws all A.

    Returns
    -------
    list of Parameter
        All A and B, in the order of the modules.

    Raises
    ------
    ValueError
        If there are no names, no linear layer has one of them (the message lists the names there
        are), the model has LoRA layers already, or the rank is too large for one of them.
    TypeError
        If ``targets`` is one string.

    Source: Hu et al. (2022), section 4.2, adapt queries and values.

    Explained in: 08_fine_tuning
    """
    if isinstance(targets, str):
        raise TypeError(f"targets is a sequence of names, such as ({targets!r},), got one string")
    if any(True for _ in lora_layers(model)):
        raise ValueError("the model has LoRA layers already; fold them into the weights first")
    found = [
        (parent, name, layer)
        for parent in list(model.modules())
        for name, layer in parent.named_children()
        if isinstance(layer, nn.Linear)
    ]
    known = sorted({name for _, name, _ in found})
    unknown = sorted(set(targets) - set(known))
    if not targets:
        raise ValueError(f"targets names no linear layer; there are {known}")
    if unknown:
        raise ValueError(f"no linear layer is called {unknown}; there are {known}")
    alpha = rank if alpha is None else alpha
    generator = torch.Generator().manual_seed(seed)
    made = [
        (parent, name, LoRALinear(layer, rank, alpha=alpha, generator=generator))
        for parent, name, layer in found
        if name in targets
    ]
    model.requires_grad_(False)
    for parent, name, layer in made:
        setattr(parent, name, layer)
    return [p for _, _, layer in made for p in (layer.A, layer.B)]


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """Yield name and layer of every LoRA layer of a model.

    Explained in: 08_fine_tuning
    """
    for name, module in model.named_modules():
        if isinstance(module, LoRALinear):
            yield name, module


def fold(model: nn.Module) -> nn.Module:
    """Return a copy without LoRA layers, each product added into a plain layer; nothing is frozen.

    A layer alone is folded into a plain layer, too.

    Explained in: 08_fine_tuning
    """
    folded = copy.deepcopy(model)
    if isinstance(folded, LoRALinear):
        folded = nn.ModuleList([folded])
        return fold(folded)[0]
    for parent in list(folded.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LoRALinear):
                if layer.kept is None:
                    layer.merge()
                setattr(parent, name, layer.layer)
    return folded.requires_grad_(True)
