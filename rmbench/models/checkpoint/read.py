"""Reads a checkpoint without loading its tensors: configuration, tensor names and shapes, digests of the files."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.headers import Tensor, tensors_in
from rmbench.models.checkpoint.limits import check_config, check_folder
from rmbench.models.checkpoint.names import plain_names
from rmbench.models.checkpoint.tokenizer_limits import check_tokenizer
from rmbench.models.checkpoint.weight_files import (
    LEFT_BY_TRAINING,
    OPEN_CLIP_CONFIG,
    by_open_clip,
    is_known,
    is_usual,
    read_json,
    weight_files,
)
from rmbench.types import Setting

__all__ = [
    "HEADLIKE",
    "TOKENIZERS",
    "Checkpoint",
    "Source",
    "check_beside",
    "digest_files",
    "read_checkpoint",
    "read_json",
]

HEADLIKE = re.compile(
    r"(^|\.)(score|classifier|[a-z]*_?head|head_layer|out_proj|regression_layer|gating|reward_transform_matrix|summary"
    r"|normalizer)(\.|$)"
)
"""Found in names of tensors that look like a head's."""
_INSIDE_LAYERS = re.compile(r"\.\d+\..*(attn|attention|mlp)|^lm_head\.")
_OBJECTS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json")
"""Files that libraries read and that hold a JSON object; what they say of one that does not names no file."""
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "spm.model")
"""Files one of which every tokenizer has."""
_LARGEST_HEAD = 32
"""Tensors; a file of more is another model."""
_LIKE_WEIGHTS = frozenset(".safetensors .bin .pt .pth .ckpt .msgpack .h5 .npz .onnx .distcp".split())
_READ_SUFFIXES = frozenset(".json .safetensors .bin .pt .pth .model .txt .jinja .py .vocab".split())


class Source(Protocol):
    """What makes tensors in memory where no file holds them as they are: an adapter and its base, a GGUF file."""

    @property
    def why(self) -> str:
        """One line on what is made of what."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The same for the record."""

    @property
    def tokenizer(self) -> Path:
        """The folder with a tokenizer where the checkpoint's own has none, or the file that holds one."""

    def digest(self, commit: str | None) -> str:
        """What pins all files; `commit` is the hub's for the checkpoint's own folder."""

    def makes(self, name: str) -> bool:
        """Whether a tensor of this name is in no file as it is."""

    def state(self, dtype: Any) -> dict[str, Any]:
        """All tensors by name on the CPU, in a floating dtype of torch."""


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
    known: bool = True
    """False: what the library does not find, files of names of their own, shards that no index names, tensors in a
    mapping inside their file."""
    source: Source | None = None
    """None: the files of weights hold the tensors as they are."""

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
    def tokenizer_path(self) -> Path:
        """The folder with the tokenizer's files, the checkpoint's own where it holds any; else its source's, or a file
        with a tokenizer in it."""
        own = self.source is None or any(name in self.files for name in TOKENIZERS)
        return self.folder if own or self.source is None else self.source.tokenizer

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

    Weights under none of the usual names are read where the folder holds a single file of them; such a folder needs no
    config.json. A mapping that a torch file holds as "state_dict", "model" or the like is read in its place. Shards
    without an index are read where all are there. What wrappers put before names is taken off, see `plain_names`.

    Args:
        folder: what is looked at.
        allow_pickle: whether torch files may hold more than tensors.
        weights: the file to read, where the folder holds several checkpoints.

    Raises:
        RmbenchError: no config.json, no weights, a shard that is missing or cut off, or a torch file that holds more
            than tensors while `allow_pickle` is False.
    """
    check_beside(folder)
    files = weight_files(folder, weights)
    config = _config(folder, lone=bool(files) and not is_usual(files[0]))
    if not files:
        others = sorted(file.name for file in folder.iterdir() if file.suffix in _LIKE_WEIGHTS)
        raise RmbenchError(
            f"{folder} holds no weights: expected model.safetensors or pytorch_model.bin, or their shards"
            + (f"; {', '.join(others[:4])} {'is' if len(others) == 1 else 'are'} not read." if others else ".")
        )
    safe = files[0].suffix == ".safetensors"
    tensors: dict[str, Tensor] = {}
    for file in files:
        held = tensors_in(file, allow_pickle=allow_pickle)
        if twice := sorted(held.keys() & tensors.keys()):
            raise RmbenchError(
                f"{folder}: {twice[0]} stands in {tensors[twice[0]].file} and in {file.name}: shards of two "
                "checkpoints lie together. Leave those of one in the folder."
            )
        tensors.update(held)
    check_config(config, max((side for tensor in tensors.values() for side in tensor.shape), default=0), folder)
    plain = plain_names(tensors, str(folder))
    return Checkpoint(
        folder,
        config,
        {plain[name]: tensor for name, tensor in tensors.items()},
        safe,
        frozenset(file.name for file in folder.iterdir() if file.is_file()),
        {name: short for name, short in plain.items() if name != short},
        known=is_known(files[0]) and not any(tensor.nested for tensor in tensors.values()),
    )


def check_beside(folder: Path) -> None:
    """Raise RmbenchError for a folder with a file beside the weights that no library should read."""
    check_folder(folder)
    held = {name: read_json(folder / name) for name in _OBJECTS if (folder / name).exists()}
    if "tokenizer.json" in held:
        check_tokenizer(held["tokenizer.json"], folder / "tokenizer.json")


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


def _config(folder: Path, *, lone: bool) -> dict[str, Any]:
    """config.json; open_clip's where that is missing or of a library that names no class; none is needed by a lone
    torch file."""
    file, own = folder / "config.json", folder / OPEN_CLIP_CONFIG
    if not by_open_clip(folder):
        return {} if lone and not file.exists() else read_json(file)
    return read_json(own)
