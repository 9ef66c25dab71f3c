"""The records that the pages of a site speak of, each read once, with the place of its page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rmbench.boards.library import Library
from rmbench.boards.rows import Kind
from rmbench.boards.site.paths import record_page
from rmbench.boards.table import BoardTable
from rmbench.records.headline import headline
from rmbench.records.record import Record, ValueRecord
from rmbench.records.store import read

__all__ = ["Entries", "Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A record on the site."""

    folder: Path
    record: Record
    page: str
    """Its page, relative to the site's root."""

    @property
    def model(self) -> str:
        """The model's name."""
        return self.record.model.name

    @property
    def task(self) -> tuple[str, int]:
        """(id, version)."""
        return self.record.task.id, self.record.task.version

    @property
    def kind(self) -> Kind:
        """Who computed its numbers."""
        if self.record.kind == "published":
            return "published"
        return "recomputed" if "released" in self.record.flags else "measured"

    @property
    def value(self) -> ValueRecord:
        """The headline; of a published record without it the first overall value, under its own name."""
        if self.record.kind == "measured":
            return headline(self.record)
        name = self.record.task.metrics[0].get("name") if self.record.task.metrics else None
        overall = [value for value in self.record.results if value.group is None] or self.record.results
        return min(overall, key=lambda value: (value.value is None, value.metric != name))

    @property
    def date(self) -> str:
        """The day it was finished; "" for published figures, whose record's date says nothing of them."""
        return "" if self.record.kind == "published" else self.record.run.finished[:10]


class Entries:
    """The records of all boards of a site, by folder."""

    def __init__(self, tables: Iterable[BoardTable], library: Library | None = None) -> None:
        """The records that a number of `tables` comes from; `library` has read them already."""
        self._by_folder: dict[Path, Entry] = {}
        for table in tables:
            for folder in _folders(table):
                if folder not in self._by_folder:
                    record = library.record(folder) if library is not None else read(folder)
                    self._by_folder[folder] = Entry(folder, record, record_page(record))

    def __getitem__(self, folder: Path) -> Entry:
        return self._by_folder[folder]

    def __iter__(self) -> Iterator[Entry]:
        """By page."""
        return iter(sorted(self._by_folder.values(), key=lambda entry: entry.page))


def _folders(table: BoardTable) -> Iterator[Path]:
    for row in (*table.rows, *table.printed):
        yield from (cell.folder for cell in row.cells if cell is not None and cell.folder is not None)
    for printed in table.published.rows:
        yield from (one.folder for cells in printed.cells for one in cells)
