"""The part on length: does the model prefer the longer answer?"""

from __future__ import annotations

import numpy as np

from rmbench.metrics.correlation.coefficients import correlation, correlation_draw
from rmbench.metrics.length import Coefficient, length_controlled
from rmbench.metrics.uncertainty.aggregate import Floats, Ints, cluster_codes
from rmbench.metrics.uncertainty.interval import bootstrap_interval, resample_counts
from rmbench.reports.pairs import Pairs, mean_of
from rmbench.reports.report import Estimate, Length

__all__ = ["length_of"]


def length_of(pairs: Pairs, resamples: int, rng: np.random.Generator) -> Length | str:
    """Of the answered pairs with lengths; a sentence that says why there is none."""
    known = pairs.answered & ~np.isnan(pairs.longer)
    if not known.any():
        return "The record holds no lengths of the answers."
    rows, margins, longer = pairs.of(known), pairs.margins[known], pairs.longer[known]
    right = (margins > 0).astype(np.float64)
    codes = cluster_codes(rows)
    longest, equal, shortest = (
        mean_of(right[side], [rows[k] for k in np.flatnonzero(side).tolist()])
        for side in (longer > 0, longer == 0, longer < 0)
    )
    scale = float(np.abs(margins).max()) or 1.0  # no square of a margin is then beyond the numbers
    pearson, spearman = (
        _correlation(rule, longer, margins / scale, codes, resamples, rng) for rule in ("pearson", "spearman")
    )
    fit = length_controlled(right, longer, codes)
    none = Estimate(None, None, None, len(right))
    return Length(
        n=len(right),
        longer=longest,
        equal=equal,
        shorter=shortest,
        pearson=pearson,
        spearman=spearman,
        controlled=none if isinstance(fit, str) else _estimate(fit.accuracy, len(right)),
        slope=none if isinstance(fit, str) else _estimate(fit.slope, len(right)),
        unit=None if isinstance(fit, str) else fit.unit,
        note=fit if isinstance(fit, str) else "",
    )


def _estimate(found: Coefficient, n: int) -> Estimate:
    return Estimate(found.value, found.low, found.high, n)


def _correlation(
    rule: str, longer: Floats, margins: Floats, codes: Ints, resamples: int, rng: np.random.Generator
) -> Estimate:
    value = correlation(rule, longer, margins)
    clusters = int(codes.max()) + 1
    if value is None or clusters < 2:
        return Estimate(value, None, None, len(margins))
    draw, draws = correlation_draw(rule, longer, margins, codes), np.empty(resamples)
    for block, counts in resample_counts(clusters, resamples, rng):
        draws[block] = draw(counts)
    limits = bootstrap_interval(value, draws, clusters, low=-1.0, high=1.0)
    return Estimate(value, limits.low, limits.high, len(margins))
