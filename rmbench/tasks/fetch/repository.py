"""A repository at one commit, as `rmbench fetch` sees it: its files by their paths, and how they are brought."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rmbench.errors import RmbenchError
from rmbench.tasks.fetch.manifest import Origin
from rmbench.untrusted.packed import MOST_UNPACKED

__all__ = ["MOST_OF_TASK", "Entry", "Progress", "Repository", "SilentProgress", "Wanted", "check_room", "counted"]

MOST_OF_TASK = 64 * 2**30
"""Bytes that the files of one task may have."""
_LEFT_FREE = 2**28
"""Bytes that stay free on the disk."""


class Progress(Protocol):
    """Where fetching reports."""

    def start(self, what: str, size: int | None) -> None:
        """So many bytes of `what` are brought; None: how many is not known."""

    def reached(self, size: int) -> None:
        """So many bytes of it are here."""


class SilentProgress:
    """Reports nowhere."""

    def start(self, what: str, size: int | None) -> None:
        return None

    def reached(self, size: int) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a repository, before its bytes are here."""

    blob: str | None
    """Git's hash of its content; None where the hub keeps the content apart."""
    size: int | None = None
    """Bytes; None: not known before they are here."""
    sha256: str | None = None
    link: bool = False
    """A symbolic link, which is never followed."""


class Repository(Protocol):
    """A repository at one commit."""

    @property
    def origin(self) -> Origin: ...
    @property
    def files(self) -> Mapping[str, Entry]: ...

    def bring(self, paths: Iterable[str], folder: Path, progress: Progress) -> None:
        """Put the files below `folder`, under their paths; those that are there whole already are not brought again.

        Raises:
            RmbenchError: one cannot be had; the others that were brought stay.
        """


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to bring."""

    repository: Repository
    path: str
    """In the repository."""
    place: str
    """Below the data folder."""


def check_room(sizes: Iterable[int | None], folder: Path) -> None:
    """Refuse files that are too large for rmbench or for the disk of `folder`, before any is brought.

    Raises:
        RmbenchError: names the sizes.
    """
    known = [size for size in sizes if size is not None]
    if any(size > MOST_UNPACKED for size in known):
        raise RmbenchError(f"a file has {max(known):,} bytes; more than {MOST_UNPACKED:,} are not read.")
    if sum(known) > MOST_OF_TASK:
        raise RmbenchError(f"its files have {sum(known):,} bytes; more than {MOST_OF_TASK:,} are not brought.")
    free = shutil.disk_usage(folder).free - _LEFT_FREE
    if sum(known) > free:
        raise RmbenchError(f"its files need {sum(known):,} bytes, and {folder} has room for {max(free, 0):,}.")


def counted(paths: Sequence[str]) -> str:
    """How many files there are, in words."""
    return f"{len(paths):,} file" + "s" * (len(paths) != 1)
