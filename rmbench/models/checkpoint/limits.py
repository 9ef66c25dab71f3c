"""Bounds on what a checkpoint may cost before anything is read in full: its files, and the sizes in its config.json."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.models.options import dtype_spelled
from rmbench.untrusted.files import MIB, check_file

__all__ = ["check_config", "check_folder", "check_parameters", "longest", "whole_numbers"]

_READ = frozenset((".json", ".jinja", ".model", ".txt", ".vocab", ".py", ".safetensors", ".bin", ".pt", ".pth"))
_FOLDERS = (".", "additional_chat_templates")
_MOST = 16 * MIB
_MOST_INDEX = 64 * MIB
_MOST_TOKENIZER = 128 * MIB
_TOKENIZER = re.compile(r"(tokenizer|vocab|merges|added_tokens|special_tokens_map|tiktoken|spiece|sentencepiece).*")
_MOST_WEIGHTS = 2**63
_WEIGHTS = frozenset((".safetensors", ".bin", ".pt", ".pth"))

_DTYPES = ("float32", "bfloat16", "float16", "float64", "float8_e4m3fn", "float8_e5m2", "float", "half", "double")
"""What config.json may call the dtype of weights; transformers takes names of torch's own alone."""
_LAYERS = re.compile(r"(\w+_)?(layers?|blocks|depths?|attention_types)")
_LABELS = re.compile(r"_?(num_labels|n_labels|num_classes)")
_PARTS = re.compile(r"(\w+_)?(experts|stages|groups|codebooks|heads)")
_ANY = re.compile(r".*", re.DOTALL)
_MOST_LAYERS = 2_000
_MOST_PARTS = 2**16
_SPARE = 2**26
"""Parameters and numbers in buffers that a model may have beyond what its file could hold, 256 MiB of them. What is
missing is then named by its name."""
_PACKED = 16
"""Parameters that a byte of weights may stand for where they are quantised, generously."""


def longest(file: Path) -> int:
    """Bytes that a file of this name may have, far above any that is known."""
    if file.suffix in _WEIGHTS:
        return _MOST_WEIGHTS
    if file.name.endswith(".index.json"):
        return _MOST_INDEX
    return _MOST_TOKENIZER if _TOKENIZER.match(file.name) or file.suffix in (".model", ".txt") else _MOST


def check_folder(folder: Path) -> None:
    """Raise RmbenchError where a file that a library may read is no regular file of a sane size, or cannot be found
    behind its link."""
    for place in (folder / name for name in _FOLDERS):
        try:
            files = sorted(place.iterdir()) if place.is_dir() else []
        except OSError as error:
            raise RmbenchError(f"{place} cannot be read ({error.strerror or error}).") from error
        for file in files:
            if file.suffix in _READ and not file.name.startswith("."):
                check_file(file, longest(file))


def check_config(config: Mapping[str, Any], widest: int, where: object) -> None:
    """Raise RmbenchError for counts by which a class would build parts without end, before one is built, and for names
    that are none.

    Args:
        config: of config.json.
        widest: the largest side of a stored tensor, which bounds the number of labels.
        where: the file, for the message.
    """
    named = config.get("architectures") or []
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise RmbenchError(f'{where}: "architectures" must be a list of names of classes.')
    if not isinstance(config.get("model_type", ""), str):
        raise RmbenchError(f'{where}: "model_type" must be a name.')
    for key in ("dtype", "torch_dtype"):
        if config.get(key) is not None and config[key] not in _DTYPES:
            near = did_you_mean(dtype_spelled(config[key]), _DTYPES)
            raise RmbenchError(
                f'{where}: config.json: key "{key}" is {str(config[key])[:80]!r}; expected one of '
                f"{', '.join(_DTYPES)}.{near}"
            )
    rules = (
        (_LAYERS, _MOST_LAYERS, "no model has as many as"),
        (_LABELS, widest, "the widest tensor of the weights has"),
        (_PARTS, _MOST_PARTS, "no model has as many as"),
        (_ANY, 2**63 - 1, "the largest number of 64 bits is"),
    )
    for key, value in whole_numbers(config):
        most, why = next((most, why) for name, most, why in rules if name.fullmatch(key.rpartition(".")[2]))
        if abs(value) > most:
            shown = f"{value:,}" if abs(value) < 2**63 else "of more than 64 bits"
            raise RmbenchError(f'{where}: "{key}" is {shown}, but {why} {most:,}.')


def whole_numbers(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Every whole number of a configuration with the dotted key that it is under."""
    waiting: list[tuple[str, Any]] = [("", config)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(f"{key}.{name}".removeprefix("."), each) for name, each in value.items()]
        elif isinstance(value, list):
            waiting += [(key, each) for each in value]
        elif isinstance(value, int):
            yield key, value


def check_parameters(make: Any, config: Any, stored: int, where: object, *, packed: bool) -> None:
    """Raise RmbenchError where the class would have far more parameters than the files can hold, before memory is given
    to any.

    Args:
        make: builds the model from `config`; it is called on the meta device, where tensors have shapes alone.
        config: the library's.
        stored: bytes of the files of weights.
        where: the folder, for the message.
        packed: whether the weights are quantised.
    """
    import torch

    with torch.device("meta"):
        model = make(config)
    tensors = {id(each): each for each in (*model.parameters(), *model.buffers())}
    needed = sum(math.prod(each.shape) for each in tensors.values())
    if needed > stored * (_PACKED if packed else 1) + _SPARE:
        raise RmbenchError(
            f"{where}: by config.json {type(model).__name__} has {needed:,} parameters, but the files of weights have "
            f"{stored:,} bytes: the two do not belong together."
        )
