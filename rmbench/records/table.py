"""judgments.parquet: its schema, and rows written to it and read from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rmbench.collector import paused
from rmbench.errors import RmbenchError, did_you_mean
from rmbench.records.table_rows import MASS_NAME, PROMPT_NAME, RATIONALE_NAME, Decoder, Row
from rmbench.types import Edge, Judged, Verdict
from rmbench.untrusted.masking import looked_up_once, masked

__all__ = ["MASS", "PROMPT", "RATIONALE", "SCHEMA", "iter_table", "read_credits_from", "read_table", "write_table"]

_ROW_GROUP = 8192
_BATCH = 2048
"""Rows that are read at once: as plain Python data they take several times as much memory as afterwards."""


def _required(kind: pa.DataType, name: str = "element") -> pa.Field:
    """A field that cannot be null, by the file's own schema, so that no reader needs to look for nulls."""
    return pa.field(name, kind, nullable=False)


def _struct(**fields: pa.DataType) -> pa.DataType:
    return pa.struct([_required(kind, name) for name, kind in fields.items()])


def _map(kind: pa.DataType) -> pa.DataType:
    return pa.map_(pa.string(), _required(kind, "value"))


def _list(kind: pa.DataType) -> pa.DataType:
    return pa.list_(_required(kind))


_MATRIX = _list(_list(pa.float64()))
_EDGE = _struct(
    i=pa.int32(),
    j=pa.int32(),
    strength=pa.float64(),
    dimension=pa.string(),
    annotator=pa.string(),
    tags=_list(pa.string()),
)
_VERDICT = pa.struct(
    [
        _required(_list(pa.int32()), "shown"),
        _required(pa.string(), "kind"),
        _required(pa.string(), "value"),  # JSON text: an index, a list of indices, a number, a label, or null
        _required(pa.string(), "status"),
        _required(pa.int32(), "vote"),
        pa.field("logprob", pa.float64()),
    ]
)
SCHEMA = pa.schema(
    [
        _required(pa.string(), "id"),
        _required(_map(pa.string()), "groups"),
        _required(pa.string(), "cluster"),
        _required(pa.string(), "rater"),
        _required(pa.float64(), "weight"),
        _required(pa.int32(), "size"),
        _required(_list(_EDGE), "relation"),
        _required(_MATRIX, "ratings"),
        _required(_list(pa.string()), "dimensions"),
        _required(_map(pa.int64()), "labels"),
        pa.field("credit", pa.float64()),
        pa.field("rewards", _list(pa.float64())),
        pa.field("directed", _MATRIX),
        _required(_list(_VERDICT), "verdicts"),
        _required(_map(_MATRIX), "parts"),
        _required(pa.string(), "status"),
        _required(pa.string(), "error"),
        _required(_list(pa.int64()), "lengths"),
        _required(_list(pa.bool_()), "truncated"),
    ]
)
"""A row per example, in the order of the task. Only credit, rewards, directed and a verdict's logprob may be null."""
RATIONALE = _required(_list(pa.string()), RATIONALE_NAME)
"""What a judge wrote, a text per verdict: a column that exists only where a judge wrote something."""
MASS = _required(pa.list_(pa.field("element", pa.float64())), MASS_NAME)
"""Each verdict's `mass` or null: a column that exists only where a judge was read by option probabilities."""

PROMPT = _required(pa.string(), PROMPT_NAME)
"""Digest of all that the model read of the row: a column that exists only where the run kept it."""
_NUMBERS = {"ratings", "rewards", "directed", "parts", "lengths", "truncated", MASS.name}
"""Columns of many numbers, and of names that the model's family or the task declares."""
_OPTIONAL = (RATIONALE, MASS, PROMPT)


def write_table(path: Path, rows: Sequence[Judged], credits_: Mapping[str, float | None] | None) -> None:
    """Write rows so that equal rows give equal bytes (of one pyarrow version): fixed row groups, no times, no paths.
    One row group at a time is in memory.

    Args:
        path: the file to write.
        rows: in the order of the task.
        credits_: example id -> credit, where the task's metric is a mean of rows; ids left out have none.
    """
    filled = {
        RATIONALE: any(row.judgment.rationale for row in rows),
        MASS: any(verdict.mass is not None for row in rows for verdict in row.judgment.verdicts),
        PROMPT: any(row.prompt_sha256 for row in rows),
    }
    schema = _schema(field for field in _OPTIONAL if filled[field])
    credit_of = credits_ or {}
    with paused(), looked_up_once(), pq.ParquetWriter(path, schema, compression="zstd", version="2.6") as file:
        for start in range(0, max(len(rows), 1), _ROW_GROUP):
            part = rows[start : start + _ROW_GROUP]
            columns = [_without_secrets(_columns(row, credit_of.get(row.id))) for row in part]
            file.write_table(pa.Table.from_pylist(columns, schema=schema), row_group_size=_ROW_GROUP)


def read_table(path: Path) -> list[Row]:
    """Rows and their credits, exactly as written.

    Raises:
        RmbenchError: no Parquet file, other columns, or a row that contradicts itself.
    """
    with paused():
        return list(iter_table(path))


def iter_table(path: Path, *, texts: bool = True) -> Iterator[Row]:
    """Rows and their credits one after the other, however many there are in the memory of a few thousand; `texts`:
    with what a judge wrote. Raises as `read_table`."""
    decoder = Decoder(path)
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            _check_columns(path, schema)
            # To name columns costs a small table a third of its time.
            left_out = not texts and RATIONALE_NAME in schema.names
            wanted = [name for name in schema.names if name != RATIONALE_NAME] if left_out else None
            for batch in file.iter_batches(batch_size=_BATCH, columns=wanted, use_threads=False):
                with paused():
                    rows = list(decoder.rows(batch))
                yield from rows
    except (OSError, pa.ArrowException) as error:
        raise RmbenchError(f"{path}: not a readable Parquet file ({error}).") from error


def read_credits_from(path: Path) -> pa.Table:
    """The columns `id` and `credit`, in the order of the rows; raises RmbenchError as `read_table` where it is no such
    table."""
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow)
            return file.read(columns=["id", "credit"], use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise RmbenchError(f"{path}: not a readable Parquet file ({error}).") from error


def _schema(optional: Iterable[pa.Field]) -> pa.Schema:
    return pa.schema([*SCHEMA, *optional])


def _without_secrets(columns: dict[str, Any]) -> dict[str, Any]:
    texts = {name: value for name, value in columns.items() if name not in _NUMBERS}
    return columns | masked(texts)


def _columns(row: Judged, credit: float | None) -> dict[str, Any]:
    gold, judgment = row.gold, row.judgment
    return {
        "id": row.id,
        "groups": list(row.groups.items()),
        "cluster": row.cluster,
        "rater": row.rater,
        "weight": row.weight,
        "size": row.size,
        "relation": [{name: getattr(edge, name) for name in Edge.__slots__} for edge in gold.relation],
        "ratings": gold.ratings,
        "dimensions": gold.dimensions,
        "labels": list(gold.labels.items()),
        "credit": credit,
        "rewards": judgment.rewards,
        "directed": judgment.directed,
        "verdicts": [_verdict_columns(verdict) for verdict in judgment.verdicts],
        "parts": list(judgment.parts.items()),
        "status": judgment.status,
        "error": judgment.error,
        "lengths": judgment.lengths,
        "truncated": judgment.truncated,
        "rationale": judgment.rationale,
        MASS.name: [verdict.mass for verdict in judgment.verdicts],
        PROMPT.name: row.prompt_sha256,
    }


def _verdict_columns(verdict: Verdict) -> dict[str, Any]:
    fields = {name: getattr(verdict, name) for name in Verdict.__slots__ if name != "mass"}
    return fields | {"value": json.dumps(verdict.value)}


def _check_columns(path: Path, found: pa.Schema) -> None:
    if found.equals(SCHEMA):
        return
    whole = _schema(field for field in _OPTIONAL if field.name in found.names)
    for name in found.names:
        if name not in whole.names:
            raise RmbenchError(f"{path}: unknown column {name!r}.{did_you_mean(name, whole.names)}")
    for field in whole:
        if field.name not in found.names:
            raise RmbenchError(f"{path}: column {field.name!r} is missing.")
        if not found.field(field.name).equals(field):
            raise RmbenchError(f"{path}: column {field.name!r} is {found.field(field.name)}, not {field}.")
