"""One task on both sides: the comparison, the rows whose credit changed, and the gate's outcome."""

from __future__ import annotations

from dataclasses import dataclass

from rmbench.gate.decide import Decision
from rmbench.metrics.paired.comparison import Comparison

__all__ = ["Flip", "TaskComparison", "TaskOutcome"]


@dataclass(frozen=True, slots=True)
class Flip:
    """A row whose credit changed."""

    id: str
    a: float
    """Credit of A, in [0, 1]."""
    b: float
    margin: float | None
    """B's lowest margin over the row's comparisons, in B's own units; None for models that give verdicts."""


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """B against A on one task."""

    task: str
    version: int | None
    comparison: Comparison | None
    """None where the records must not be compared."""
    refused: str
    """Why not; "" where they were."""
    flips: tuple[Flip, ...] = ()
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
