"""Rows written with further columns: JSON Lines, CSV or Parquet, whole or not at all."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError
from rmbench.records.files import replace_file

__all__ = ["check_name", "write_rows"]

_ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet")


def check_name(path: Path, option: str) -> None:
    """Raise RmbenchError for a file whose name shows no format that is written, or in a folder that is not there."""
    if not path.name.endswith(_ENDINGS):
        raise RmbenchError(f"{option} {path}: expected a name that ends in {', '.join(_ENDINGS)}.")
    if not path.parent.is_dir():
        raise RmbenchError(f"{option} {path}: there is no folder {path.parent}.")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], added: Mapping[str, Sequence[Any]]) -> None:
    """Write the rows, each with its own columns and then those of `added`.

    Args:
        path: its name says the format (`check_name`).
        rows: as they were read.
        added: column -> [rows] values.

    Raises:
        RmbenchError: the format cannot hold a value; the row and the column are named.
    """
    whole = [
        {**row, **dict(zip(added, values, strict=True))}
        for row, values in zip(rows, zip(*added.values(), strict=True), strict=True)
    ]
    replace_file(path, lambda fresh: _fill(fresh, path.name, whole))


def _fill(fresh: Path, name: str, rows: list[dict[str, Any]]) -> None:
    if name.endswith(".parquet"):
        _parquet(fresh, name, rows)
        return
    with gzip.open(fresh, "wb") if name.endswith(".gz") else fresh.open("wb") as stream:
        for line in _csv(name, rows) if ".csv" in name else _lines(name, rows):
            stream.write(line.encode("utf-8"))


def _lines(name: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    for place, row in enumerate(rows):
        yield _json(name, place, row) + "\n"


def _json(name: str, place: int, value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError) as error:
        raise RmbenchError(f"{name}, row {place}: JSON cannot hold it ({error}); write a .parquet.") from None
    return text


def _csv(name: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    """Texts as they are, nothing for null, all else as JSON."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    yield _cells(columns)
    for place, row in enumerate(rows):
        values = [row.get(column) for column in columns]
        yield _cells(["" if v is None else v if isinstance(v, str) else _json(name, place, v) for v in values])


def _cells(cells: Sequence[str]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def _parquet(fresh: Path, name: str, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = dict.fromkeys(key for row in rows for key in row)
    try:
        table = pyarrow.table({column: [row.get(column) for row in rows] for column in columns})
        pyarrow.parquet.write_table(table, fresh)
    except (pyarrow.ArrowException, OverflowError, ValueError, TypeError) as error:
        why = " ".join(str(error).split())[:200]
        raise RmbenchError(f"{name}: Parquet cannot hold the rows ({why}); write a .jsonl.") from None
