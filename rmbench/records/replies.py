"""Replies of judges in one SQLite file beside the journal: each is written as it comes, not a chunk of rows at a time,
since each was paid for."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from rmbench.records.database import Wording, connect, damaged, erase, explained

__all__ = ["REPLIES_NAME", "ReplyStore"]

REPLIES_NAME = ".replies.sqlite"
_WORDING = Wording("cannot keep replies", "the replies kept here are damaged", "to ask again")
_CREATE = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL, sha256 TEXT NOT NULL, run TEXT NOT NULL
) WITHOUT ROWID
"""


class ReplyStore:
    """Texts by key. Thread-safe; the journal's lock keeps a second run out of the folder."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, str, str, str, str]] = deque()
        self.run = ""
        """What the texts that are written belong to."""

    @classmethod
    def open(cls, folder: Path) -> ReplyStore:
        """Open or make a folder's store; raises RmbenchError where the file is damaged or cannot be written."""
        path = folder / REPLIES_NAME
        return cls(path, connect(path, _CREATE, _WORDING, across_threads=True))

    def get(self, key: str) -> str | None:
        """The text kept under a key, or None; raises RmbenchError where its checksum differs."""
        with self._lock, explained(self.path, _WORDING):
            row = self._connection.execute("SELECT name, text, sha256 FROM answers WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        name, text, digest = row
        if _digest(text) != digest:
            raise damaged(self.path, _WORDING, f"the reply {name} does not match its checksum")
        return str(text)

    def put(self, key: str, name: str, text: str) -> None:
        """Write a text before returning; `name` names its question in messages. Texts that several threads bring at a
        time are written together, by the first of them."""
        self._waiting.append((key, name.encode("utf-8", "replace").decode(), text, _digest(text), self.run))
        with self._lock:
            rows = []
            with suppress(IndexError):
                while True:
                    rows.append(self._waiting.popleft())
            if not rows:
                return  # another thread wrote it
            try:
                with explained(self.path, _WORDING), self._connection:
                    self._connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", rows)
            except BaseException:
                self._waiting.extendleft(reversed(rows))  # whose threads try as well, and are told why it fails
                raise

    def release(self, runs: Iterable[str]) -> None:
        """Delete the texts that belong to these runs: their records hold what came of them."""
        with self._lock, explained(self.path, _WORDING), self._connection:
            self._connection.executemany("DELETE FROM answers WHERE run = ?", [(run,) for run in runs])

    @staticmethod
    def close_in(folder: Path, opened: ReplyStore | None) -> bool:
        """Close a folder's store, where it was opened, and delete its file where it holds nothing.

        Returns:
            Whether texts are left.
        """
        path = folder / REPLIES_NAME
        if opened is None:
            return path.exists()
        with opened._lock, explained(path, _WORDING):
            left = bool(opened._connection.execute("SELECT EXISTS (SELECT 1 FROM answers)").fetchone()[0])
            opened._connection.close()
        if not left:
            erase(path)
        return left


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
