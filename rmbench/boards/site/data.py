"""A board's table as CSV, JSON and Parquet, the same numbers in each, to compute with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmbench.boards.table import BoardTable
from rmbench.text import csv_text
from rmbench.untrusted.masking import looked_up_once, masked

__all__ = ["rows_of", "write_data"]


def rows_of(table: BoardTable) -> list[dict[str, Any]]:
    """A flat row per model and task; a model's aggregate is repeated in each of its rows."""
    rows: list[dict[str, Any]] = []
    for row in (*table.rows, *table.printed):
        for column, cell in zip(table.columns, row.cells, strict=True):
            if cell is None:
                continue
            best, worst = row.rank or (None, None)
            rows.append(
                {
                    "model": row.name,
                    "revision": row.revision,
                    "kind": row.kind,
                    "place": row.place,
                    "rank_best": best,
                    "rank_worst": worst,
                    "aggregate": row.aggregate,
                    "aggregate_low": row.low,
                    "aggregate_high": row.high,
                    "task": column.task,
                    "version": column.version,
                    "slice": column.slice,
                    "column": column.name,
                    "metric": column.metric,
                    "value": cell.value,
                    "low": cell.low,
                    "high": cell.high,
                    "interval": cell.interval,
                    "n": cell.n,
                    "coverage": cell.coverage,
                    "chance": cell.chance,
                    "flags": " ".join(cell.flags),
                    "value_kind": cell.kind,
                    "source": cell.source,
                    "date": row.date,
                    "family": row.family,
                    "license": row.license,
                    "parameters": row.parameters,
                    "check": row.check,
                }
            )
    return masked(rows)


def write_data(table: BoardTable, folder: Path) -> None:
    """Write `data.csv`, `data.json` and `data.parquet` into an existing folder; OSError where that fails."""
    rows = rows_of(table)
    with looked_up_once():
        lines = csv_text([_NAMES, *([row[name] for name in _NAMES] for row in rows)])
    (folder / "data.csv").write_bytes(lines.encode())
    text = json.dumps(rows, indent=1, ensure_ascii=True, allow_nan=False)
    (folder / "data.json").write_bytes(f"{text}\n".encode())
    _write_parquet(rows, folder / "data.parquet")


def _write_parquet(rows: Sequence[dict[str, Any]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), float: pa.float64(), int: pa.int64()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in _COLUMNS.items()])
    columns = {name: [_encodable(row[name]) for row in rows] for name in _COLUMNS}
    pq.write_table(pa.table(columns, schema=schema), path, compression="zstd", version="2.6")


def _encodable(value: Any) -> Any:
    """A text without lone surrogates, which Parquet cannot hold."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


_COLUMNS: dict[str, type] = {
    **dict.fromkeys(("model", "revision", "kind"), str),
    **dict.fromkeys(("place", "rank_best", "rank_worst"), int),
    **dict.fromkeys(("aggregate", "aggregate_low", "aggregate_high"), float),
    "task": str,
    "version": int,
    **dict.fromkeys(("slice", "column", "metric"), str),
    **dict.fromkeys(("value", "low", "high"), float),
    "interval": str,
    "n": int,
    **dict.fromkeys(("coverage", "chance"), float),
    **dict.fromkeys(("flags", "value_kind", "source", "date", "family", "license"), str),
    "parameters": int,
    "check": str,
}
_NAMES = tuple(_COLUMNS)
