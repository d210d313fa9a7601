"""The rules equal their torch namesakes with every option on and off."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib import optim

STEPS = 100
SHAPES = [(3,), (2, 4), ()]


def both(ours, theirs, seed: int) -> float:
    """Run both over the same random gradients; return the largest gap of all steps."""
    generator = torch.Generator().manual_seed(seed)

    def draw(shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    start = [draw(shape) for shape in SHAPES]
    mine = [torch.nn.Parameter(t.clone()) for t in start]
    reference = [torch.nn.Parameter(t.clone()) for t in start]
    a, b = ours(mine), theirs(reference)
    gap = 0.0
    for step in range(STEPS):
        for number, (p, q) in enumerate(zip(mine, reference, strict=True)):
            # one parameter has no gradient now and then
            absent = number == 1 and step % 7 == 3
            p.grad = None if absent else draw(p.shape)
            q.grad = None if absent else p.grad.clone()
        a.step()
        b.step()
        gap = max(gap, *((p - q).abs().max().item() for p, q in zip(mine, reference, strict=True)))
    return gap


seeds = st.integers(0, 2**31)
step_sizes = st.floats(1e-4, 0.5)
decays = st.one_of(st.just(0.0), st.floats(1e-4, 0.3))
momenta = st.one_of(st.just(0.0), st.floats(0.1, 0.99))


@given(seed=seeds, lr=step_sizes, decay=decays, up=st.booleans())
def test_sgd(seed, lr, decay, up):
    assert (
        both(
            lambda p: optim.SGD(p, lr, weight_decay=decay, maximize=up),
            lambda p: torch.optim.SGD(p, lr, weight_decay=decay, maximize=up),
            seed,
        )
        < 1e-12
    )


@given(
    seed=seeds,
    lr=step_sizes,
    decay=decays,
    mu=momenta,
    damp=st.sampled_from([0.0, 0.3, 0.9]),
    up=st.booleans(),
)
def test_momentum(seed, lr, decay, mu, damp, up):
    options = {"momentum": mu, "weight_decay": decay, "maximize": up}
    # torch skips the buffer, and with it the dampening, when the momentum is zero
    damp = damp if mu else 0.0
    assert (
        both(
            lambda p: optim.Momentum(p, lr, dampening=damp, **options),
            lambda p: torch.optim.SGD(p, lr, dampening=damp, **options),
            seed,
        )
        < 1e-12
    )


@given(seed=seeds, lr=step_sizes, decay=decays, mu=st.floats(0.1, 0.99), up=st.booleans())
def test_nesterov(seed, lr, decay, mu, up):
    options = {"momentum": mu, "weight_decay": decay, "maximize": up}
    assert (
        both(
            lambda p: optim.Nesterov(p, lr, **options),
            lambda p: torch.optim.SGD(p, lr, nesterov=True, **options),
            seed,
        )
        < 1e-12
    )


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize("amsgrad", [False, True])
@given(
    seed=seeds,
    lr=step_sizes,
    decay=decays,
    up=st.booleans(),
    beta1=st.sampled_from([0.0, 0.9]),
    beta2=st.sampled_from([0.9, 0.99, 0.999]),
    eps=st.sampled_from([1e-8, 1e-3]),
)
def test_adam(name, amsgrad, seed, lr, decay, up, beta1, beta2, eps):
    options = {
        "betas": (beta1, beta2),
        "eps": eps,
        "weight_decay": decay,
        "amsgrad": amsgrad,
        "maximize": up,
    }
    gap = both(
        lambda p: getattr(optim, name)(p, lr, **options),
        lambda p: getattr(torch.optim, name)(p, lr, **options),
        seed,
    )
    assert gap < 1e-12


@pytest.mark.parametrize(
    "rule", [optim.SGD, optim.Momentum, optim.Nesterov, optim.Adam, optim.AdamW]
)
def test_defaults_equal_those_of_torch(rule):
    theirs = {
        "SGD": lambda p: torch.optim.SGD(p, 0.1),
        "Momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
        "Nesterov": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
        "Adam": lambda p: torch.optim.Adam(p, 0.1),
        "AdamW": lambda p: torch.optim.AdamW(p, 0.1),
    }
    assert both(lambda p: rule(p, 0.1), theirs[rule.__name__], 0) < 1e-12


def test_groups_keep_their_own_settings():
    def groups(parameters):
        return [{"params": parameters[:1], "lr": 0.5}, {"params": parameters[1:]}]

    assert (
        both(
            lambda p: optim.AdamW(groups(p), 0.01, weight_decay=0.1),
            lambda p: torch.optim.AdamW(groups(p), 0.01, weight_decay=0.1),
            3,
        )
        < 1e-12
    )


@pytest.mark.parametrize(
    "rule", [optim.SGD, optim.Momentum, optim.Nesterov, optim.Adam, optim.AdamW]
)
def test_state_survives_saving(rule, generator):
    gradients = torch.randn(20, 5, generator=generator, dtype=torch.float64)
    straight, first = (torch.nn.Parameter(torch.ones(5, dtype=torch.float64)) for _ in range(2))
    whole, half = rule([straight], 0.1), rule([first], 0.1)
    for gradient in gradients:
        straight.grad = gradient
        whole.step()
    for gradient in gradients[:9]:
        first.grad = gradient
        half.step()
    second = torch.nn.Parameter(first.detach().clone())
    rest = rule([second], 0.7)
    rest.load_state_dict(half.state_dict())
    for gradient in gradients[9:]:
        second.grad = gradient
        rest.step()
    assert torch.equal(second, straight)


@pytest.mark.parametrize(
    "rule", [optim.SGD, optim.Momentum, optim.Nesterov, optim.Adam, optim.AdamW]
)
def test_a_tensor_of_step_sizes_runs_one_descent_for_each(rule):
    sizes = torch.tensor([0.01, 0.1, 0.4], dtype=torch.float64)
    sweep = torch.nn.Parameter(torch.ones(3, 2, dtype=torch.float64))
    alone = [torch.nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in sizes]
    rules = [rule([sweep], sizes[:, None])] + [
        rule([p], s.item()) for p, s in zip(alone, sizes, strict=True)
    ]
    for _ in range(30):
        for p in (sweep, *alone):
            p.grad = p.detach() * torch.tensor([1.0, 2.0], dtype=torch.float64)
        for r in rules:
            r.step()
    assert (sweep - torch.stack(tuple(alone))).abs().max() < 1e-14


def test_closure_returns_the_loss_and_computes_the_gradient():
    theta = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    rule = optim.SGD([theta], 0.25)

    def closure():
        rule.zero_grad()
        loss = (theta**2).sum()
        loss.backward()
        return loss

    assert rule.step(closure).item() == 4.0
    assert theta.item() == 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.SGD(p, -1.0), "lr must be at least 0, got -1.0"),
        (lambda p: optim.SGD(p, 0.1, weight_decay=-0.1), "weight_decay must be at least 0"),
        (lambda p: optim.Momentum(p, 0.1, momentum=1.0), "momentum must be at least 0 and below 1"),
        (
            lambda p: optim.Nesterov(p, 0.1, momentum=-0.1),
            "momentum must be at least 0 and below 1",
        ),
        (
            lambda p: optim.Adam(p, 0.1, betas=(0.9, 1.0)),
            r"betas\[1\] must be at least 0 and below 1",
        ),
        (lambda p: optim.AdamW(p, 0.1, eps=-1e-8), "eps must be at least 0"),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make([torch.nn.Parameter(torch.zeros(2))])


def test_sparse_gradients_are_refused():
    theta = torch.nn.Parameter(torch.zeros(2))
    theta.grad = torch.zeros(2).to_sparse()
    with pytest.raises(TypeError, match="dense real gradients"):
        optim.SGD([theta], 0.1).step()


def test_adam_first_step_has_the_length_of_the_step_size_whatever_the_scale():
    for scale in (1e-3, 1.0, 1e6):
        theta = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        theta.grad = torch.tensor([scale], dtype=torch.float64)
        optim.Adam([theta], 0.1, eps=0.0).step()
        assert abs(theta.item() + 0.1) < 1e-15


@given(seed=seeds, clip=st.floats(1e-3, 10.0))
def test_clipping_equals_torch(seed, clip):
    generator = torch.Generator().manual_seed(seed)
    mine = [torch.nn.Parameter(torch.zeros(s, dtype=torch.float64)) for s in SHAPES]
    reference = [torch.nn.Parameter(torch.zeros(s, dtype=torch.float64)) for s in SHAPES]
    for p, q in zip(mine, reference, strict=True):
        p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        q.grad = p.grad.clone()
    norm = optim.clip_by_norm(mine, clip)
    theirs = torch.nn.utils.clip_grad_norm_(reference, clip).item()
    assert abs(norm - theirs) < 1e-12 * max(1, norm)
    after = torch.cat([p.grad.flatten() for p in mine])
    # torch divides by norm + 1e-6
    assert (
        after - torch.cat([q.grad.flatten() for q in reference])
    ).norm() < 2e-6 * clip / norm + 1e-9
    assert abs(after.norm().item() - min(norm, clip)) < 1e-12 * max(1, norm)


def test_clipping_checks_its_bound_and_copes_without_gradients():
    with pytest.raises(ValueError, match="max_norm must be positive, got 0"):
        optim.clip_by_norm([], 0.0)
    assert optim.clip_by_norm([torch.nn.Parameter(torch.zeros(2))], 1.0) == 0.0
