"""LoRA equals peft on the same matrices, merges exactly, and is a dual form of rank r."""

import copy

import jaxtyping
import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from icl_lib import optim
from icl_lib.finetune import LoRALinear, add_lora, fold, lora_layers
from icl_lib.models.gpt import GPT, GPTConfig

TINY = GPTConfig(vocab_size=13, context=12, layers=2, heads=2, width=8, init="fan_in")


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def linear(o: int, d: int, *, bias: bool = True, seed: int = 0) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, d, o, bias=bias, dtype=torch.float64)
    with torch.no_grad():
        for i, p in enumerate(layer.parameters()):
            p.copy_(draw(*p.shape, seed=seed + i))
    return layer


def filled(o: int, d: int, rank: int, seed: int = 0) -> LoRALinear:
    lora = LoRALinear(linear(o, d, seed=seed), rank, alpha=2.0 * rank)
    with torch.no_grad():
        lora.A.copy_(draw(rank, d, seed=seed + 5))
        lora.B.copy_(draw(o, rank, seed=seed + 6))
    return lora


class Two(nn.Module):
    """Two layers with a bend between them: what peft and we put a product beside."""

    def __init__(self):
        super().__init__()
        self.up, self.down = linear(7, 5, seed=1), linear(3, 7, bias=False, seed=4)

    def forward(self, x):
        return self.down(torch.tanh(self.up(x)))


def pair(rank: int = 2, alpha: float = 5.0) -> tuple[nn.Module, nn.Module, list]:
    """Our model, peft's, and the matching (ours, theirs) layers, with equal A."""
    ours, theirs = Two(), Two()
    add_lora(ours, rank, alpha=alpha, targets=("up", "down"), seed=0)
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0,
                             target_modules=["up", "down"])  # fmt: skip
    theirs = peft.get_peft_model(theirs, config)
    modules = dict(theirs.named_modules())
    matched = [(layer, modules[f"base_model.model.{name}"]) for name, layer in lora_layers(ours)]
    with torch.no_grad():
        for mine, other in matched:
            other.lora_A["default"].to(torch.float64)
            other.lora_B["default"].to(torch.float64)
            other.lora_A["default"].weight.copy_(mine.A)
    return ours, theirs, matched


def gap(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a - b).abs().max().item()


@pytest.mark.parametrize("rule", [torch.optim.SGD, torch.optim.AdamW])
def test_forward_gradients_and_updates_equal_those_of_peft(rule):
    ours, theirs, matched = pair()
    x, y = draw(20, 5, seed=8), draw(20, 3, seed=9)
    steppers = [
        rule([p for p in m.parameters() if p.requires_grad], lr=0.05) for m in (ours, theirs)
    ]
    for step in range(6):
        assert gap(ours(x), theirs(x)) < 1e-12
        for model, stepper in zip((ours, theirs), steppers, strict=True):
            stepper.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
        for mine, other in matched:
            a, b = other.lora_A["default"].weight, other.lora_B["default"].weight
            assert gap(mine.A.grad, a.grad) < 1e-12
            assert gap(mine.B.grad, b.grad) < 1e-12
            assert step == 0 or mine.A.grad.abs().max() > 1e-6
        for stepper in steppers:
            stepper.step()
    for mine, other in matched:
        assert gap(mine.product(), other.get_delta_weight("default")) < 1e-12
        assert mine.product().abs().max() > 1e-3


def test_rules_of_the_book_make_the_same_lora_update_as_peft_under_torch():
    ours, theirs, matched = pair()
    x, y = draw(20, 5, seed=8), draw(20, 3, seed=9)
    mine = optim.AdamW([p for p in ours.parameters() if p.requires_grad], 0.05)
    other = torch.optim.AdamW([p for p in theirs.parameters() if p.requires_grad], 0.05)
    for _ in range(6):
        for model, stepper in ((ours, mine), (theirs, other)):
            stepper.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            stepper.step()
    for a, b in matched:
        assert gap(a.product(), b.get_delta_weight("default")) < 1e-12


def test_peft_beside_the_same_gpt_gives_the_same_logits_after_training():
    base = GPT(TINY, seed=0, dtype=torch.float64)
    ours, tokens = copy.deepcopy(base), torch.arange(24).reshape(2, 12) % 13
    add_lora(ours, 3, alpha=6.0, seed=0)
    config = peft.LoraConfig(r=3, lora_alpha=6.0, target_modules=["q_proj", "v_proj"])
    theirs = peft.inject_adapter_in_model(config, copy.deepcopy(base))
    modules = dict(theirs.named_modules())
    with torch.no_grad():
        for name, mine in lora_layers(ours):
            for part in (modules[name].lora_A["default"], modules[name].lora_B["default"]):
                part.to(torch.float64)
            modules[name].lora_A["default"].weight.copy_(mine.A)
    for model in (ours, theirs):
        stepper = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
        for _ in range(3):
            stepper.zero_grad()
            logits = model(tokens[:, :-1]).flatten(0, 1)
            nn.functional.cross_entropy(logits, tokens[:, 1:].flatten()).backward()
            stepper.step()
    assert gap(ours(tokens), theirs(tokens)) < 1e-12
    assert gap(ours(tokens), base(tokens)) > 1e-3
    trained = [sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (ours, theirs)]
    assert trained[0] == trained[1] == 2 * 2 * 3 * (8 + 8)


def test_it_starts_as_the_layer_it_replaces_and_only_a_and_b_train():
    layer = linear(4, 6)
    before, x = layer(draw(3, 6)), draw(3, 6)
    lora = LoRALinear(layer, 2, alpha=4.0, generator=torch.Generator().manual_seed(0))
    assert torch.equal(lora(x), before)
    assert [n for n, p in lora.named_parameters() if p.requires_grad] == ["A", "B"]
    lora(x).sum().backward()
    assert lora.A.grad.abs().max() == 0  # B is zero, so A has no say yet
    assert lora.B.grad.abs().max() > 0


@given(
    o=st.integers(1, 7), d=st.integers(1, 7), share=st.floats(0.0, 1.0), seed=st.integers(0, 500)
)
def test_update_is_a_dual_form_of_rank_r(o, d, share, seed):
    rank = 1 + int(share * (min(o, d) - 1))
    lora = filled(o, d, rank, seed)
    update, x = lora.update(), draw(4, d, seed=seed + 1)
    assert len(update) == rank
    assert update.rank() <= rank
    assert torch.linalg.matrix_rank(lora.product()) <= rank
    assert gap(update.as_matrix(), lora.product()) < 1e-12
    with torch.no_grad():
        assert gap(lora(x), lora.layer(x) + update.apply(x)) < 1e-12
        assert gap(lora(x), nn.functional.linear(x, lora.weight, lora.bias)) < 1e-12


@given(seed=st.integers(0, 500))
def test_merging_keeps_the_outputs_and_unmerging_gives_every_bit_back(seed):
    lora = filled(5, 6, 3, seed)
    x, first = draw(4, 6, seed=seed + 2), lora.layer.weight.clone()
    before, weight = lora(x), lora.weight.detach().clone()
    lora.merge()
    assert gap(lora(x), before) < 1e-12
    assert torch.equal(lora.weight, weight)
    assert not torch.equal(lora.layer.weight, first)
    lora.unmerge()
    assert torch.equal(lora.layer.weight, first)
    assert torch.equal(lora(x), before)


def test_merging_twice_or_unmerging_what_is_not_merged_is_refused():
    lora = filled(4, 4, 2)
    with pytest.raises(ValueError, match="not in the weight; merge first"):
        lora.unmerge()
    lora.merge()
    with pytest.raises(ValueError, match="in the weight already"):
        lora.merge()


def test_folding_gives_a_plain_model_with_the_same_outputs_and_leaves_the_first_alone():
    model = GPT(TINY, seed=0, dtype=torch.float64)
    names, tokens = [n for n, _ in model.named_parameters()], torch.arange(12)[None]
    parameters = add_lora(model, 2, targets=("q_proj", "down"), seed=1)
    with torch.no_grad():
        for i, p in enumerate(parameters):
            p.copy_(draw(*p.shape, seed=i))
    before = model(tokens)
    plain = fold(model)
    assert [n for n, _ in plain.named_parameters()] == names
    assert all(p.requires_grad for p in plain.parameters())
    assert gap(plain(tokens), before) < 1e-12
    assert torch.equal(model(tokens), before)
    assert len(list(lora_layers(model))) == 4
    greedy = {"greedy": True}
    assert torch.equal(plain.generate(tokens[:, :4], 5, **greedy),
                       model.generate(tokens[:, :4], 5, **greedy))  # fmt: skip


def test_folding_a_layer_alone_gives_a_plain_layer():
    lora, x = filled(4, 6, 2), draw(3, 6)
    plain = fold(lora)
    assert type(plain) is nn.Linear
    assert gap(plain(x), lora(x)) < 1e-12


def test_a_merged_layer_is_not_saved_as_if_its_weight_were_the_first_one():
    model = Two()
    add_lora(model, 2, targets=("up",))
    for _, layer in lora_layers(model):
        layer.B.data = draw(*layer.B.shape)
        layer.merge()
    with pytest.raises(ValueError, match="up is merged: its weight holds the product already"):
        model.state_dict()
    fold(model).state_dict()
    copied = copy.deepcopy(model)
    for _, layer in lora_layers(model):
        layer.unmerge()
    assert set(model.state_dict()) == {*Two().state_dict(), "up.A", "up.B", "up.layer.weight",
                                       "up.layer.bias"} - {"up.weight", "up.bias"}  # fmt: skip
    assert gap(copied(draw(2, 5)), model(draw(2, 5))) < 1e-12


def test_seed_decides_a_and_nothing_global_is_touched():
    state = torch.get_rng_state()
    drawn = []
    for seed in (0, 0, 1):
        drawn.append(add_lora(GPT(TINY, seed=0), 2, seed=seed)[0])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_bad_input_is_refused_with_what_was_expected(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as for a reader
    with pytest.raises(ValueError, match="between 1 and 4 for a 4 × 6 matrix, got 5"):
        LoRALinear(linear(4, 6), 5, alpha=1.0)
    with pytest.raises(ValueError, match="got 0"):
        LoRALinear(linear(4, 6), 0, alpha=1.0)
    with pytest.raises(ValueError, match="alpha must be positive and finite, got 0"):
        LoRALinear(linear(4, 6), 1, alpha=0.0)
    with pytest.raises(TypeError, match=r"beside a torch\.nn\.Linear, got Embedding"):
        LoRALinear(nn.Embedding(3, 2), 1, alpha=1.0)
    model = GPT(TINY, seed=0)
    with pytest.raises(ValueError, match="'down', 'k_proj', 'out_proj', 'q_proj', 'up', 'v_proj'"):
        add_lora(model, 2, targets=("c_attn",))
    with pytest.raises(TypeError, match=r"such as \('q_proj',\), got one string"):
        add_lora(model, 2, targets="q_proj")
    with pytest.raises(ValueError, match="targets names no linear layer"):
        add_lora(model, 2, targets=())
    with pytest.raises(ValueError, match=r"got 2\.0"):
        LoRALinear(linear(4, 6), 2.0, alpha=1.0)
    with pytest.raises(ValueError, match="alpha must be positive and finite, got inf"):
        LoRALinear(linear(4, 6), 1, alpha=float("inf"))
    with pytest.raises(ValueError, match="rank must be between 1 and 8"):
        add_lora(model, 9)
    with pytest.raises(ValueError, match="alpha must be positive and finite, got 0"):
        add_lora(model, 2, alpha=0.0)
    assert all(p.requires_grad for p in model.parameters()), "a refused call changes nothing"
    add_lora(model, 2)
    with pytest.raises(ValueError, match="has LoRA layers already"):
        add_lora(model, 2)
