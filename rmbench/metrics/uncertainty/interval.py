"""95% intervals of a mean of rows: Wilson, cluster-robust, and the cluster bootstrap.

An interval never collapses to a point: where rows that are all alike, or a single cluster, leave nothing to estimate a
spread from, Wilson's interval at the effective number of clusters is given instead. A credit lies in [0, 1], and among
such variables of a given mean a 0/1 variable spreads the most, so that interval is the cautious one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from rmbench.metrics.uncertainty.aggregate import Floats, Ints, Nest

__all__ = [
    "Interval",
    "bootstrap_means",
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


@dataclass(frozen=True, slots=True)
class Interval:
    """Limits and how they were made; both None where there are none."""

    low: float | None
    high: float | None
    method: str


def wilson(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score limits of a proportion of `successes` among `n` (> 0; neither need be whole), within [0, 1]."""
    z = float(stats.norm.ppf(0.5 + level / 2))
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


def _tables(values: Floats, weight: Floats, clusters: Ints, leaf: Ints, leaves: int) -> tuple[Floats, Floats]:
    """[clusters, leaves] sums of weighted values and of weights."""
    _, cluster = np.unique(clusters, return_inverse=True)
    cell = cluster * leaves + leaf
    size = (int(cluster.max()) + 1) * leaves
    sums, weights = (
        np.bincount(cell, weights=of, minlength=size).astype(np.float64) for of in (weight * values, weight)
    )
    return sums.reshape(-1, leaves), weights.reshape(-1, leaves)


def bootstrap_means(values: Floats, nested: Nest, clusters: Ints, resamples: int, rng: np.random.Generator) -> Floats:
    """[resamples] the nested mean of `values` [n] when clusters are drawn with replacement.

    They are drawn within the leaves of the levels where no cluster crosses leaves (fixed strata), else over all rows.
    """
    sums = np.zeros((resamples, nested.leaves))
    totals = np.zeros((resamples, nested.leaves))
    for leaves, rows in strata(nested, clusters):
        leaf = np.searchsorted(leaves, nested.leaf_of[rows])
        table, weight = _tables(values[rows], nested.weight[rows], clusters[rows], leaf, len(leaves))
        for block, counts in resample_counts(len(table), resamples, rng):
            sums[block, leaves[0] : leaves[-1] + 1] = counts @ table
            totals[block, leaves[0] : leaves[-1] + 1] = counts @ weight
    return nested.mean(sums, totals)


def _cautious(mean: float, weights: Floats, clusters: Ints) -> Interval:
    n = effective(weights, clusters)
    return Interval(*wilson(mean * n, n), "wilson-effective")


def linear_interval(values: Floats, nested: Nest, clusters: Ints, resamples: int, rng: np.random.Generator) -> Interval:
    """The 95% interval of the nested mean of `values` [n], n > 0, each in [0, 1].

    "wilson": 0/1 credits, equal row weights, every row a cluster of its own. "cr1-t": equal row weights otherwise.
    "cluster-bootstrap": unequal row weights. "wilson-effective": no spread to estimate from.
    """
    weights = nested.shares()
    mean = nested.mean_of_rows(values)
    groups = len(np.unique(clusters))
    binary = bool(np.isin(values, (0.0, 1.0)).all())
    equal = bool(np.allclose(weights, 1 / len(values), rtol=1e-9, atol=0))
    if equal and binary and groups == len(values):
        return Interval(*wilson(float(values.sum()), len(values)), "wilson")
    if groups < 2 or np.ptp(values) == 0:
        return _cautious(mean, weights, clusters)
    if equal:
        error, _ = cr1(values, clusters)
        # Clusters whose deviations cancel leave no spread, as rows that are all alike do.
        if error < 1e-12:
            return _cautious(mean, weights, clusters)
        half = float(stats.t.ppf(0.975, groups - 1)) * error
        return Interval(max(0.0, mean - half), min(1.0, mean + half), "cr1-t")
    limits = percentile(bootstrap_means(values, nested, clusters, resamples, rng))
    if limits is None or limits[1] - limits[0] < 1e-12:
        return _cautious(mean, weights, clusters)
    return Interval(*limits, "cluster-bootstrap")
