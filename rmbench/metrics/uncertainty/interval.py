"""95% intervals of a metric: Wilson's for plain accuracies, cluster-robust for means of rows, bootstrap for the rest.

An interval never collapses to a point: where rows that are all alike, or a single cluster, leave nothing to estimate a
spread from, Wilson's interval at the effective number of clusters is given instead. Among variables of a given mean and
range one that takes the two ends alone spreads the most, so that interval is the cautious one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

from rmbench.metrics.uncertainty.aggregate import Floats, Ints, Nest
from rmbench.metrics.uncertainty.cluster_robust import RobustError, bounded_limits, robust_error

__all__ = [
    "Interval",
    "bootstrap_interval",
    "cr1",
    "effective",
    "linear_interval",
    "percentile",
    "resample_counts",
    "strata",
    "wilson",
]

_CELLS = 2_000_000
"""Numbers held at once while resampling; bounds memory, changes no result."""
_NO_SPREAD = 1e-24
"""A variance under this is rounding."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Limits and how they were made; both None where there are none."""

    low: float | None
    high: float | None
    method: str


@cache
def _normal_quantile(share: float) -> float:
    return float(stats.norm.ppf(share))


def wilson(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score limits of a proportion of `successes` among `n` (> 0; neither need be whole), within [0, 1]."""
    z = _normal_quantile(0.5 + level / 2)
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(max(p * (1 - p), 0.0) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At the ends the exact limit is 0 or 1, and rounding must not move it.
    low = 0.0 if p <= 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if p >= 1 else min(1.0, (centre + half) / scale)
    return low, high


def cr1(values: Floats, clusters: Ints) -> tuple[float, int]:
    """The cluster-robust standard error of the mean of `values` [n] and the number of clusters G.

    CR1: sqrt(G / (G - 1) x sum over clusters of (sum of deviations)^2) / n, the same as an intercept-only least squares
    fit with clustered covariance; nan where G = 1. With singleton clusters it is the usual s / sqrt(n).
    """
    deviations = values - values.mean()
    sums = np.bincount(clusters, weights=deviations)
    groups = len(np.unique(clusters))
    if groups < 2:
        return math.nan, groups
    return float(math.sqrt(groups / (groups - 1) * float(sums @ sums)) / len(values)), groups


def effective(weights: Floats, clusters: Ints) -> float:
    """Kish's effective number of clusters for row `weights` [n] that sum to one: 1 / sum of squared cluster weights."""
    sums = np.bincount(clusters, weights=weights)
    return 1.0 / float(sums @ sums)


def percentile(draws: Floats, level: float = 0.95) -> tuple[float, float] | None:
    """Percentile limits of the resampled values that are defined; None where under nine in ten are."""
    defined = draws[~np.isnan(draws)]
    if len(defined) < 0.9 * len(draws) or not len(defined):
        return None
    low, high = np.quantile(defined, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def resample_counts(clusters: int, resamples: int, rng: np.random.Generator) -> Iterator[tuple[slice, Floats]]:
    """How often each cluster is drawn in each resample, in blocks: (which resamples, counts [block, clusters])."""
    step = max(1, _CELLS // clusters)
    for start in range(0, resamples, step):
        block = min(step, resamples - start)
        drawn = rng.integers(0, clusters, size=(block, clusters))
        drawn += np.arange(block)[:, None] * clusters
        counts = np.bincount(drawn.ravel(), minlength=block * clusters).reshape(block, clusters)
        yield slice(start, start + block), counts.astype(np.float64)


def strata(nested: Nest, clusters: Ints) -> list[tuple[Ints, Ints]]:
    """(leaves, rows) of each stratum: the leaves where every cluster lies within one leaf and each leaf holds at least
    two clusters, else all rows in one.
    """
    # A cluster lies within one leaf when pairs (cluster, leaf) are as many as clusters.
    pairs = np.unique(np.stack([clusters, nested.leaf_of]), axis=1)
    crossing = pairs.shape[1] != len(np.unique(clusters))
    if crossing or np.bincount(pairs[1], minlength=nested.leaves).min() < 2:
        return [(np.arange(nested.leaves, dtype=np.int64), np.arange(len(clusters), dtype=np.int64))]
    order = np.argsort(nested.leaf_of, kind="stable")
    ends = np.cumsum(np.bincount(nested.leaf_of, minlength=nested.leaves))
    rows_of = np.split(order, ends[:-1])
    return [(np.array([leaf], dtype=np.int64), rows.astype(np.int64)) for leaf, rows in enumerate(rows_of)]


def _cautious(mean: float, weights: Floats, clusters: Ints, low: float, high: float) -> Interval:
    n = effective(weights, clusters)
    limits = wilson((mean - low) / (high - low) * n, n)
    return Interval(low + (high - low) * limits[0], low + (high - low) * limits[1], "wilson-effective")


def _limits(mean: float, error: RobustError, low: float | None, high: float | None, most: float, how: str) -> Interval:
    """Limits within the range where it has two ends and the mean lies between them, else symmetric about the mean."""
    if low is not None and high is not None and low < mean < high:
        return Interval(*bounded_limits(mean, error, low, high, most), f"wilson-{how}")
    half = float(stats.t.ppf(0.975, error.degrees)) * math.sqrt(error.variance)
    ends = (-math.inf if low is None else low, math.inf if high is None else high)
    return Interval(max(ends[0], mean - half), min(ends[1], mean + half), f"t-{how}")


def linear_interval(
    values: Floats, nested: Nest, clusters: Ints, low: float | None = 0.0, high: float | None = 1.0
) -> Interval:
    """The 95% interval of the nested mean of `values` [n], n > 0, of a rule whose range ends at `low` and `high`.

    "wilson": values at the ends of [0, 1], equal row weights, every row a cluster of its own. "wilson-cr2": any other
    mean within a range. "t-cr2": a mean without one, or values beyond it. "wilson-effective": no spread to estimate
    from. No interval where there is neither spread nor range.
    """
    weights, mean = nested.shares(), nested.mean_of_rows(values)
    groups = len(np.unique(clusters))
    if (low is not None and values.min() < low) or (high is not None and values.max() > high):
        low = high = None
    binary = (low, high) == (0.0, 1.0) and bool(np.isin(values, (0.0, 1.0)).all())
    if binary and groups == len(values) and np.allclose(weights, 1 / len(values), rtol=1e-9, atol=0):
        return Interval(*wilson(float(values.sum()), len(values)), "wilson")
    error = robust_error(values, nested, clusters) if groups > 1 else None
    if error is None or error.variance < _NO_SPREAD:
        if low is None or high is None:
            return Interval(None, None, "")
        return _cautious(mean, weights, clusters, low, high)
    most = 1 / float(weights @ weights) if binary else math.inf
    return _limits(mean, error, low, high, most, "cr2")


def bootstrap_interval(
    value: float, draws: Floats, clusters: int, strata: int = 1, low: float | None = None, high: float | None = None
) -> Interval:
    """The 95% interval of a figure that is no mean, from `draws` [resamples] of its clusters, nan where undefined.

    The draws' variance times G / (G - strata), with t of G - strata degrees of freedom: percentiles of the draws cover
    too little at few clusters. "wilson-bootstrap" within a range, "t-bootstrap" without one. None where under nine in
    ten draws are defined or all are alike.
    """
    defined = draws[~np.isnan(draws)]
    if clusters <= strata or len(defined) < max(2, 0.9 * len(draws)):
        return Interval(None, None, "")
    variance = float(defined.var(ddof=1)) * clusters / (clusters - strata)
    if variance < _NO_SPREAD:
        return Interval(None, None, "")
    return _limits(value, RobustError(variance, clusters - strata), low, high, math.inf, "bootstrap")
