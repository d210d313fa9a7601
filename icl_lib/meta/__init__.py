"""The paper's experiment: does in-context learning do what finetuning does?

:func:`compare` runs the whole protocol. Its parts: :mod:`prompts` says what is read,
:mod:`finetuning` makes the finetuned condition, :mod:`walk` and :mod:`observe` look inside,
:mod:`similarity`, :mod:`ranks`, :mod:`rates` and :mod:`updates` are the metrics, :mod:`controls`
and :mod:`nulls` what they show by chance, :mod:`result` is the table, :mod:`choice` picks a step
size on other tasks, :mod:`prepared` reads once what many step sizes share, :mod:`sweep` runs many
comparisons, and :mod:`recorded` gives back everything that was seen of a few queries.
"""

from icl_lib.meta.compare import compare, prepare
from icl_lib.meta.controls import CONTROLS
from icl_lib.meta.finetuning import Finetuning, finetune
from icl_lib.meta.prompts import TooLong, count_that_fits
from icl_lib.meta.recorded import record
from icl_lib.meta.result import Result, ResultError

__all__ = [
    "CONTROLS",
    "Finetuning",
    "Result",
    "ResultError",
    "TooLong",
    "compare",
    "count_that_fits",
    "finetune",
    "prepare",
    "record",
]
