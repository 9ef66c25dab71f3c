"""A SQLite file whose commits outlive the process, with its errors as one clear message."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rmbench.errors import RmbenchError

__all__ = ["Wording", "connect", "damaged", "erase", "explained"]

_FORMAT = 1
_BUSY_SECONDS = 30.0  # another tool may be reading the file


@dataclass(frozen=True, slots=True)
class Wording:
    """How messages name a file that cannot be used."""

    cannot: str
    """E.g. "cannot use the journal"."""
    damaged: str
    """E.g. "the journal is damaged"."""
    deleted: str
    """The effect of deleting it, e.g. "to start over"."""


def connect(path: Path, create: str, wording: Wording, *, across_threads: bool = False) -> sqlite3.Connection:
    """Open the file, or make it with the table of the SQL statement `create`.

    Raises:
        RmbenchError: it is damaged, of another version, no database, or cannot be written.
    """
    with explained(path, wording):
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=not across_threads)
        try:
            # WAL appends whole transactions; a process killed half-way leaves a tail without commit mark, which the
            # next reader skips. What is committed lies in the kernel's cache and outlives the process. NORMAL syncs
            # at checkpoints only: a power cut may cost the last entries, never the order or wholeness of the others.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _FORMAT):
                raise RmbenchError(f"{path}: made by another version of rmbench; delete it to start over.")
            with connection:
                connection.execute(create)
                connection.execute(f"PRAGMA user_version = {_FORMAT}")
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise damaged(path, wording, problem)
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def explained(path: Path, wording: Wording) -> Iterator[None]:
    """SQLite's errors as RmbenchErrors."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise RmbenchError(f"{path}: {wording.cannot} ({error}). Is the disk full, or the folder read-only?") from error
    except (sqlite3.DatabaseError, UnicodeError) as error:  # a message that quotes a broken file may be no UTF-8
        raise damaged(path, wording, str(error)) from error


def damaged(path: Path, wording: Wording, why: str) -> RmbenchError:
    """The error of a file whose content is not what was written."""
    return RmbenchError(
        f"{path}: {wording.damaged} ({why}). Delete it {wording.deleted}; finished records are not touched."
    )


def erase(path: Path) -> None:
    """Delete the file and those that SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
