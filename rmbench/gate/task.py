"""One task on both sides: the comparison, the rows whose credit changed, and the gate's outcome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import overload

import numpy as np
import pyarrow as pa

from rmbench.gate.decide import Decision
from rmbench.metrics.paired.comparison import Comparison

__all__ = ["Flip", "Flips", "TaskComparison", "TaskOutcome"]


@dataclass(frozen=True, slots=True)
class Flip:
    """A row whose credit changed."""

    id: str
    a: float
    """Credit of A, in [0, 1]."""
    b: float
    margin: float | None
    """B's lowest margin over the row's comparisons, in B's own units; None for models that give verdicts."""


class Flips(Sequence[Flip]):
    """Flips in columns, since there may be half as many as rows: some 40 bytes each."""

    def __init__(self, columns: pa.Table) -> None:
        """`columns`: id, a, b, margin."""
        self._columns = columns

    @staticmethod
    def batch(flips: Sequence[Flip]) -> pa.RecordBatch:
        """Some flips as columns."""
        return pa.RecordBatch.from_pylist([asdict(flip) for flip in flips], _FLIP)

    @classmethod
    def worst_first(cls, batches: Iterable[pa.RecordBatch], sign: int) -> Flips:
        """The greatest loss first, of equal losses the lowest margin of B; `sign` is -1 where less is better."""
        columns = pa.Table.from_batches(batches, _FLIP)
        a, b, margin = (columns[name].to_numpy() for name in ("a", "b", "margin"))
        keys = {"loss": sign * (b - a), "by": sign * np.nan_to_num(margin)}
        # Zero has two signs, which are equal.
        ordered = columns.append_column("loss", pa.array(keys["loss"] + 0.0)).append_column(
            "by", pa.array(keys["by"] + 0.0)
        )
        order = [(name, "ascending") for name in ("loss", "by", "id")]
        return cls(ordered.sort_by(order).select(_FLIP.names))

    def __len__(self) -> int:
        return len(self._columns)

    def __iter__(self) -> Iterator[Flip]:
        for batch in self._columns.to_batches(max_chunksize=2048):
            for row in batch.to_pylist():
                yield Flip(**row)

    @overload
    def __getitem__(self, place: int) -> Flip: ...
    @overload
    def __getitem__(self, place: slice) -> Flips: ...
    def __getitem__(self, place: int | slice) -> Flip | Flips:
        if isinstance(place, slice):
            return Flips(self._columns.take(np.arange(*place.indices(len(self)))))
        (row,) = self._columns.take([range(len(self))[place]]).to_pylist()
        return Flip(**row)


_FLIP = pa.schema([("id", pa.string()), ("a", pa.float64()), ("b", pa.float64()), ("margin", pa.float64())])


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """B against A on one task."""

    task: str
    version: int | None
    comparison: Comparison | None
    """None where the records must not be compared."""
    refused: str
    """Why not; "" where they were."""
    flips: Sequence[Flip] = ()
    """Worst first, by the metric's direction; empty for correlations, whose rows have no credit."""
    identical: bool = False
    """Both models judged every row alike: the same verdicts, and scores within 1e-4 of the row's largest."""
    notes: tuple[str, ...] = ()
    """Differences in how the records were produced."""


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """The comparison of one task, its limits one-sided at the policy's alpha, and the decision on it."""

    compared: TaskComparison
    decision: Decision
