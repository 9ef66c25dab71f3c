"""The temperature T at which sigmoid(margin / T) fits a model's answers best (Guo et al. 2017, arXiv 1706.04599, for
the Bradley-Terry model of a pair).

With b = 1/T and margins m (of the answer that people prefer less the other) the loss, mean of log(1 + exp(-b m)), is
convex in b. T > 1: the margins claim more than they keep; T < 1: less. Where no pair is wrong the loss falls as long as
b grows, and T is 0; where the mean margin is not above 0 nothing is better than b = 0, and T is infinite.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from rmbench.metrics.uncertainty.aggregate import Floats, Ints
from rmbench.metrics.uncertainty.sample import table_of

__all__ = ["inverse_temperature", "inverse_temperature_draw", "log_loss"]

_CELL = 0.02
"""Distance of the values of log b at which slopes are computed."""
_NUMBERS = 4_000_000
"""Of slopes at most, or the values are further apart."""
_FEWEST = 33
_NARROWEST, _WIDEST = 0.05, 12.0
"""How far the values reach from the fitted log b."""
_STANDARD_ERRORS = 7.0
_LARGEST_LOG = 700.0
"""Whose exponential is a number."""


def log_loss(margins: Floats) -> Floats:
    """[n] minus the natural log of sigmoid(margin), without overflow."""
    return np.asarray(np.logaddexp(0.0, -margins), dtype=np.float64)


def inverse_temperature(margins: Floats, weights: Floats | None = None) -> float:
    """The fitted b = 1/T, from 0 to infinity, of [n] finite margins and their weights [n] (None: all alike), n > 0."""
    weights = np.ones_like(margins) if weights is None else weights
    scale = float(weights @ np.abs(margins) / weights.sum())  # margins of this size make b about 1
    counted = weights > 0
    if float(weights @ margins) <= 0 or not scale:
        return 0.0
    if not (margins[counted] < 0).any():
        return math.inf
    unit = np.where(counted, margins, 0.0) / scale

    def slope(b: float) -> float:
        return float(weights @ _slopes(unit, b))

    high = 1.0
    while slope(high) < 0:
        high *= 2
        if math.isinf(high):
            return math.inf  # the margins that are wrong are nought beside the others
    return float(brentq(slope, 0.0, high, xtol=1e-14 * high, rtol=1e-14)) / scale


def inverse_temperature_draw(margins: Floats, cluster: Ints) -> Callable[[Floats], Floats]:
    """The fitted b of clusters drawn so often: counts [block, G] to [block]. `cluster` [n] numbers them from 0.

    The slope of the loss is kept for every cluster at values of log b within some standard errors of the fitted one;
    where it changes sign between two of them, b is interpolated. Draws beyond them are fitted one by one, as are all
    where the fitted b is 0 or infinite.
    """
    groups = int(cluster.max()) + 1
    fitted = inverse_temperature(margins)

    def one_by_one(counts: Floats) -> Floats:
        return np.array([inverse_temperature(margins, line[cluster]) for line in counts])

    if not 0 < fitted < math.inf:
        return one_by_one
    reach = float(np.clip(_STANDARD_ERRORS * _relative_error(margins, fitted, cluster), _NARROWEST, _WIDEST))
    steps = max(_FEWEST, min(math.ceil(2 * reach / _CELL), _NUMBERS // len(margins)))
    logs = np.clip(math.log(fitted) + np.linspace(-reach, reach, steps), -_LARGEST_LOG, _LARGEST_LOG)
    table = table_of(cluster, groups, np.stack([_slopes(margins, math.exp(each)) for each in logs], axis=1))

    def draw(counts: Floats) -> Floats:
        slopes = counts @ table
        after = (slopes < 0).sum(axis=1)  # the slope grows with b, so this is where it changes sign
        inside = (after > 0) & (after < steps)
        out = np.empty(len(counts))
        lines, at = np.flatnonzero(inside), after[inside]
        below, above = slopes[lines, at - 1], slopes[lines, at]
        out[inside] = np.exp(logs[at - 1] + (logs[at] - logs[at - 1]) * below / (below - above))
        out[~inside] = one_by_one(counts[~inside])
        return out

    return draw


def _slopes(margins: Floats, b: float) -> Floats:
    """[n] the derivative of each pair's loss at b."""
    return np.asarray(-margins * expit(-b * margins), dtype=np.float64)


def _relative_error(margins: Floats, b: float, cluster: Ints) -> float:
    """The cluster-robust standard error of log b."""
    slopes = np.bincount(cluster, weights=_slopes(margins, b))
    half = expit(-b * margins)
    curvature = float((margins**2 * half * (1 - half)).sum())
    return math.sqrt(float(slopes @ slopes)) / (curvature * b) if curvature else math.inf
