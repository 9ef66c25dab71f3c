"""A board's table as texts in rows and columns, which Markdown and LaTeX only have to escape and join."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rmbench.boards.figures import marks, rank_range
from rmbench.boards.output.leading import RULE, leading, leading_overall
from rmbench.boards.table import BoardTable, Cell, Row
from rmbench.text import figure

__all__ = ["NUMBER", "Entry", "Grid", "Head", "grid_of"]

NUMBER = re.compile(r"[0-9.-]*", re.ASCII)
"""A text of ours, which needs no escaping."""
_HALF = "Values ± half the width of their 95% interval."


@dataclass(frozen=True, slots=True)
class Head:
    """What stands above a column, a text per line."""

    lines: tuple[str, ...]
    number: bool = True
    """Whether the column is flushed right."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A cell: a value with half the width of its interval, or a text."""

    text: str
    half: str = ""
    """"" where there is no interval."""
    marks: tuple[str, ...] = ()
    """Footnote signs: letters of flags, numbers of sources."""
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of texts."""

    id: str
    title: str
    heads: tuple[Head, ...]
    lines: tuple[tuple[Entry, ...], ...]
    rule: str
    """How values and bold type are to be read."""
    notes: tuple[str, ...]


def grid_of(table: BoardTable, rows: Sequence[Row]) -> Grid:
    """The columns that stand for themselves and have values; parts of means and slices are left to CSV and JSON."""
    columns = [k for k, column in enumerate(table.columns) if not column.part_of and column not in table.empty]
    rows = [row for row in rows if row.place is not None or any(row.cells[k] is not None for k in columns)]
    _, letters = marks(cell.flags for row in table.rows for cell in row.cells if cell is not None)
    sources = {source: str(number) for number, (source, _) in enumerate(table.published.sources, 1)}
    heads: list[Head] = []
    strips: list[list[Entry]] = []
    if any(row.place is not None for row in rows):
        heads.append(Head(("place",)))
        strips.append([Entry("" if row.place is None else str(row.place)) for row in rows])
        if table.rank_rule:
            heads.append(Head(("rank",)))
            strips.append([Entry(rank_range(row.rank)) for row in rows])
    heads.append(Head(("model",), number=False))
    strips.append([Entry(row.name) for row in rows])
    if any(row.aggregate is not None for row in rows) and not table.single:
        bold = leading_overall(table, rows)
        heads.append(Head(({"mean": "mean", "win_share": "win share"}[table.board.aggregate],)))
        strips.append([_value(row.aggregate, row.low, row.high, k in bold) for k, row in enumerate(rows)])
    for k in columns:
        column, bold = table.columns[k], leading(table, rows, k)
        lower = ", lower is better" if column.better == "lower" else ""
        heads.append(Head((column.name, f"{column.metric}{lower}")))
        strips.append([_cell(row.cells[k], n in bold, letters, sources) for n, row in enumerate(rows)])
    lines = tuple(zip(*strips, strict=True))
    notes = tuple(_notes(table, rows, letters, sources))
    return Grid(table.board.id, table.board.title, tuple(heads), lines, f"{_HALF} {RULE}", notes)


def _value(value: float | None, low: float | None, high: float | None, bold: bool) -> Entry:
    if value is None:
        return Entry("-")
    half = "" if low is None or high is None else figure((high - low) / 2)
    return Entry(figure(value), half, bold=bold)


def _cell(cell: Cell | None, bold: bool, letters: Mapping[str, str], sources: Mapping[str, str]) -> Entry:
    if cell is None:
        return Entry("-")
    entry = _value(cell.value, cell.low, cell.high, bold)
    signs = [sources[cell.source]] if cell.kind == "published" and cell.source in sources else []
    return Entry(entry.text, entry.half, (*(letters[flag] for flag in cell.flags if flag in letters), *signs), bold)


def _notes(
    table: BoardTable, rows: Sequence[Row], letters: Mapping[str, str], sources: Mapping[str, str]
) -> Iterator[str]:
    if table.note:
        yield table.note
    if table.rank_rule:
        yield table.rank_rule
    if letters:
        yield ", ".join(f"{letter} {flag}" for flag, letter in letters.items()) + "."
    shown = {cell.source for row in rows for cell in row.cells if cell is not None and cell.kind == "published"}
    for source, where in table.published.sources:
        if source in shown:
            yield f"{sources[source]} printed in {source}: {where}"
