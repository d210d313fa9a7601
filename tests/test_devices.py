"""Everything works where its inputs are, and mixes in nothing made on the CPU.

Torch's ``meta`` device computes nothing and needs no GPU. A mode that sees every operation raises
where one gets tensors of two devices, as a GPU would.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from icl_lib import learners
from icl_lib.dual import OuterSum, sum_by_group
from icl_lib.dual.split import direction_error, relaxed_head, softmax_split, taylor_attention
from icl_lib.models import attention
from icl_lib.models.config import GPTConfig
from icl_lib.models.gpt import GPT
from icl_lib.models.record import Record
from icl_lib.models.sampling import next_token_distribution
from icl_lib.optim import rules
from icl_lib.optim.landscapes import Quadratic, descend
from icl_lib.tasks.regression import interleave, question_tokens
from icl_lib.tasks.text import all_windows

INDEXING = (torch.ops.aten.index.Tensor, torch.ops.aten.copy_.default)
"""A GPU tensor may be indexed by one of the CPU, and filled from one."""


class OneDevice(TorchDispatchMode):
    """Refuse an operation whose tensors, single numbers aside, are on two devices."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor) and t.ndim]
        if func not in INDEXING and len({t.device for t in tensors}) > 1:
            raise RuntimeError(f"{func} got tensors of two devices")
        return func(*args, **(kwargs or {}))


@pytest.fixture
def gpu():
    with OneDevice():
        yield lambda *shape: torch.empty(*shape, device="meta")


@pytest.mark.parametrize("operation", [torch.add, torch.matmul, torch.linalg.solve, torch.maximum])
def test_an_operation_across_devices_is_noticed(gpu, operation):
    operation(gpu(3, 3), gpu(3, 3))
    with pytest.raises(RuntimeError, match="device"):
        operation(gpu(3, 3), torch.ones(3, 3))


def forms(q, k, v):
    mask = k.new_ones(1, 1, 4, 4, dtype=torch.bool)
    yield attention.softmax_attention(q, k, v, causal=True, mask=mask)
    yield attention.fused_attention(q, k, v, causal=True, mask=mask)
    yield attention.fused_attention(q[..., 1:, :], k, v, causal=True)
    yield attention.linear_attention(q, k, v, causal=True)
    yield attention.momentum_attention(q, k, v, eta=0.5)
    split = softmax_split(q, k, v, k, v, causal=True)
    yield from (split.output, split.update, taylor_attention(q, k, v))
    head = relaxed_head(k[0, 0], v[0, 0], k[0, 0], v[0, 0])
    yield from (head(q), head.as_attention(q), direction_error(q, q))


def test_attention_in_all_its_forms(gpu):
    for out in forms(*(gpu(2, 3, 4, 5) for _ in range(3))):
        assert out.device.type == "meta"


def test_learners_and_tasks(gpu):
    x, y = gpu(2, 6, 3), gpu(2, 6)
    made = [learners.zero(x, y), learners.averaging(x, y), learners.least_squares(x, y)]
    made += [learners.ridge(x, y, 0.1), learners.gradient_descent(x, y, 2, 0.1, momentum=0.5)]
    made += [learners.gd_plus_plus(x, y, [0.1], [0.1]), learners.newton(x, y, 2)]
    made += [learners.conjugate_gradient(x, y, 2), learners.nearest_neighbours(x, y)]
    made += [learners.lasso(x, y, 0.1), learners.preconditioned(x, y, gpu(2, 3, 3))]
    made += [learners.predict_next(made[0], x), interleave(x, y), question_tokens(x, y)]
    made += all_windows(torch.empty(20, dtype=torch.long, device="meta"), 5)
    assert {m.device.type for m in made} == {"meta"}


def test_outer_sums(gpu):
    update = OuterSum(gpu(6, 3), gpu(6, 4))
    both = update + OuterSum.zero(3, 4, device=torch.device("meta"))
    made = [both.apply(gpu(2, 4), chunk=4), both.inner(update), both.norm(), both.cosine(update)]
    made += [update.singular_values(), sum_by_group(gpu(2, 6), gpu(6).long(), 3)]
    made += [update.inner(update, by=by, chunk=2) for by in ("pairs", "rows")]
    assert {m.device.type for m in made} == {"meta"}


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "none"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_gpt_with_cache_padding_and_record(gpu, positions, norm):
    config = GPTConfig(13, 16, 2, 2, 8, positions=positions, norm=norm)
    model = GPT(config, device="meta")
    tokens = torch.zeros(2, 5, dtype=torch.long, device="meta")
    mask = torch.ones(2, 5, dtype=torch.bool, device="meta")
    record = Record("weights", "values")
    with torch.no_grad():
        cache = model.new_cache(2)
        model(tokens[:, :3], mask=mask[:, :3], cache=cache)
        logits = model(tokens[:, 3:], mask=mask, cache=cache, record=record)
    made = [logits, record["weights"], next_token_distribution(logits, top_k=3, top_p=0.5)]
    model(tokens).sum().backward()
    made += [p.grad for p in model.parameters()]
    assert {m.device.type for m in made} == {"meta"}


@pytest.mark.parametrize("rule", ["SGD", "Momentum", "Nesterov", "Adam", "AdamW"])
def test_update_rules(gpu, rule):
    landscape = Quadratic(gpu(2, 2), gpu(2))
    path = descend(
        landscape.gradient, gpu(2), lambda w: getattr(rules, rule)(w, 0.1, weight_decay=0.1), 2
    )
    assert path.device.type == "meta"
