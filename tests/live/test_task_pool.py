"""The figure of known tasks: its still numbers are torch's, and it refuses what does not fit."""

import pytest
import torch

from icl_lib.learners import ridge
from icl_lib.learners.pool import finite_pool
from icl_lib.live import TaskPool

POOL = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5], [2.0, 2.0]]
GIVEN = {
    "pool": POOL, "inputs": [[1.0, 0.5], [-0.3, 1.0]], "errors": [0.2, -0.4], "noise": 0.5,
    "sizes": [4, 16], "to_ridge": [0.5, 0.1], "to_pool": [0.1, 0.2], "exponent": 2, "shown": 2,
    "task": (0.9, 0.1),
}  # fmt: skip


def test_still_picture_uses_the_numbers_of_torch():
    figure = TaskPool(**GIVEN)
    x, pool = (torch.tensor(GIVEN[name], dtype=torch.float64) for name in ("inputs", "pool"))
    task = torch.tensor(GIVEN["task"], dtype=torch.float64)
    y = x @ task + 0.5 * torch.tensor(GIVEN["errors"], dtype=torch.float64)
    chances, known, fitted = figure.rules()
    assert sum(chances) == pytest.approx(1)
    assert known == pytest.approx(finite_pool(x, y, pool, 0.5)[-1].tolist(), abs=1e-12)
    assert fitted == pytest.approx(ridge(x, y, 0.25)[-1].tolist(), abs=1e-12)
    error = (torch.tensor(known) - task).square().mean().item()
    assert f"pool rule is {error:.2f} away" in figure.sentence()
    assert figure.picture().count("hidden task</text>") == 1


def test_a_pool_of_one_answers_with_its_only_task():
    figure = TaskPool(**{**GIVEN, "exponent": 0})
    assert figure.rules()[1] == pytest.approx(POOL[0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pool": POOL[:3]}, "M a power of two up to 1024, got 3 tasks"),
        ({"pool": [[1.0]] * 4}, r"pool must be \[M, 2\]"),
        ({"exponent": 3}, "exponent must be between 0 and 2"),
        ({"errors": [0.1]}, "got 2 inputs, 1 errors"),
        ({"shown": 3}, "shown must be between 0 and 2"),
        ({"noise": 0.0}, "noise must be positive, got 0"),
        ({"task": (4.0, 0.0)}, "two weights between −3 and 3"),
        ({"to_pool": [0.1]}, "got 2 sizes, 2 and 1 distances"),
        ({"to_ridge": [0.1, 0.0]}, "sizes and distances must be positive"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        TaskPool(**{**GIVEN, **changed})
