"""The journal: finished batches in one SQLite file, so that a run killed at any moment resumes where it was."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from rmbench.errors import RmbenchError
from rmbench.records.database import Wording, connect, damaged, erase, explained
from rmbench.records.digest import digest_of
from rmbench.records.replies import ReplyStore

__all__ = ["FILE_NAME", "LOCK_NAME", "Journal", "Scoped"]

FILE_NAME = ".journal.sqlite"
LOCK_NAME = ".journal.lock"
_WORDING = Wording("cannot use the journal", "the journal is damaged", "to start over")
_CREATE = """
CREATE TABLE IF NOT EXISTS batches (
    task TEXT NOT NULL,
    header TEXT NOT NULL,
    plan TEXT NOT NULL,
    batch INTEGER NOT NULL,
    payload TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (task, header, plan, batch)
) WITHOUT ROWID
"""


class Journal:
    """The journal of one run's folder, and the lock that keeps a second run out of it.

    Entries are read only under the same header (model, seed ...), scope (task version, data) and plan, so those of
    other settings are never used. They are deleted when the run they belong to has written its record.
    """

    def __init__(self, folder: Path, header: str, connection: sqlite3.Connection, lock: FileLock) -> None:
        self.path = folder / FILE_NAME
        self._header = header
        self._connection = connection
        self._lock = lock
        self._replies: ReplyStore | None = None
        self._used: set[tuple[str, str]] = set()
        self._runs: list[str] = [""]

    @classmethod
    def open(cls, folder: Path, header: Mapping[str, str]) -> Journal:
        """Open or make the journal of a folder; the folder is made too.

        Args:
            folder: the folder of the run's records.
            header: what must be equal, apart from plan and task, for an entry to be used again.

        Raises:
            RmbenchError: another run holds the folder; the file is damaged, is no journal, or cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / LOCK_NAME, timeout=0)
            lock.acquire()
        except Timeout as error:
            raise RmbenchError(
                f"{folder}: another run is writing here. Wait until it ends, or choose another --out."
            ) from error
        except OSError as error:
            raise RmbenchError(f"{folder}: cannot write here ({error.strerror or error}).") from error
        try:
            connection = connect(folder / FILE_NAME, _CREATE, _WORDING)
        except BaseException:
            lock.release()
            raise
        return cls(folder, digest_of(dict(header)), connection, lock)

    def done(self, task: str, plan_digest: str) -> Mapping[int, Sequence[str]]:
        """Batch index -> the JSON text of each of its rows."""
        return self._done(task, self._header, plan_digest)

    def commit(self, task: str, plan_digest: str, index: int, payload: Sequence[str]) -> None:
        """Write one whole batch before returning."""
        self._commit(task, self._header, plan_digest, index, payload)

    def scoped(self, task: str, scope: str) -> Scoped:
        """The part of the journal that belongs to one task version and one state of its data, which replies that are
        kept from now on belong to as well."""
        scoped = Scoped(self, task, digest_of([self._header, scope]))
        self._runs.append(f"{task}/{scoped.header}")
        if self._replies is not None:
            self._replies.run = self._runs[-1]
        return scoped

    @property
    def replies(self) -> ReplyStore:
        """Single replies of judges, kept beside the journal and deleted with it."""
        if self._replies is None:
            self._replies = ReplyStore.open(self.path.parent)
            self._replies.run = self._runs[-1]
        return self._replies

    def release(self) -> None:
        """The records of this run are written: what it read and wrote here is deleted. What other runs left stays until
        they have theirs."""
        with explained(self.path, _WORDING), self._connection:
            self._connection.executemany("DELETE FROM batches WHERE task = ? AND header = ?", sorted(self._used))
        self._used.clear()
        if self._replies is not None:
            self._replies.release(self._runs)

    def close(self) -> None:
        """Give the folder back. Files that hold nothing are deleted; of others the next run takes what is its own."""
        if not self._lock.is_locked:
            return
        try:
            has_replies = ReplyStore.close_in(self.path.parent, self._replies)
            with explained(self.path, _WORDING):
                has_batches = self._connection.execute("SELECT EXISTS (SELECT 1 FROM batches)").fetchone()[0]
                self._connection.close()
            if not has_batches:
                erase(self.path)
            if not has_batches and not has_replies:
                # Still held, so no run waits for it: one that opened it meanwhile fails at once.
                self.path.with_name(LOCK_NAME).unlink(missing_ok=True)
        finally:
            self._connection.close()
            self._lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _done(self, task: str, header: str, plan: str) -> dict[int, list[str]]:
        query = "SELECT batch, payload, sha256 FROM batches WHERE task = ? AND header = ? AND plan = ? ORDER BY batch"
        batches: dict[int, list[str]] = {}
        self._used.add((task, header))
        with explained(self.path, _WORDING):
            for batch, payload, digest in self._connection.execute(query, (task, header, plan)):
                if _checksum(task, header, plan, batch, payload) != digest:
                    raise damaged(self.path, _WORDING, f"batch {batch} of {task} does not match its checksum")
                try:
                    batches[int(batch)] = list(json.loads(payload))
                except (ValueError, TypeError, RecursionError) as error:
                    raise damaged(self.path, _WORDING, f"batch {batch} of {task} is no list: {error}") from error
        return batches

    def _commit(self, task: str, header: str, plan: str, index: int, payload: Sequence[str]) -> None:
        text = json.dumps(list(payload))
        digest = _checksum(task, header, plan, index, text)
        self._used.add((task, header))
        with explained(self.path, _WORDING), self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO batches VALUES (?, ?, ?, ?, ?, ?)", (task, header, plan, index, text, digest)
            )


def _checksum(*entry: object) -> str:
    """Over the whole entry: a payload under another batch's number would be other rows' numbers."""
    return hashlib.sha256(repr(entry).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Scoped:
    """The journal's entries of one task version, as the engine reads and writes them."""

    journal: Journal
    task: str
    header: str

    def done(self, task: str, plan_digest: str) -> Mapping[int, Sequence[str]]:
        """Batch index -> the JSON text of each of its rows; `task` is the engine's name within this scope."""
        return self.journal._done(f"{self.task}/{task}", self.header, plan_digest)

    def commit(self, task: str, plan_digest: str, index: int, payload: Sequence[str]) -> None:
        """Write one whole batch before returning."""
        self.journal._commit(f"{self.task}/{task}", self.header, plan_digest, index, payload)

    def damaged(self, why: str) -> RmbenchError:
        """The error of a batch that holds something else than what a run writes."""
        return damaged(self.journal.path, _WORDING, why)
