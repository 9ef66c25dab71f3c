"""The differences of two models' credits, row by row, and the spread of their weighted mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.row import credit
from rmbench.metrics.measure import selected_rows
from rmbench.metrics.uncertainty.aggregate import Floats, Ints, Nest, cluster_codes, nest
from rmbench.metrics.uncertainty.discordance import tango_limits
from rmbench.metrics.uncertainty.interval import cr1, effective, strata
from rmbench.types import Judged

__all__ = [
    "Differences",
    "Method",
    "aligned",
    "alike",
    "design_effect",
    "differences",
    "discordance",
    "limits",
    "no_spread",
    "robust",
]

Method = Literal["tango", "cr1-t", "cluster-bootstrap", ""]


def aligned(a: Sequence[Judged], b: Sequence[Judged]) -> list[tuple[Judged, Judged]]:
    """The rows of `a` with those of `b` by id, in the order of `a`.

    Raises RmbenchError where the ids are not the same, or one stands twice.
    """
    of_b = {row.id: row for row in b}
    ids_a = {row.id for row in a}
    for name, rows, ids in (("first", a, ids_a), ("second", b, set(of_b))):
        if len(rows) != len(ids):
            raise RmbenchError(f"the {name} side has {len(rows)} rows but {len(ids)} different ids")
    only_a, only_b = sorted(ids_a - of_b.keys()), sorted(of_b.keys() - ids_a)
    if only_a or only_b:
        sides = [
            f"{len(ids)} only in the {name} ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})"
            for name, ids in (("first", only_a), ("second", only_b))
            if ids
        ]
        raise RmbenchError(f"the two sides hold different rows ({len(a)} and {len(b)}): " + "; ".join(sides))
    return [(row, of_b[row.id]) for row in a]


@dataclass(frozen=True, slots=True)
class Differences:
    """Credits of two models on the rows that count, and how the rows are weighted and clustered."""

    ids: Sequence[str]
    """[n] of the rows; empty where nobody needs them."""
    a: Floats
    """[n] the baseline's credits."""
    b: Floats
    """[n] the candidate's."""
    nested: Nest
    clusters: Ints
    """[n] the cluster of each row, from 0."""

    @property
    def mean(self) -> float:
        """The candidate's aggregate less the baseline's."""
        return self.nested.mean_of_rows(self.b) - self.nested.mean_of_rows(self.a)

    @property
    def d(self) -> Floats:
        """[n] candidate less baseline."""
        return self.b - self.a

    @property
    def equal(self) -> bool:
        """Whether every row weighs the same."""
        return bool(np.allclose(self.nested.shares(), 1 / len(self.a), rtol=1e-9, atol=0))

    @property
    def binary(self) -> bool:
        """Whether every credit is 0 or 1."""
        return bool(np.isin(np.concatenate([self.a, self.b]), (0.0, 1.0)).all())

    @property
    def discordant(self) -> tuple[int, int]:
        """Rows on which the baseline has the higher credit, and on which the candidate has."""
        return int((self.d < 0).sum()), int((self.d > 0).sum())

    @property
    def groups(self) -> int:
        """Clusters."""
        return len(np.unique(self.clusters))

    @property
    def tango(self) -> bool:
        """Whether the rows are plain 0/1 trials: Tango's and McNemar's setting."""
        return self.binary and self.equal and self.groups == len(self.a)


def differences(a: Sequence[Judged], b: Sequence[Judged], spec: MetricSpec) -> Differences | None:
    """The credits of `a` and `b` under `spec`, aligned by id; None where people compared nothing in these rows."""
    pairs = aligned(selected_rows(a, spec), selected_rows(b, spec))
    credits_of = [(one, credit(one, spec).value, credit(other, spec).value) for one, other in pairs]
    counted = [(row, x, y) for row, x, y in credits_of if x is not None and y is not None]
    if not counted:
        return None
    rows = [row for row, _, _ in counted]
    return Differences(
        ids=tuple(row.id for row in rows),
        a=np.array([x for _, x, _ in counted]),
        b=np.array([y for _, _, y in counted]),
        nested=nest(rows, spec.levels),
        clusters=cluster_codes(rows),
    )


def robust(of: Differences, clusters: Ints) -> tuple[float, int]:
    """The cluster-robust variance (CR1) of the weighted mean difference, and its degrees of freedom.

    Fixed strata (leaves of the levels, where no cluster crosses them) are centred each on its own mean and their
    variances added; degrees of freedom are clusters less strata. Equal weights in one stratum give plain CR1 and G - 1.
    """
    if of.equal:
        error, groups = cr1(of.d, clusters)
        return error**2, groups - 1
    weights, variance, freedom = of.nested.shares(), 0.0, 0
    for _, rows in strata(of.nested, clusters):
        within = weights[rows]
        sums = np.bincount(clusters[rows], weights=within * (of.d[rows] - within @ of.d[rows] / within.sum()))
        groups = len(np.unique(clusters[rows]))
        variance += groups / (groups - 1) * float(sums @ sums) if groups > 1 else math.nan
        freedom += groups - 1
    return variance, freedom


def discordance(of: Differences) -> tuple[float, float, float]:
    """(b, c, n) for Tango's formulas.

    Counts of rows for 0/1 credits of equal weight; for fractions, weights or a single cluster the mean losses and wins
    times the effective number of clusters, as if each cluster were one row.
    """
    if of.binary and of.equal and of.groups > 1:
        return (*of.discordant, len(of.a))
    return _effective(of)


def _effective(of: Differences) -> tuple[float, float, float]:
    weights = of.nested.shares()
    n = effective(weights, of.clusters)
    return n * float(weights @ np.maximum(-of.d, 0)), n * float(weights @ np.maximum(of.d, 0)), n


def alike(of: Differences) -> tuple[float, float, float]:
    """(b, c, n) for Tango's formulas where clusters have no spread: over rows if none is discordant, else clusters."""
    return _effective(of) if any(of.discordant) else discordance(of)


def limits(of: Differences, level: float) -> tuple[float, float, Method]:
    """Two-sided limits of the difference, and how they were made.

    The clustered variance is never below Tango's null variance, so the limits are the outer ones of both; where the
    clusters leave no spread to read, Tango's stand alone.
    """
    z = float(stats.norm.ppf(0.5 + level / 2))
    if of.tango:
        return (*tango_limits(*discordance(of), z), "tango")
    variance, freedom = robust(of, of.clusters)
    if no_spread(variance, freedom):
        return (*tango_limits(*alike(of), z), "tango")
    critical = float(stats.t.ppf(0.5 + level / 2, freedom))
    low, high = of.mean - critical * math.sqrt(variance), of.mean + critical * math.sqrt(variance)
    if of.binary and of.equal:
        floor = tango_limits(*discordance(of), critical)
        low, high = min(low, floor[0]), max(high, floor[1])
    return max(-1.0, low), min(1.0, high), "cr1-t"


def no_spread(variance: float, freedom: int) -> bool:
    """Whether clusters leave no variance to estimate: one cluster, or clusters that are all alike."""
    return freedom < 1 or math.isnan(variance) or variance < 1e-24


def design_effect(of: Differences) -> float | None:
    """The variance of the difference with its clusters over that without; None where either has no spread."""
    clustered, _ = robust(of, of.clusters)
    independent, _ = robust(of, np.arange(len(of.a), dtype=np.int64))
    return clustered / independent if independent > 0 and clustered > 0 else None
