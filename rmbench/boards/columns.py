"""A board's columns: its tasks, means of several tasks, and slices of one (a group's value, or another metric)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rmbench.boards.admission import Admitted
from rmbench.boards.declaration import Board
from rmbench.metric_spec import Better, better_of
from rmbench.records.headline import spec_of
from rmbench.records.record import Record

__all__ = ["Column", "columns_of"]


@dataclass(frozen=True, slots=True)
class Column:
    """A task on the board, a mean of tasks, or a slice of one. What records alone say (`metric`, `n` ...) is unknown
    (None, "") while none is admitted."""

    task: str
    """The task's id; "" for a mean."""
    version: int | None
    weight: float
    """Share in the aggregate. The shares of all columns that are no part of another sum to 1; a part of a mean has its
    own share of it, and a slice 0."""
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
    slice: str = ""
    """`domain=chat`, the group whose value it is, or the name of a metric that is not the column's own; "" for a whole
    task."""
    part_of: str = ""
    """The name of the column that this one is a part or a slice of; "" where it stands for itself."""
    heading: str = ""
    """What columns that fold together have in common: a mean's title, `rm-bench by domain`; "" for all others."""
    entry: str = ""
    """The entry of the board's `tasks` that it is for."""
    tasks: tuple[str, ...] = ()
    """Of a mean: the names of the columns that it averages."""

    @property
    def rows(self) -> str:
        """`350 rows`, or `10 of 350 rows` where no record judged them all; "" without records."""
        if self.n is None or self.judged is None:
            return ""
        return f"{self.n:,} rows" if self.judged == self.n else f"{self.judged:,} of {self.n:,} rows"

    @property
    def name(self) -> str:
        """`task@version`, the task alone, a mean's title, or the value of a slice."""
        if self.slice:
            return self.slice.partition("=")[2] or self.slice
        if self.tasks:
            return self.title
        return self.task if self.version is None else f"{self.task}@{self.version}"

    @property
    def key(self) -> str:
        """What tells the column from all others of the board: `rm-bench@1`, `rm-bench@1/domain=chat`, `mean/RMB`."""
        if self.tasks:
            return f"mean/{self.title}"
        whole = self.task if self.version is None else f"{self.task}@{self.version}"
        return f"{whole}/{self.slice}" if self.slice else whole


def columns_of(board: Board, admitted: Sequence[Admitted], printed: Sequence[Admitted] = ()) -> tuple[Column, ...]:
    """In the order of the board's entries, a glob's tasks by name; a mean before its parts, a task before its slices.

    Args:
        board: the declaration.
        admitted: the records that fill the columns.
        printed: published records, whose tasks have a column where no record of a board's entry was admitted.
    """
    wholes: list[Column] = []
    for entry in board.tasks:
        of_entry = [one for one in admitted if one.entry == entry] or [one for one in printed if one.entry == entry]
        of_task = _by_task(of_entry)
        wholes += [_whole(board, entry, of_task[task]) for task in sorted(of_task)]
        name, _, version = entry.partition("@")
        if not of_entry and not set(name) & set("*?["):
            wholes.append(Column(name, int(version) if version else None, 0.0, entry=entry))
    columns = _with_means(board, wholes)
    total = sum(_weight(board, column) for column in columns if not column.part_of)
    columns = [_with_share(board, column, columns, total) for column in columns]
    of_task = _by_task((*admitted, *printed))
    return tuple(
        each
        for column in columns
        for each in (column, *_slices(board, column, of_task.get((column.task, column.version), ())))
    )


def _by_task(entered: Sequence[Admitted]) -> dict[tuple[str, int | None], list[Record]]:
    """The records by (id, version) of their tasks, in order."""
    of_task: dict[tuple[str, int | None], list[Record]] = {}
    for one in entered:
        of_task.setdefault(one.task, []).append(one.record)
    return of_task


def _whole(board: Board, entry: str, records: Sequence[Record]) -> Column:
    record, task = records[0], records[0].task
    metric = board.metrics.get(entry) or str(task.metrics[0].get("name", "") if task.metrics else "")
    measured = [one for one in records if one.kind != "published"]
    declared = any(each.get("name") == metric for each in task.metrics)
    return Column(
        task=task.id,
        version=task.version,
        weight=0.0,
        title=task.title,
        metric=metric,
        official=task.official,
        n=task.n,
        judged=max(one.data.rows for one in measured) if measured else None,
        license=task.license,
        paper=task.paper,
        better=better_of(spec_of(record, metric)) if declared else "higher",
        entry=entry,
    )


def _with_means(board: Board, wholes: Sequence[Column]) -> list[Column]:
    title_of = {entry: mean.title for mean in board.mean for entry in mean.tasks}
    columns: list[Column] = []
    for column in wholes:
        title = title_of.get(column.entry)
        if title is None:
            columns.append(column)
            continue
        if not any(one.tasks and one.title == title for one in columns):
            parts = [one for one in wholes if title_of.get(one.entry) == title]
            metric = f"mean of {len(parts)}"
            mean = Column("", None, 0.0, title=title, metric=metric, heading=title, better=parts[0].better)
            columns.append(replace(mean, entry=parts[0].entry, tasks=tuple(one.name for one in parts)))
        columns.append(replace(column, part_of=title, heading=title))
    return columns


def _weight(board: Board, column: Column) -> float:
    return 1.0 if column.tasks else board.weights.get(column.entry, 1.0)


def _with_share(board: Board, column: Column, columns: Sequence[Column], total: float) -> Column:
    if not column.part_of:
        return replace(column, weight=_weight(board, column) / total)
    parts = sum(one.part_of == column.part_of for one in columns)
    return replace(column, weight=1 / total / parts)


def _slices(board: Board, column: Column, records: Sequence[Record]) -> list[Column]:
    """The columns of the groups' values, in the order of the results of the task's records, and of other metrics."""
    found: list[Column] = []
    for named in board.slices.get(column.entry, ()) if not column.tasks else ():
        own = replace(column, part_of=column.name, weight=0.0, n=None, judged=None)
        values = dict.fromkeys(
            value.group
            for record in records
            for value in record.results
            if value.metric == column.metric and value.group and value.group.startswith(f"{named}=")
            if "," not in value.group
        )
        by = f"{column.task} by {named}"
        found += [replace(own, slice=group, heading=by) for group in values if group]
        if any(value.metric == named and value.group is None for record in records for value in record.results):
            found.append(replace(own, slice=named, metric=named, heading=f"{column.task}, more"))
    return found
