"""Checkpoints of a running training: written whole or not at all, loaded without running code."""

import os
import tempfile
from pathlib import Path

import torch

FORMAT = 1


def write(path: str | Path, content: dict) -> None:
    """Write ``content`` so that a reader finds the old file or the new one, never half of one.

    Parameters
    ----------
    path
        Where; missing folders are made.
    content
        Tensors, numbers, strings, and lists and dictionaries of them.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save({"format": FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read(path: str | Path) -> dict:
    """Load a checkpoint; only tensors and plain data are accepted, so no code runs.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If the file is no checkpoint of this format.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as problem:
        raise ValueError(f"{path} is not a training checkpoint: {problem}") from None
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ValueError(f"{path} has checkpoint format {found}, expected {FORMAT}")
    return content
