"""Algorithms that a transformer is compared with, as pure functions of the in-context examples."""

from icl_lib.learners.linear import (
    averaging,
    gradient_descent,
    least_squares,
    predict_next,
    ridge,
    zero,
)
from icl_lib.learners.theory import gradient_step_error, least_squares_error

__all__ = [
    "averaging",
    "gradient_descent",
    "gradient_step_error",
    "least_squares",
    "least_squares_error",
    "predict_next",
    "ridge",
    "zero",
]
