"""Who depends on whom: the triangles of the information flow, exactly."""

import pytest
import torch

from icl_lib.meta.finetuning import Finetuning
from icl_lib.meta.flow import information_flow, layer_updates, perturbed
from icl_lib.meta.prompts import choose_demonstrations, with_demonstrations
from icl_lib.meta.walk import read_prefix

HOW = Finetuning(lr=0.2)


@pytest.fixture(scope="module")
def flow(model, toy):
    return information_flow(model, toy, choose_demonstrations(toy, 4, 0), HOW)


def test_in_context_a_layer_knows_the_blocks_below_it_and_no_others(flow):
    places, layers = flow["in context"].shape
    for p in range(places):
        for layer in range(layers):
            moved = flow["in context"][p, layer].item()
            assert (moved > 1e-4) if p < layer else (moved == 0.0), (p, layer)


def test_layer_causal_descent_knows_its_own_block_and_the_readout_as_well(flow):
    places, layers = flow["layer-causal"].shape
    for p in range(places):
        for layer in range(layers):
            moved = flow["layer-causal"][p, layer].item()
            known = p <= layer or p == layers
            assert (moved > 1e-4) if known else (moved == 0.0), (p, layer)


def test_plain_descent_knows_everything(flow):
    assert flow["plain"].min() > 1e-4


def test_perturbed_changes_one_matrix_by_the_length_asked_for(model):
    for place, name in ((1, "blocks.1.mlp.down.weight"), (3, "final_norm.weight")):
        other = perturbed(model, place, 0.25)
        gaps = {
            n: (a - b).norm().item()
            for (n, a), b in zip(model.named_parameters(), other.parameters(), strict=True)
        }
        assert {n for n, gap in gaps.items() if gap} == {name}
        size = model.get_parameter(name).norm().item()
        assert gaps[name] == pytest.approx(0.25 * size, rel=1e-12)
    with pytest.raises(ValueError, match="a place is 0 to 3, got 4"):
        perturbed(model, 4, 0.1)


def test_updates_are_those_of_the_protocol(model, toy):
    shown = choose_demonstrations(toy, 4, 0)
    found = layer_updates(model, toy, shown, HOW)
    prompt = with_demonstrations(toy, shown)
    prefix = read_prefix(model, prompt.tokens, prompt.demonstration)
    slow = torch.zeros(8, 8, dtype=torch.float64)
    for i in prompt.demonstration.nonzero()[:, 0]:
        slow += torch.outer(prefix.values[1, 0, i], prefix.keys[1, 0, i])
    assert torch.allclose(found["in context"][1].view(2, 8, 8)[0], slow, atol=1e-12)
    assert found["plain"].shape == (3, 2 * 16 * 16)
    gap = (found["plain"] - found["layer-causal"]).norm(dim=1)
    assert gap[0] > 1e-3 * found["plain"][0].norm()
