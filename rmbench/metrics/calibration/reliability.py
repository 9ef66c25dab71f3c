"""How often a model is right where it is so sure: equal-mass bins of confidence, and the expected calibration error.

Of a pair with margin m (score of the answer that people prefer less that of the other) the Bradley-Terry probability is
sigmoid(m), and the model's confidence in the side it takes is sigmoid(|m|). The pair is right where m > 0, and half
right where m = 0: a tie has confidence one half, and keeps exactly what it promises.

ECE is the sum over bins of (share of pairs) x |accuracy - mean confidence| (Naeini, Cooper and Hauskrecht 2015, AAAI).
Bins hold equal mass (Nguyen and O'Connor 2015, EMNLP), n / bins pairs each, of which a part may be one end of a bin and
a part the beginning of the next; pairs of equal confidence are not told apart, so that the order of rows never matters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from rmbench.metrics.uncertainty.aggregate import Floats, Ints

__all__ = [
    "BINS",
    "Reliability",
    "calibration_error",
    "calibration_error_draw",
    "confidence_of",
    "reliability",
    "right_of",
]

BINS = 15
_ROUNDING = 1e-9
"""Of a pair."""


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Bins of confidence, lowest first; those that one confidence fills are joined. B is their number."""

    low: Floats
    """[B] the lowest confidence."""
    high: Floats
    confidence: Floats
    """[B] its mean."""
    accuracy: Floats
    weights: Floats
    """[B, n] which part of each pair is in the bin; each pair's sum to 1."""


def confidence_of(margins: Floats) -> Floats:
    """[n] the probability of the side that the model takes, by sigmoid of its margins [n]: from .5 to 1."""
    return np.asarray(expit(np.abs(margins)), dtype=np.float64)


def right_of(margins: Floats) -> Floats:
    """[n] 1 for a right pair, 0 for a wrong one, one half for a tie."""
    return np.asarray(np.heaviside(margins, 0.5), dtype=np.float64)


def reliability(margins: Floats, bins: int = BINS) -> Reliability:
    """The bins of [n] finite margins, n > 0."""
    sure, right = confidence_of(margins), right_of(margins)
    levels, at, sizes = np.unique(sure, return_inverse=True, return_counts=True)
    edges = len(margins) * np.arange(bins + 1) / bins
    low, high = _ends(_parts(sizes, edges))
    joined = (low[1:] == high[1:]) & (low[1:] == low[:-1])
    parts = _parts(sizes, np.delete(edges, 1 + np.flatnonzero(joined)))
    low, high = _ends(parts)
    weights = parts[:, at]
    mass = weights.sum(axis=1)
    return Reliability(levels[low], levels[high], weights @ sure / mass, weights @ right / mass, weights)


def _parts(sizes: Ints, edges: Floats) -> Floats:
    """[bins, levels] which part of the pairs of each level, least sure first, lies between two edges."""
    upto = np.cumsum(sizes)
    start, end = np.maximum(upto - sizes, edges[:-1, None]), np.minimum(upto, edges[1:, None])
    return np.asarray(np.maximum(end - start, 0.0) / sizes, dtype=np.float64)


def _ends(parts: Floats) -> tuple[Ints, Ints]:
    """[bins] the first and the last level in each bin; what rounding leaves is not in it."""
    there = parts > _ROUNDING
    return there.argmax(axis=1), parts.shape[1] - 1 - there[:, ::-1].argmax(axis=1)


def calibration_error(margins: Floats, bins: int = BINS) -> float:
    """ECE of [n] finite margins, n > 0."""
    return float(calibration_error_draw(margins, np.arange(len(margins)), bins)(np.ones((1, len(margins))))[0])


def calibration_error_draw(margins: Floats, cluster: Ints, bins: int = BINS) -> Callable[[Floats], Floats]:
    """ECE when the clusters are drawn so often: counts [block, G] to [block]. `cluster` [n] numbers them from 0."""
    sure = confidence_of(margins)
    gap = right_of(margins) - sure
    order = np.argsort(sure, kind="stable")
    last = np.flatnonzero(np.append(np.diff(sure[order]) > 0, True))
    of_row, gap_of_row = cluster[order], gap[order]

    def draw(counts: Floats) -> Floats:
        times = counts[:, of_row]
        upto = np.cumsum(times, axis=1)[:, last]
        gaps = np.cumsum(times * gap_of_row, axis=1)[:, last]
        edges = upto[:, -1:] * np.arange(bins + 1) / bins
        out = np.empty(len(counts))
        for k, (at, x, y) in enumerate(zip(edges, upto, gaps, strict=True)):
            cut = np.interp(at, np.append(0.0, x), np.append(0.0, y))
            out[k] = np.abs(np.diff(cut)).sum() / x[-1]
        return out

    return draw
