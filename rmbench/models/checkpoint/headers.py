"""Names, shapes and dtypes of the tensors in one file, without a tensor being read."""

from __future__ import annotations

import json
import math
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.untrusted.kind import refuse_stand_in

__all__ = ["Tensor", "check_archive", "tensors_in", "unwrapped"]

_INNER = ("model_state_dict", "model", "module")
"""Under which trainers' own loops, and DeepSpeed's engine, keep the weights among other things."""
_LARGEST_HEADER = 100 * 2**20
"""Bytes; safetensors' own limit."""
_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
"""dtype of safetensors -> bits of an element."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's place in a checkpoint."""

    file: str
    shape: tuple[int, ...]
    dtype: str
    """As the file spells it: "BF16", "F32", "bfloat16" ..."""
    nested: bool = False
    """Whether it lies in a mapping inside the file's own, see `unwrapped`."""


def tensors_in(file: Path, *, allow_pickle: bool = False) -> dict[str, Tensor]:
    """Names and shapes of one file's tensors.

    Raises:
        RmbenchError: the file is broken, cut off, or a torch file that holds more than tensors while `allow_pickle` is
            False.
    """
    refuse_stand_in(file)
    return _safetensors_header(file) if file.suffix == ".safetensors" else _torch_header(file, allow_pickle)


def unwrapped(state: Mapping[Any, Any]) -> Mapping[str, Any]:
    """The mapping of names to tensors in what a torch file holds: "state_dict" in it, or, where it holds no tensor by
    itself, the only one of `_INNER`."""
    inner = [state["state_dict"]] if isinstance(state.get("state_dict"), Mapping) else []
    if not inner and not any(map(_is_tensor, state.values())):
        held = [state[key] for key in _INNER if isinstance(state.get(key), Mapping)]
        inner = [each for each in held if any(map(_is_tensor, each.values()))]
    return {str(name): value for name, value in (inner[0] if len(inner) == 1 else state).items()}


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _safetensors_header(file: Path) -> dict[str, Tensor]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, _LARGEST_HEADER):
            raise RmbenchError(f"{file} is no safetensors file, or it is cut off.")
        try:
            header = json.loads(stream.read(length))
            entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
            tensors = {name: _tensor(file.name, entry) for name, entry in entries.items()}
            places = sorted((tuple(entry["data_offsets"]), name) for name, entry in entries.items())
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise RmbenchError(f"{file} has a broken safetensors header: {error}") from error
    end = 0
    for (start, stop), name in places:
        if start != end or stop - start != _bytes_of(tensors[name]):
            raise RmbenchError(
                f"{file} has a broken safetensors header: {name} {list(tensors[name].shape)} of {tensors[name].dtype} "
                f"is said to be bytes {start} to {stop} of the data, which before it has {end}."
            )
        end = stop
    if size < 8 + length + end:
        raise RmbenchError(f"{file} is cut off: {size} bytes of {8 + length + end}.")
    return tensors


def _tensor(file: str, entry: Mapping[str, Any]) -> Tensor:
    """A tensor of a safetensors header; raises TypeError or ValueError for one that is none."""
    shape, offsets, dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
    if not all(type(number) is int and 0 <= number < 2**63 for number in (*shape, *offsets)) or len(offsets) != 2:
        raise ValueError(f"shape {str(shape)[:80]} and offsets {str(offsets)[:80]} are no such")
    if dtype not in _BITS:
        raise ValueError(f"dtype {str(dtype)[:80]} is unknown")
    return Tensor(file, tuple(shape), dtype)


def _bytes_of(tensor: Tensor) -> int:
    return math.prod(tensor.shape) * _BITS[tensor.dtype] // 8


def _torch_header(file: Path, allow_pickle: bool) -> dict[str, Tensor]:
    """Names and shapes from a torch file, without storage being read."""
    import pickle

    import torch

    try:
        check_archive(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on a pickle's protocol
            state = torch.load(file, map_location="meta", weights_only=not allow_pickle)
    except RmbenchError:
        raise
    except pickle.UnpicklingError as error:
        raise RmbenchError(
            f"{file} holds more than tensors, and unpickling it would run code. If you made it yourself, pass "
            "--allow-pickle; better, save the model as safetensors."
        ) from error
    except Exception as error:  # a torch file is untrusted and fails in many ways
        raise RmbenchError(f"{file} is no readable torch file: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(state, dict):
        raise RmbenchError(f"{file} must hold a mapping of names to tensors, not {type(state).__name__}.")
    tensors = {name: value for name, value in unwrapped(state).items() if isinstance(value, torch.Tensor)}
    if not tensors and state:
        keys = ", ".join(map(str, list(state)[:8]))
        raise RmbenchError(
            f"{file} holds no tensors by name: expected a mapping of names to tensors, by itself or under state_dict, "
            f"{', '.join(_INNER)}; its keys are {keys[:200]}."
        )
    for name, value in tensors.items():
        if value.layout != torch.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise RmbenchError(f"{file}: {name} {list(value.shape)} is not stored in full.")
    return {
        name: Tensor(file.name, tuple(value.shape), str(value.dtype).removeprefix("torch."), nested=name not in state)
        for name, value in tensors.items()
    }


def check_archive(file: Path) -> None:
    """Raise RmbenchError for an archive whose entries are not stored as they are, as torch.save stores them: one may be
    far larger than its file. Older torch files are no archives."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
        if any(
            entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size for entry in entries
        ):
            raise RmbenchError(f"{file} is no torch file: entries of the archive are compressed.")
