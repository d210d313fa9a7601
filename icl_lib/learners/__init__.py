"""Algorithms that a transformer is compared with, as pure functions of the in-context examples."""

from icl_lib.learners.compare import (
    Match,
    best_matching_steps,
    error_similarity,
    implied_weights,
    prediction_difference,
    sensitivities,
    sensitivity_cosine,
    sensitivity_difference,
    squared_difference,
    weight_difference,
)
from icl_lib.learners.iterative import (
    conjugate_gradient,
    gd_plus_plus,
    gradient_descent,
    newton,
    preconditioned,
    stable_step_size,
)
from icl_lib.learners.linear import (
    averaging,
    least_squares,
    predict_next,
    ridge,
    zero,
)
from icl_lib.learners.neighbours import nearest_neighbours
from icl_lib.learners.pool import finite_pool, nearest_task, pool_posterior
from icl_lib.learners.prefixes import Diverging
from icl_lib.learners.sparse import lasso, lasso_gap
from icl_lib.learners.steps_theory import (
    best_shared_step,
    best_step_size,
    descent_error,
    gd_plus_plus_error,
    one_step_error,
    preconditioned_optimum,
    wishart_moment,
)
from icl_lib.learners.theory import gradient_step_error, least_squares_error, ridge_error_limit
from icl_lib.learners.votes import sparse_vote, tree_vote

__all__ = [
    "Diverging",
    "Match",
    "averaging",
    "best_matching_steps",
    "best_shared_step",
    "best_step_size",
    "conjugate_gradient",
    "descent_error",
    "error_similarity",
    "finite_pool",
    "gd_plus_plus",
    "gd_plus_plus_error",
    "gradient_descent",
    "gradient_step_error",
    "implied_weights",
    "lasso",
    "lasso_gap",
    "least_squares",
    "least_squares_error",
    "nearest_neighbours",
    "nearest_task",
    "newton",
    "one_step_error",
    "pool_posterior",
    "preconditioned",
    "preconditioned_optimum",
    "predict_next",
    "prediction_difference",
    "ridge",
    "ridge_error_limit",
    "sensitivities",
    "sensitivity_cosine",
    "sensitivity_difference",
    "sparse_vote",
    "squared_difference",
    "stable_step_size",
    "tree_vote",
    "weight_difference",
    "wishart_moment",
    "zero",
]
