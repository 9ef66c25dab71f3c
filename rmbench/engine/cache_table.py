"""The table of the score cache: its layout, how it is opened and written, and the checksum of its rows."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["BROKEN", "checksum_of", "connect", "is_locked", "transaction"]

BROKEN = (sqlite3.Error, UnicodeError)
"""What SQLite raises on a broken file; its message may quote the file and then be no UTF-8."""
_LAYOUT = 3
"""Of the table; that of another layout is dropped. 1 had no checksums, 2 had others."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS scores (
    model TEXT NOT NULL, row TEXT NOT NULL, result TEXT NOT NULL, sha256 BLOB NOT NULL, used REAL NOT NULL,
    PRIMARY KEY (model, row)
) WITHOUT ROWID
"""


def connect(file: Path, patience: float) -> sqlite3.Connection:
    """Open or make the file, with an empty table in place of one of another layout."""
    connection = sqlite3.connect(file, timeout=patience, check_same_thread=False, isolation_level=None)
    try:
        connection.text_factory = bytes  # text that is no UTF-8 spoils its own row, and not the reading of others
        connection.execute("PRAGMA cell_size_check = ON")
        if _pages(connection) == 0:
            # Nothing can be lost of a new file, and waiting for the disk takes longer than some hundred rows.
            connection.execute("PRAGMA synchronous = OFF")
        if _layout(connection) != _LAYOUT:
            with transaction(connection):
                if _layout(connection) != _LAYOUT:  # another process may have been quicker
                    connection.execute("DROP TABLE IF EXISTS scores")
                    connection.execute(_SCHEMA)
                    connection.execute(f"PRAGMA user_version = {_LAYOUT}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("SELECT model, row, result, sha256, used FROM scores LIMIT 1")
    except BaseException:
        connection.close()
        raise
    return connection


def _pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA page_count").fetchone()[0])


def _layout(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write, all or nothing, while no other process does."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(*BROKEN):  # SQLite may have rolled back already
            connection.execute("ROLLBACK")
        raise


def checksum_of(model: bytes) -> Callable[[bytes, bytes], bytes]:
    """The checksum of a row of this model and its result, in which lengths part the three: it is over the keys too, so
    that no result is met under another row's."""
    model_alone = hashlib.sha256(b"%d:%b" % (len(model), model))

    def checksum(row: bytes, result: bytes) -> bytes:
        whole = model_alone.copy()
        whole.update(b"%d:%b%b" % (len(row), row, result))
        return whole.digest()

    return checksum


def is_locked(error: BaseException | None) -> bool:
    """Whether an error says that another process holds the file."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
