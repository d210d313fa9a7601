"""Each method trains what it names, by count and by effect."""

import copy

import pytest
import torch

from icl_lib.dual import train_recorded
from icl_lib.finetune import METHODS, count_trainable, fold, prepare, relative_change
from icl_lib.finetune import weight_updates as updates
from icl_lib.models.gpt import GPT, GPTConfig

L, D, V, T = 3, 8, 13, 10
CONFIG = GPTConfig(vocab_size=V, context=T, layers=L, heads=2, width=D, init="fan_in")
BLOCK = 12 * D**2 + 13 * D


def base(**options) -> GPT:
    config = GPTConfig(**{**CONFIG.__dict__, **options})
    return GPT(config, seed=0, dtype=torch.float64)


def trained(method: str, model: GPT, **options) -> GPT:
    tuned, parameters = prepare(model, method, **options)
    rule = torch.optim.AdamW(parameters, lr=1e-2)
    tokens = torch.arange(2 * T).reshape(2, T) % V
    for _ in range(3):
        rule.zero_grad()
        logits = tuned(tokens[:, :-1]).flatten(0, 1)
        torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten()).backward()
        rule.step()
    return tuned


@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("full", (V + T) * D + L * BLOCK + 2 * D),
        ("last-layer", BLOCK + 2 * D),
        ("keys-values", L * 2 * (D * D + D)),
        ("biases", L * (4 * D + 5 * D + 2 * D) + D),
        ("lora", L * 2 * 4 * (D + D)),
    ],
)
def test_number_of_trained_parameters_is_the_formula(method, count):
    model, parameters = prepare(base(), method)
    assert count_trainable(model) == sum(p.numel() for p in parameters) == count


def test_lora_beside_queries_and_values_of_gpt3_has_the_18_million_of_the_paper():
    config = GPTConfig(vocab_size=50_257, context=2048, layers=96, heads=96, width=12_288)
    model, _ = prepare(GPT(config, device="meta"), "lora", rank=4)
    assert count_trainable(model) == 96 * 2 * 4 * (2 * 12_288) == 18_874_368


@pytest.mark.parametrize("method", METHODS)
def test_training_changes_exactly_the_chosen_weights_and_never_the_base(method):
    model = base()
    before = copy.deepcopy(model.state_dict())
    tuned = trained(method, model)
    assert all(torch.equal(before[n], w) for n, w in model.state_dict().items())
    moved = {name for name, delta in updates(model, tuned).items() if delta.abs().max() > 0}
    names = {name for name, _ in model.named_parameters()}
    expected = {
        "full": names,
        "last-layer": {n for n in names if n.startswith(("blocks.2", "final_norm"))},
        "keys-values": {n for n in names if "k_proj" in n or "v_proj" in n},
        "biases": {n for n in names if n.endswith("bias")},
        "lora": {n for n in names if n.endswith(("q_proj.weight", "v_proj.weight"))},
    }[method]
    # adding one vector to all keys shifts all scores of a query alike: no gradient, no move
    assert moved - expected == set()
    assert {n for n in expected - moved if "k_proj.bias" not in n} == set()


def test_lora_moves_each_matrix_by_rank_r_at_most_and_full_training_by_more():
    model = base()
    low = updates(model, trained("lora", model, rank=2))["blocks.1.attention.v_proj.weight"]
    full = updates(model, trained("full", model))["blocks.1.attention.v_proj.weight"]
    assert torch.linalg.matrix_rank(low).item() == 2
    assert torch.linalg.matrix_rank(full).item() > 2


@pytest.mark.parametrize("examples", [1, 3, 5])
def test_full_training_of_one_layer_by_sgd_has_at_most_the_rank_of_its_examples(examples):
    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.utils.skip_init(torch.nn.Linear, 9, 7, bias=False, dtype=torch.float64)
    torch.nn.init.normal_(layer.weight, generator=generator)
    first = layer.weight.detach().clone()
    x, y = (torch.randn(examples, n, dtype=torch.float64, generator=generator) for n in (9, 7))
    rule = torch.optim.SGD(layer.parameters(), lr=0.05, momentum=0.9)
    form, _ = train_recorded(
        layer, rule, torch.nn.functional.mse_loss, x, y, batch=1, epochs=4, generator=generator
    )
    delta = layer.weight.detach() - first
    assert form.update.rank(tolerance=1e-10) == examples
    assert torch.linalg.matrix_rank(delta, rtol=1e-10).item() == examples
    assert (form.update.as_matrix() - delta).abs().max() < 1e-12


def test_relative_change_is_zero_for_a_copy_and_scales_with_the_weights():
    model = base()
    assert relative_change(model, copy.deepcopy(model)) == 0
    grown = copy.deepcopy(model)
    with torch.no_grad():
        for p in grown.parameters():
            p *= 1.5
    assert relative_change(model, grown) == pytest.approx(0.5, abs=1e-12)


def test_updates_of_a_lora_model_are_its_products():
    model = base()
    tuned = trained("lora", model)
    layer = tuned.blocks[0].attention.v_proj
    found = updates(model, tuned)["blocks.0.attention.v_proj.weight"]
    assert torch.allclose(found, layer.product(), rtol=0, atol=1e-12)
    assert relative_change(model, tuned) == pytest.approx(relative_change(model, fold(tuned)))


def test_last_layer_takes_an_untied_head_along():
    model, _ = prepare(base(tied=False), "last-layer")
    assert count_trainable(model) == BLOCK + 2 * D + V * D


def test_change_against_no_weights_at_all_is_refused():
    blank = torch.nn.Linear(2, 2)
    with torch.no_grad():
        for p in blank.parameters():
            p.zero_()
    with pytest.raises(ValueError, match="must not all be zero"):
        relative_change(blank, torch.nn.Linear(2, 2))


def test_bad_input_is_refused_with_what_was_expected():
    with pytest.raises(ValueError, match="unknown method 'adapter'; there are full, last-layer"):
        prepare(base(), "adapter")
    with pytest.raises(ValueError, match="no parameters that 'biases' would train"):
        prepare(base(bias=False), "biases")
    with pytest.raises(ValueError, match="different weights"):
        updates(base(), base(layers=2))
