"""The variance of a weighted mean whose rows come in clusters, its degrees of freedom, and limits that stay in range.

CR2 is the bias-reduced cluster-robust variance of Bell and McCaffrey (2002), here of the regression on the leaves'
dummies that a mean of leaf means is. Its degrees of freedom are Satterthwaite's, under a working model of equally
correlated rows whose correlation is estimated (Imbens and Kolesár 2016, Review of Economics and Statistics 98(4)). The
limits are Wilson's at the number of independent rows that would have this variance, with t in place of the normal
quantile (Franco, Little, Louis and Slud 2019, Journal of Survey Statistics and Methodology 7(3)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from rmbench.metrics.uncertainty.aggregate import Floats, Ints, Nest

__all__ = ["RobustError", "bounded_limits", "robust_error"]


@dataclass(frozen=True, slots=True)
class RobustError:
    """A mean's variance and what is needed to make limits of it."""

    variance: float
    degrees: float
    """Degrees of freedom of the variance, at least 1."""


def robust_error(values: Floats, nested: Nest, clusters: Ints) -> RobustError:
    """The CR2 variance of the nested mean of `values` [n] and its degrees of freedom; at least two clusters.

    Leaves are fixed strata where every cluster lies within one leaf; a cluster that crosses leaves makes all rows one
    stratum. Rows of leaves that hold a single cluster are held against the aggregate, as nothing varies within them.
    """
    shares = nested.shares()
    residuals = values - _leaf_means(values, nested)[nested.leaf_of]
    stratum = _strata(nested, clusters)
    alone = stratum < 0
    residuals[alone] = values[alone] - nested.mean_of_rows(values)
    _, cell = np.unique(np.stack([stratum, clusters]), axis=1, return_inverse=True)
    cell = cell.ravel()
    cells = int(cell.max()) + 1
    stratum_of = np.zeros(cells, dtype=np.int64)
    stratum_of[cell] = stratum - stratum.min()
    total = np.bincount(stratum_of, np.bincount(cell, shares))[stratum_of]
    with np.errstate(invalid="ignore", divide="ignore"):
        fraction = np.where(total > 0, np.bincount(cell, shares) / total, 0.0)
    leverage = np.where(fraction < 1, 1 - fraction, 1.0)
    sums = np.bincount(cell, shares * residuals)
    variance = float(np.sum(sums**2 / leverage))
    within = np.divide(shares, total[cell], out=np.zeros_like(shares), where=total[cell] > 0)
    degrees = _degrees(within, cell, fraction, total / np.sqrt(leverage), stratum_of, _correlation(residuals, cell))
    return RobustError(variance, degrees)


def _leaf_means(values: Floats, nested: Nest) -> Floats:
    sums, totals = (np.bincount(nested.leaf_of, of, nested.leaves) for of in (nested.weight * values, nested.weight))
    return np.divide(sums, totals, out=np.zeros(nested.leaves), where=totals > 0)


def _strata(nested: Nest, clusters: Ints) -> Ints:
    """[n] the stratum of each row; -1 for rows of leaves with a single cluster, which make one together."""
    pairs = np.unique(np.stack([clusters, nested.leaf_of]), axis=1)
    if pairs.shape[1] != len(np.unique(clusters)):
        return np.zeros(len(clusters), dtype=np.int64)
    single = np.bincount(pairs[1], minlength=nested.leaves) < 2
    return np.where(single[nested.leaf_of], -1, nested.leaf_of)


def _correlation(residuals: Floats, cell: Ints) -> float:
    """The intra-cluster correlation by analysis of variance, within [0, 1]; 0 where every cluster is one row."""
    sizes = np.bincount(cell).astype(np.float64)
    n, groups = float(sizes.sum()), len(sizes)
    if n == groups or groups < 2:
        return 0.0
    sums = np.bincount(cell, residuals)
    between = float(np.sum(sums**2 / sizes)) / (groups - 1)
    inside = (float(residuals @ residuals) - float(np.sum(sums**2 / sizes))) / (n - groups)
    size = (n - float(np.sum(sizes**2)) / n) / (groups - 1)
    whole = between + (size - 1) * inside
    return min(1.0, max(0.0, (between - inside) / whole)) if whole > 0 else 0.0


def _degrees(within: Floats, cell: Ints, fraction: Floats, scale: Floats, stratum: Ints, correlation: float) -> float:
    """Satterthwaite: trace(M)^2 / trace(M^2), M the covariance of the clusters' terms under the working model.

    Of a stratum, M = C (D - d f' - f d' + sum(d) f f') C with d the variances of the clusters' weighted sums, f their
    fractions and C their scales: a diagonal and two outer products, so that nothing is squared in size.
    """
    spread = (1 - correlation) * np.bincount(cell, within**2) + correlation * np.bincount(cell, within) ** 2
    trace = squares = 0.0
    for one in range(int(stratum.max()) + 1):
        at = stratum == one
        d, f, c = spread[at], fraction[at], scale[at]
        a, b, diagonal, whole = c * d, c * f, c * c * d, float(d.sum())
        aa, bb, ab = float(a @ a), float(b @ b), float(a @ b)
        trace += float(diagonal.sum()) - 2 * ab + whole * bb
        squares += float(diagonal @ diagonal) - 4 * float(diagonal @ (a * b)) + 2 * whole * float(diagonal @ (b * b))
        squares += 2 * (aa * bb + ab * ab) - 4 * whole * ab * bb + (whole * bb) ** 2
    return max(1.0, trace**2 / squares) if squares > 0 else 1.0


def bounded_limits(
    mean: float, error: RobustError, low: float, high: float, most: float = math.inf, level: float = 0.95
) -> tuple[float, float]:
    """Limits within [low, high] of a mean that lies strictly between them; `most` bounds the effective rows."""
    t = float(stats.t.ppf(0.5 + level / 2, error.degrees))
    p = (mean - low) / (high - low)
    rows = min(most, p * (1 - p) * (high - low) ** 2 / error.variance)
    centre = p + t * t / (2 * rows)
    half = t * math.sqrt(p * (1 - p) / rows + t * t / (4 * rows * rows))
    scale = (high - low) / (1 + t * t / rows)
    return max(low, low + (centre - half) * scale), min(high, low + (centre + half) * scale)
