"""Replies of judges in one SQLite file beside the journal: each is written as it comes, not a chunk of rows at a time,
since each was paid for."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from pathlib import Path

from rmbench.records.database import Wording, connect, damaged, erase, explained

__all__ = ["REPLIES_NAME", "ReplyStore"]

REPLIES_NAME = ".replies.sqlite"
_WORDING = Wording("cannot keep replies", "the replies kept here are damaged", "to ask again")
_CREATE = """
CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL, sha256 TEXT NOT NULL)
WITHOUT ROWID
"""


class ReplyStore:
    """Texts by key. Thread-safe; the journal's lock keeps a second run out of the folder."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    def open(cls, folder: Path) -> ReplyStore:
        """Open or make a folder's store; raises RmbenchError where the file is damaged or cannot be written."""
        path = folder / REPLIES_NAME
        return cls(path, connect(path, _CREATE, _WORDING, across_threads=True))

    def get(self, key: str) -> str | None:
        """The text kept under a key, or None; raises RmbenchError where its checksum differs."""
        with self._lock, explained(self.path, _WORDING):
            row = self._connection.execute("SELECT name, text, sha256 FROM replies WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        name, text, digest = row
        if _digest(text) != digest:
            raise damaged(self.path, _WORDING, f"the reply {name} does not match its checksum")
        return str(text)

    def put(self, key: str, name: str, text: str) -> None:
        """Write a text before returning; `name` names its question in messages."""
        with self._lock, explained(self.path, _WORDING), self._connection:
            row = (key, name.encode("utf-8", "replace").decode(), text, _digest(text))
            self._connection.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?)", row)

    @staticmethod
    def close_in(folder: Path, opened: ReplyStore | None, *, remove: bool) -> None:
        """Close a folder's store, where it was opened, and delete its file where it is no longer needed."""
        if opened is not None:
            with opened._lock:
                opened._connection.close()
        if remove:
            erase(folder / REPLIES_NAME)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
