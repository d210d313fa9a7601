"""Checkpoints come back bit for bit, or say why not."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from icl_lib.models.checkpoint import FORMAT, CheckpointError, load, save, weights_hash
from icl_lib.models.config import GPTConfig
from icl_lib.models.gpt import GPT

CARD = {
    "seed": 3, "data": "none, größer als nichts", "command": "icl-lib train x", "seconds": 1.5,
    "versions": {"torch": torch.__version__}, "metrics": {"loss": 0.25},
}  # fmt: skip


@pytest.fixture
def model():
    return GPT(GPTConfig(7, 8, 1, 2, 4), seed=3)


@pytest.fixture
def saved(model, tmp_path):
    return save(tmp_path / "deep" / "model.safetensors", model, CARD)


def rewrite(path, state=None, **metadata):
    known = {"format": FORMAT, "sha256": weights_hash(load_file(path)), "card": json.dumps(CARD)}
    save_file(load_file(path) if state is None else state, path, metadata=known | metadata)


def test_weights_and_card_come_back(model, saved):
    state, card = load(saved)
    assert card == CARD
    other = GPT(model.config, seed=4)
    other.load_state_dict(state)
    assert weights_hash(other) == weights_hash(model)
    assert [p.name for p in saved.parent.iterdir()] == ["model.safetensors"]


def test_the_hash_sees_every_bit_name_and_shape(model):
    before = weights_hash(model)
    assert before == weights_hash(model.state_dict())
    assert len(before) == 64
    with torch.no_grad():
        weight = model.tokens.weight
        weight[3, 2] = torch.nextafter(weight[3, 2], torch.tensor(9.0))
    assert weights_hash(model) != before
    x = torch.arange(6.0)
    hashes = [{"a": x}, {"b": x}, {"a": x.view(2, 3)}, {"a": x.double()}, {"a": x, "b": x}]
    assert len({weights_hash(h) for h in hashes}) == 5
    assert weights_hash({"a": x, "b": -x}) == weights_hash({"b": -x, "a": x})


def test_transposed_and_half_precision_weights_are_kept(tmp_path):
    state = {"a": torch.arange(6.0).view(2, 3).T, "b": torch.ones(2, dtype=torch.bfloat16)}
    found, _ = load(save(tmp_path / "x.safetensors", state, CARD))
    assert all(torch.equal(found[k], state[k]) and found[k].dtype == state[k].dtype for k in state)


def test_others_may_read_the_file(saved):
    assert saved.stat().st_mode & 0o777 == 0o644


def test_a_card_must_be_complete(model, tmp_path):
    card = {k: v for k, v in CARD.items() if k not in {"data", "metrics"}}
    with pytest.raises(CheckpointError, match=r"missing: \['data', 'metrics'\]"):
        save(tmp_path / "x.safetensors", model, card)
    assert not (tmp_path / "x.safetensors").exists()


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*icl-lib train"):
        load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 100, -4])
def test_a_cut_file_is_damaged(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="is damaged"):
        load(saved)


def test_a_flipped_bit_is_noticed(saved):
    content = bytearray(saved.read_bytes())
    content[-3] ^= 1
    saved.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match=r"damaged: its weights have checksum \w{12}…"):
        load(saved)


def test_another_format_is_named(saved):
    rewrite(saved, format="icl-checkpoint-9")
    with pytest.raises(CheckpointError, match="format 'icl-checkpoint-9'; this version reads"):
        load(saved)
    save_file({"a": torch.ones(1)}, saved)
    with pytest.raises(CheckpointError, match="has format None"):
        load(saved)


def test_other_weights_under_the_same_card_are_noticed(saved):
    rewrite(saved, state={"a": torch.ones(1)})
    with pytest.raises(CheckpointError, match="checksum"):
        load(saved)


def test_a_file_without_a_card_is_refused(model, tmp_path):
    path = tmp_path / "bare.safetensors"
    state = {name: w.contiguous() for name, w in model.state_dict().items()}
    save_file(state, path, metadata={"format": FORMAT, "sha256": weights_hash(state)})
    with pytest.raises(CheckpointError, match="has no card"):
        load(path)
