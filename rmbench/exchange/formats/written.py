"""What the formats have in common: records with their folders, names of files, and files that must not collide."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.records.record import Record
from rmbench.records.slug import name_slug
from rmbench.records.store import read_table_of
from rmbench.reports.texts import Source
from rmbench.types import Judged

__all__ = ["Files", "Format", "Stored", "Texts", "developer_and_model", "json_file", "listed"]


@dataclass(frozen=True, slots=True)
class Stored:
    """A record and where it lies."""

    folder: Path
    record: Record
    source: Source | None = None
    """Where the texts of its rows are; None: they are not asked for."""

    @property
    def name(self) -> str:
        """Model and task, for messages."""
        return f"{self.record.model.name}@{self.record.model.revision} on {self.task}"

    @property
    def task(self) -> str:
        """`task@version`."""
        return f"{self.record.task.id}@{self.record.task.version}"

    def rows(self) -> list[Judged]:
        """The rows of a measured record."""
        return [row for row, _ in read_table_of(self.folder, self.record)]


class Files:
    """Files by their names below the folder to write; two records must not be one file."""

    def __init__(self) -> None:
        self.texts: dict[PurePosixPath, str | None] = {}
        """None: a file that another export of the record writes and this one does not, so that none must be left."""
        self._of: dict[PurePosixPath, Stored] = {}

    def add(self, name: PurePosixPath, text: str | None, of: Stored) -> None:
        """Take up a file of a record, None where an earlier export may have left one that this one has not.

        Raises:
            RmbenchError: another record is that file already.
        """
        first = self._of.setdefault(name, of)
        if name in self.texts:
            raise RmbenchError(
                f"{first.folder} and {of.folder} are both {name} in this format, which knows no revisions: export "
                "one of them."
            )
        self.texts[name] = text


Texts = Mapping[PurePosixPath, str | None]
"""Files by their names, as `Files.texts`."""
Write = Callable[[Sequence[Stored]], tuple[Texts, list[str]]]


@dataclass(frozen=True, slots=True)
class Format:
    """A format that records are written in."""

    name: str
    write: Write
    """Records -> the files, and which records or values were left out and why."""
    cannot_say: tuple[str, ...] = ()
    """What has no place in it, a sentence each."""
    has_samples: bool = False
    """Whether it has a place for rows with their texts."""


def developer_and_model(name: str) -> tuple[str, str]:
    """A model's name as two names of folders: the hub's for org/name, `local` for a model that is on no hub.

    >>> developer_and_model("Skywork/Skywork-Reward-Llama-3.1-8B"), developer_and_model("tiny-bt")
    (('Skywork', 'Skywork-Reward-Llama-3.1-8B'), ('local', 'tiny-bt'))
    """
    org, slash, model = name.partition("/")
    return (name_slug(org), name_slug(model)) if slash and org and model else ("local", name_slug(name))


def json_file(data: Any, *, indent: int = 2) -> str:
    """Plain data as a file of JSON with sorted keys. Floats are written so that they read back as themselves."""
    return json.dumps(data, indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Some of many names."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
