"""What the linear learners cost on average, in closed form.

All errors are mean squared errors on a fresh noiseless target, over standard normal inputs and
weights w ~ N(0, I), divided by that of the zero predictor, d. So 1 means "nothing learnt".
"""

import math


def least_squares_error(examples: int, dimension: int, *, noise: float = 0.0) -> float:
    r"""Return the expected error of least squares with the shortest weights.

    Without noise it is a straight line that ends in 0: each example settles one direction of d.

    .. math:: \max\!\Big(0,\; 1 - \frac kd\Big) \;+\; \frac{\text{noise}^2}{d}
              \cdot \frac{\min(k, d)}{|k - d| - 1}

    With noise the second term is infinite for k in {d − 1, d, d + 1}: the peak that is known as
    double descent.

    Parameters
    ----------
    examples
        k.
    dimension
        d.
    noise
        Standard deviation of the noise on the examples' targets.

    Source: the mean of a random projection (k/d of the length stays) and of an inverse Wishart
    matrix; Breiman and Freedman 1983; Hastie et al. 2022, section 3.
    Explained in: 01_learning_without_learning
    """
    _check(examples, dimension)
    missing = max(0.0, 1 - examples / dimension)
    if noise == 0 or examples == 0:
        return missing
    distance = abs(examples - dimension) - 1
    if distance <= 0:
        return math.inf
    return missing + noise**2 / dimension * min(examples, dimension) / distance


def gradient_step_error(examples: int, dimension: int, step_size: float) -> float:
    r"""Return the expected error of one step of gradient descent from 0, without noise.

    .. math:: 1 - 2\eta + \eta^2 \Big(1 + \frac{d + 1}{k}\Big)

    It is smallest, :math:`(d+1)/(k+d+1)`, at η = k/(k + d + 1). Averaging is η = 1, with error
    (d + 1)/k: worse than nothing for the first d examples.

    Parameters
    ----------
    examples
        k; with none there is no step and the error is 1.
    dimension
        d.
    step_size
        η, for the loss 1/(2k) Σ (w·x − y)².

    Source: the second moment of a Wishart matrix.
    Explained in: 01_learning_without_learning
    """
    _check(examples, dimension)
    if examples == 0:
        return 1.0
    return 1 - 2 * step_size + step_size**2 * (1 + (dimension + 1) / examples)


def ridge_error_limit(examples: int, dimension: int, *, noise: float) -> float:
    r"""Return the error of ridge with the right penalty, λ = noise², for large k and d.

    With γ = d/k and z = noise²/k,

    .. math:: \frac{\text{noise}^2}{d}\,\mathbb E \operatorname{tr}(S + \lambda I)^{-1}
              \;\to\; z\; \frac{-(1 - \gamma + z) + \sqrt{(1 - \gamma + z)^2 + 4 \gamma z}}
              {2 \gamma z}

    The left side is exact: it is the mean variance of the posterior. The right side is the limit
    in which k and d grow together. At d = 20 it is within a few per cent, but for k = d and little
    noise, where it is too small by up to a sixth.

    Parameters
    ----------
    examples, dimension
        k and d.
    noise
        Standard deviation of the noise on the examples' targets, positive.

    Raises
    ------
    ValueError
        If a size is wrong or the noise is not positive.

    Source: the Marchenko–Pastur law; Hastie et al. 2022, section 5.
    Explained in: 13_function_classes
    """
    _check(examples, dimension)
    if not noise > 0:
        raise ValueError(f"noise must be positive, got {noise}; without it see least_squares_error")
    if examples == 0:
        return 1.0
    ratio, scale = dimension / examples, noise**2 / examples
    middle = 1 - ratio + scale
    return (math.sqrt(middle**2 + 4 * ratio * scale) - middle) / (2 * ratio)


def _check(examples: int, dimension: int) -> None:
    if examples < 0:
        raise ValueError(f"examples must not be negative, got {examples}")
    if dimension < 1:
        raise ValueError(f"dimension must be at least 1, got {dimension}")
