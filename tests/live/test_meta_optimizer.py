"""What MetaOptimizer refuses, and that its still picture shows what torch computes."""

import pytest
import torch

from icl_lib.dual.split import relaxed_head, softmax_split
from icl_lib.live import MetaOptimizer

PAIR = [[1.0, 0.5]]


def test_still_numbers_equal_the_library():
    g = torch.Generator().manual_seed(1)
    kd, vd, kt, vt = torch.randn(4, 5, 2, generator=g, dtype=torch.float64)
    found = MetaOptimizer(kd, vd, kt, vt, count=4, scale=1.5, angle=-30.0).numbers()
    turn = torch.tensor(-30.0).double().deg2rad()
    q = 1.5 * torch.stack([turn.cos(), turn.sin()])[None]
    head = relaxed_head(kd[:4], vd[:4], kt, vt)
    split = softmax_split(q, kd[:4], vd[:4], kt, vt, scale=1.0)
    assert found["relaxed"] == pytest.approx(head(q)[0].tolist(), abs=1e-12)
    assert found["softmax"] == pytest.approx(split.output[0].tolist(), abs=1e-12)
    assert found["mass"] == pytest.approx(split.mass.item(), abs=1e-12)
    assert torch.allclose(
        torch.tensor(found["update"]).double(), head.update.as_matrix(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([[1.0]], PAIR, PAIR, PAIR), {}, "demo_keys must have rows of two numbers"),
        ((PAIR * 2, PAIR, PAIR, PAIR), {}, "as many demo keys as values .* got 2 and 1"),
        ((PAIR, PAIR, [], []), {}, "at least one, got 0 and 0"),
        ((PAIR, PAIR, PAIR, PAIR), {"count": 2}, "count must be between 0 and 1, got 2"),
        ((PAIR, PAIR, PAIR, PAIR), {"scale": 0.0}, "scale must be between 0.05 and 3, got 0"),
        ((PAIR, PAIR, PAIR, PAIR), {"angle": 200.0}, "between -180 and 180 degrees, got 200"),
    ],
)
def test_wrong_state_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        MetaOptimizer(*arguments, **options)
