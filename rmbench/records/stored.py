"""The rows of a record as a collection: small tables are held, of large ones a batch at a time is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rmbench.records.record import Record
from rmbench.records.store import iter_table_of, read_table_of
from rmbench.records.table_rows import Row
from rmbench.types import Judged

__all__ = ["StoredRows"]

_HELD = 20_000
"""Rows of a table that is read once; a larger one is read again each time it is iterated."""


class StoredRows:
    """A record's rows, without what a judge wrote, however often they are iterated.

    Iterating raises RmbenchError as `rmbench.records.store.iter_rows`.
    """

    def __init__(self, folder: Path, record: Record) -> None:
        """The rows of the record in `folder`; RmbenchError where it has none."""
        self._folder, self._record = folder, record
        self._count = record.judgments.rows if record.judgments is not None else 0
        self._table = read_table_of(folder, record) if self._count <= _HELD else None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Judged]:
        return (row for row, _ in self.table())

    def table(self) -> Iterator[Row]:
        """The rows with their credits."""
        yield from iter_table_of(self._folder, self._record, texts=False) if self._table is None else self._table
