"""Two records' rows under one metric, read side by side: of each row a few numbers are kept, however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmbench.gate.task import Flip, Flips
from rmbench.metric_spec import MetricSpec, better_of, is_linear
from rmbench.metrics.credit.columns import Leaves, sorted_codes
from rmbench.metrics.credit.row import comparisons, credit
from rmbench.metrics.measure import selected_rows
from rmbench.metrics.paired.difference import Differences, aligned
from rmbench.metrics.rows.collection import batches
from rmbench.metrics.uncertainty.aggregate import Floats, Ints
from rmbench.numeric import skew_half
from rmbench.types import Judged

__all__ = ["Scan", "judged_alike", "scan"]

_ROUNDING = 1e-4
"""Scores of one model on two machines or batch sizes differ by less than this share of the row's largest score."""
Batch = tuple[list[Judged], list[Judged]]


@dataclass(slots=True)
class Scan:
    """What a comparison needs of the rows of A and B."""

    differences: Differences | None = None
    """None where people compared nothing in these rows, or the metric is no mean of rows."""
    flips: Sequence[Flip] = ()
    """The rows whose credit differs, the greatest loss first; of equal losses the lowest margin of B first."""
    alike: bool = True
    """Whether every row was judged alike, as `judged_alike` says."""
    with_prompts: int = 0
    """Rows of which both runs kept a digest of what the model read."""
    other_prompts: int = 0
    """Those of them whose digests differ."""

    def notes(self) -> Iterator[str]:
        """A note on rows of which A and B read something else."""
        if self.other_prompts:
            yield f"prompts: different in {self.other_prompts:,} of {self.with_prompts:,} rows"


def scan(a: Iterable[Judged], b: Iterable[Judged], spec: MetricSpec) -> Scan:
    """The scan, with credits where the metric is a mean of rows; `a` and `b` give the same rows, anew
    each time they are iterated.

    Raises RmbenchError where the ids are not the same, or one stands twice.
    """
    found = None if spec.rule == "inverse_propensity" else _scanned(_side_by_side(a, b), spec)
    if found is None:  # in another order, or not the same rows; or a row's weight depends on all others
        pairs = aligned(list(a), list(b))
        found = _scanned(iter([([row for row, _ in pairs], [row for _, row in pairs])]), spec)
    assert found is not None
    return found


def _side_by_side(a: Iterable[Judged], b: Iterable[Judged]) -> Iterator[Batch | None]:
    """Batches of rows that have the same ids; None at the first that has not."""
    none: list[Judged] = []
    for batch in zip_longest(batches(a), batches(b), fillvalue=none):
        same = all(row and other and row.id == other.id for row, other in zip_longest(*batch))
        yield batch if same else None


def _scanned(batches: Iterator[Batch | None], spec: MetricSpec) -> Scan | None:
    scan, columns, ids = Scan(), _Columns(spec), []
    for batch in batches:
        if batch is None:
            return None
        a, b = batch
        scan.alike = scan.alike and judged_alike(a, b)
        kept = [(x.prompt_sha256, y.prompt_sha256) for x, y in zip(a, b, strict=True)]
        scan.with_prompts += sum(bool(x and y) for x, y in kept)
        scan.other_prompts += sum(bool(x and y) and x != y for x, y in kept)
        ids.append(pa.array((row.id for row in a), pa.string()))
        if is_linear(spec):
            columns.add(aligned(selected_rows(a, spec), selected_rows(b, spec)))
    if len(ids) > 1 and pc.count_distinct(pa.chunked_array(ids)).as_py() < sum(map(len, ids)):
        return None
    scan.differences, scan.flips = columns.differences(), columns.flips()
    return scan


class _Columns:
    """Numbers of the rows that count, a part for each batch."""

    def __init__(self, spec: MetricSpec) -> None:
        self._spec = spec
        self._leaves = Leaves(spec)
        self._credits: list[tuple[Floats, Floats]] = []
        self._weights: list[Floats] = []
        self._leaf: list[Ints] = []
        self._clusters: list[pa.Array] = []
        self._flips: list[pa.RecordBatch] = []

    def add(self, pairs: Sequence[tuple[Judged, Judged]]) -> None:
        """Rows of A with those of B."""
        credits_of = [(a, b, credit(a, self._spec).value, credit(b, self._spec).value) for a, b in pairs]
        counted = [(a, b, x, y) for a, b, x, y in credits_of if x is not None and y is not None]
        flipped = [Flip(row.id, x, y, _lowest_margin(row, self._spec)) for _, row, x, y in counted if x != y]
        self._flips.append(Flips.batch(flipped))
        self._credits.append((np.array([x for _, _, x, _ in counted]), np.array([y for *_, y in counted])))
        self._weights.append(np.array([row.weight for row, *_ in counted], dtype=np.float64))
        self._leaf.append(np.array([self._leaves.of(row) for row, *_ in counted], dtype=np.int64))
        self._clusters.append(pa.array((row.cluster or row.id for row, *_ in counted), pa.string()))

    def differences(self) -> Differences | None:
        """The credits of all rows."""
        if not self._leaves.first:
            return None
        nested = self._leaves.nest(np.concatenate(self._leaf), np.concatenate(self._weights))
        a, b = (np.concatenate(parts) for parts in zip(*self._credits, strict=True))
        return Differences((), a, b, nested, sorted_codes(self._clusters))

    def flips(self) -> Flips:
        """The rows whose credit differs, in the order of `Scan.flips`."""
        return Flips.worst_first(self._flips, -1 if better_of(self._spec) == "lower" else 1)


def judged_alike(a: Sequence[Judged], b: Sequence[Judged]) -> bool:
    """Whether two models judged every row alike: the same verdicts, and scores within 1e-4 of the row's largest score.

    On these rows such models are one and the same, so there is no difference to infer.
    """
    rows_b = {row.id: row for row in b}
    return len(rows_b) == len(a) and all(row.id in rows_b and _alike(row, rows_b[row.id]) for row in a)


def _alike(a: Judged, b: Judged) -> bool:
    verdicts_a, verdicts_b = (
        [(v.shown, v.kind, v.value, v.status, v.vote) for v in row.judgment.verdicts] for row in (a, b)
    )
    numbers_a, numbers_b = _numbers(a), _numbers(b)
    # The row's own scores are the measure: one outlier elsewhere must not hide a difference here.
    slack = _ROUNDING * max(map(abs, numbers_a), default=0.0)
    return (
        a.judgment.status == b.judgment.status
        and verdicts_a == verdicts_b
        and len(numbers_a) == len(numbers_b)
        and all(abs(x - y) <= slack for x, y in zip(numbers_a, numbers_b, strict=True))
    )


def _numbers(row: Judged) -> list[float]:
    """The rewards, else the margins, else the rewards per dimension."""
    judgment = row.judgment
    if judgment.rewards is not None:
        return list(judgment.rewards)
    matrices = (
        [judgment.directed] if judgment.directed is not None else [judgment.parts[k] for k in sorted(judgment.parts)]
    )
    return [number for matrix in matrices for line in matrix for number in line]


def _lowest_margin(row: Judged, spec: MetricSpec) -> float | None:
    rewards, directed = row.judgment.rewards, row.judgment.directed
    pairs = comparisons(row, spec.dimension)
    if rewards is not None:
        return min((rewards[i] - rewards[j] for i, j in pairs), default=None)
    if directed is not None:
        return min((skew_half(directed, i, j) for i, j in pairs), default=None)
    return None
