"""Mixes of labels: a share of the pairs goes to people, and the AI labels the others (arXiv 2410.19133)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from rmbench.metrics.properties.laplace import laplace_map
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.reports.annotators.features import Features
from rmbench.reports.annotators.labels import Labelled

__all__ = ["chances_of_difference", "gains_of", "routed"]

_FOLDS = 5
_SCALE = 1.0
"""Of the Laplace prior of each feature's weight."""


def routed(gains: Floats, share: float) -> Floats:
    """[P] how much of each pair's label is people's: 1 for the share of the pairs with the largest gains, 0 for the
    others; pairs of equal gain at the limit have equal parts of what is left, as if they were drawn at random."""
    left = share * len(gains)
    parts = np.zeros(len(gains))
    for gain in np.unique(gains)[::-1]:
        alike = gains == gain
        parts[alike] = min(1.0, max(0.0, left / alike.sum()))
        left -= alike.sum()
    return parts


def gains_of(features: Features, gains: Mapping[str, float], pairs: int) -> Floats:
    """[P] the sum of the gains of each pair's features, the paper's linear rule."""
    total = np.zeros(pairs)
    for name, values in features.items():
        total += [gains.get(f"{name}={value}", 0.0) for value in values]
    return total


def chances_of_difference(pairs: Sequence[Labelled], features: Features) -> Floats:
    """[P] the log odds that the AI's label differs from people's: a logistic regression on the features under a Laplace
    prior, fitted for each fifth of the clusters on the other four, so that no pair tells of itself."""
    y = np.array([1.0 if pair.ai != pair.people else -1.0 for pair in pairs])
    columns = [np.ones(len(pairs))]
    for values in features.values():
        columns += [np.array([float(each == value) for each in values]) for value in sorted({*values} - {None})]  # type: ignore[type-var]
    x = np.stack(columns, axis=1)
    fold = np.array([_fold(pair.row.cluster or pair.row.id) for pair in pairs])
    found = np.zeros(len(pairs))
    for number in range(_FOLDS):
        held, rest = fold == number, fold != number
        if held.any() and rest.any():
            found[held] = x[held] @ laplace_map(x[rest], y[rest], scale=_SCALE)
    return found


def _fold(cluster: str) -> int:
    return hashlib.sha256(cluster.encode("utf-8", "surrogatepass")).digest()[0] % _FOLDS
