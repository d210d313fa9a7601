"""Checkpoints: weights as safetensors, with a card that says where they come from.

The card and a SHA-256 of the weights stand in the file's own metadata, so that neither can be
lost or mixed up, and loading executes no code.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

FORMAT = "icl-checkpoint-1"
CARD_FIELDS = ("seed", "data", "command", "seconds", "versions", "metrics")


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says why and what to do."""


def weights_hash(weights: nn.Module | Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of all weights, in order of name.

    Two models have the same hash exactly if every bit of every weight and buffer is the same.

    Explained in: 01_learning_without_learning
    """
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save(path: Path | str, weights: nn.Module | Mapping[str, Tensor], card: Mapping) -> Path:
    """Write weights and card to ``path``, complete or not at all.

    Parameters
    ----------
    path
        A ``.safetensors`` file; its folder is made if needed.
    weights
        A module or its state.
    card
        What a reader must know: at least seed, data, command, seconds, versions and metrics, as
        plain JSON data.

    Raises
    ------
    CheckpointError
        If the card lacks a field.
    """
    missing = [name for name in CARD_FIELDS if name not in card]
    if missing:
        raise CheckpointError(f"the card needs {', '.join(CARD_FIELDS)}; missing: {missing}")
    path = Path(path)
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    metadata = {
        "format": FORMAT,
        "sha256": weights_hash(state),
        "card": json.dumps(dict(card), ensure_ascii=False, sort_keys=True),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file(state, partial, metadata=metadata)
    partial.chmod(0o644)  # safetensors writes for its owner alone
    os.replace(partial, path)
    return path


def load(path: Path | str) -> tuple[dict[str, Tensor], dict]:
    """Return weights and card of a checkpoint, after checking that it is whole.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If the file is damaged, of another format, or its weights do not match their checksum.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; `icl-lib train` makes the book's again")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as problem:
        raise CheckpointError(f"{path} is damaged and cannot be read: {problem}") from problem
    found = metadata.get("format")
    if found != FORMAT:
        raise CheckpointError(f"{path} has format {found!r}; this version reads {FORMAT!r}")
    actual = weights_hash(state)
    if actual != metadata.get("sha256"):
        raise CheckpointError(
            f"{path} is damaged: its weights have checksum {actual[:12]}…, the file says "
            f"{str(metadata.get('sha256'))[:12]}…"
        )
    if "card" not in metadata:
        raise CheckpointError(f"{path} has no card; it was not written by this library's save")
    return state, json.loads(metadata["card"])
