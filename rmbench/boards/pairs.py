"""Every pair of a board's models, compared on the rows that both judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from rmbench.engine.interfaces import Progress, SilentProgress
from rmbench.metric_spec import MetricSpec, better_of, is_linear
from rmbench.metrics.credit.columns import Leaves, sorted_codes
from rmbench.metrics.judging.votes import voted
from rmbench.metrics.measure import selected_rows
from rmbench.metrics.paired.comparison import Comparison, Paired, compare_rows
from rmbench.metrics.paired.difference import Differences
from rmbench.metrics.rows.collection import batches
from rmbench.metrics.uncertainty.aggregate import Floats, Ints, Nest
from rmbench.metrics.uncertainty.discordance import holm, tango_limits
from rmbench.records.headline import headline_spec
from rmbench.records.record import Record
from rmbench.records.store import credit_columns, read, read_table_of
from rmbench.records.stored import StoredRows
from rmbench.types import Judged

__all__ = ["LARGEST", "OnTask", "Pair", "compared", "corrected_for_all"]

LARGEST = 200
"""Models that are compared pair by pair."""
_LARGEST_SLOW = 40
"""... where a task's rows cluster or its metric is no mean of rows, so that a pair takes a tenth of a second."""
_Z = float(stats.norm.ppf(0.975))


@dataclass(frozen=True, slots=True)
class OnTask:
    """Two models on one task: how much better the second is, its limits, the p value where there is one, and n."""

    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Models `i` and `j` of a board, compared."""

    i: int
    j: int
    difference: float
    """How much better the aggregate of j is than that of i."""
    p: float
    """Two-sided, uncorrected."""
    low: float | None = None
    """95% limits of the difference; None where the rows have no spread."""
    high: float | None = None
    n: int = 0
    """Rows that both judged, of all tasks."""
    corrected: float = 1.0
    """The p value by Holm over all pairs of the board."""
    tasks: tuple[OnTask, ...] = ()
    """Of several tasks each by itself, in the order of their columns; empty where the board has one."""


def compared(
    models: Sequence[Sequence[Path]],
    specs: Sequence[MetricSpec],
    weights: Sequence[float],
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Pair]:
    """All pairs of models, in the order of `itertools.combinations`; empty for more models than are compared.

    The difference of two aggregates is the weighted sum of the tasks' paired differences. Tasks may share prompts, so
    their errors may depend on each other to an unknown degree: the limits of the sum are the weighted sums of the
    tasks' limits, which no dependence exceeds. The p value is the task's own test where there is one task (McNemar's
    mid-p, or sign flips over clusters), else it follows from the width of the limits.

    Args:
        models: per model its record folders, one per task, in the order of `specs`; their rows are the same.
        specs: the tasks' metrics.
        weights: the tasks' shares in the aggregate, summing to 1.
        seed: of sign flips and resampled intervals.
        progress: is told of each pair on each task.
    """
    pairs = list(combinations(range(len(models)), 2))
    if not pairs or len(models) > LARGEST:
        return []
    progress = progress or SilentProgress()
    progress.start("comparing pairs of models", len(pairs) * len(specs), 0)
    by_task = []
    for task, spec in enumerate(specs):
        # One task's rows at a time: those of all tasks of all models need not fit into memory together.
        found = _of_task([folders[task] for folders in models], spec, pairs, seed, progress)
        if not found:
            return []
        by_task.append(found)
    made = [_pair(i, j, [task[k] for task in by_task], weights) for k, (i, j) in enumerate(pairs)]
    return corrected_for_all(made)


def corrected_for_all(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with the p values that Holm's correction over all of them gives."""
    return [replace(pair, corrected=p) for pair, p in zip(pairs, holm([pair.p for pair in pairs]), strict=True)]


def _of_task(
    places: Sequence[Path], spec: MetricSpec, pairs: Sequence[tuple[int, int]], seed: int, progress: Progress
) -> list[OnTask]:
    credited = _credited(places, spec)
    if credited is not None and credited.plain:
        good = 1 - credited.matrix if better_of(spec) == "lower" else credited.matrix
        return [_reported(one, progress) for one in _plain(good, pairs)]
    if len(places) > _LARGEST_SLOW:
        return []
    if credited is not None:
        several = (Paired(spec, seed, credited.differences(i, j), None).compare() for i, j in pairs)
    else:
        rows = [_rows(place, read(place)) for place in places]
        several = (compare_rows(rows[i], rows[j], spec, seed=seed) for i, j in pairs)
    return [_reported(_from(one), progress) for one in several]


def _reported(one: OnTask, progress: Progress) -> OnTask:
    progress.advance(1, 0)
    return one


@dataclass(frozen=True, slots=True)
class _Credited:
    """The credits of all models on the rows of a task."""

    matrix: Floats
    """[models, n]"""
    nested: Nest
    clusters: Ints

    @property
    def plain(self) -> bool:
        """Whether the rows are independent trials of equal weight, right or wrong each: McNemar's setting."""
        n = len(self.clusters)
        equal = np.allclose(self.nested.shares(), 1 / n, rtol=1e-9, atol=0)
        return bool(equal and len(np.unique(self.clusters)) == n and np.isin(self.matrix, (0, 1)).all())

    def differences(self, i: int, j: int) -> Differences:
        return Differences((), self.matrix[i], self.matrix[j], self.nested, self.clusters)


def _credited(places: Sequence[Path], spec: MetricSpec) -> _Credited | None:
    """The credits as the records hold them; None where the metric is no mean of rows or not the records' headline, or
    the records do not credit the same rows."""
    records = [read(place) for place in places] if is_linear(spec) else []
    if not records or any(headline_spec(record) != spec for record in records):
        return None
    whole = _layout(StoredRows(places[0], records[0]), records[0], spec)
    if whole is None:
        return None
    ids, nested, clusters = whole
    matrix = np.empty((len(places), len(ids)), dtype=np.float64)
    for model, (place, record) in enumerate(zip(places, records, strict=True)):
        table = credit_columns(place, record)
        known = table.filter(pc.is_valid(table["credit"]))
        found = pc.index_in(ids, value_set=known["id"].combine_chunks())
        if len(known) != len(ids) or found.null_count:
            return None
        matrix[model] = known["credit"].to_numpy()[found.to_numpy()]
    return _Credited(matrix, nested, clusters)


def _layout(rows: StoredRows, record: Record, spec: MetricSpec) -> tuple[pa.Array, Nest, Ints] | None:
    """The ids of the rows that have a credit, and how these are weighted and clustered; None where none has."""
    leaves, leaf, weights = Leaves(spec), list[int](), list[float]()
    ids, clusters = list[pa.Array](), list[pa.Array]()
    for batch in batches(rows.table()) if spec.rule != "inverse_propensity" else [list(rows.table())]:
        credited = {row.id for row, worth in batch if worth is not None}
        counting = selected_rows(voted([row for row, _ in batch], record.model.settings), spec)
        chosen = [row for row in counting if row.id in credited]
        leaf += [leaves.of(row) for row in chosen]
        weights += [row.weight for row in chosen]
        ids.append(pa.array((row.id for row in chosen), pa.string()))
        clusters.append(pa.array((row.cluster or row.id for row in chosen), pa.string()))
    if not leaf:
        return None
    nested = leaves.nest(np.array(leaf, dtype=np.int64), np.array(weights, dtype=np.float64))
    return pa.chunked_array(ids).combine_chunks(), nested, sorted_codes(clusters)


def _rows(place: Path, record: Record) -> list[Judged]:
    return voted([row for row, _ in read_table_of(place, record)], record.model.settings)


def _plain(right: Floats, pairs: Sequence[tuple[int, int]]) -> Iterator[OnTask]:
    """McNemar's mid-p and Tango's limits of every pair from one product of matrices."""
    n = right.shape[1]
    only = right @ (1 - right).T  # [i, j] rows where i is right and j is wrong
    first, second = np.array(pairs, dtype=np.int64).T
    b, c = only[first, second], only[second, first]
    fewer, all_ = np.minimum(b, c), b + c
    tail = 2 * stats.binom.cdf(fewer, all_, 0.5) - stats.binom.pmf(fewer, all_, 0.5)
    p = np.where(all_ == 0, 1.0, np.minimum(1.0, tail))
    for lost, won, value in zip(b, c, p, strict=True):
        low, high = tango_limits(float(lost), float(won), n)
        yield OnTask(float(won - lost) / n, low, high, float(value), n)


def _from(one: Comparison) -> OnTask:
    low, high = one.gain or (None, None)
    sign = -1 if one.better == "lower" else 1
    difference = None if one.difference is None else sign * one.difference
    return OnTask(difference, low, high, one.p_midp, one.n)


def _pair(i: int, j: int, tasks: Sequence[OnTask], weights: Sequence[float]) -> Pair:
    n = sum(task.n for task in tasks)
    several = tuple(tasks) if len(tasks) > 1 else ()
    known = [
        (task.difference, task.low, task.high)
        for task in tasks
        if task.difference is not None and task.low is not None and task.high is not None
    ]
    if len(known) < len(tasks):
        return Pair(i, j, 0.0, 1.0, n=n, tasks=several)
    difference, low, high = (
        sum(weight * limits[k] for limits, weight in zip(known, weights, strict=True)) for k in range(3)
    )
    if len(tasks) == 1 and tasks[0].p is not None:
        return Pair(i, j, difference, tasks[0].p, low, high, n)
    error = (high - low) / (2 * _Z)
    p = 2 * float(stats.norm.sf(abs(difference) / error)) if error > 0 else 1.0
    return Pair(i, j, difference, p, low, high, n, tasks=several)
