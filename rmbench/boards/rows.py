"""A board's rows: a model each, with its values, its facts and the aggregate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rmbench.boards.admission import Admitted
from rmbench.boards.columns import Column
from rmbench.boards.declaration import Board
from rmbench.errors import RmbenchError
from rmbench.models.card import Card, card_for
from rmbench.records.record import Record, ValueRecord

__all__ = ["Cell", "Kind", "Row", "rows_of", "with_win_shares"]

Kind = Literal["measured", "recomputed", "published"]
"""Who computed a number: this project's run of the model; rmbench from the scores or verdicts that others released;
others, as they printed it."""
_KINDS: tuple[Kind, ...] = ("measured", "recomputed", "published")
_MODEL_FLAGS = frozenset({"fake", "demo", "baseline"})


@dataclass(frozen=True, slots=True)
class Cell:
    """A model's value in one column."""

    value: float | None
    """None where the metric is undefined on these rows."""
    low: float | None
    high: float | None
    interval: str
    """Method of the 95% limits; "" without limits."""
    n: int
    coverage: float | None
    chance: float | None
    flags: tuple[str, ...]
    """The flags of the record and the value, without those of the model."""
    folder: Path | None
    """The record; None for a mean of several."""
    kind: Kind = "measured"
    source: str = ""
    """Short name of the table that a published figure was printed in."""
    others: tuple[tuple[str, float], ...] = ()
    """(source, value) of the figures that others print, where several are for one cell."""


@dataclass(frozen=True, slots=True)
class Row:
    """A model on the board."""

    name: str
    revision: str
    """"" where the row stands for all revisions; of a published row the source's short name."""
    family: str
    license: str | None
    parameters: int | None
    flags: tuple[str, ...]
    """`fake`, `demo`, `baseline`; `check failed`, where the newest check of the model did not pass."""
    cells: tuple[Cell | None, ...]
    """In the order of the columns; None: no admitted record."""
    aggregate: float | None
    """None where a cell is missing or undefined, or the board has no aggregate."""
    low: float | None = None
    high: float | None = None
    """The weighted means of the cells' limits: 95% at least, however much the tasks depend on each other."""
    rank: tuple[int, int] | None = None
    """Best and worst rank that the paired tests leave open; None without an aggregate, and for published rows."""
    check: Literal["passed", "failed", "unchecked"] = "unchecked"
    """The result of the newest `rmbench check` of the model."""
    kind: Kind = "measured"
    """Of its cells the kind nearest to a measurement."""
    place: int | None = None
    """Its place by the aggregate alone among all rows that have one; equal aggregates share a place."""
    date: str = ""
    """When its newest record was finished; "" for published rows."""
    open_weights: bool | None = None
    """Whether a model card names a repository with its weights; None where there is no card."""
    trained_on: tuple[str, ...] = ()


def rows_of(
    board: Board, columns: Sequence[Column], admitted: Sequence[Admitted], printed: Sequence[Admitted]
) -> list[tuple[Row, Mapping[str, Admitted]]]:
    """Every row, in no order, with the measured records of its columns by the columns' keys."""
    records: dict[tuple[str, ...], list[Admitted]] = {}
    for one in (*admitted, *printed):
        kind = "" if board.merge else "published" if one.record.kind == "published" else "measured"
        key = (one.record.model.name,) if board.merge else (*one.model, kind)
        records.setdefault(key, []).append(one)
    rows = [_row(board, columns, records[key]) for key in sorted(records)]
    return [(row, measured) for row, measured in rows if any(cell is not None for cell in row.cells)]


def _row(board: Board, columns: Sequence[Column], records: Sequence[Admitted]) -> tuple[Row, Mapping[str, Admitted]]:
    model_flags = _MODEL_FLAGS & {flag for one in records for flag in one.record.flags}
    by_task: dict[tuple[str, int], list[Admitted]] = {}
    for one in _preferred(records):
        by_task.setdefault(one.task, []).append(one)
    cells: dict[str, Cell | None] = {}
    for column in columns:
        if not column.tasks:
            cells[column.key] = _cell(column, by_task.get((column.task, column.version or 0), ()), model_flags)
    for column in columns:
        if column.tasks:
            cells[column.key] = _mean(board, column, columns, cells, by_task)
    found = {one.key: cells[one.key] for one in columns}
    used = [cell for cell in found.values() if cell is not None]
    wholes = [column for column in columns if not column.part_of]
    values, lows, highs = (
        [None if (cell := found[column.key]) is None else getattr(cell, limit) for column in wholes]
        for limit in ("value", "low", "high")
    )
    shares = [column.weight for column in wholes]
    mean = board.aggregate == "mean"
    model, card = records[0].record.model, _card(records[0].record.model.name)
    check = _check([one.record for one in records])
    finished = [one.record.run.finished for one in records if one.record.kind != "published"]
    row = Row(
        name=model.name,
        revision="" if board.merge else model.revision,
        family=card.family if model.family == "published" and card is not None else model.family,
        license=model.license or (card.license if card is not None else None),
        parameters=model.parameters or (card.parameters if card is not None else None),
        flags=(*sorted(model_flags), *(["check failed"] if check == "failed" else [])),
        cells=tuple(found.values()),
        aggregate=_weighted(shares, values) if mean else None,
        low=_weighted(shares, lows) if mean else None,
        high=_weighted(shares, highs) if mean else None,
        check=check,
        kind=min((cell.kind for cell in used), key=_KINDS.index, default="published"),
        date=max(finished, default=""),
        open_weights=None if card is None else card.hub is not None,
        trained_on=tuple(sorted({name for one in records for name in one.record.model.trained_on})),
    )
    measured = {
        column.key: one
        for column in columns
        if not column.slice and column.task and (cell := found[column.key]) is not None and cell.kind != "published"
        for one in by_task[column.task, column.version or 0]
        if one.folder == cell.folder
    }
    return row, measured


def _preferred(records: Sequence[Admitted]) -> list[Admitted]:
    """Measured before recomputed before printed; of the first two the newest first, of printed ones by their source."""
    newest = sorted(records, key=lambda one: one.record.run.finished, reverse=True)
    by_source = sorted(newest, key=lambda one: one.model if one.record.kind == "published" else ("", ""))
    return sorted(by_source, key=lambda one: _KINDS.index(_kind(one.record)))


def _card(name: str) -> Card | None:
    try:
        return card_for(name)
    except RmbenchError:  # several checkpoints in one repository, of which the name says none
        return None


def _kind(record: Record) -> Kind:
    if record.kind == "published":
        return "published"
    return "recomputed" if "released" in record.flags else "measured"


def _check(records: Sequence[Record]) -> Literal["passed", "failed", "unchecked"]:
    """By the newest check among a model's records: a record may be older than the last check and lack it."""
    checks = [record.model.check for record in records if record.model.check is not None]
    if not checks:
        return "unchecked"
    return "passed" if max(checks, key=lambda check: check.date).passed else "failed"


def _cell(column: Column, records: Sequence[Admitted], model_flags: frozenset[str]) -> Cell | None:
    """The column's value in the first record that has it; the other figures that were printed for it beside."""
    found = [(one, value) for one in records if (value := _value(column, one.record)) is not None]
    if not found:
        return None
    (one, value), rest = found[0], found[1:]
    printed = [
        (other.record.model.revision, figure.value)
        for other, figure in rest
        if other.record.kind == "published" and figure.value is not None
    ]
    kind = _kind(one.record)
    return Cell(
        value=value.value,
        low=value.low,
        high=value.high,
        interval=value.interval,
        n=value.n,
        coverage=None if kind == "published" else value.coverage,
        chance=value.chance,
        flags=tuple(sorted({*one.record.flags, *value.flags} - model_flags - {"published"})),
        folder=one.folder,
        kind=kind,
        source=one.record.model.revision if kind == "published" else "",
        others=tuple(printed),
    )


def _value(column: Column, record: Record) -> ValueRecord | None:
    """The record's value for the column; a printed figure counts only under the column's own metric."""
    group = column.slice if "=" in column.slice else None
    for value in record.results:
        if value.metric == column.metric and value.group == group:
            return None if record.kind == "published" and not _finite(value.value) else value
    return None


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _mean(
    board: Board,
    column: Column,
    columns: Sequence[Column],
    cells: Mapping[str, Cell | None],
    by_task: Mapping[tuple[str, int], Sequence[Admitted]],
) -> Cell | None:
    """The plain mean of the parts' cells, or the figure that a table prints in its place."""
    parts = [one for one in columns if one.part_of == column.title and not one.slice]
    of_parts = [cells[one.key] for one in parts]
    known = [cell for cell in of_parts if cell is not None]
    if len(known) == len(of_parts):
        equal = [1 / len(known)] * len(known)
        chances = [cell.chance for cell in known]
        return Cell(
            value=_weighted(equal, [cell.value for cell in known]),
            low=_weighted(equal, [cell.low for cell in known]),
            high=_weighted(equal, [cell.high for cell in known]),
            interval="mean of limits",
            n=sum(cell.n for cell in known),
            coverage=min((cell.coverage for cell in known if cell.coverage is not None), default=None),
            chance=_weighted(equal, chances),
            flags=tuple(sorted({flag for cell in known for flag in cell.flags})),
            folder=None,
            kind=max((cell.kind for cell in known), key=_KINDS.index),
            source=", ".join(sorted({cell.source for cell in known if cell.source})),
        )
    metric = next(mean.published for mean in board.mean if mean.title == column.title)
    first = Column(parts[0].task, parts[0].version, 0.0, metric=metric)
    records = [one for one in by_task.get((first.task, first.version or 0), ()) if one.record.kind == "published"]
    return _cell(first, records, frozenset()) if metric else None


def _weighted(weights: Sequence[float], values: Sequence[float | None]) -> float | None:
    """The weighted mean; None where a value is missing, which no mean of the others replaces."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return sum(weight * value for weight, value in zip(weights, known, strict=True))


def with_win_shares(board: Board, columns: Sequence[Column], rows: Sequence[Row]) -> list[Row]:
    """The rows with the mean share of the other models of their columns that they are ahead of, ties half."""
    shares: list[list[float]] = [[] for _ in rows]
    for k, column in enumerate(columns):
        if column.part_of:
            continue
        values = {i: cell.value for i, row in enumerate(rows) if (cell := row.cells[k]) and cell.value is not None}
        sign = -1 if column.better == "lower" else 1
        for i, value in values.items():
            others = [sign * (value - other) for j, other in values.items() if j != i]
            if others:
                shares[i].append(sum(0.5 * (d == 0) + (d > 0) for d in others) / len(others))
    return [
        replace(row, aggregate=sum(each) / len(each) if len(each) >= board.min_columns else None)
        for row, each in zip(rows, shares, strict=True)
    ]
