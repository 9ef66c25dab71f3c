"""Reads tensors from files, all of them or some by name; pickles only where they are allowed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.headers import check_archive, unwrapped
from rmbench.models.checkpoint.names import plain_names
from rmbench.models.checkpoint.read import Checkpoint
from rmbench.models.checkpoint.unused import ignored, refuse_unscaled
from rmbench.models.options import OpenOptions

__all__ = ["checkpoint_state", "load_state", "missing_and_foreign", "read_tensors"]


def load_state(file: Path, *, allow_pickle: bool = False) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors or torch file by name, without what wrappers put before names, on the CPU, as they
    are stored.

    Raises:
        RmbenchError: the file is missing, broken, or holds more than tensors.
    """
    state = _stored(file, allow_pickle=allow_pickle)
    plain = plain_names(state, str(file))
    return {plain[name]: tensor for name, tensor in state.items()}


def _stored(file: Path, *, allow_pickle: bool) -> dict[str, torch.Tensor]:
    """All tensors of a file by their names in it."""
    if not file.is_file():
        raise RmbenchError(f"{file} does not exist.")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        check_archive(file)
        state = torch.load(file, map_location="cpu", weights_only=not allow_pickle)
    except Exception as error:  # an untrusted file fails in many ways
        raise RmbenchError(f"{file} is no file of tensors alone: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(state, dict):
        raise RmbenchError(f"{file} must hold a mapping of names to tensors, not {type(state).__name__}.")
    return {name: value for name, value in unwrapped(state).items() if isinstance(value, torch.Tensor)}


def checkpoint_state(
    checkpoint: Checkpoint, options: OpenOptions, dtype: torch.dtype = torch.float32
) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint but those that the user ignores, as they are stored, or in `dtype` where they are
    made; raises as `load_state` does, and for weights in 8 bits, whose scales nothing here would use."""
    if checkpoint.source is not None:
        made = checkpoint.source.state(dtype)
        return {name: tensor for name, tensor in made.items() if not ignored(name, options.ignore_tensors)}
    refuse_unscaled(checkpoint, scaled=False)
    state: dict[str, torch.Tensor] = {}
    for file in sorted({tensor.file for tensor in checkpoint.tensors.values()}):
        state |= _stored(checkpoint.folder / file, allow_pickle=options.allow_pickle)
    state = {checkpoint.renamed.get(name, name): tensor for name, tensor in state.items()}
    return {name: tensor for name, tensor in state.items() if not ignored(name, options.ignore_tensors)}


def read_tensors(
    checkpoint: Checkpoint, names: Iterable[str], options: OpenOptions, *, file: str | None = None
) -> dict[str, torch.Tensor]:
    """Tensors by name, on the CPU, as they are stored.

    Args:
        checkpoint: read already.
        names: which ones.
        options: whether pickles are allowed.
        file: a file of the folder beside the model's own weights (a head that is kept apart); None: the weights.

    Raises:
        RmbenchError: a tensor or the file is missing, or the file holds more than tensors.
    """
    wanted = list(names)
    found: dict[str, torch.Tensor] = {}
    source = checkpoint.source
    if file is None and source is not None and any(map(source.makes, wanted)):
        made = source.state(torch.float32)
        return {name: made[name] for name in wanted}
    if file is not None:
        if (beside := checkpoint.beside(file)) is None:
            raise RmbenchError(f"{checkpoint.folder / file} does not exist: the model's head is kept there.")
        file = beside
    files = {file} if file else {checkpoint.tensors[name].file for name in wanted if name in checkpoint.tensors}
    stored = {} if file else checkpoint.stored
    for name in sorted(files):
        read = _tensors_of(checkpoint.folder / name, [stored.get(each, each) for each in wanted], options)
        found |= {checkpoint.renamed.get(each, each) if stored else each: tensor for each, tensor in read.items()}
    missing = [name for name in wanted if name not in found]
    if missing:
        where = checkpoint.folder / file if file else checkpoint.folder
        raise RmbenchError(f"{where} lacks {', '.join(missing[:5])}, which the model's head needs.")
    return found


def _tensors_of(file: Path, wanted: Sequence[str], options: OpenOptions) -> dict[str, torch.Tensor]:
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, "pt") as opened:
                return {name: opened.get_tensor(name) for name in wanted if name in opened.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise RmbenchError(f"{file} is no readable safetensors file: {error}") from error
    try:
        check_archive(file)
        state = torch.load(file, map_location="cpu", weights_only=not options.allow_pickle, mmap=True)
    except Exception as error:  # a torch file is untrusted and fails in many ways
        raise RmbenchError(f"{file} is no torch file of tensors alone: {error}") from error
    state = unwrapped(state)
    return {name: state[name] for name in wanted if isinstance(state.get(name), torch.Tensor)}


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
