"""A board's rows in another order than the board's own."""

from __future__ import annotations

from rmbench.boards.columns import Column
from rmbench.boards.rows import Row
from rmbench.boards.table import BoardTable
from rmbench.errors import RmbenchError, did_you_mean

__all__ = ["sorted_rows"]

_FACTS = ("place", "model", "parameters", "date")


def sorted_rows(table: BoardTable, by: str = "place") -> tuple[Row, ...]:
    """All rows: by "place", as the board has them, by "model", "parameters" (the largest first), "date" (the newest
    first), or the name of a column, the best first. Rows without a value come last.

    Raises:
        RmbenchError: there is no such column; the message has the nearest.
    """
    rows = table.listed
    if by == "place":
        return rows
    if by == "model":
        return tuple(sorted(rows, key=lambda row: (row.name.casefold(), row.revision)))
    if by == "date":
        return tuple(sorted(rows, key=lambda row: row.date, reverse=True))
    if by == "parameters":
        return tuple(sorted(rows, key=lambda row: -(row.parameters or 0)))
    k, column = _column(table, by)
    sign = 1 if column.better == "lower" else -1
    return tuple(sorted(rows, key=lambda row: _last(row, k, sign)))


def _column(table: BoardTable, by: str) -> tuple[int, Column]:
    """The first column of this name, or of this task."""
    for name in ("name", "key", "task"):
        for k, column in enumerate(table.columns):
            if by and getattr(column, name) == by:
                return k, column
    known = [*_FACTS, *dict.fromkeys(column.name for column in table.columns)]
    listed, near = ", ".join(known), did_you_mean(by, known)
    raise RmbenchError(f'board {table.board.id} has no column "{by}" to sort by. There are {listed}.{near}')


def _last(row: Row, k: int, sign: int) -> tuple[bool, float]:
    cell = row.cells[k]
    value = None if cell is None else cell.value
    return value is None, 0.0 if value is None else sign * value
