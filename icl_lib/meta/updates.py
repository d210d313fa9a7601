"""The two updates themselves, head by head: ΔW_ICL against ΔW_FT.

The paper compares what the updates *do*. Here the matrices of its equations 12 and 13 are formed
and compared: cosine, principal angles, spectra. Letters: ``n`` demonstration tokens, ``T`` query
text, ``H`` heads, ``K`` head width.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from icl_lib.meta.similarity import cosine
from icl_lib.meta.walk import Prefix
from icl_lib.models.gpt import GPT, Block


def in_context_update(prefix: Prefix) -> Float[Tensor, "L H K K"]:
    r"""Return what the demonstrations add to each relaxed head.

    .. math:: ΔW_{ICL} = \sum_i (W_V x'_i) ⊗ (W_K x'_i)

    It does not depend on the query: with a causal mask demonstrations never see it.

    Source: Dai et al. (2023), eq. 12.

    Explained in: 18_layer_by_layer
    """
    shown = prefix.demonstration
    return prefix.values[:, :, shown].mT @ prefix.keys[:, :, shown]


def finetuned_update(
    before: Block,
    after: Block,
    inputs: Float[Tensor, "B T D"],
    seen: Bool[Tensor, "B T"],
) -> Float[Tensor, "B H K K"]:
    r"""Return what training adds to each relaxed head of a layer, for each query text.

    .. math:: ΔW_{FT} = (W_V + ΔW_V) X X^\top (W_K + ΔW_K)^\top - W_V X X^\top W_K^\top

    Parameters
    ----------
    before, after
        The same layer of the original and of the finetuned model.
    inputs
        X: what the original model's projections read of the query text. Kept fixed, as in the
        paper: the update is that of this layer's parameters alone.
    seen
        Positions that count.

    Source: Dai et al. (2023), eq. 13.

    Explained in: 18_layer_by_layer
    """
    heads = []
    for attention in (before.attention, after.attention):
        keys, values = attention.k_proj(inputs), attention.v_proj(inputs) * seen[..., None]
        heads.append(attention.split(values).mT @ attention.split(keys))
    return heads[1] - heads[0]


@torch.no_grad()
def finetuned_updates(
    before: GPT, after: GPT, inputs: Float[Tensor, "B L T D"], seen: Bool[Tensor, "B T"]
) -> Float[Tensor, "B L H K K"]:
    """Return :func:`finetuned_update` of all layers.

    Explained in: 18_layer_by_layer
    """
    layers = zip(before.blocks, after.blocks, inputs.unbind(1), strict=True)
    return torch.stack([finetuned_update(a, b, x, seen) for a, b, x in layers], dim=1)


def matrix_cosine(
    a: Float[Tensor, "*#batch r c"], b: Float[Tensor, "*#batch r c"]
) -> Float[Tensor, "*#batch"]:
    r"""Return :math:`\langle A, B \rangle / (\lVert A \rVert_F \lVert B \rVert_F)`.

    Explained in: 18_layer_by_layer
    """
    return cosine(a.flatten(-2), b.flatten(-2))


def subspace_overlap(
    a: Float[Tensor, "*batch n r"], b: Float[Tensor, "*batch n r"]
) -> Float[Tensor, "*batch"]:
    r"""Return the mean squared cosine of the principal angles between two subspaces.

    .. math:: \frac1r \lVert U_a^\top U_b \rVert_F^2 = \frac1r \sum_j \cos^2 θ_j

    1 for equal subspaces, 0 for orthogonal ones, r/n on average for a random one.

    Parameters
    ----------
    a, b
        Orthonormal columns.

    Source: Björck and Golub (1973).

    Explained in: 18_layer_by_layer
    """
    return (a.mT @ b).square().sum((-2, -1)) / a.shape[-1]


def principal_angles(
    a: Float[Tensor, "*batch n r"], b: Float[Tensor, "*batch n r"]
) -> Float[Tensor, "*batch r"]:
    """Return the principal angles between the column spaces of two orthonormal bases, in radians.

    Source: Björck and Golub (1973).

    Explained in: 18_layer_by_layer
    """
    return torch.linalg.svdvals(a.mT @ b).clamp(max=1.0).acos()


def effective_rank(spectrum: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch"]:
    r"""Return :math:`(\sum σ^2)^2 / \sum σ^4`: 1 for one direction, K for all alike.

    Source: the participation ratio.

    Explained in: 18_layer_by_layer
    """
    power = spectrum.square()
    return power.sum(-1).square() / power.square().sum(-1)


def compare_matrices(
    a: Float[Tensor, "*#batch K K"], b: Float[Tensor, "*#batch K K"], *, rank: int = 4
) -> dict[str, Float[Tensor, "*#batch"]]:
    """Return every comparison of two updates, by the name of its metric.

    ``update_overlap_out`` and ``update_overlap_in`` compare the ``rank`` leading left and right
    singular subspaces, ``update_first_angle`` is the smallest principal angle between the left
    ones in degrees, ``update_rank_icl`` and ``update_rank_ft`` are effective ranks and
    ``update_spectrum`` is the cosine of the two spectra, which no rotation changes.

    Parameters
    ----------
    a, b
        ΔW_ICL and ΔW_FT.
    rank
        How many leading directions span a subspace.

    Explained in: 18_layer_by_layer
    """
    rank = min(rank, a.shape[-1])
    u, s, v = torch.linalg.svd(a)
    u2, s2, v2 = torch.linalg.svd(b)
    left = (u[..., :rank].expand_as(u2[..., :rank]), u2[..., :rank])
    right = (v.mT[..., :rank].expand_as(v2.mT[..., :rank]), v2.mT[..., :rank])
    ranks = effective_rank(s).expand(s2.shape[:-1])
    return {
        "update_overlap_out": subspace_overlap(*left),
        "update_overlap_in": subspace_overlap(*right),
        "update_first_angle": principal_angles(*left)[..., 0].rad2deg(),
        "update_spectrum": cosine(s.expand_as(s2), s2),
        "update_rank_icl": ranks,
        "update_rank_ft": effective_rank(s2),
    }


def rotated(x: Float[Tensor, "*batch K K"], generator: torch.Generator) -> Tensor:
    r"""Return :math:`R x R'` with one pair of random rotations: the same spectrum, no direction.

    Explained in: 18_layer_by_layer
    """
    draws = torch.randn(2, *x.shape[-2:], dtype=torch.float64, generator=generator)
    turn = torch.linalg.qr(draws).Q.to(x)
    return turn[0] @ x @ turn[1]
