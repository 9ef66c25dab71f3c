"""Accuracy with calibrated ties within groups of items, such as the answers to one prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rmbench.metrics.uncertainty.aggregate import Floats

__all__ = ["TieCalibration", "acc_eq", "tie_calibration"]

Group = tuple[Floats, Floats]
"""(human [k], model [k]) figures of one group."""


def _pairs(group: Group) -> tuple[Floats, Floats]:
    """(human difference sign in the model's direction, absolute model difference) of each pair of items.

    Model differences are rounded to 12 digits: equal in exact arithmetic, they may be apart by a rounding.
    """
    human, model = (np.asarray(figures, dtype=np.float64) for figures in group)
    i, j = np.triu_indices(len(human), k=1)
    difference = np.round(model[i] - model[j], 12)
    return np.sign(human[i] - human[j]) * np.sign(difference), np.abs(difference)


def _human_ties(group: Group) -> npt.NDArray[np.bool_]:
    """Whether people gave both items of a pair the same figure, for each pair."""
    human = np.asarray(group[0], dtype=np.float64)
    i, j = np.triu_indices(len(human), k=1)
    return np.equal(human[i], human[j])


def acc_eq(group: Group, epsilon: float = 0.0) -> float | None:
    """The share of pairs that the model orders as people do, ties included: (C + Thm)/N, where the model ties a pair
    whose scores differ by at most `epsilon` (Deutsch et al. 2023, arXiv 2305.14324). None for fewer than two items.
    """
    agree, apart = _pairs(group)
    if not len(apart):
        return None
    right = np.where(_human_ties(group), apart <= epsilon, (agree > 0) & (apart > epsilon))
    return float(right.mean())


@dataclass(frozen=True, slots=True)
class TieCalibration:
    """The tie threshold that suits a model best, and its accuracy with and without one; fitted on the test data."""

    epsilon: float
    accuracy: float
    accuracy_at_zero: float


def tie_calibration(groups: Sequence[Group]) -> TieCalibration | None:
    """The single epsilon that maximises the mean over groups of `acc_eq`, over all pairs; the smallest among equals.

    Candidates are 0 and every observed difference, as in mt-metrics-eval's `tau_optimization.py` at sample rate 1. None
    where no group has two items.
    """
    tables = []
    for group in groups:
        agree, apart = _pairs(group)
        if len(apart):
            alike = _human_ties(group)
            tables.append((np.sort(apart[alike]), np.sort(apart[agree > 0]), len(apart)))
    if not tables:
        return None
    observed = np.concatenate([np.concatenate(_pairs(group)[1:]) for group in groups])
    candidates = np.unique(np.append(observed, 0.0))
    total = np.zeros(len(candidates))
    for tied, agreeing, pairs in tables:
        below = np.searchsorted(tied, candidates, side="right")
        above = len(agreeing) - np.searchsorted(agreeing, candidates, side="right")
        total += (below + above) / pairs
    accuracy = total / len(tables)
    # Sums of quotients may differ by a rounding where they are equal: the smallest epsilon within it.
    best = int(np.argmax(accuracy >= accuracy.max() - 1e-12))
    return TieCalibration(float(candidates[best]), float(accuracy[best]), float(accuracy[0]))
