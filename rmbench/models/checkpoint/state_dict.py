"""Loads whole files of tensors; pickles only where they are allowed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.read import Checkpoint, unwrapped

__all__ = ["checkpoint_state", "load_state", "missing_and_foreign"]


def load_state(file: Path, *, allow_pickle: bool = False) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors or torch file by name, on the CPU, as they are stored.

    Raises:
        RmbenchError: the file is missing, broken, or holds more than tensors.
    """
    if not file.is_file():
        raise RmbenchError(f"{file} does not exist.")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=not allow_pickle)
    except Exception as error:  # an untrusted file fails in many ways
        raise RmbenchError(f"{file} is no file of tensors alone: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(state, dict):
        raise RmbenchError(f"{file} must hold a mapping of names to tensors, not {type(state).__name__}.")
    return {name: value for name, value in unwrapped(state).items() if isinstance(value, torch.Tensor)}


def checkpoint_state(checkpoint: Checkpoint, *, allow_pickle: bool = False) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint; raises as `load_state` does."""
    state: dict[str, torch.Tensor] = {}
    for file in sorted({tensor.file for tensor in checkpoint.tensors.values()}):
        state |= load_state(checkpoint.folder / file, allow_pickle=allow_pickle)
    return state


def missing_and_foreign(
    stored: dict[str, tuple[int, ...]], needed: dict[str, tuple[int, ...]], where: str, what: str
) -> None:
    """Raise RmbenchError unless the stored tensors are exactly those that are needed, by name and shape."""
    lacking = [name for name in needed if name not in stored]
    foreign = [name for name in stored if name not in needed]
    unlike = [name for name in needed if name in stored and stored[name] != needed[name]]
    if not lacking and not foreign and not unlike:
        return
    shapes = [f"{name} {list(stored[name])} instead of {list(needed[name])}" for name in unlike]
    parts = [("missing", lacking), ("not of it", foreign), ("of another shape", shapes)]
    said = "; ".join(f"{len(names)} {word}: {_some(names)}" for word, names in parts if names)
    raise RmbenchError(f"{where} does not hold the tensors of {what}: {said}.")


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:4]) + (" ..." if len(listed) > 4 else "")
