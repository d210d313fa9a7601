"""Weight updates as sums of outer products: the dual form of a trained linear layer.

``OuterSum`` is the factored update, ``record_linear`` gets one from a training run, ``DualForm``
answers queries with it, as a matrix or as attention over the training examples.
"""

from icl_lib.dual.evaluate import (
    DualForm,
    Fit,
    fit_to_examples,
    relative_difference,
    sum_by_group,
)
from icl_lib.dual.factored import OuterSum
from icl_lib.dual.record import Recording, record, record_linear
from icl_lib.dual.runs import fresh_layer, train_one_by_one, train_recorded
from icl_lib.dual.steps import Step, step_weights, unroll

__all__ = [
    "DualForm",
    "Fit",
    "OuterSum",
    "Recording",
    "Step",
    "fit_to_examples",
    "fresh_layer",
    "record",
    "record_linear",
    "relative_difference",
    "step_weights",
    "sum_by_group",
    "train_one_by_one",
    "train_recorded",
    "unroll",
]
