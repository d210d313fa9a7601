"""One function per figure of the book; each draws a light and a dark variant and needs alt text."""

from icl_lib.plots.alignment import (
    instruction_scores,
    leash_curves,
    methods_by_distance,
    proxy_and_truth,
    reward_over_steps,
)
from icl_lib.plots.attention import (
    attention_maps,
    lookup_weights,
    score_variance,
    temperature_curves,
)
from icl_lib.plots.deeper import decay, errors_by_depth, gains, layer_heat, missing_shares
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
from icl_lib.plots.finetuning import change_and_forgetting, forgetting_tradeoff, seeds_by_row
from icl_lib.plots.function_classes import (
    algorithm_distances,
    class_errors,
    penalty_valleys,
)
from icl_lib.plots.gpt import cache_seconds, head_maps, next_token, parameter_parts, training_curve
from icl_lib.plots.limits import Curves, measure_rows, shift_curves
from icl_lib.plots.meta import (
    carry_over_table,
    gradient_cosines,
    head_errors,
    relaxation_agreement,
    relaxation_error,
    relaxation_growth,
    split_segment,
)
from icl_lib.plots.one_step import (
    layer_maps,
    layer_training,
    scale_losses,
    temperature_errors,
    way_losses,
)
from icl_lib.plots.pretraining import (
    candidate_probabilities,
    continuations,
    learned_when,
    pretraining_run,
    tokens_per_character,
    two_rulers,
)
from icl_lib.plots.regression import error_curves, guesses, training_loss
from icl_lib.plots.scale import appearance, few_shot, scaling_law, two_metrics
from icl_lib.plots.task_diversity import (
    distances_in_training,
    pool_distances,
    price_and_gain,
    rule_errors,
)
from icl_lib.plots.themed import ThemedFigure, figure

__all__ = [
    "Curves",
    "ThemedFigure",
    "algorithm_distances",
    "appearance",
    "attention_maps",
    "bowl_walks",
    "cache_seconds",
    "candidate_probabilities",
    "carry_over_table",
    "change_and_forgetting",
    "class_errors",
    "continuations",
    "decay",
    "descent_losses",
    "difference_error",
    "digit_agreement",
    "distances_in_training",
    "error_curves",
    "errors_by_depth",
    "few_shot",
    "figure",
    "forgetting_tradeoff",
    "gains",
    "gradient_cosines",
    "guesses",
    "head_errors",
    "head_maps",
    "instruction_scores",
    "layer_heat",
    "layer_maps",
    "layer_training",
    "leaning",
    "learned_when",
    "leash_curves",
    "lookup_weights",
    "measure_rows",
    "methods_by_distance",
    "missing_shares",
    "next_token",
    "parameter_parts",
    "penalty_valleys",
    "pool_distances",
    "pretraining_run",
    "price_and_gain",
    "proxy_and_truth",
    "relaxation_agreement",
    "relaxation_error",
    "relaxation_growth",
    "reward_over_steps",
    "rule_errors",
    "rule_race",
    "scale_losses",
    "scaling_law",
    "score_variance",
    "seeds_by_row",
    "shift_curves",
    "shrink_factors",
    "split_segment",
    "step_weights",
    "taste_curve",
    "temperature_curves",
    "temperature_errors",
    "tokens_per_character",
    "training_curve",
    "training_loss",
    "two_metrics",
    "two_rulers",
    "update_spectra",
    "valley_walks",
    "way_losses",
]
