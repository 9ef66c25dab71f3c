"""The score cache: results of rows on disk, so that an equal row of another benchmark or run is not computed again.

One SQLite file; several processes may read and write it at once. Rows are kept under a key of the model and of what
computes its scores, so a result is only ever met by what would give it again. Each row has a checksum over itself and
its keys. The cache is a convenience: whatever is wrong with the file, a run goes on without it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rmbench.engine.cache_table import BROKEN, checksum_of, connect, is_locked, transaction
from rmbench.errors import RmbenchError
from rmbench.resources import cache_folder

__all__ = ["DiskCache", "cache_file", "clear_cache", "open_cache"]

_DROP_OLDEST = "DELETE FROM scores WHERE (model, row) IN (SELECT model, row FROM scores ORDER BY used LIMIT ?)"
_AT_ONCE = 500
"""Keys of one query; SQLite takes at most 999 in old builds."""

_DAY = 86_400.0
DEFAULT_LIMIT = 2 * 2**30
"""Bytes."""
_PATIENCE = 60.0
"""Seconds that a run waits for another process that holds the file, once; after that it goes on without the cache."""
_LITTLE_PATIENCE = 5.0
"""Of a command of which somebody waits for the end."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the file holds."""

    file: Path
    rows: int
    models: int
    bytes: int


class DiskCache:
    """A `ScoreCache` in one file. Least recently used rows go first when the file is over its limit.

    When reading or writing goes wrong, the cache is off from there on, and `note` is told so.
    """

    def __init__(
        self,
        file: Path,
        limit: int = DEFAULT_LIMIT,
        *,
        patience: float = _PATIENCE,
        note: Callable[[str], None] | None = None,
    ) -> None:
        """Opens or makes the file. Raises RmbenchError where it is no cache, cannot be written, or stays locked."""
        self.file = file
        self.limit = limit
        self._note = note
        self._off = False
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = connect(file, patience)
        except (OSError, *BROKEN) as error:
            raise _unusable(file, error) from error

    def get(self, fingerprint: str, keys: Sequence[str]) -> Mapping[str, str]:
        """Key -> JSON text. What does not match its checksum is not there."""
        found: dict[str, str] = {}
        now, checksum = time.time(), checksum_of(fingerprint.encode())
        with self._off_after_error():
            for some in _portions(() if self._off else keys):
                marks = ", ".join("?" * len(some))
                rows = self._connection.execute(
                    f"SELECT row, result, sha256, used FROM scores WHERE model = ? AND row IN ({marks})",  # noqa: S608
                    (fingerprint, *some),
                ).fetchall()
                asked = {key.encode(): key for key in some}
                good = [
                    each
                    for each in rows
                    if each[0] in asked and isinstance(each[1], bytes) and checksum(each[0], each[1]) == each[2]
                ]
                found.update((asked[row], result.decode("utf-8", "replace")) for row, result, _, _ in good)
                # Once a day is fine enough for what goes first, and most readings then write nothing.
                stale = [(now, fingerprint, asked[row]) for row, _, _, used in good if not _is_of_today(used, now)]
                self._connection.executemany("UPDATE scores SET used = ? WHERE model = ? AND row = ?", stale)
        return found

    def put(self, fingerprint: str, results: Mapping[str, str]) -> None:
        """Store results."""
        if self._off:
            return
        now, checksum = time.time(), checksum_of(fingerprint.encode())
        # In the table's own order, so that each of its pages is written once.
        rows = [
            (fingerprint, key, text, checksum(key.encode(), text.encode()), now)
            for key, text in sorted(results.items())
        ]
        with self._off_after_error(), self._writing():
            self._connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?)", rows)

    def trim(self) -> int:
        """Drop the least recently used rows until the file is under nine tenths of its limit; how many went."""
        gone = 0
        with contextlib.suppress(*BROKEN):
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
        """Drop everything; returns how many rows there were. Raises RmbenchError where the file is broken or locked."""
        try:
            rows = self._count()
            with self._writing():
                self._connection.execute("DELETE FROM scores")
            with contextlib.suppress(sqlite3.OperationalError):  # others read; the rows are gone all the same
                self._connection.execute("VACUUM")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (problem,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
            if problem != b"ok":
                raise sqlite3.DatabaseError(problem.decode("utf-8", "replace"))
        except BROKEN as error:
            raise _unusable(self.file, error) from error
        return rows

    def usage(self) -> Usage:
        """What the file holds now; raises RmbenchError where that cannot be told."""
        try:
            models = self._connection.execute("SELECT COUNT(DISTINCT model) FROM scores").fetchone()[0]
            return Usage(self.file, self._count(), models, self._live_bytes())
        except BROKEN as error:
            raise _unusable(self.file, error) from error

    def close(self) -> None:
        """Trim the file and close it."""
        if not self._off:
            self.trim()
        self._connection.close()

    @contextlib.contextmanager
    def _off_after_error(self) -> Iterator[None]:
        try:
            yield
        except BROKEN as error:
            self._off = True
            if self._note is not None:
                self._note(f"the score cache is not used from here on: {_unusable(self.file, error)}")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with transaction(self._connection):
            yield

    def _count(self) -> int:
        return int(self._connection.execute("SELECT COUNT(*) FROM scores").fetchone()[0])

    def _live_bytes(self) -> int:
        pages, free, size = (
            int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size


def cache_file() -> Path | None:
    """Where the cache is, in the cache folder; None where it is turned off."""
    folder = cache_folder()
    return None if folder is None else folder / "scores.sqlite"


@contextlib.contextmanager
def open_cache(*, use: bool = True, note: Callable[[str], None] | None = None) -> Iterator[DiskCache | None]:
    """The cache; None where it is not wanted or turned off.

    RMBENCH_CACHE_LIMIT holds its size in bytes.

    Args:
        use: whether it is wanted.
        note: of a run, which goes on without a cache that cannot be used: told once, and why. None: that is an error.

    Raises:
        RmbenchError: a limit that is no number of bytes; without `note`, a file that cannot be used.
    """
    file = cache_file() if use else None
    cache = None
    if file is not None:
        limit, patience = _limit(), _LITTLE_PATIENCE if note is None else _PATIENCE
        try:
            cache = DiskCache(file, limit, patience=patience, note=note)
        except RmbenchError as error:
            if note is None:
                raise
            note(f"the score cache is not used: {error}")
    try:
        yield cache
    finally:
        if cache is not None:
            cache.close()


def clear_cache(file: Path) -> tuple[int, str]:
    """Drop everything, whatever is in the file: one that is no usable cache is deleted and made anew.

    Returns:
        How many rows were dropped, and why the file was deleted, "" where it was not.

    Raises:
        RmbenchError: another process holds the file; or it can be neither used nor deleted.
    """
    try:
        with contextlib.closing(DiskCache(file, patience=_LITTLE_PATIENCE)) as cache:
            return cache.clear(), ""
    except RmbenchError as error:
        cause = error.__cause__
        if is_locked(cause):
            raise RmbenchError(f"{file}: another process holds the score cache. Wait until it ends.") from error
        try:
            for suffix in ("", "-wal", "-shm", "-journal"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)
        except OSError as failed:
            raise RmbenchError(f"{file} cannot be deleted: {failed.strerror or failed}.") from failed
    DiskCache(file, patience=_LITTLE_PATIENCE).close()
    return 0, str(cause)


def _is_of_today(used: object, now: float) -> bool:
    return isinstance(used, (int, float)) and abs(now - used) <= _DAY


def _unusable(file: Path, error: Exception) -> RmbenchError:
    help_ = "Another process holds it" if is_locked(error) else "`rmbench cache clear` makes it anew"
    return RmbenchError(
        f"{file} cannot be used as the score cache: {error}. {help_}; or name another folder in RMBENCH_CACHE, or set "
        'it to "off".'
    )


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
