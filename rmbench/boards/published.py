"""Published figures on a board's tasks: numbers that others printed, unchanged, with their source.

They have no rows, so they cannot be tested, weighted or ranked. Models are in the order of their names, and where two
sources print two figures, both are listed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from rmbench.boards.declaration import Board
from rmbench.boards.library import Library
from rmbench.records.record import Record

__all__ = ["Published", "PublishedCell", "PublishedRow", "published"]


@dataclass(frozen=True, slots=True)
class PublishedCell:
    """One printed figure."""

    value: float
    metric: str
    """The metric's name where it is not the task's headline; "" where it is."""
    source: str
    """The source's short name, which is the revision of its records."""
    folder: Path
    """The record."""


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """The published figures of one model."""

    name: str
    cells: tuple[tuple[PublishedCell, ...], ...]
    """In the order of `Published.tasks`; a figure per source, by the sources' names."""


@dataclass(frozen=True, slots=True)
class Published:
    """All published figures on a board's tasks."""

    tasks: tuple[tuple[str, int], ...]
    """(id, version) of the tasks that have any, in the order of the board's entries."""
    rows: tuple[PublishedRow, ...]
    sources: tuple[tuple[str, str], ...]
    """(short name, where the figures were printed), by name."""


def published(board: Board, library: Library) -> Published:
    """The published records on the board's tasks. Admission reports the unreadable ones."""
    models: dict[str, dict[tuple[str, int], list[PublishedCell]]] = {}
    order: dict[tuple[str, int], int] = {}
    sources: dict[str, str] = {}
    for folder, record in library.readable():
        if record.kind != "published":
            continue
        entry = board.entry_for(record.task.id, record.task.version)
        cell = _cell(record, folder)
        if entry is None or cell is None:
            continue
        task = record.task.id, record.task.version
        order[task] = board.tasks.index(entry)
        models.setdefault(record.model.name, {}).setdefault(task, []).append(cell)
        sources[cell.source] = record.run.source_of_scores or ""
    tasks = tuple(sorted(order, key=lambda task: (order[task], task)))
    rows = [
        PublishedRow(name, tuple(tuple(sorted(cells.get(task, ()), key=lambda one: one.source)) for task in tasks))
        for name, cells in models.items()
    ]
    ordered = sorted(rows, key=lambda row: (row.name.casefold(), row.name))
    return Published(tasks, tuple(ordered), tuple(sorted(sources.items())))


def _cell(record: Record, folder: Path) -> PublishedCell | None:
    """The headline where the source has it, else its first overall value under its own name."""
    headline = record.task.metrics[0].get("name") if record.task.metrics else None
    overall = [(one.metric, one.value) for one in record.results if one.group is None and one.value is not None]
    overall = [(metric, value) for metric, value in overall if math.isfinite(value)]
    if not overall:
        return None
    metric, value = min(overall, key=lambda one: one[0] != headline)
    return PublishedCell(value, "" if metric == headline else metric, record.model.revision, folder)
