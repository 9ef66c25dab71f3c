"""Records under a folder -> one table: a row per model, a column per task, and the refused records with reasons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rmbench.boards.admission import Admitted, Refusal, admit
from rmbench.boards.declaration import Board
from rmbench.boards.published import Published, published
from rmbench.boards.ranks import LARGEST, RULE, rank_ranges
from rmbench.errors import RmbenchError
from rmbench.metric_spec import Better, better_of
from rmbench.records.headline import headline, headline_spec
from rmbench.records.record import Record
from rmbench.records.store import find

__all__ = ["BoardTable", "Cell", "Column", "Row", "tabulate"]

_MODEL_FLAGS = frozenset({"fake", "demo", "baseline"})


@dataclass(frozen=True, slots=True)
class Cell:
    """A model's headline value on one task."""

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
    folder: Path
    """The record."""


@dataclass(frozen=True, slots=True)
class Column:
    """A task on the board. Everything but `task` and `weight` is unknown (None, "") while no record is admitted."""

    task: str
    version: int | None
    weight: float
    """Share in the aggregate; the shares of all columns sum to 1."""
    title: str = ""
    metric: str = ""
    official: bool = True
    n: int | None = None
    """Rows of the task version."""
    judged: int | None = None
    """The most rows that an admitted record judged."""
    license: str | None = None
    paper: str | None = None
    better: Better = "higher"
    """The direction of the metric."""

    @property
    def rows(self) -> str:
        """`350 rows`, or `10 of 350 rows` where no record judged them all; "" without records."""
        if self.n is None or self.judged is None:
            return ""
        return f"{self.n:,} rows" if self.judged == self.n else f"{self.judged:,} of {self.n:,} rows"

    @property
    def name(self) -> str:
        """`task@version`, or the task alone."""
        return self.task if self.version is None else f"{self.task}@{self.version}"


@dataclass(frozen=True, slots=True)
class Row:
    """A model on the board."""

    name: str
    revision: str
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
    """Best and worst rank that the paired tests leave open; None without an aggregate."""
    check: Literal["passed", "failed", "unchecked"] = "unchecked"
    """The result of the newest `rmbench check` of the model."""


@dataclass(frozen=True, slots=True)
class BoardTable:
    """A board with the numbers of records."""

    board: Board
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    refused: tuple[Refusal, ...]
    date: str
    """When the newest admitted record was finished; "" without records."""
    rank_rule: str
    """The rule of the ranks, in one sentence; "" without ranks."""
    published: Published
    """Figures that others printed, listed below the board."""


def tabulate(board: Board, root: Path, *, allow: Iterable[str] = ()) -> BoardTable:
    """The board's table from every record under `root`; `allow` adds to the flags that the board admits.

    Raises:
        RmbenchError: `root` holds no record at all.
    """
    folders = find(root) if root.is_dir() else []
    if not folders:
        raise RmbenchError(
            f"{root} holds no record.json; `rmbench run --model MODEL --tasks SEL --out {root}` creates them."
        )
    admitted, refused = admit(board, folders, frozenset(allow) | frozenset(board.allow))
    columns = _columns(board, admitted)
    by_cell = {(*one.model, *one.task): one for one in admitted}
    grid = [
        [by_cell.get((*model, column.task, column.version or 0)) for column in columns]
        for model in sorted({one.model for one in admitted})
    ]
    rows = [_row(board, columns, records) for records in grid]
    ranges = _ranks(columns, [records for records, row in zip(grid, rows, strict=True) if row.aggregate is not None])
    ranked = iter(ranges)
    rows = [replace(row, rank=next(ranked, None)) if row.aggregate is not None else row for row in rows]
    return BoardTable(
        board=board,
        columns=columns,
        rows=tuple(sorted(rows, key=lambda row: _order(row, lower=_lower_is_better(board, columns)))),
        refused=tuple(refused),
        date=max((one.record.run.finished for one in admitted), default=""),
        rank_rule=RULE if ranges else "",
        published=published(board, folders),
    )


def _order(row: Row, *, lower: bool) -> tuple[bool, float, str, str]:
    aggregate = row.aggregate or 0.0
    return row.aggregate is None, aggregate if lower else -aggregate, row.name.casefold(), row.revision


def _lower_is_better(board: Board, columns: Sequence[Column]) -> bool:
    """Whether lower aggregates come first. RmbenchError where a mean would mix both directions."""
    low = [column.name for column in columns if column.better == "lower"]
    high = [column.name for column in columns if column.metric and column.better == "higher"]
    if board.aggregate == "mean" and low and high:
        raise RmbenchError(
            f"board {board.id}: lower is better on {', '.join(low)} and higher on {', '.join(high)}, so their mean "
            'says nothing: set aggregate = "none".'
        )
    return bool(low)


def _columns(board: Board, admitted: Sequence[Admitted]) -> tuple[Column, ...]:
    """In the order of the board's entries; a glob's tasks by name."""
    listed: list[tuple[str, Column]] = []
    for entry in board.tasks:
        tasks = sorted({one.task for one in admitted if one.entry == entry})
        listed += [(entry, _column([one.record for one in admitted if one.task == task])) for task in tasks]
        name, _, version = entry.partition("@")
        if not tasks and not set(name) & set("*?["):
            listed.append((entry, Column(name, int(version) if version else None, 0.0)))
    weights = [board.weights.get(entry, 1.0) for entry, _ in listed]
    return tuple(
        replace(column, weight=weight / sum(weights)) for (_, column), weight in zip(listed, weights, strict=True)
    )


def _column(records: Sequence[Record]) -> Column:
    task = records[0].task
    return Column(
        task=task.id,
        version=task.version,
        weight=0.0,
        title=task.title,
        metric=headline(records[0]).metric,
        official=task.official,
        n=task.n,
        judged=max(record.data.rows for record in records),
        license=task.license,
        paper=task.paper,
        better=better_of(headline_spec(records[0])),
    )


def _row(board: Board, columns: Sequence[Column], row: Sequence[Admitted | None]) -> Row:
    records = [one.record for one in row if one is not None]
    model = records[0].model
    model_flags = _MODEL_FLAGS & {flag for record in records for flag in record.flags}
    cells = tuple(_cell(one, model_flags) for one in row)
    check = _check(records)
    shares = [column.weight for column in columns]
    mean = board.aggregate == "mean"
    return Row(
        name=model.name,
        revision=model.revision,
        family=model.family,
        license=model.license,
        parameters=model.parameters,
        flags=(*sorted(model_flags), *(["check failed"] if check == "failed" else [])),
        cells=cells,
        aggregate=_weighted(shares, [None if cell is None else cell.value for cell in cells]) if mean else None,
        low=_weighted(shares, [None if cell is None else cell.low for cell in cells]) if mean else None,
        high=_weighted(shares, [None if cell is None else cell.high for cell in cells]) if mean else None,
        check=check,
    )


def _check(records: Sequence[Record]) -> Literal["passed", "failed", "unchecked"]:
    """By the newest check among a model's records: a record may be older than the last check and lack it."""
    checks = [record.model.check for record in records if record.model.check is not None]
    if not checks:
        return "unchecked"
    return "passed" if max(checks, key=lambda check: check.date).passed else "failed"


def _cell(one: Admitted | None, model_flags: frozenset[str]) -> Cell | None:
    if one is None:
        return None
    value = headline(one.record)
    flags = tuple(sorted({*one.record.flags, *value.flags} - model_flags))
    return Cell(
        value.value, value.low, value.high, value.interval, value.n, value.coverage, value.chance, flags, one.folder
    )


def _weighted(weights: Sequence[float], values: Sequence[float | None]) -> float | None:
    """The weighted mean; None where a value is missing, which no mean of the others replaces."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return sum(weight * value for weight, value in zip(weights, known, strict=True))


def _ranks(columns: Sequence[Column], complete: Sequence[Sequence[Admitted | None]]) -> list[tuple[int, int]]:
    """Ranges for the models that have every task, in their order; none for one model alone, or for too many."""
    whole = [[one for one in row if one is not None] for row in complete]
    if not 2 <= len(whole) <= LARGEST:
        return []
    specs = [headline_spec(one.record) for one in whole[0]]
    folders = [[one.folder for one in row] for row in whole]
    return rank_ranges(folders, specs, [column.weight for column in columns])
