"""Which files of a folder hold a checkpoint's weights: one, the shards of an index, or shards by their numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.models.checkpoint.limits import longest
from rmbench.untrusted.files import read_text
from rmbench.untrusted.kind import refuse_stand_in

__all__ = [
    "ADAPTER_CONFIG",
    "LEFT_BY_TRAINING",
    "OPEN_CLIP_CONFIG",
    "by_open_clip",
    "is_known",
    "is_usual",
    "read_json",
    "weight_files",
]

_USUAL = (
    ("model", ".safetensors"),
    ("diffusion_pytorch_model", ".safetensors"),
    ("pytorch_model", ".bin"),
    ("diffusion_pytorch_model", ".bin"),
)
_OPEN_CLIP = (("open_clip_model", ".safetensors"), ("open_clip_pytorch_model", ".bin"))
_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")
_SHARD = re.compile(r"(?P<stem>\w+)-(?P<number>\d+)-of-(?P<count>\d+)(?P<suffix>\.\w+)")
_MOST_SHARDS = 10_000
LEFT_BY_TRAINING = ("optimizer", "scheduler", "rng_state", "scaler", "trainer_state", "training_args", "all_results")
ADAPTER_CONFIG = "adapter_config.json"
OPEN_CLIP_CONFIG = "open_clip_config.json"


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file; raises RmbenchError where there is none."""
    if not file.exists() and not file.is_symlink():
        raise RmbenchError(f"{file} does not exist: a model folder has config.json, weights, a tokenizer.")
    refuse_stand_in(file)
    try:
        data = json.loads(read_text(file, longest(file)))
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError of its own
        raise RmbenchError(f"{file} is not readable JSON: {error}") from error
    if not isinstance(data, dict):
        raise RmbenchError(f"{file} must hold a JSON object, not {type(data).__name__}.")
    return data


def weight_files(folder: Path, weights: str | None = None) -> list[Path]:
    """The file that is asked for; else those that transformers would read, one or the shards that the index names,
    safetensors first, or those of open_clip; else an adapter's; else the folder's only torch file, or its only one of
    safetensors."""
    if weights is not None:
        if not (folder / weights).is_file():
            raise RmbenchError(f"{folder / weights} does not exist.")
        return [folder / weights]
    for stem, suffix in _OPEN_CLIP if by_open_clip(folder) else _USUAL:
        single, index = folder / f"{stem}{suffix}", folder / f"{stem}{suffix}.index.json"
        if single.exists():
            return [single]
        if index.exists():
            shards = read_json(index).get("weight_map")
            if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()) or not shards:
                raise RmbenchError(f'{index}: "weight_map" must map tensor names to file names.')
            return _indexed(folder, index, sorted(set(shards.values())))
        if found := _numbered(folder, stem, suffix):
            return found
    if (folder / ADAPTER_CONFIG).is_file():
        adapters = [folder / f"adapter_model{suffix}" for suffix in (".safetensors", ".bin")]
        return [file for file in adapters if file.exists()][:1]
    return _lone_file(folder)


def _lone_file(folder: Path) -> list[Path]:
    """The folder's only torch file, if it has one; its only safetensors file where it has none."""
    if not folder.is_dir():
        return []
    held = [file for file in sorted(folder.iterdir()) if file.suffix in _SUFFIXES and file.is_file()]
    held = [file for file in held if not file.name.startswith((".", *LEFT_BY_TRAINING))]
    found = [file for file in held if file.suffix != ".safetensors"] or held
    if len(found) > 1 and not (folder / "config.json").exists():
        names = ", ".join(file.name for file in found[:5])
        raise RmbenchError(
            f"{folder} holds {len(found)} files of weights ({names}): put the one meant in a folder of its own."
        )
    return found if len(found) == 1 else []


def _indexed(folder: Path, index: Path, names: list[str]) -> list[Path]:
    """The shards that an index names."""
    if len(names) > _MOST_SHARDS:
        raise RmbenchError(f"{index} names {len(names):,} shards, which no model has.")
    for name in names:
        if Path(name).name != name:
            raise RmbenchError(f"{index} names the shard {name!r}, which is not a file name.")
    _all_there(folder, names, f"{index.name} names {len(names)} shards")
    return [folder / name for name in names]


def _numbered(folder: Path, stem: str, suffix: str) -> list[Path]:
    """Shards that no index names, by the numbers in their names."""
    found = [match for file in sorted(folder.glob(f"{stem}-*{suffix}")) if (match := _SHARD.fullmatch(file.name))]
    found = [match for match in found if match["stem"] == stem and match["suffix"] == suffix]
    if not found:
        return []
    counts = sorted({match["count"] for match in found}, key=int)
    if len(counts) > 1:
        names = ", ".join(f"{stem}-*-of-{count}{suffix}" for count in counts)
        raise RmbenchError(f"{folder} holds shards of {len(counts)} checkpoints ({names}) and no index: remove one.")
    if int(counts[0]) > _MOST_SHARDS:
        raise RmbenchError(f"{folder / found[0][0]}: its name says there are {counts[0]} shards, which no model has.")
    numbers = range(1, int(counts[0]) + 1)
    width = len(found[0]["number"])
    shards = [f"{stem}-{number:0{width}d}-of-{counts[0]}{suffix}" for number in numbers]
    _all_there(folder, shards, f"by the others' names there are {int(counts[0])} shards")
    return [folder / name for name in shards]


def _all_there(folder: Path, names: list[str], why: str) -> None:
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        listed = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        verb = "does" if len(missing) == 1 else "do"
        raise RmbenchError(f"{folder}: {listed} {verb} not exist, but {why}: the download is incomplete.")


def by_open_clip(folder: Path) -> bool:
    """Whether open_clip's files are the ones to read. Its repositories often hold transformers' or timm's as well; the
    latter are of the image tower alone."""
    file = folder / "config.json"
    return (folder / OPEN_CLIP_CONFIG).exists() and not (file.exists() and read_json(file).get("architectures"))


def is_usual(file: Path) -> bool:
    """Whether a file of weights has a name that the library looks for."""
    return file.name.startswith(("model", "pytorch_model", "diffusion_pytorch_model")) and file.suffix in (
        ".safetensors",
        ".bin",
    )


def is_known(file: Path) -> bool:
    """Whether the library finds a file of weights by itself: under a usual name, or by an index."""
    return (file.stem, file.suffix) in _USUAL or any(file.parent.glob(f"*{file.suffix}.index.json"))
