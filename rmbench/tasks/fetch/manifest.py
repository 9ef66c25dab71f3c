"""The manifest of a data folder: which files `rmbench fetch` brought for each task, and from where."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from rmbench.errors import RmbenchError
from rmbench.untrusted.files import MIB, read_text
from rmbench.validation import validated

__all__ = [
    "FILE_NAME",
    "FetchedFile",
    "FetchedPart",
    "FetchedTask",
    "Origin",
    "data_folder",
    "fetched_task",
    "is_whole",
    "place_below",
    "read_manifest",
    "sha256_of",
    "write_entry",
]

FILE_NAME = "rmbench-manifest.json"
_MOST = 64 * MIB


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Origin(_Strict):
    """A repository that files came from."""

    kind: Literal["hub", "git"]
    address: str
    """Of the hub its `org/name`, of git its URL."""
    pin: str | None
    """The revision or commit that the task declares; None: it declares none, and the newest was taken."""
    commit: str
    """The whole hash of the commit that the files are of."""


class FetchedFile(_Strict):
    """A file below the data folder."""

    path: str
    size: int
    sha256: str


class FetchedPart(_Strict):
    """A part of the rows whose files `datasets` reads, as the hub has them."""

    request: str
    """What the task asks of the hub for it, in words; a task that asks otherwise needs other files."""
    module: Literal["arrow", "csv", "json", "parquet", "text", "imagefolder", "videofolder"]
    """The reader of `datasets`."""
    split: str
    paths: list[str]
    """Below the data folder, in the order of the rows."""
    features: dict[str, Any] | None = None
    """The types of the columns that the data set declares."""
    settings: dict[str, Any] = {}
    """Further settings of the reader that the data set declares."""


class FetchedTask(_Strict):
    """The files of one task."""

    version: int
    license: str | None
    origins: list[Origin]
    files: list[FetchedFile]
    parts: list[FetchedPart] = []
    """Of files from the hub; empty where the task's `[[files]]` say how they are read."""
    fit_parts: list[FetchedPart] = []
    notes: list[str] = []
    """What upstream has not."""
    complete: bool
    """False while its media are being brought."""
    rmbench: str
    date: str

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


class _Manifest(_Strict):
    tasks: dict[str, FetchedTask] = {}


def data_folder() -> Path:
    """Where benchmarks' files lie unless a command says otherwise: RMBENCH_DATA, else the user's data folder."""
    named = os.environ.get("RMBENCH_DATA")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_data_path

    return user_data_path("rmbench")


def read_manifest(folder: Path) -> dict[str, FetchedTask]:
    """The fetched tasks of a data folder by id; empty where nothing was fetched into it.

    Raises:
        RmbenchError: the manifest cannot be read, or is none.
    """
    file = folder / FILE_NAME
    if not os.path.lexists(file):
        return {}
    how = "Delete it, and `rmbench fetch` makes it anew."
    try:
        return validated(_Manifest, json.loads(read_text(file, _MOST)), file).tasks
    except (ValueError, RecursionError) as error:
        raise RmbenchError(f"{file}: is not JSON ({error}). {how}") from error
    except RmbenchError as error:
        raise RmbenchError(f"{error} {how}") from error


def fetched_task(folder: Path, task_id: str) -> FetchedTask | None:
    """What was fetched for a task into a data folder; None where nothing was."""
    return read_manifest(folder).get(task_id)


def write_entry(folder: Path, task_id: str, entry: FetchedTask) -> None:
    """Put a task's entry into the manifest, which is whole at every moment."""
    tasks = {**read_manifest(folder), task_id: entry}
    file = folder / FILE_NAME
    fresh = file.with_name(f".{FILE_NAME}.{os.getpid()}")
    content = {"tasks": {name: tasks[name].model_dump() for name in sorted(tasks)}}
    fresh.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(file)


def place_below(folder: Path, name: str) -> Path:
    """The file of this name below the folder. Names are of strangers, and none may lead out of it.

    Raises:
        RmbenchError: the name is absolute, climbs, or is no plain path.
    """
    steps = name.split("/")
    plain = all(step not in ("", ".", "..") and step.isprintable() and "\\" not in step for step in steps)
    if not plain or steps[0].endswith(":"):
        raise RmbenchError(f"{name!r} is no plain path below a folder.")
    return folder.joinpath(*steps)


def is_whole(folder: Path, fetched: FetchedFile) -> bool:
    """Whether a file of the manifest is in its place as it was fetched."""
    file = place_below(folder, fetched.path)
    return file.is_file() and file.stat().st_size == fetched.size and sha256_of(file) == fetched.sha256


def sha256_of(file: Path) -> str:
    """The sha256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
