"""The score cache: results of rows on disk, so that an equal row of another benchmark or run is not computed again.

One SQLite file; several processes may read and write it at once. Rows are kept under the model's fingerprint, which
covers weights, template, dtype and device, so a result is only ever met by the model that gave it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rmbench.errors import RmbenchError

__all__ = ["DiskCache", "cache_file", "open_cache"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS scores (
    model TEXT NOT NULL, row TEXT NOT NULL, result TEXT NOT NULL, used REAL NOT NULL, PRIMARY KEY (model, row)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_use ON scores (used);
"""
_DROP_OLDEST = "DELETE FROM scores WHERE (model, row) IN (SELECT model, row FROM scores ORDER BY used LIMIT ?)"
_AT_ONCE = 500
"""Keys of one query; SQLite takes at most 999 in old builds."""

_DAY = 86_400.0
_OFF = frozenset({"", "0", "off", "no", "none"})
DEFAULT_LIMIT = 2 * 2**30
"""Bytes."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the file holds."""

    file: Path
    rows: int
    models: int
    bytes: int


class DiskCache:
    """A `ScoreCache` in one file. Least recently used rows go first when the file is over its limit."""

    def __init__(self, file: Path, limit: int = DEFAULT_LIMIT) -> None:
        """Opens or makes the file. Raises RmbenchError where it is no cache or cannot be written."""
        self.file = file
        self.limit = limit
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(file, timeout=60, check_same_thread=False, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise RmbenchError(
                f"{file} cannot be used as the score cache: {error}. Name another folder in RMBENCH_CACHE, or set it "
                'to "off".'
            ) from error

    def get(self, fingerprint: str, keys: Sequence[str]) -> Mapping[str, str]:
        """Key -> JSON text. A file that another process is changing for long, or that broke, has nothing."""
        found: dict[str, str] = {}
        now = time.time()
        with contextlib.suppress(sqlite3.Error):  # a cache that cannot be read is a cache miss
            for some in _portions(keys):
                marks = ", ".join("?" * len(some))
                rows = self._connection.execute(
                    f"SELECT row, result, used FROM scores WHERE model = ? AND row IN ({marks})",  # noqa: S608
                    (fingerprint, *some),
                ).fetchall()
                found.update((row, result) for row, result, _ in rows)
                # Once a day is fine enough for what goes first, and most readings then write nothing.
                stale = [(now, fingerprint, row) for row, _, used in rows if now - used > _DAY]
                self._connection.executemany("UPDATE scores SET used = ? WHERE model = ? AND row = ?", stale)
        return found

    def put(self, fingerprint: str, results: Mapping[str, str]) -> None:
        """Store results; on a full disk, or in a broken file, nothing is stored."""
        now = time.time()
        with contextlib.suppress(sqlite3.Error), self._writing():
            self._connection.executemany(
                "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)",
                [(fingerprint, key, text, now) for key, text in results.items()],
            )

    def trim(self) -> int:
        """Drop the least recently used rows until the file is under nine tenths of its limit; how many went."""
        gone = 0
        with contextlib.suppress(sqlite3.Error):
            while self._live_bytes() > (0.9 * self.limit if gone else self.limit):
                with self._writing():
                    done = self._connection.execute(_DROP_OLDEST, (max(1, self._count() // 20),)).rowcount
                if not done:
                    break
                gone += done
            if gone:
                self._connection.execute("VACUUM")
        return gone

    def clear(self) -> int:
        """Drop everything; returns how many rows there were."""
        rows = self._count()
        with self._writing():
            self._connection.execute("DELETE FROM scores")
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return rows

    def usage(self) -> Usage:
        """What the file holds now."""
        models = self._connection.execute("SELECT COUNT(DISTINCT model) FROM scores").fetchone()[0]
        return Usage(self.file, self._count(), models, self._live_bytes())

    def close(self) -> None:
        """Trim the file and close it."""
        self.trim()
        self._connection.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _count(self) -> int:
        return int(self._connection.execute("SELECT COUNT(*) FROM scores").fetchone()[0])

    def _live_bytes(self) -> int:
        pages, free, size = (
            int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size


def cache_file() -> Path | None:
    """Where the cache is: the folder in RMBENCH_CACHE, else the user's cache folder; None where it is turned off."""
    named = os.environ.get("RMBENCH_CACHE")
    if named is not None and named.strip().lower() in _OFF:
        return None
    if named:
        return Path(named) / "scores.sqlite"
    from platformdirs import user_cache_path

    return user_cache_path("rmbench") / "scores.sqlite"


@contextlib.contextmanager
def open_cache(*, use: bool = True) -> Iterator[DiskCache | None]:
    """The cache for one run; None where it is not wanted or turned off.

    RMBENCH_CACHE_LIMIT holds its size in bytes. Raises RmbenchError where it cannot be opened.
    """
    file = cache_file() if use else None
    if file is None:
        yield None
        return
    cache = DiskCache(file, _limit())
    try:
        yield cache
    finally:
        cache.close()


def _limit() -> int:
    text = os.environ.get("RMBENCH_CACHE_LIMIT", "")
    if not text:
        return DEFAULT_LIMIT
    if not text.isdigit() or int(text) < 1:
        raise RmbenchError(f"RMBENCH_CACHE_LIMIT is {text!r}, expected a number of bytes, e.g. {DEFAULT_LIMIT}.")
    return int(text)


def _portions(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]
