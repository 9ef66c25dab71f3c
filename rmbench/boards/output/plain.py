"""A board's table as plain data, for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rmbench.boards.columns import Column
from rmbench.boards.table import BoardTable, Cell, Row

__all__ = ["flat", "plain"]


def plain(table: BoardTable, rows: Sequence[Row]) -> dict[str, Any]:
    """The board, its columns, its rows in the order given, and the records that it refuses."""
    return {
        "board": table.board.id,
        "title": table.board.title,
        "aggregate": table.board.aggregate,
        "date": table.date,
        "note": table.note,
        "rank_rule": table.rank_rule,
        "columns": [_column(column) for column in table.columns],
        "rows": [_row(table, row) for row in rows],
        "refused": [{"model": one.model, "task": one.task, "why": one.why} for one in table.refused],
    }


def _column(column: Column) -> dict[str, Any]:
    names = ("key", "name", "task", "version", "metric", "better", "weight", "slice", "part_of", "n")
    return {name: getattr(column, name) for name in names}


def _row(table: BoardTable, row: Row) -> dict[str, Any]:
    facts = ("family", "license", "parameters", "open_weights", "date", "check")
    return {
        "model": row.name,
        "revision": row.revision,
        "kind": row.kind,
        "place": row.place,
        "rank": None if row.rank is None else list(row.rank),
        "aggregate": row.aggregate,
        "low": row.low,
        "high": row.high,
        "flags": list(row.flags),
        **{name: getattr(row, name) for name in facts},
        "values": {
            column.key: _cell(cell) for column, cell in zip(table.columns, row.cells, strict=True) if cell is not None
        },
    }


def _cell(cell: Cell) -> dict[str, Any]:
    names = ("value", "low", "high", "interval", "n", "coverage", "chance", "kind", "source")
    record = None if cell.folder is None else str(cell.folder)
    return {**{name: getattr(cell, name) for name in names}, "flags": list(cell.flags), "record": record}


def flat(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What `plain` gives as a row per model and column, a model's facts in each of its rows."""
    columns = {column["key"]: column for column in data["columns"]}
    rows = []
    for row in data["rows"]:
        best, worst = row["rank"] or (None, None)
        facts = {
            name: value for name, value in row.items() if name not in ("rank", "values", "aggregate", "low", "high")
        }
        facts |= {"rank_best": best, "rank_worst": worst}
        facts |= {"aggregate": row["aggregate"], "aggregate_low": row["low"], "aggregate_high": row["high"]}
        facts["flags"] = " ".join(row["flags"])
        for key, cell in row["values"].items():
            column = {name: columns[key][name] for name in ("task", "version", "slice", "metric")}
            value = {**cell, "flags": " ".join(cell["flags"])}
            value = {f"value_{name}" if name in facts else name: each for name, each in value.items()}
            rows.append({**facts, "column": key, **column, **value})
    return rows
