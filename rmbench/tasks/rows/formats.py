"""Parsing a file into rows: JSON, JSON Lines, Parquet or CSV, compressed or not. Files are distrusted."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.parquet import read_table

__all__ = ["FORMATS", "MOST_UNPACKED", "PACKED", "plain_name", "rows_of", "unpacked"]

PACKED = (".gz", ".xz")
FORMATS = {".json": "json", ".jsonl": "jsonl", ".parquet": "parquet", ".csv": "csv"}
MOST_UNPACKED = 4 * 2**30
"""Bytes that a file of rows may have, a compressed one once it is unpacked."""
ANY_UNPACKED = 128 * 2**20
"""Bytes that any compressed file may hold, however small it is."""
MOST_TIMES = 64
"""How many times its own size a larger one may hold; texts are packed to a tenth, repetitive ones to a thirtieth."""
_PART = 2**20
_CELL = 1 << 24
"""Characters that a cell of a CSV may have; Python's default is less than a long response."""


class Form(Protocol):
    """The keys of `[[files]]` that say how a file holds its rows."""

    @property
    def format(self) -> str | None: ...
    @property
    def keyed(self) -> str | None: ...


def plain_name(name: str) -> str:
    """The name without the ending of a compression."""
    return name.removesuffix(".gz").removesuffix(".xz")


def unpacked(name: str, content: bytes) -> bytes:
    """The bytes that a compressed file holds; those of any other file as they are.

    Raises:
        RmbenchError: the file is broken or cut off; or it holds more than `MOST_UNPACKED`, or, beyond `ANY_UNPACKED`,
            more than `MOST_TIMES` its own size, which no text does.
    """
    if not name.endswith(PACKED):
        return content
    most = min(MOST_UNPACKED, max(ANY_UNPACKED, MOST_TIMES * len(content)))
    parts, size = [], 0
    try:
        packed = io.BytesIO(content)
        with gzip.open(packed) if name.endswith(".gz") else lzma.open(packed) as stream:
            while part := stream.read(_PART):
                size += len(part)
                if size > most:
                    raise RmbenchError(f"{name}: holds more than {most:,} bytes in {len(content):,} compressed ones.")
                parts.append(part)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise RmbenchError(f"{name}: cannot be decompressed ({error}); is the file whole?") from None
    return b"".join(parts)


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
        raise RmbenchError(f"{name}: unknown format. Name it in [[files]] as `format`: json, jsonl, parquet or csv.")
    content = unpacked(name, content)
    if kind == "parquet":
        rows: list[dict[str, Any]] = read_table(content, name).to_pylist()
        return rows
    if kind == "csv":
        return _csv(name, content)
    if kind == "json":
        return _json(name, _under(name, _parsed(name, content, 1), under), form.keyed, scalar)
    return list(_json_lines(name, content, form.keyed))


def _csv(name: str, content: bytes) -> list[dict[str, Any]]:
    csv.field_size_limit(_CELL)
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = next(reader, [])
        rows = []
        for cells in reader:
            if len(cells) != len(header):
                what = f"{len(cells)} cells, but the header names {len(header)} columns"
                raise RmbenchError(f"{name}, line {reader.line_num}: {what}.")
            rows.append(dict(zip(header, cells, strict=True)))
    except (csv.Error, UnicodeDecodeError) as error:
        raise RmbenchError(f"{name}: is not readable CSV ({error}).") from None
    if len(set(header)) != len(header):
        raise RmbenchError(f"{name}: the header names a column twice.")
    return rows


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
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_refuse)
    except json.JSONDecodeError as error:
        at = line + error.lineno - 1
        raise RmbenchError(f"{name}, line {at}, column {error.colno}: is not JSON ({error.msg}).") from None
    except (ValueError, RecursionError) as error:
        raise RmbenchError(f"{name}, line {line}: is not JSON ({error}).") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")
