"""A record's rows as pairs: each human comparison that prefers one of two answers, with the model's margin."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.rows.answers import answered_by, chose, in_dimension, margin
from rmbench.metrics.rows.gold import compared
from rmbench.metrics.rows.selection import selected_rows
from rmbench.metrics.uncertainty.aggregate import Floats, cluster_codes, nest
from rmbench.metrics.uncertainty.interval import linear_interval
from rmbench.reports.report import Coverage, Estimate, Scale
from rmbench.types import Judged

__all__ = ["Pairs", "mean_of", "pairs_of"]

_LARGEST = 1e100
"""Margins beyond it count as it, so that their squares are numbers."""
_REASONS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """P pairs, in the order of the rows."""

    rows: tuple[Judged, ...]
    """[P] the row of each."""
    sides: tuple[tuple[int, int], ...]
    """[P] (the answer that people prefer, the other)."""
    margins: Floats
    """[P] nan where there is no readable answer."""
    longer: Floats
    """[P] length of the preferred answer less that of the other; nan where unknown."""
    scale: Scale | None
    coverage: Coverage

    @property
    def answered(self) -> Floats:
        """[P] whether there is a margin."""
        return ~np.isnan(self.margins)

    def of(self, chosen: Floats) -> list[Judged]:
        """The rows of some pairs."""
        return [self.rows[k] for k in np.flatnonzero(chosen)]


def pairs_of(rows: Sequence[Judged], spec: MetricSpec, task_rows: int) -> Pairs:
    """The pairs of the rows and comparisons that `spec`, the headline, counts."""
    counted = [in_dimension(row, spec.dimension) for row in selected_rows(rows, spec)]
    found: list[tuple[Judged, int, int]] = []
    human_ties = uncompared = 0
    for row in counted:
        edges = compared(row, spec)
        decided = [(row, one.i, one.j) for one in edges if not one.tie]
        human_ties += len(edges) - len(decided)
        uncompared += not decided
        found += decided
    margins = np.array([_margin(*pair) for pair in found], dtype=np.float64)
    reasons = Counter(_reason(row) for (row, _, _), one in zip(found, margins, strict=True) if math.isnan(one))
    coverage = Coverage(
        task_rows=task_rows,
        rows=len(counted),
        uncompared=uncompared,
        human_ties=human_ties,
        pairs=len(found),
        unanswered=sum(reasons.values()),
        reasons=dict(reasons.most_common(_REASONS)),
    )
    return Pairs(
        rows=tuple(row for row, _, _ in found),
        sides=tuple((i, j) for _, i, j in found),
        margins=margins,
        longer=np.array([_longer(*pair) for pair in found], dtype=np.float64),
        scale=_scale([row for (row, _, _), one in zip(found, margins, strict=True) if not math.isnan(one)]),
        coverage=coverage,
    )


def _margin(row: Judged, i: int, j: int) -> float:
    value = margin(row, i, j)
    return math.nan if value is None else min(_LARGEST, max(-_LARGEST, value))


def _reason(row: Judged) -> str:
    judgment = row.judgment
    if judgment.error:
        return judgment.error
    if judgment.status == "unparsed" or any(verdict.status == "unparsed" for verdict in judgment.verdicts):
        return "no readable answer"
    return "a score is not finite" if judgment.rewards or judgment.directed else "the answer does not compare the two"


def _longer(row: Judged, i: int, j: int) -> float:
    lengths = row.judgment.lengths
    return float(lengths[i] - lengths[j]) if lengths else math.nan


def _scale(rows: Sequence[Judged]) -> Scale | None:
    """Picks, where any row is answered by them, as margins of different kinds cannot be set side by side."""
    kinds: set[Scale] = set()
    for row in rows:
        if chose(row):
            return "verdict"
        if row.judgment.directed is not None:
            kinds.add("margin")
        else:
            kinds.add("reward" if answered_by(row) == "reward" else "rating")
    return next((kind for kind in ("margin", "reward", "rating") if kind in kinds), None)


def mean_of(
    values: Floats, rows: Sequence[Judged], high: float | None = 1.0, weights: Floats | None = None
) -> Estimate:
    """The mean of `values` [n], of which each lies from 0 to `high`, with the interval that records have for means of
    rows; undefined without any. `weights` [n] are above 0; without them every pair counts alike."""
    if not len(values):
        return Estimate(None, None, None, 0)
    weighted = replace(nest(rows, ()), weight=np.ones(len(rows)) if weights is None else weights)
    limits = linear_interval(values, weighted, cluster_codes(rows), 0.0, high)
    return Estimate(weighted.mean_of_rows(values), limits.low, limits.high, len(values))
