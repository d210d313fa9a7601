"""One condition on one batch of queries: everything the metrics look at, at one position."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from icl_lib.meta.prompts import Batch
from icl_lib.meta.walk import Prefix, Step, read_queries
from icl_lib.models.gpt import GPT

POSITIONS = ("prediction", "published")
"""Where inside is measured: at the token whose logits give the label, as the paper says, or at the
first label word written behind it, as the paper's code does."""


@dataclass(frozen=True, eq=False)
class Observation:
    """What one condition does on a batch of queries, at one position of each.

    Attributes
    ----------
    attention_output
        After the output projection, before the residual sum.
    head_output
        Of each head, before it.
    inputs, queries
        What the projections read there, and the attention query.
    text_inputs, keys, values
        Of all positions of the query text.
    scores, weights
        On the query text up to the measured position: q·k/√K, and after the softmax over all;
        0 behind it.
    scores_demo, weights_demo
        The same on the demonstrations' tokens.
    seen
        Which positions of the query text count: a row ends at its measured position.
    label_log_probs
        log p of each label after the query text.
    """

    attention_output: Float[Tensor, "B L D"]
    head_output: Float[Tensor, "B L H K"]
    inputs: Float[Tensor, "B L D"]
    queries: Float[Tensor, "B L H K"]
    text_inputs: Float[Tensor, "B L T D"]
    keys: Float[Tensor, "B L H T K"]
    values: Float[Tensor, "B L H T K"]
    scores: Float[Tensor, "B L H T"]
    weights: Float[Tensor, "B L H T"]
    scores_demo: Float[Tensor, "B L H n"]
    weights_demo: Float[Tensor, "B L H n"]
    seen: Bool[Tensor, "B T"]
    label_log_probs: Float[Tensor, "B C"]


class _Seen:
    """Collects one measured position of each row, layer after layer."""

    def __init__(self, batch: Batch, demonstration: Tensor):
        self.batch, self.unseen = batch, ~batch.seen[:, None]
        self.demo = demonstration.nonzero()[:, 0]
        self.kept: dict[str, list[Tensor]] = {}

    def __call__(self, layer: int, step: Step) -> None:
        places = self.batch.places
        rows = torch.arange(len(places), device=places.device)
        # the last layer was asked at the read position and, if it is another, the measured one
        asked = places if step.queries.shape[2] == step.keys.shape[2] else -1
        across = (rows, slice(None), asked)
        found = {
            "attention_output": step.attention_output[rows, asked],
            "inputs": step.inputs[rows, places],
            "text_inputs": step.inputs,
            "keys": step.keys,
            "values": step.values,
        }
        for name in ("head_output", "queries", "scores", "weights"):
            found[name] = getattr(step, name)[across]
        for name in ("scores", "weights"):
            prefix = getattr(step, f"{name}_prefix")[across]
            found[f"{name}_demo"] = prefix.index_select(-1, self.demo)
        found["scores"] = found["scores"].masked_fill(self.unseen, 0.0)
        for name, tensor in found.items():
            self.kept.setdefault(name, []).append(tensor)

    def stacked(self) -> dict[str, Tensor]:
        return {name: torch.stack(layers, dim=1) for name, layers in self.kept.items()}


def observe(
    model: GPT, batch: Batch, prefix: Prefix, labels: tuple[Int[Tensor, "_"], ...]
) -> Observation:
    """Read a batch of queries behind a shared beginning and return what happens inside.

    Parameters
    ----------
    model
        Reads.
    batch
        Queries, their lengths, and where to measure.
    prefix
        Read by the same model before.
    labels
        Tokens of each label.

    Source: Dai et al. (2023), section 4.2.

    Explained in: 16_paper_experiment
    """
    batch = _on(batch, model)
    found, read = _Seen(batch, prefix.demonstration), batch.lengths - 1
    same = torch.equal(read, batch.places)
    places = torch.stack([read] if same else [read, batch.places], dim=1)
    hidden = read_queries(model, batch.tokens, prefix, found, places=places)
    log_probs = _label_log_probs(model, batch, prefix, labels, hidden[:, 0])
    return Observation(**found.stacked(), seen=batch.seen, label_log_probs=log_probs)


def label_log_probs(
    model: GPT, batch: Batch, prefix: Prefix, labels: tuple[Int[Tensor, "_"], ...]
) -> Float[Tensor, "B C"]:
    r"""Return :math:`\log p(\text{label}_c \mid \text{prompt}_i)`, and look at nothing else.

    That of a label of several tokens is the sum over its tokens.

    Explained in: 16_paper_experiment
    """
    batch = _on(batch, model)
    hidden = read_queries(model, batch.tokens, prefix, places=batch.lengths[:, None] - 1)
    return _label_log_probs(model, batch, prefix, labels, hidden[:, 0])


def _on(batch: Batch, model: GPT) -> Batch:
    device = model.tokens.weight.device
    parts = (batch.tokens, batch.lengths, batch.places, batch.numbers)
    return Batch(*(part.to(device) for part in parts))


def _label_log_probs(
    model: GPT, batch: Batch, prefix: Prefix, labels: tuple[Tensor, ...], hidden: Tensor
) -> Tensor:
    with torch.no_grad():
        first = model.logits(hidden[:, None])[:, 0].log_softmax(-1)
        columns = [first[:, int(label[0])] for label in labels]
        for i, label in enumerate(labels):
            if len(label) > 1:
                columns[i] = columns[i] + _rest(model, batch, prefix, label.to(hidden.device))
    return torch.stack(columns, dim=1)


def _rest(model: GPT, batch: Batch, prefix: Prefix, label: Tensor) -> Tensor:
    """Return log p of a label's second to last token, given query and first token."""
    width = len(label)
    where = batch.lengths[:, None] + torch.arange(width - 1, device=label.device)
    longest = int(where.max()) + 1
    tokens = torch.nn.functional.pad(batch.tokens, (0, max(0, longest - batch.tokens.shape[1])))
    tokens = tokens.scatter(1, where, label[:-1].expand(len(where), -1))[:, :longest]
    log_p = model.logits(read_queries(model, tokens, prefix, places=where)).log_softmax(-1)
    return log_p.gather(2, label[1:].expand(len(where), -1)[..., None])[..., 0].sum(1)
