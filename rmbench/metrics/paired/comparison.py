"""Two models on the same rows: the difference of a metric, candidate minus baseline, with its interval and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rmbench.metric_spec import Better, MetricSpec, better_of, is_linear
from rmbench.metrics.measure import selected_rows
from rmbench.metrics.paired.difference import (
    Differences,
    Method,
    aligned,
    design_effect,
    differences,
    limits,
)
from rmbench.metrics.samples import MetricContext, sample_of, usable
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.metrics.uncertainty.discordance import mcnemar
from rmbench.metrics.uncertainty.interval import percentile
from rmbench.metrics.uncertainty.sample import draw_jointly
from rmbench.metrics.uncertainty.sign_flip import sign_flip
from rmbench.types import Judged

__all__ = ["Comparison", "ComparisonContext", "Paired", "compare_rows", "pair_rows"]


@dataclass(frozen=True, slots=True)
class ComparisonContext:
    """What some metrics need besides the rows of both models."""

    specs: Sequence[MetricSpec] = ()
    """The task's metrics, for a "mean_of" that does not carry its parts."""
    fit_a: Sequence[Judged] = ()
    """The baseline's judged rows of the fit split, for fitted metrics."""
    fit_b: Sequence[Judged] = ()
    """The candidate's."""


NO_CONTEXT = ComparisonContext()


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of a candidate (b) against a baseline (a) on the same rows."""

    metric: str
    value_a: float | None
    value_b: float | None
    difference: float | None
    """value_b - value_a; None where either is undefined."""
    low: float | None
    high: float | None
    level: float
    """Confidence of the two-sided limits."""
    method: Method
    """"tango": 0/1 credits, rows independent and equally weighted (or clusters that are all alike). "cr1-t": rows
    cluster, or credits are fractions or weighted. "cluster-bootstrap": a figure that is no mean of rows, and so has no
    credits. "": no interval."""
    p_midp: float | None
    """Two-sided mid-p of no difference: McNemar's, or the sign-flip test's over clusters; None without credits."""
    p_exact: float | None
    n: int
    clusters: int
    b: int
    """Rows on which the baseline has the higher credit; 0 without credits, as `c`, `ties` and `psi`."""
    c: int
    """Rows on which the candidate has it."""
    ties: int
    """Rows with equal credit."""
    psi: float
    """Discordance (b + c)/n."""
    discordant_clusters: int
    """Clusters with a row on which the two differ in credit (in their answers, without credits)."""
    design_effect: float | None
    """Variance of the difference with clusters over the variance without; None where it has no spread."""
    better: Better = "higher"
    """The direction of the metric."""

    @property
    def gain(self) -> tuple[float, float] | None:
        """The limits of how much better the candidate is; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return (-self.high, -self.low) if self.better == "lower" else (self.low, self.high)

    @property
    def lost_won(self) -> tuple[int, int]:
        """Rows on which only the baseline, and only the candidate has the better credit."""
        return (self.c, self.b) if self.better == "lower" else (self.b, self.c)


@dataclass(frozen=True, slots=True)
class Resampled:
    """A figure of both models over the rows that both gave usable scores for."""

    value_a: float | None
    value_b: float | None
    draws: Floats
    """[resamples] differences, the same clusters drawn for both; empty where either value is undefined."""
    rows: int
    clusters: int
    differing: int
    """Clusters in which the two models' answers differ."""


@dataclass(frozen=True, slots=True)
class Paired:
    """Both models' rows under one metric, aligned and credited (or resampled) once, for limits at any level."""

    spec: MetricSpec
    seed: int
    differences: Differences | None
    """Credits by row; None where people compared nothing in these rows, or the metric is no mean of rows."""
    resampled: Resampled | None
    """The metric over resampled clusters, where it is no mean of rows."""

    def limits(self, level: float) -> tuple[float | None, float | None, Method]:
        """Two-sided limits of the difference, and their method; None and "" where the rows have no spread."""
        if self.differences is not None:
            return limits(self.differences, level)
        between = percentile(self.resampled.draws, level) if self.resampled is not None else None
        # Draws that are all alike leave no spread to estimate.
        return (*between, "cluster-bootstrap") if between and between[1] - between[0] > 1e-12 else (None, None, "")

    def compare(self, level: float = 0.95) -> Comparison:
        """The whole comparison, its limits at `level`."""
        low, high, method = self.limits(level)
        of = self.resampled or Resampled(None, None, np.zeros(0), 0, 0, 0)
        whole = Comparison(
            metric=self.spec.name,
            value_a=of.value_a,
            value_b=of.value_b,
            difference=None if of.value_a is None or of.value_b is None else of.value_b - of.value_a,
            low=low,
            high=high,
            level=level,
            method=method,
            p_midp=None,
            p_exact=None,
            n=of.rows,
            clusters=of.clusters,
            b=0,
            c=0,
            ties=0,
            psi=0.0,
            discordant_clusters=of.differing,
            design_effect=None,
            better=better_of(self.spec),
        )
        return whole if self.differences is None else _with_credits(whole, self.differences, self.seed)


def pair_rows(
    a: Sequence[Judged],
    b: Sequence[Judged],
    spec: MetricSpec,
    *,
    seed: int = 0,
    resamples: int = 2000,
    context: ComparisonContext = NO_CONTEXT,
) -> Paired:
    """The rows of the baseline `a` and the candidate `b`, aligned by id.

    Both hold the same rows (RmbenchError otherwise); a failed row has credit 0. Every draw comes from `seed`.
    """
    if is_linear(spec):
        return Paired(spec, seed, differences(a, b, spec), None)
    return Paired(spec, seed, None, _resampled(a, b, spec, seed, resamples, context))


def compare_rows(
    a: Sequence[Judged],
    b: Sequence[Judged],
    spec: MetricSpec,
    *,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = 2000,
    context: ComparisonContext = NO_CONTEXT,
) -> Comparison:
    """The candidate `b` against the baseline `a` on `spec`'s overall value; errors and draws as in `pair_rows`."""
    return pair_rows(a, b, spec, seed=seed, resamples=resamples, context=context).compare(level)


def _with_credits(whole: Comparison, of: Differences, seed: int) -> Comparison:
    (worse, better), (exact, midp) = of.discordant, _p_of_none(of, seed)
    return replace(
        whole,
        value_a=of.nested.mean_of_rows(of.a),
        value_b=of.nested.mean_of_rows(of.b),
        difference=of.mean,
        p_midp=midp,
        p_exact=exact,
        n=len(of.a),
        clusters=of.groups,
        b=worse,
        c=better,
        ties=len(of.a) - worse - better,
        psi=(worse + better) / len(of.a),
        discordant_clusters=len(np.unique(of.clusters[of.d != 0])),
        design_effect=design_effect(of),
    )


def _p_of_none(of: Differences, seed: int) -> tuple[float, float]:
    """(exact, mid-p) two-sided of no difference: McNemar's, or the sign-flip test's over weighted cluster sums."""
    if of.tango:
        return mcnemar(*of.discordant)
    sums = np.bincount(of.clusters, weights=of.nested.shares() * of.d).astype(np.float64)
    return sign_flip(sums, np.random.default_rng(seed))


def _resampled(
    a: Sequence[Judged], b: Sequence[Judged], spec: MetricSpec, seed: int, resamples: int, context: ComparisonContext
) -> Resampled:
    pairs = aligned(selected_rows(a, spec), selected_rows(b, spec))
    both = [(row, other) for row, other in pairs if usable(row, spec) and usable(other, spec)]
    named = {one.name: one for one in context.specs}
    mine, theirs = (
        sample_of([pair[side] for pair in both], spec, MetricContext(named, fit, seed, rows))
        for side, (rows, fit) in enumerate(((a, context.fit_a), (b, context.fit_b)))
    )
    clusters = len({row.cluster or row.id for row, _ in both})
    draws = np.zeros(0)
    if mine.value is not None and theirs.value is not None and clusters > 1:
        drawn = draw_jointly([mine, theirs], resamples, np.random.default_rng(seed))
        draws = drawn[1] - drawn[0]
    differing = len({row.cluster or row.id for row, other in both if row.judgment != other.judgment})
    return Resampled(mine.value, theirs.value, draws, len(both), clusters, differing)
