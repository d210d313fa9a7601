"""One function per figure of the book; each draws a light and a dark variant and needs alt text."""

from icl_lib.plots.attention import (
    attention_maps,
    lookup_weights,
    score_variance,
    temperature_curves,
)
from icl_lib.plots.descent import (
    bowl_walks,
    descent_losses,
    difference_error,
    rule_race,
    shrink_factors,
    taste_curve,
    valley_walks,
)
from icl_lib.plots.dual import digit_agreement, leaning, step_weights, update_spectra
from icl_lib.plots.gpt import cache_seconds, head_maps, next_token, parameter_parts, training_curve
from icl_lib.plots.meta import (
    carry_over_table,
    gradient_cosines,
    head_errors,
    relaxation_agreement,
    relaxation_error,
    relaxation_growth,
    split_segment,
)
from icl_lib.plots.regression import error_curves, guesses, training_loss
from icl_lib.plots.themed import ThemedFigure, figure

__all__ = [
    "ThemedFigure",
    "attention_maps",
    "bowl_walks",
    "cache_seconds",
    "carry_over_table",
    "descent_losses",
    "difference_error",
    "digit_agreement",
    "error_curves",
    "figure",
    "gradient_cosines",
    "guesses",
    "head_errors",
    "head_maps",
    "leaning",
    "lookup_weights",
    "next_token",
    "parameter_parts",
    "relaxation_agreement",
    "relaxation_error",
    "relaxation_growth",
    "rule_race",
    "score_variance",
    "shrink_factors",
    "split_segment",
    "step_weights",
    "taste_curve",
    "temperature_curves",
    "training_curve",
    "training_loss",
    "update_spectra",
    "valley_walks",
]
