"""All conditions, batch by batch: what is measured is kept, what was seen is let go.

Of each query one number is kept for each layer, head and metric, its attention outputs, and its
attention to the demonstrations; never the maps themselves.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from icl_lib.meta.controls import noise_like
from icl_lib.meta.finetuning import Trace
from icl_lib.meta.observe import Observation, observe
from icl_lib.meta.prompts import Batch
from icl_lib.meta.ranks import (
    Ranking,
    error_weighted,
    in_context_attention,
    input_input,
    kendall,
    query_query,
)
from icl_lib.meta.similarity import (
    attention_change_similarity,
    attention_map_similarity,
    jensen_shannon,
    output_update_similarity,
)
from icl_lib.meta.updates import (
    compare_matrices,
    finetuned_updates,
    in_context_update,
    matrix_cosine,
    rotated,
)
from icl_lib.meta.walk import Prefix
from icl_lib.models.gpt import GPT


@dataclass(frozen=True, eq=False)
class Condition:
    """A model behind a shared beginning.

    Attributes
    ----------
    model, prefix
        The beginning must have been read by this model.
    kept
        What was seen of each batch, by its number, for the next call of :func:`measure` with the
        same batches; nothing is kept, if ``None``.
    """

    model: GPT
    prefix: Prefix
    kept: dict[int, Observation] | None = None

    def see(self, number: int, batch: Batch, labels: tuple[Int[Tensor, "_"], ...]) -> Observation:
        """Read a batch, unless what was seen of it is kept."""
        if self.kept is None:
            return observe(self.model, batch, self.prefix, labels)
        if number not in self.kept:
            seen = observe(self.model, batch, self.prefix, labels)
            self.kept[number] = _light(seen, texts=not bool(self.prefix.demonstration.any()))
        return self.kept[number]


def _light(seen: Observation, *, texts: bool) -> Observation:
    """Return what metrics need of a condition that is not trained; NaN in place of the rest."""
    dropped = ("keys", "values") if texts else ("keys", "values", "text_inputs")
    full = {name: getattr(seen, name) for name in dropped}
    return replace(
        seen, **{name: x.new_full((), torch.nan).expand(x.shape) for name, x in full.items()}
    )


@dataclass(frozen=True, eq=False)
class Comparison:
    """Three conditions that play the parts of zero-shot, in-context and finetuned.

    Attributes
    ----------
    control
        Its name.
    zero_shot, in_context, finetuned
        Names of conditions.
    trace
        Of the finetuning; without it nothing is ranked.
    biases
        Whether biases were trained.
    noise
        Whether noise in finetuning's place is measured, too.
    """

    control: str
    zero_shot: str
    in_context: str
    finetuned: str
    trace: Trace | None
    biases: bool = True
    noise: bool = False


@dataclass(frozen=True, eq=False)
class Measured:
    """What is left when all queries were read; the first axis is the query's number.

    Attributes
    ----------
    log_probs, outputs
        Of each condition: label log-probabilities ``E C``, attention outputs ``E L D``.
    metrics
        By control and metric, ``E L`` or, where heads are told apart, ``E L H``. NaN where a
        query was not asked for this metric, or its value does not exist.
    rankings
        By control, attention to demonstration tokens in context and of finetuning, ``E L n``.
    """

    log_probs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    rankings: dict[tuple[str, str], Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """How much is measured.

    Attributes
    ----------
    seed
        Of noise and rotations.
    spectra
        Numbers of the queries for which updates are decomposed; all have their cosine.
    rankings
        Keep the attention to demonstrations, for the controls that pair queries anew.
    """

    seed: int = 0
    spectra: frozenset[int] = frozenset()
    rankings: bool = False


def measure(
    conditions: Mapping[str, Condition],
    comparisons: Sequence[Comparison],
    batches: Iterable[Batch],
    labels: tuple[Int[Tensor, "_"], ...],
    count: int,
    options: Options,
) -> Measured:
    """Read all queries under all conditions and measure every comparison.

    Parameters
    ----------
    conditions
        By name; each batch is read once under each.
    comparisons
        What to compare.
    batches
        Queries, each once.
    labels
        Tokens of each label.
    count
        E, the number of queries in all.
    options
        How much is measured.

    Raises
    ------
    ArithmeticError
        If a condition's log-probabilities are no finite numbers.

    Source: Dai et al. (2023), section 4.

    Explained in: 16_paper_experiment
    """
    found = Measured()
    for number, batch in enumerate(batches):
        seen = {n: c.see(number, batch, labels) for n, c in conditions.items()}
        for name, what in seen.items():
            check_finite(name, what.label_log_probs)
            _put(found.log_probs, name, batch.numbers, what.label_log_probs, count)
            _put(found.outputs, name, batch.numbers, what.attention_output, count)
        for comparison in comparisons:
            for key, value in _compare(comparison, conditions, seen, batch, options).items():
                _put(found.metrics, key, batch.numbers, value, count)
            if options.rankings and comparison.trace is not None:
                for part, value in _ranked(comparison, seen).items():
                    key = (comparison.control, part)
                    _put(found.rankings, key, batch.numbers, value, count)
    return found


def check_finite(condition: str, log_probs: Float[Tensor, "*shape"]) -> None:
    """Raise ``ArithmeticError`` if a model, finetuned too fast, says nothing any more.

    Explained in: 16_paper_experiment
    """
    wrong = log_probs[~log_probs.isfinite()]
    if len(wrong):
        raise ArithmeticError(
            f"in the condition {condition} a label's log-probability is {float(wrong[0])}: "
            "finetuning diverged; a smaller step size usually helps"
        )


def _put(kept: dict, key, numbers: Tensor, value: Tensor, count: int) -> None:
    value = value.detach().cpu()
    if key not in kept:
        kept[key] = value.new_full((count, *value.shape[1:]), torch.nan)
    kept[key][numbers] = value


def _ranked(comparison: Comparison, seen: Mapping[str, Observation]) -> dict[str, Tensor]:
    shown, trained = seen[comparison.in_context], seen[comparison.finetuned]
    parts = {"icl": in_context_attention(shown)}
    parts |= {"query": query_query(comparison.trace, trained)}
    return parts | {"input": input_input(comparison.trace, trained)}


def _compare(
    comparison: Comparison,
    conditions: Mapping[str, Condition],
    seen: Mapping[str, Observation],
    batch: Batch,
    options: Options,
) -> dict[tuple[str, str], Tensor]:
    """Return every metric of one comparison on one batch, by control and name."""
    names = comparison.zero_shot, comparison.in_context, comparison.finetuned
    three = tuple(seen[name] for name in names)
    rows = map_metrics(*three)
    rows["simaou_head"] = output_update_similarity(
        *(o.head_output for o in three), normalised=False
    )
    if comparison.trace is not None:
        rows |= rank_metrics(comparison.trace, three[1], three[2], biases=comparison.biases)
    found = {(comparison.control, name): value for name, value in rows.items()}
    if comparison.noise:
        found |= _noise(comparison, three, batch.numbers, options.seed)
    return found | _updates(comparison, conditions, three[0], batch, options)


def map_metrics(
    zero: Observation, icl: Observation, ft: Observation
) -> dict[str, Float[Tensor, "B L H"]]:
    """Return the similarities of attention maps for each query, layer and head.

    ``simam`` and ``simam_before`` are the published ones; ``_centred`` take scores less their
    mean, ``simam_js`` is a divergence after softmax, where 0 is equal, and ``simam_change`` that
    of changes.

    Source: Dai et al. (2023), section 4.4; Deutch et al. (2024).

    Explained in: 16_paper_experiment
    """
    rows, seen = {}, zero.seen[:, None, None]
    for suffix, other in (("_before", zero), ("", ft)):
        for name, centre in (("simam", False), ("simam_centred", True)):
            rows[name + suffix] = attention_map_similarity(
                icl.scores, other.scores, seen, centre=centre
            )
        rows["simam_js" + suffix] = jensen_shannon(icl.weights, other.weights)
    for name, centre in (("simam_change", False), ("simam_change_centred", True)):
        rows[name] = attention_change_similarity(
            zero.scores, icl.scores, ft.scores, seen, centre=centre
        )
    return rows


def rank_metrics(
    trace: Trace, icl: Observation, ft: Observation, *, biases: bool
) -> dict[str, Float[Tensor, "B L"]]:
    """Return Kendall's τ of in-context attention with three attentions of finetuning.

    ``query`` between queries as published, ``input`` between inputs as the dual form says,
    ``error`` each token's exact contribution; each as τ_a and τ_b. ``kendall_published`` is τ_b
    after a softmax over tokens, as in the paper's code: small weights underflow to ties.

    Source: Dai et al. (2023), section 4.5, and their code.

    Explained in: 16_paper_experiment
    """
    context = in_context_attention(icl)
    ranked = {
        "query": query_query(trace, ft),
        "input": input_input(trace, ft),
        "error": error_weighted(trace, ft, bias=biases),
    }
    found, ours = {}, Ranking.of(context)
    theirs = {name: Ranking.of(values) for name, values in ranked.items()}
    for name, ranking in theirs.items():
        tau = ours.against(ranking)
        found[f"kendall_a_{name}"], found[f"kendall_b_{name}"] = tau.a, tau.b
    scale = ft.queries.shape[-1] ** -0.5
    soft = ours.tied(context.softmax(-1))  # the order stays, ties are added
    other = theirs["query"].tied((ranked["query"] * scale).softmax(-1))
    return found | {"kendall_published": soft.against(other).b}


def _noise(
    comparison: Comparison, three: tuple[Observation, ...], numbers: Tensor, seed: int
) -> dict[tuple[str, str], Tensor]:
    """Return what maps and ranks show with noise as long as finetuning's change in its place."""
    zero, icl, ft = three
    mask = zero.seen[:, None, None]
    change = (ft.scores - zero.scores).masked_fill(~mask, 0.0)
    drawn = torch.zeros_like(change)
    for row, length in enumerate(zero.seen.sum(1).tolist()):
        own = change[row : row + 1, ..., :length]
        drawn[row, ..., :length] = noise_like(own, seed, numbers[row : row + 1])[0]
    other = zero.scores + drawn
    rows = {"simam": attention_map_similarity(icl.scores, other, mask)}
    rows["simam_change"] = attention_change_similarity(zero.scores, icl.scores, other, mask)
    if comparison.trace is not None:
        context = in_context_attention(icl)
        tau = kendall(context, noise_like(torch.ones_like(context), seed, numbers))
        rows |= {"kendall_a_query": tau.a, "kendall_b_query": tau.b}
    return {("noise", name): value for name, value in rows.items()}


def _updates(
    comparison: Comparison,
    conditions: Mapping[str, Condition],
    zero: Observation,
    batch: Batch,
    options: Options,
) -> dict[tuple[str, str], Tensor]:
    """Return the comparison of ΔW_ICL with ΔW_FT, and with a randomly turned ΔW_FT."""
    base, trained = conditions[comparison.zero_shot].model, conditions[comparison.finetuned].model
    icl = in_context_update(conditions[comparison.in_context].prefix)[None]
    ft = finetuned_updates(base, trained, zero.text_inputs, zero.seen)
    rows = {(comparison.control, "update_cosine"): matrix_cosine(icl, ft)}
    rows[comparison.control, "update_size_ratio"] = _size(ft) / _size(icl)
    few = torch.tensor([number in options.spectra for number in batch.numbers.tolist()])
    others = {comparison.control: ft}
    if comparison.noise:
        generator = torch.Generator().manual_seed(options.seed)
        others["noise"] = rotated(ft, generator)
        rows["noise", "update_cosine"] = matrix_cosine(icl, others["noise"])
    if bool(few.any()):
        for control, matrices in others.items():
            for name, value in compare_matrices(icl, matrices[few]).items():
                rows[control, name] = _spread(value, few)
    return rows


def _size(x: Float[Tensor, "*batch K K"]) -> Float[Tensor, "*batch"]:
    return x.flatten(-2).norm(dim=-1)


def _spread(value: Float[Tensor, "b L H"], few: Bool[Tensor, "B"]) -> Float[Tensor, "B L H"]:
    whole = value.new_full((len(few), *value.shape[1:]), torch.nan)
    whole[few] = value
    return whole
