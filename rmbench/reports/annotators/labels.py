"""The pairs of a record with three labels each: people's, the AI's, and the model's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec, rule_of
from rmbench.metrics.judging.votes import voted
from rmbench.metrics.rows.answers import in_dimension, margin
from rmbench.metrics.rows.gold import MAJORITY, compared
from rmbench.metrics.rows.selection import selected_rows
from rmbench.records.headline import headline_spec
from rmbench.records.record import Record
from rmbench.records.store import read, read_table_of
from rmbench.types import Edge, Judged

__all__ = ["Labelled", "labelled_pairs", "rows_of"]

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A pair that people and the AI labelled: 1 where candidate `i` is better, -1 where `j` is, 0 a tie."""

    row: Judged
    i: int
    j: int
    people: int
    ai: int
    model: int | None
    """None: no readable answer."""


def rows_of(folder: Path, record: Record) -> list[Judged]:
    """The rows that the record's first metric counts, in its dimension, with one verdict a question."""
    if record.kind == "published":
        raise RmbenchError(f"{folder}: the record holds figures that others published, and no rows.")
    spec = headline_spec(record)
    rows = [row for row, _ in read_table_of(folder, record)]
    return [in_dimension(row, spec.dimension) for row in selected_rows(voted(rows, record.model.settings), spec)]


def labelled_pairs(
    folder: Path, record: Record, people: Sequence[str], ai: Path | Sequence[str]
) -> tuple[list[Labelled], Mapping[str, int]]:
    """The pairs that both label, and why other pairs have no part, with how many there are.

    Raises:
        RmbenchError: annotators that the rows do not have; a record of other rows; no pair is left.
    """
    spec, rows = headline_spec(record), rows_of(folder, record)
    names = () if isinstance(ai, Path) else tuple(ai)
    _check_annotators(rows, spec, (*people, *names), folder)
    judged = _judged_by(ai, record) if isinstance(ai, Path) else {}
    ties = rule_of(spec).human_ties
    left_out: Counter[str] = Counter()
    found: list[Labelled] = []
    for row in rows:
        own = _people(row, spec, people, names)
        other = _answers(judged.get(row.id), own) if isinstance(ai, Path) else _of(row, spec, names)
        for pair in sorted(own.keys() | other.keys()):
            one, second = own.get(pair), other.get(pair)
            if one is None or second is None:
                left_out[f"{'people' if one is None else 'the AI'} gave no label, or no majority"] += 1
            elif not ties and (one == 0 or second == 0):
                left_out[f"{'people' if one == 0 else 'the AI'} tied them"] += 1
            else:
                found.append(Labelled(row, *pair, one, second, _sign(margin(row, *pair))))
    if not found:
        raise RmbenchError(f"{folder}: no pair has a label of people and one of the AI: {dict(left_out)}.")
    return found, dict(left_out)


def _check_annotators(rows: Sequence[Judged], spec: MetricSpec, asked: Sequence[str], folder: Path) -> None:
    known = {edge.annotator for row in rows for edge in _edges(row, spec)} - {"", MAJORITY}
    for name in asked:
        if name not in known:
            has = f"they have {', '.join(sorted(known))}" if known else "they name none"
            raise RmbenchError(
                f'{folder}: no annotator of its rows is called "{name}"; {has}.{did_you_mean(name, known)}'
            )


def _judged_by(folder: Path, record: Record) -> dict[str, Judged]:
    """The rows of the AI's record by id."""
    other = read(folder)
    if other.task.id != record.task.id or other.data.digest_of_rows != record.data.digest_of_rows:
        raise RmbenchError(
            f"{folder}: it is of {other.task.id} (digest {other.data.digest_of_rows[:8]}), and the labels are to be "
            f"of the rows of {record.task.id} (digest {record.data.digest_of_rows[:8]})."
        )
    return {row.id: row for row in rows_of(folder, other)}


def _edges(row: Judged, spec: MetricSpec) -> list[Edge]:
    """The comparisons in the metric's dimension, of all annotators; where none names it, all that there are."""
    named = [edge for edge in row.gold.relation if edge.dimension == spec.dimension]
    return named or ([] if spec.dimension else list(row.gold.relation))


def _people(row: Judged, spec: MetricSpec, people: Sequence[str], ai: Sequence[str]) -> dict[Pair, int]:
    if not people:
        people = sorted({edge.annotator for edge in _edges(row, spec)} - {"", MAJORITY, *ai})
    if people:
        return _of(row, spec, people)
    return {_pair(one.i, one.j): 0 if one.tie else _towards(one.i, one.j) for one in compared(row, spec)}


def _of(row: Judged, spec: MetricSpec, annotators: Sequence[str]) -> dict[Pair, int]:
    """Pair -> the label that more than half of these annotators gave it."""
    votes: dict[Pair, list[int]] = {}
    for edge in _edges(row, spec):
        if edge.annotator in annotators:
            sign = int(np.sign(edge.strength)) * _towards(edge.i, edge.j)
            votes.setdefault(_pair(edge.i, edge.j), []).append(sign)
    majorities = {pair: [s for s in (1, 0, -1) if 2 * cast.count(s) > len(cast)] for pair, cast in votes.items()}
    return {pair: most[0] for pair, most in majorities.items() if most}


def _answers(row: Judged | None, pairs: Mapping[Pair, int]) -> dict[Pair, int]:
    """The answers of the AI's record to the pairs that people labelled."""
    signs = {pair: None if row is None else _sign(margin(row, *pair)) for pair in pairs}
    return {pair: sign for pair, sign in signs.items() if sign is not None}


def _pair(i: int, j: int) -> Pair:
    return (min(i, j), max(i, j))


def _towards(i: int, j: int) -> int:
    return 1 if i < j else -1


def _sign(value: float | None) -> int | None:
    return None if value is None else (value > 0) - (value < 0)
