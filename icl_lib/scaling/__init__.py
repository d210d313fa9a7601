"""How a loss falls with size, how sure one can be of it, and scores of learning in context."""

from icl_lib.scaling.fits import (
    FreeFloor,
    PowerLaw,
    bootstrap,
    fit_known_floor,
    fit_unknown_floor,
    leave_one_out,
)
from icl_lib.scaling.in_context import (
    Answers,
    answer,
    in_context_score,
    loss_by_position,
    prefix_matching,
    prompt_losses,
    series_right,
)

__all__ = [
    "Answers",
    "FreeFloor",
    "PowerLaw",
    "answer",
    "bootstrap",
    "fit_known_floor",
    "fit_unknown_floor",
    "in_context_score",
    "leave_one_out",
    "loss_by_position",
    "prefix_matching",
    "prompt_losses",
    "series_right",
]
