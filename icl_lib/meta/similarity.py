"""Similarity of attention-output updates and of attention maps: as published, and corrected.

Where a cosine does not exist, because a vector is zero, the value is NaN: it is left out of means,
and the number of values that a mean is made of stands beside it.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def cosine(
    a: Float[Tensor, "*#batch n"], b: Float[Tensor, "*#batch n"]
) -> Float[Tensor, "*#batch"]:
    r"""Return :math:`a·b / (\lVert a\rVert\,\lVert b\rVert)`; NaN if one of them is zero.

    Source: definition.

    Explained in: 16_paper_experiment
    """
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))


def unit(x: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    """Return x / ‖x‖.

    Explained in: 16_paper_experiment
    """
    return x / x.norm(dim=-1, keepdim=True)


def output_update_similarity(
    zero_shot: Float[Tensor, "*batch D"],
    in_context: Float[Tensor, "*batch D"],
    finetuned: Float[Tensor, "*batch D"],
    *,
    normalised: bool = True,
) -> Float[Tensor, "*batch"]:
    r"""Return SimAOU, the similarity of the two changes of an attention output.

    .. math:: \cos(\hat h_{ICL} - \hat h_{ZSL},\; \hat h_{FT} - \hat h_{ZSL}),
        \qquad \hat h = h / \lVert h \rVert

    Parameters
    ----------
    zero_shot, in_context, finetuned
        Attention outputs h of the three conditions.
    normalised
        As published. ``False`` subtracts the outputs as they are: normalising first makes
        *independent* changes look alike, see
        :func:`icl_lib.meta.nulls.normalised_update_similarity`.

    Source: Dai et al. (2023), section 4.3; Deutch et al. (2024) for the raw form.

    Explained in: 16_paper_experiment
    """
    if normalised:
        zero_shot, in_context, finetuned = unit(zero_shot), unit(in_context), unit(finetuned)
    return cosine(in_context - zero_shot, finetuned - zero_shot)


def beside(
    zero_shot: Float[Tensor, "*batch D"], output: Float[Tensor, "*batch D"]
) -> Float[Tensor, "*batch D"]:
    r"""Return what of an output is at right angles to the zero-shot one: :math:`h - (h·ẑ)\,ẑ`.

    That of the output and that of its update are the same, and normalising does not turn it, so
    that neither normalising nor the zero-shot output, which both updates contain, can make two of
    them alike.

    Source: definition.

    Explained in: 17_chance
    """
    z = unit(zero_shot)
    return output - (output * z).sum(-1, keepdim=True) * z


def norm_ratio(
    before: Float[Tensor, "*batch D"], after: Float[Tensor, "*batch D"]
) -> Float[Tensor, "*batch"]:
    r"""Return :math:`ρ = \lVert h' - h \rVert / \lVert h \rVert`, how large a change is.

    Explained in: 17_chance
    """
    return (after - before).norm(dim=-1) / before.norm(dim=-1)


def centred(
    scores: Float[Tensor, "*batch T"], seen: Bool[Tensor, "*#batch T"]
) -> Float[Tensor, "*batch T"]:
    """Return scores less their mean over the positions that count; 0 at the others.

    Softmax ignores a constant, so this is what of the scores has an effect.

    Explained in: 17_chance
    """
    kept = scores.masked_fill(~seen, 0.0)
    return (kept - kept.sum(-1, keepdim=True) / seen.sum(-1, keepdim=True)).masked_fill(~seen, 0.0)


def attention_map_similarity(
    a: Float[Tensor, "*batch T"],
    b: Float[Tensor, "*batch T"],
    seen: Bool[Tensor, "*#batch T"],
    *,
    centre: bool = False,
) -> Float[Tensor, "*batch"]:
    r"""Return SimAM, the cosine of two rows of scores on the query text.

    .. math:: \cos(m_{ICL}, m_{FT})

    Parameters
    ----------
    a, b
        Scores before the softmax of the measured token, one row for each head.
    seen
        Positions that count; the others are padding or the future.
    centre
        Take each row less its mean (Pearson's correlation). As published: no.

    Source: Dai et al. (2023), section 4.4.

    Explained in: 16_paper_experiment
    """
    if centre:
        return cosine(centred(a, seen), centred(b, seen))
    return cosine(a.masked_fill(~seen, 0.0), b.masked_fill(~seen, 0.0))


def attention_change_similarity(
    zero_shot: Float[Tensor, "*batch T"],
    in_context: Float[Tensor, "*batch T"],
    finetuned: Float[Tensor, "*batch T"],
    seen: Bool[Tensor, "*#batch T"],
    *,
    centre: bool = False,
) -> Float[Tensor, "*batch"]:
    r"""Return SimAM of changes: :math:`\cos(m_{ICL} - m_{ZSL},\; m_{FT} - m_{ZSL})`.

    Source: Deutch et al. (2024).

    Explained in: 17_chance
    """
    changes = in_context - zero_shot, finetuned - zero_shot
    return attention_map_similarity(*changes, seen, centre=centre)


def jensen_shannon(
    p: Float[Tensor, "*batch T"], q: Float[Tensor, "*batch T"]
) -> Float[Tensor, "*batch"]:
    r"""Return the Jensen–Shannon divergence of two rows of weights, in bits: 0 … 1.

    .. math:: \tfrac12 \mathrm{KL}(p ‖ m) + \tfrac12 \mathrm{KL}(q ‖ m), \qquad m = \tfrac12 (p + q)

    Each row is first divided by its sum, so that the weights on the query text can be compared
    whatever share of them the demonstrations take.

    Source: Lin (1991).

    Explained in: 17_chance
    """
    p, q = p / p.sum(-1, keepdim=True), q / q.sum(-1, keepdim=True)
    entropy = torch.special.entr((p + q) / 2).sum(-1)
    parts = (torch.special.entr(p).sum(-1) + torch.special.entr(q).sum(-1)) / 2
    return ((entropy - parts) / torch.log(entropy.new_tensor(2.0))).clamp(min=0)
