"""The records that a board admits, and its reasons against the others."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rmbench.boards.declaration import GUARDED, Board
from rmbench.boards.library import Library
from rmbench.errors import RmbenchError
from rmbench.records.headline import declaration_text, overall, spec_of
from rmbench.records.record import Record, ValueRecord

__all__ = ["Admitted", "Refusal", "admit", "grouped", "printed_on"]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A record on the board."""

    folder: Path
    record: Record
    entry: str
    """The entry of the board's `tasks` that it matches."""

    @property
    def model(self) -> tuple[str, str]:
        """(name, revision)."""
        return self.record.model.name, self.record.model.revision

    @property
    def task(self) -> tuple[str, int]:
        """(id, version)."""
        return self.record.task.id, self.record.task.version


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that is not on the board."""

    model: str
    """`name@revision`; the name of the folder where the record cannot be read, as for `task`."""
    task: str
    """`id@version`."""
    why: str


_SHOWN = 3
"""Of several mistakes in one record, those that are named."""

Rejected = tuple[Admitted, str]
"""A record and why it is refused."""


def admit(board: Board, library: Library, allowed: frozenset[str]) -> tuple[list[Admitted], list[Refusal]]:
    """Sort the records of a library into admitted and refused ones. Records of tasks that are not on the board are in
    neither, and neither are published ones, which `rmbench.boards.published` lists."""
    admitted, refused = _readable(board, library)
    steps: list[Callable[[list[Admitted]], list[Rejected]]] = [
        lambda records: [(record, why) for record in records if (why := _flaw(record, board, allowed))],
        _other_versions,
        lambda records: _other_questions(board, records),
        _older,
    ]
    for step in steps:
        rejected = step(admitted)
        refused += [_refusal(record, why) for record, why in rejected]
        out = {id(record) for record, _ in rejected}
        admitted = [record for record in admitted if id(record) not in out]
    return admitted, sorted(refused, key=lambda refusal: (refusal.model, refusal.task, refusal.why))


def printed_on(board: Board, library: Library) -> list[Admitted]:
    """The published records on the board's tasks. Admission reports the unreadable ones."""
    found: list[Admitted] = []
    for folder, record in library.readable():
        entry = board.entry_for(record.task.id, record.task.version)
        if record.kind == "published" and entry is not None:
            found.append(Admitted(folder, record, entry))
    return found


def _refusal(one: Admitted, why: str) -> Refusal:
    return Refusal("@".join(one.model), f"{one.task[0]}@{one.task[1]}", why)


def _readable(board: Board, library: Library) -> tuple[list[Admitted], list[Refusal]]:
    readable: list[Admitted] = []
    refused: list[Refusal] = []
    for folder, why in library.unreadable():
        refused.append(Refusal(folder.parent.name, folder.name, f"it cannot be read: {why}"))
    entered = [
        Admitted(folder, record, entry)
        for folder, record in library.readable()
        if record.kind != "published"
        if (entry := board.entry_for(record.task.id, record.task.version)) is not None
    ]
    wrong = library.problems([one.folder for one in entered])
    for one in entered:
        if wrong[one.folder]:
            said = "; ".join(wrong[one.folder][:_SHOWN])
            refused.append(_refusal(one, f"its numbers do not follow from its rows: {said}"))
        else:
            readable.append(one)
    return readable, refused


def _flaw(one: Admitted, board: Board, allowed: frozenset[str]) -> str:
    """Why a record is refused by itself, whatever the others are, or ""."""
    try:
        spec_of(one.record, board.metrics.get(one.entry, ""))
        value = overall(one.record, board.metrics.get(one.entry, ""))
    except RmbenchError as error:
        return str(error)
    if any(number is not None and not math.isfinite(number) for number in (value.value, value.low, value.high)):
        return "its headline value is not a finite number"
    barred = [flag for flag in GUARDED if flag in one.record.flags and flag not in allowed]
    if barred:
        return f"it is marked {', '.join(barred)}, which this board refuses unless allowed"
    failed_check = _failed_check(one.record) if board.require_check else ""
    if failed_check:
        return failed_check
    coverage, whole = _coverage(one.record, value, allowed)
    if coverage is None:
        return f"its coverage of {whole} is unknown"
    if coverage < board.min_coverage:
        return f"its coverage of {whole} is {coverage:.4g}, under the board's minimum of {board.min_coverage:.4g}"
    return ""


def _failed_check(record: Record) -> str:
    """Why a board that requires a check refuses the model, or ""."""
    check = record.model.check
    if check is None:
        return "its model was not checked, and this board admits models that passed `rmbench check`"
    return "" if check.passed else f"its model failed `rmbench check`: {', '.join(check.failed) or 'it was not opened'}"


def _coverage(record: Record, value: ValueRecord, allowed: frozenset[str]) -> tuple[float | None, str]:
    """Where partial sets are allowed, so are their missing rows: only failures count against those."""
    if {"partial", "limited"} & allowed & set(record.flags):
        return (1 - record.counts.failed / record.data.rows if record.data.rows else 0.0), "the available rows"
    return value.coverage, "the task's rows"


def _other_versions(records: Sequence[Admitted]) -> list[Rejected]:
    """A column has one version: the one that its entry names, or else the newest."""
    newest: dict[str, int] = defaultdict(int)
    for one in records:
        newest[one.task[0]] = max(newest[one.task[0]], one.task[1])
    return [
        (one, f"version {one.task[1]} of the task, where the board's column is version {newest[one.task[0]]}")
        for one in records
        if "@" not in one.entry and one.task[1] != newest[one.task[0]]
    ]


def _question(board: Board, one: Admitted) -> tuple[str, str]:
    """What makes two values of a task comparable: the same rows, the same images where the user brought them, and the
    same metric. A setting that an older record lacks has its default."""
    record, media = one.record, one.record.data.media
    own = media.digest if media is not None and media.folder is not None else ""
    return record.data.digest_of_rows + own, declaration_text(spec_of(record, board.metrics.get(one.entry, "")))


def _other_questions(board: Board, records: Sequence[Admitted]) -> list[Rejected]:
    """Numbers over other rows, or by another metric, do not belong in one column. A column holds the whole set's, else
    those that most records have, else those with most rows."""
    columns: dict[tuple[str, int], list[Admitted]] = defaultdict(list)
    for one in records:
        columns[one.task].append(one)
    rejected: list[Rejected] = []
    for column in columns.values():
        count = Counter(_question(board, one) for one in column)
        if len(count) == 1:
            continue

        def rank(one: Admitted, count: Counter[tuple[str, str]] = count) -> tuple[bool, int, int, tuple[str, str]]:
            parts = {"sample", "partial"} & set(one.record.flags)
            return bool(parts), -count[_question(board, one)], -one.record.data.rows, _question(board, one)

        column_digest, column_metric = _question(board, min(column, key=rank))
        for one in column:
            digest, metric = _question(board, one)
            if digest != column_digest:
                rejected.append((one, f"other rows than the column's: data {digest[:8]} against {column_digest[:8]}"))
            elif metric != column_metric:
                rejected.append((one, "another metric than the column's: the declaration changed"))
    return rejected


def _older(records: Sequence[Admitted]) -> list[Rejected]:
    """Of several records of one model on one task the newest counts."""
    newest: dict[tuple[tuple[str, str], tuple[str, int]], Admitted] = {}
    for one in sorted(records, key=lambda one: (one.record.run.finished, str(one.folder))):
        newest[one.model, one.task] = one
    return [
        (one, "there is a newer record of the model on this task")
        for one in records
        if newest[one.model, one.task] is not one
    ]


def grouped(refused: Iterable[Refusal]) -> list[tuple[str, str, list[str]]]:
    """(model, why, tasks): the refusals of one model for one reason together."""
    tasks: dict[tuple[str, str], list[str]] = {}
    for refusal in refused:
        tasks.setdefault((refusal.model, refusal.why), []).append(refusal.task)
    return [(model, why, names) for (model, why), names in tasks.items()]
