"""The finetuned condition: what trains, what it adds, and layer-causal descent."""

import pytest
import torch
import torch.nn.functional as F

from icl_lib.finetune import LabelTask, label_loss
from icl_lib.meta.finetuning import Finetuning, finetune, trained_copy
from icl_lib.meta.prompts import choose_demonstrations
from icl_lib.models.checkpoint import weights_hash
from icl_lib.models.record import Record
from icl_lib.optim import Diverged


def changed(model, twin):
    after = dict(twin.named_parameters())
    return {n for n, p in model.named_parameters() if not torch.equal(p, after[n])}


@pytest.mark.parametrize(
    ("loss_on", "batch", "momentum"), [("all", 1, 0.0), ("label", 1, 0.0), ("label", 3, 0.9)]
)
def test_equal_to_label_loss_and_torch_sgd(model, toy, loss_on, batch, momentum):
    shown = choose_demonstrations(toy, 6, 0)
    how = Finetuning(lr=0.1, loss_on=loss_on, batch=batch, passes=2, momentum=momentum)
    twin, trace = finetune(model, shown, how, opening=toy.prefix)
    task = LabelTask.of(
        [torch.cat([toy.prefix, d.text]) for d in shown],
        list(toy.label_tokens), [d.gold for d in shown], context=128,
    )  # fmt: skip
    slow, parameters = trained_copy(model, how)
    rule, losses = torch.optim.SGD(parameters, lr=0.1, momentum=momentum), []
    for _ in range(2):
        for first in range(0, 6, batch):
            loss = label_loss(slow, task[first : first + batch], on=loss_on)
            losses.append(loss.item())
            rule.zero_grad()
            loss.backward()
            rule.step()
    assert trace.losses == pytest.approx(losses, abs=1e-12)
    for a, b in zip(twin.parameters(), slow.parameters(), strict=True):
        assert (a - b).abs().max() <= 1e-12


def test_only_what_is_named_trains(model, toy):
    shown, before = choose_demonstrations(toy, 3, 0), weights_hash(model)
    names = {
        ("keys-values", True): {f"{p}_proj.{k}" for p in "kv" for k in ("weight", "bias")},
        ("keys-values", False): {"k_proj.weight", "v_proj.weight"},
        ("keys", True): {"k_proj.weight", "k_proj.bias"},
        ("values", False): {"v_proj.weight"},
    }
    for (parameters, biases), wanted in names.items():
        how = Finetuning(lr=0.1, parameters=parameters, biases=biases)
        twin, _ = finetune(model, shown, how, opening=toy.prefix, trace=False)
        found = {n.split("attention.")[-1] for n in changed(model, twin)}
        assert found <= wanted
        assert {n for n in wanted if "k_proj.bias" not in n} <= found  # softmax ignores that one
    assert weights_hash(model) == before
    twin, _ = finetune(model, shown, Finetuning(lr=0.1, parameters="all"), opening=toy.prefix)
    assert "tokens.weight" in changed(model, twin)


def test_the_copy_shares_what_does_not_train(model, toy):
    twin, chosen = trained_copy(model, Finetuning(lr=0.1))
    own = {id(p) for p in chosen}
    assert len(own) == 4 * 3
    for old, new in zip(model.parameters(), twin.parameters(), strict=True):
        assert (old is new) == (id(new) not in own)


@pytest.mark.parametrize(("descent", "momentum"), [("plain", 0.0), ("layer-causal", 0.8)])
def test_the_weights_moved_by_the_sum_of_errors_times_inputs(model, toy, descent, momentum):
    how = Finetuning(lr=0.2, descent=descent, passes=2, batch=2, momentum=momentum)
    shown = choose_demonstrations(toy, 5, 0)
    twin, trace = finetune(model, shown, how, opening=toy.prefix)
    for layer, (old, new) in enumerate(zip(model.blocks, twin.blocks, strict=True)):
        for name, errors in (("k_proj", trace.key_errors), ("v_proj", trace.value_errors)):
            e, x = errors[:, layer].flatten(1), trace.inputs[:, layer]
            a, b = getattr(old.attention, name), getattr(new.attention, name)
            assert (b.weight - a.weight - e.T @ x).abs().max() <= 1e-12
            assert (b.bias - a.bias - e.sum(0)).abs().max() <= 1e-12


def test_slots_name_the_tokens_of_the_prompt(model, toy):
    shown = choose_demonstrations(toy, 4, 0)
    _, trace = finetune(model, shown, Finetuning(lr=0.1), opening=toy.prefix)
    assert trace.slots == sum(len(d.tokens) for d in shown)
    assert trace.slot[trace.slot >= 0].tolist() == list(range(trace.slots))
    assert int((trace.slot < 0).sum()) == 4  # one opening each
    record = Record("queries")
    model(torch.cat([toy.prefix, shown[0].tokens])[None], record=record)
    first = record["queries"][:, 0].permute(2, 0, 1, 3)
    assert (trace.queries[: len(first)] - first).abs().max() <= 1e-12


def test_layer_causal_descent_is_a_loss_for_each_layer_on_its_own(model, toy):
    (shown,) = choose_demonstrations(toy, 1, 0)
    how = Finetuning(lr=0.5, descent="layer-causal", biases=False)
    twin, trace = finetune(model, [shown], how, opening=toy.prefix)
    tokens, total = torch.cat([toy.prefix, shown.tokens])[None], 0.0
    x = model.add_positions(model.tokens(tokens) * model.config.embed_scale, 0, None)
    for old, new in zip(model.blocks, twin.blocks, strict=True):
        x = old(x.detach())
        logits = model.logits(model.final_norm(x))[0, :-1]
        loss = F.cross_entropy(logits, tokens[0, 1:])
        names = ("k_proj", "v_proj")
        weights = [getattr(old.attention, n).weight for n in names]
        for name, weight, slope in zip(
            names, weights, torch.autograd.grad(loss, weights), strict=True
        ):
            moved = getattr(new.attention, name).weight
            assert (moved - (weight - 0.5 * slope)).abs().max() <= 1e-12
        total += loss.item()
    assert trace.losses[0] == pytest.approx(total)


def test_the_last_layer_is_the_same_in_both_descents(model, toy):
    shown = choose_demonstrations(toy, 1, 0)
    plain, causal = (
        finetune(model, shown, Finetuning(lr=0.5, descent=d), opening=toy.prefix)[0]
        for d in ("plain", "layer-causal")
    )
    last = [m.blocks[-1].attention.v_proj.weight for m in (plain, causal)]
    first = [m.blocks[0].attention.v_proj.weight for m in (plain, causal)]
    assert (last[0] - last[1]).abs().max() <= 1e-14
    assert (first[0] - first[1]).abs().max() > 1e-4


def test_bad_settings_say_what_was_expected(model, toy):
    with pytest.raises(ValueError, match="descent must be one of plain, layer-causal, got 'steep'"):
        Finetuning(descent="steep")
    with pytest.raises(ValueError, match="finite and not 0"):
        Finetuning(lr=float("nan"))
    with pytest.raises(ValueError, match="at least 1"):
        Finetuning(passes=0)
    with pytest.raises(ValueError, match=r"less than 1, got 1\.0"):
        Finetuning(momentum=1.0)
    with pytest.raises(ValueError, match="no demonstrations"):
        finetune(model, [], Finetuning())


def test_divergence_is_reported(model, toy):
    shown = choose_demonstrations(toy, 6, 0)
    with pytest.raises(Diverged, match="the loss is"):
        finetune(model, shown, Finetuning(lr=1e200, parameters="all"), opening=toy.prefix)
