"""Reads a checkpoint without loading its tensors: configuration, tensor names and shapes, digests of the files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.adapter import refuse_adapter
from rmbench.models.checkpoint.limits import check_config, check_folder
from rmbench.models.checkpoint.names import plain_names
from rmbench.models.checkpoint.tokenizer_limits import check_tokenizer
from rmbench.models.checkpoint.weight_files import (
    LEFT_BY_TRAINING,
    OPEN_CLIP_CONFIG,
    by_open_clip,
    is_numbered,
    is_usual,
    read_json,
    weight_files,
)
from rmbench.untrusted.kind import refuse_stand_in

__all__ = [
    "HEADLIKE",
    "Checkpoint",
    "Tensor",
    "check_archive",
    "digest_files",
    "read_checkpoint",
    "read_json",
    "tensors_in",
    "unwrapped",
]

HEADLIKE = re.compile(
    r"(^|\.)(score|classifier|[a-z]*_?head|head_layer|out_proj|regression_layer|gating|reward_transform_matrix|summary"
    r"|normalizer)(\.|$)"
)
"""Found in names of tensors that look like a head's."""
_INSIDE_LAYERS = re.compile(r"\.\d+\..*(attn|attention|mlp)|^lm_head\.")
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
_OBJECTS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json")
"""Files that libraries read and that hold a JSON object; what they say of one that does not names no file."""
_LARGEST_HEAD = 32
"""Tensors; a file of more is another model."""
_READ_SUFFIXES = frozenset(".json .safetensors .bin .pt .pth .model .txt .jinja .py .vocab".split())


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's place in a checkpoint."""

    file: str
    shape: tuple[int, ...]
    dtype: str
    """As the file spells it: "BF16", "F32", "bfloat16" ..."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder in Hugging Face layout, in open_clip's, or with one torch file and no configuration."""

    folder: Path
    config: Mapping[str, Any]
    """config.json, or open_clip_config.json; empty where the folder has neither."""
    tensors: Mapping[str, Tensor]
    safe: bool
    """True: safetensors. False: torch files."""

    files: frozenset[str] = frozenset()
    """Names of the files in the folder."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Name in the file -> name in `tensors`, where a wrapper put something before or into it."""
    indexed: bool = True
    """False: shards that no index names, which the library does not find."""

    def beside(self, file: str) -> str | None:
        """The file of this name, or of the same with the other suffix of weights; None where there is neither."""
        stem, _, suffix = file.rpartition(".")
        other = {"safetensors": "bin", "bin": "safetensors"}.get(suffix, suffix)
        return next((name for name in (file, f"{stem}.{other}") if name in self.files), None)

    def heads_beside(self, *, allow_pickle: bool = False) -> dict[str, dict[str, Tensor]]:
        """Files next to the weights that hold a head's few tensors -> these."""
        found = {}
        weights = {tensor.file for tensor in self.tensors.values()}
        for name in sorted(self.files - weights):
            if name.endswith((".safetensors", ".bin", ".pt", ".pth")) and not name.startswith(LEFT_BY_TRAINING):
                with contextlib.suppress(RmbenchError):
                    tensors = tensors_in(self.folder / name, allow_pickle=allow_pickle)
                    if len(tensors) <= _LARGEST_HEAD and any(map(HEADLIKE.search, tensors)):
                        found[name] = tensors
        return found

    @property
    def size(self) -> int:
        """Bytes of the files of weights."""
        return sum((self.folder / name).stat().st_size for name in {tensor.file for tensor in self.tensors.values()})

    @property
    def stored(self) -> Mapping[str, str]:
        """`renamed` the other way round."""
        return {plain: name for name, plain in self.renamed.items()}

    @property
    def architectures(self) -> tuple[str, ...]:
        """`architectures` of config.json."""
        return tuple(self.config.get("architectures") or ())

    def heads(self) -> list[str]:
        """Names of tensors that look like a head's, for messages."""
        return [name for name in self.tensors if HEADLIKE.search(name) and not _INSIDE_LAYERS.search(name)]


def read_checkpoint(folder: Path, *, allow_pickle: bool = False, weights: str | None = None) -> Checkpoint:
    """The checkpoint in `folder`; safetensors are preferred to torch files.

    Weights under none of the usual names are read where the folder holds a single torch file; such a folder needs no
    config.json. A mapping that a torch file holds as "state_dict" is read in its place. Shards without an index are
    read where all are there. What wrappers put before names is taken off, see `plain_names`.

    Args:
        folder: what is looked at.
        allow_pickle: whether torch files may hold more than tensors.
        weights: the file to read, where the folder holds several checkpoints.

    Raises:
        RmbenchError: no config.json, no weights, a shard that is missing or cut off, or a torch file that holds more
            than tensors while `allow_pickle` is False.
    """
    check_folder(folder)
    held = {name: read_json(folder / name) for name in _OBJECTS if (folder / name).exists()}
    if "tokenizer.json" in held:
        check_tokenizer(held["tokenizer.json"], folder / "tokenizer.json")
    refuse_adapter(folder)
    files = weight_files(folder, weights)
    config = _config(folder, lone=bool(files) and not is_usual(files[0]))
    if not files:
        raise RmbenchError(
            f"{folder} holds no weights: expected model.safetensors or pytorch_model.bin, or their shards."
        )
    safe = files[0].suffix == ".safetensors"
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors.update(tensors_in(file, allow_pickle=allow_pickle))
    check_config(config, max((side for tensor in tensors.values() for side in tensor.shape), default=0), folder)
    plain = plain_names(tensors, str(folder))
    return Checkpoint(
        folder,
        config,
        {plain[name]: tensor for name, tensor in tensors.items()},
        safe,
        frozenset(file.name for file in folder.iterdir() if file.is_file()),
        {name: short for name, short in plain.items() if name != short},
        indexed=not is_numbered(files[0]) or any(folder.glob(f"*{files[0].suffix}.index.json")),
    )


def tensors_in(file: Path, *, allow_pickle: bool = False) -> dict[str, Tensor]:
    """Names and shapes of one file's tensors; raises RmbenchError as `read_checkpoint` does."""
    refuse_stand_in(file)
    return _safetensors_header(file) if file.suffix == ".safetensors" else _torch_header(file, allow_pickle)


def digest_files(folder: Path) -> str:
    """sha256 over names and content of the files that loading may read, not of what training leaves beside them."""
    digest = hashlib.sha256()
    weights = {file.suffix for file in weight_files(folder)}
    for file in sorted(folder.iterdir(), key=lambda path: path.name):
        unused = {".bin", ".pt", ".pth"} - weights if ".safetensors" in weights else set()
        if not file.is_file() or file.name.startswith((".", *LEFT_BY_TRAINING)):
            continue
        if file.suffix not in _READ_SUFFIXES or file.suffix in unused:
            continue
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{len(file.name)} {file.name} {content}\n".encode())
    return digest.hexdigest()


def unwrapped(state: Mapping[Any, Any]) -> Mapping[str, Any]:
    """The mapping of names to tensors in what a torch file holds."""
    inner = state.get("state_dict")
    if isinstance(inner, Mapping):
        state = inner
    return {str(name): value for name, value in state.items()}


def _config(folder: Path, *, lone: bool) -> dict[str, Any]:
    """config.json; open_clip's where that is missing or of a library that names no class; none is needed by a lone
    torch file."""
    file, own = folder / "config.json", folder / OPEN_CLIP_CONFIG
    if not by_open_clip(folder):
        return {} if lone and not file.exists() else read_json(file)
    return read_json(own)


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
    for name, value in tensors.items():
        if value.layout != torch.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise RmbenchError(f"{file}: {name} {list(value.shape)} is not stored in full.")
    return {
        name: Tensor(file.name, tuple(value.shape), str(value.dtype).removeprefix("torch."))
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
