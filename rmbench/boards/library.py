"""The records under a folder, each read and audited once, whatever boards are made of them; many of them in several
processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from rmbench.engine.interfaces import Progress, SilentProgress
from rmbench.errors import RmbenchError
from rmbench.records.record import Record
from rmbench.records.store import find, read
from rmbench.reports.audit import problems

__all__ = ["Library", "spread"]

_MANY = 1_000
"""Records from which on it pays to start further processes."""
_CHUNK = 50
Item = TypeVar("Item")
Made = TypeVar("Made")
Read = Record | str
"""A record, or why it cannot be read."""


class Library:
    """The records under a folder."""

    def __init__(self, root: Path, progress: Progress | None = None) -> None:
        """Find the folders of records below `root`; nothing is read yet. `progress` is told of what takes long."""
        self.progress = progress or SilentProgress()
        self.folders: tuple[Path, ...] = tuple(find(root)) if root.is_dir() else ()
        self._records: dict[Path, Read] = {}
        self._problems: dict[Path, list[str]] = {}

    def record(self, folder: Path) -> Record:
        """The record in a folder; RmbenchError as in `rmbench.records.store.read`."""
        self._read()
        found = self._records[folder]
        if isinstance(found, str):
            raise RmbenchError(found)
        return found

    def readable(self) -> Iterator[tuple[Path, Record]]:
        """(folder, record) of those that can be read, by folder."""
        self._read()
        for folder in self.folders:
            if not isinstance(found := self._records[folder], str):
                yield folder, found

    def unreadable(self) -> Iterator[tuple[Path, str]]:
        """(folder, why) of those that cannot be read, by folder."""
        self._read()
        for folder in self.folders:
            if isinstance(found := self._records[folder], str):
                yield folder, found

    def problems(self, folders: Iterable[Path]) -> dict[Path, list[str]]:
        """Folder -> what is wrong with its record, as `rmbench.reports.audit.problems` says."""
        wanted = list(folders)
        missing = [folder for folder in wanted if folder not in self._problems]
        self._problems.update(zip(missing, spread(problems, missing, self.progress, "auditing records"), strict=True))
        return {folder: self._problems[folder] for folder in wanted}

    def _read(self) -> None:
        if not self._records:
            found = spread(_read, self.folders, self.progress, "reading records")
            self._records = dict(zip(self.folders, found, strict=True))


def _read(folder: Path) -> Read:
    try:
        return read(folder)
    except RmbenchError as error:
        return str(error)


def spread(
    function: Callable[[Item], Made],
    items: Sequence[Item],
    progress: Progress | None = None,
    title: str = "",
    *,
    many: int | None = None,
) -> list[Made]:
    """`function` of every item, in their order; of `many` or more in as many processes as there are cores.

    `function` and what it gives must be picklable. `progress` is told of each under the title.
    """
    workers = os.cpu_count() or 1
    if len(items) < (many or _MANY) or workers == 1:
        return list(_told(map(function, items), len(items), progress, title))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        made = pool.map(function, items, chunksize=1 if many else _CHUNK)
        return list(_told(made, len(items), progress, title))


def _told(made: Iterable[Made], count: int, progress: Progress | None, title: str) -> Iterator[Made]:
    if progress is not None and count:
        progress.start(title, count, 0)
    for one in made:
        yield one
        if progress is not None:
            progress.advance(1, 0)
