"""Parsing a file into rows: JSON, JSON Lines, Parquet, Arrow, CSV or TSV, compressed or not. Files are distrusted.

A value that no column's reader would take (a number that is not finite, text that is not UTF-8, a date that Python has
not) is an error where it is read as a column of the task, and none in a column that nobody reads.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.untrusted.arrow import read_arrow
from rmbench.untrusted.kind import HEAD, content_kind, stand_in
from rmbench.untrusted.packed import plain_name, unpacked
from rmbench.untrusted.parquet import read_table

if TYPE_CHECKING:
    import pyarrow

__all__ = ["FORMATS", "Unreadable", "rows_of"]

FORMATS = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".csv": "csv",
    ".tsv": "tsv",
}
_NAMES = {"json": "JSON", "jsonl": "JSON Lines", "parquet": "Parquet", "arrow": "Arrow", "csv": "CSV", "tsv": "TSV"}
_BETWEEN = {"csv": ",", "tsv": "\t"}
"""What stands between the cells of a line."""
_ANNOUNCED = {"parquet": ("Parquet",), "arrow": ("Arrow", "an Arrow stream")}
"""Format -> what its first bytes are called; no other format has first bytes of its own."""
_CELL = 1 << 24
"""Characters that a cell of a CSV may have; Python's default is less than a long response."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A value that its file holds and Python cannot."""

    why: str


class Form(Protocol):
    """The keys of `[[files]]` that say how a file holds its rows."""

    @property
    def format(self) -> str | None: ...
    @property
    def keyed(self) -> str | None: ...


def rows_of(
    name: str, content: bytes, form: Form, *, under: str | None = None, scalar: str | None = None
) -> list[dict[str, Any]]:
    """A file's rows. `content` is the file as it is on disk; `name` says how it is compressed.

    Raises:
        RmbenchError: the file is broken or of another form; it is named, with the line where the format has lines.
    """
    plain = plain_name(name)
    kind = form.format or next((kind for ending, kind in FORMATS.items() if plain.endswith(ending)), None)
    if kind is None:
        raise RmbenchError(
            f"{name}: unknown format. Name it in [[files]] as `format`: json, jsonl, parquet, arrow, csv or tsv."
        )
    _refuse_stand_in(name, content)
    content = unpacked(name, content)
    _refuse_stand_in(name, content)
    found = content_kind(content[:HEAD])
    if found is not None and found not in _ANNOUNCED.get(kind, ()):
        raise RmbenchError(f"{name}: expected {_NAMES[kind]}, but its first bytes are those of {found}.")
    if kind in _ANNOUNCED:
        return _table(name, read_table(content, name) if kind == "parquet" else read_arrow(content, name))
    if kind in _BETWEEN:
        return _csv(name, content, _BETWEEN[kind])
    if kind == "json":
        return _json(name, _under(name, _parsed(name, content, 1), under), form.keyed, scalar)
    return list(_json_lines(name, content, form.keyed))


def _refuse_stand_in(name: str, content: bytes) -> None:
    what = stand_in(content[:HEAD])
    if what is not None:
        raise RmbenchError(f"{name}: it is {what}.")


def _table(name: str, table: pyarrow.Table) -> list[dict[str, Any]]:
    names = table.column_names
    if len(set(names)) != len(names):
        raise RmbenchError(f"{name}: two columns have one name ({', '.join(names)}).")
    columns = [_values(column) for column in table.columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(column: pyarrow.ChunkedArray) -> list[Any]:
    """A column as Python's values, decimals as numbers; what Python cannot hold is `Unreadable`, cell by cell."""
    from pyarrow import types

    if types.is_decimal(column.type):
        whole = column.type.scale <= 0
        return [None if each is None else int(each) if whole else float(each) for each in column.to_pylist()]
    try:
        values: list[Any] = column.to_pylist()
    except Exception:  # which it is depends on the type: text, dates, times, extension types
        return [_value(cell) for cell in column]
    return values


def _value(cell: pyarrow.Scalar) -> Any:
    try:
        return cell.as_py()
    except Exception as error:
        return Unreadable(f"{type(error).__name__}: {error}")


def _csv(name: str, content: bytes, between: str) -> list[dict[str, Any]]:
    """Lines with nothing on them are no rows."""
    csv.field_size_limit(_CELL)
    try:
        reader = csv.reader(io.StringIO(_decoded(content), newline=""), strict=True, delimiter=between)
        header = next(reader, [])
        other = next((sign for sign in ("\t", ";", "|", ",") if sign in header[0]), "") if len(header) == 1 else ""
        if other:
            what = (
                f"the header is one column, {header[0][:60]!r}; expected {between!r} between columns, found {other!r}"
            )
            raise RmbenchError(f"{name}, line 1: {what}.")
        rows = []
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                what = f"{len(cells)} cells, but the header names {len(header)} columns"
                raise RmbenchError(f"{name}, line {reader.line_num}: {what}.")
            rows.append(dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise RmbenchError(f"{name}: is not readable CSV ({error}).") from None
    if len(set(header)) != len(header):
        raise RmbenchError(f"{name}: the header names a column twice.")
    return rows


def _decoded(content: bytes) -> str:
    """The text; a byte that is not UTF-8 is half of a surrogate pair, which no column's reader takes."""
    return content.decode("utf-8-sig", "surrogateescape")


def _under(name: str, content: Any, path: str | None) -> Any:
    for key in path.split(".") if path else []:
        if not isinstance(content, Mapping) or key not in content:
            known = list(map(str, content)) if isinstance(content, Mapping) else []
            raise RmbenchError(f'{name}: no key "{key}" of "{path}".{did_you_mean(key, known)}')
        content = content[key]
    return content


def _json(name: str, rows: Any, keyed: str | None, scalar: str | None) -> list[dict[str, Any]]:
    if keyed is not None:
        if not isinstance(rows, dict):
            raise RmbenchError(f"{name}: expected one JSON object whose values are the rows.")
        return list(_with_keys(f"{name}", rows, keyed))
    if not isinstance(rows, list):
        raise RmbenchError(f'{name}: expected one JSON array of rows; one object per line is `format = "jsonl"`.')
    if scalar is not None:
        return [{scalar: row} for row in rows]
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise RmbenchError(f"{name}, row {index}: expected a JSON object.")
    return rows


def _with_keys(place: str, rows: Mapping[str, Any], keyed: str) -> Iterator[dict[str, Any]]:
    for key, row in rows.items():
        if not isinstance(row, dict):
            row = {"value": row}
        if keyed in row and row[keyed] != key:
            raise RmbenchError(f'{place}, key "{key}": column "{keyed}" is {row[keyed]!r}.')
        yield {keyed: key, **row}


def _json_lines(name: str, content: bytes, keyed: str | None) -> Iterator[dict[str, Any]]:
    """Only a newline byte ends a line: texts may hold carriage returns and other separators."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        row = _parsed(name, line, number)
        if not isinstance(row, dict):
            raise RmbenchError(f"{name}, line {number}: expected a JSON object.")
        if keyed is None:
            yield row
        else:
            yield from _with_keys(f"{name}, line {number}", row, keyed)


def _parsed(name: str, content: bytes, line: int) -> Any:
    text = _decoded(content)
    try:
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            raise
        except ValueError:  # an integer of more digits than Python converts
            return json.loads(text, parse_int=_whole)
    except json.JSONDecodeError as error:
        at = line + error.lineno - 1
        raise RmbenchError(f"{name}, line {at}, column {error.colno}: is not JSON ({error.msg}).") from None
    except (ValueError, RecursionError) as error:
        raise RmbenchError(f"{name}, line {line}: is not JSON ({error}).") from None


def _whole(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:
        return -math.inf if digits.startswith("-") else math.inf
