"""From measured tensors to the rows of a table: means over queries, with intervals."""

import math
from collections.abc import Iterator, Mapping

from jaxtyping import Float, Int
from torch import Tensor

from icl_lib.meta.measure import Comparison, Measured
from icl_lib.meta.rates import Share, recall_to_finetuning, share

CONFIDENCE = 1.959964
"""Half-width of a 95 % interval in standard errors."""


def mean_row(values: Float[Tensor, "*shape"]) -> dict[str, float | int]:
    """Return the mean of those values that exist, its 95 % interval, and their number.

    Explained in: 16_paper_experiment
    """
    kept = values[~values.isnan()].double()
    n = len(kept)
    if not n:
        return {"value": math.nan, "low": math.nan, "high": math.nan, "n": 0}
    mean = float(kept.mean())
    half = CONFIDENCE * float(kept.std()) / math.sqrt(n) if n > 1 else math.nan
    return {"value": mean, "low": mean - half, "high": mean + half, "n": n}


def metric_rows(
    control: str, metric: str, values: Float[Tensor, "E L *H"], *, heads: bool
) -> Iterator[dict]:
    """Yield the rows of one metric: over all layers, of each layer, and of each head if asked.

    Where heads are told apart, a query's value is its mean over heads, as in the paper.

    Explained in: 16_paper_experiment
    """
    name = {"control": control, "metric": metric, "layer": None, "head": None}
    per_layer = values.nanmean(2) if values.ndim == 3 else values
    yield name | mean_row(per_layer.nanmean(1))
    for layer in range(values.shape[1]):
        here = name | {"layer": layer}
        yield here | mean_row(per_layer[:, layer])
        if heads and values.ndim == 3:
            for head in range(values.shape[2]):
                yield here | {"head": head} | mean_row(values[:, layer, head])


def share_row(control: str, metric: str, found: Share) -> dict:
    """Return a share as a row."""
    ends = {"value": found.value, "low": found.low, "high": found.high, "n": found.n}
    return {"control": control, "metric": metric, "layer": None, "head": None} | ends


def answer_rows(
    comparison: Comparison, measured: Measured, gold: Int[Tensor, "E"]
) -> Iterator[dict]:
    """Yield accuracies and Rec2FTP of one comparison, with intervals.

    Explained in: 16_paper_experiment
    """
    names = comparison.zero_shot, comparison.in_context, comparison.finetuned
    right = [measured.log_probs[name].argmax(1) == gold for name in names]
    control = comparison.control
    for name, hits in zip(("zero_shot", "in_context", "finetuned"), right, strict=True):
        yield share_row(control, f"accuracy_{name}", share(hits))
    found = recall_to_finetuning(*right)
    yield share_row(control, "rec2ftp", found.rec2ftp)
    yield share_row(control, "rec2ftp_base_rate", found.base_rate)
    yield share_row(control, "rec2ftp_precision", found.precision)
    plain = {"control": control, "layer": None, "head": None, "low": math.nan, "high": math.nan}
    n = found.rec2ftp.n
    yield plain | {"metric": "rec2ftp_lift", "value": found.lift, "n": n}
    least = {"value": found.least, "n": found.base_rate.n}
    yield plain | {"metric": "rec2ftp_least_base_rate"} | least


def example_rows(
    measured: Measured,
    comparisons: list[Comparison],
    gold: Int[Tensor, "E"],
    order: Int[Tensor, "E"],
    about: Mapping,
) -> Iterator[dict]:
    """Yield what each condition said of each query; ``query`` counts in the order drawn.

    Explained in: 16_paper_experiment
    """
    told = set()
    for comparison in comparisons:
        for role in ("zero_shot", "in_context", "finetuned"):
            condition = getattr(comparison, role)
            if condition in told:
                continue
            told.add(condition)
            for number, scores in enumerate(measured.log_probs[condition].tolist()):
                best = max(range(len(scores)), key=scores.__getitem__)
                yield dict(about) | {
                    "control": comparison.control,
                    "condition": role,
                    "query": int(order[number]),
                    "gold": int(gold[number]),
                    "predicted": best,
                    "log_probs": scores,
                }
