"""Accuracy where the labels themselves are in doubt: flipped at a stated rate, or not sampled at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec
from rmbench.types import Judged

__all__ = ["by_propensity", "inverse_propensity_mean", "noise_corrected", "propensity_of", "unbiased_implicit_loss"]


def noise_corrected(accuracy: float, flip_rate: float) -> float:
    """The accuracy on true labels that an observed one means where a share `flip_rate` of the labels is flipped at
    random: (observed - flip_rate) / (1 - 2 flip_rate). (The model of robust DPO, arXiv 2403.00409.)

    A value outside [0, 1] shows that the stated rate does not fit the data. Raises RmbenchError for a rate
    that is not in [0, .5).
    """
    if not 0 <= flip_rate < 0.5:
        raise RmbenchError(f"flip_rate must be at least 0 and under 0.5, not {flip_rate}.")
    return (accuracy - flip_rate) / (1 - 2 * flip_rate)


def inverse_propensity_mean(
    credits_of: Sequence[float], propensities: Sequence[float], *, clip: float = 0.0, normalised: bool = True
) -> float:
    """The mean credit of all rows, estimated from rows that were sampled with chance `propensities` (arXiv 1909.03601).

    Each row weighs 1 / max(propensity, clip): clipping trades bias for variance. `normalised` divides by the sum of the
    weights, which keeps the mean within the credits' range; else by the number of rows, which is unbiased at clip 0.
    """
    weights = 1 / np.maximum(np.asarray(propensities, dtype=np.float64), clip)
    total = float(weights @ np.asarray(credits_of, dtype=np.float64))
    return total / float(weights.sum()) if normalised else total / len(weights)


def unbiased_implicit_loss(
    labels: Sequence[float],
    predictions: Sequence[float],
    propensities: Sequence[float],
    *,
    weight: float = 1.0,
    clip: float = 0.0,
) -> float:
    """The squared loss of predicted relevance from labels that are seen with chance `propensities` (arXiv 1909.03601,
    as usaito/unbiased-implicit-rec-real has it); it may be below 0.

    With y a label, t = max(propensity, clip), p a prediction in [0, 1] and w the weight of negatives it is the sum of
    y/t (1 - p)^2 + w (1 - y/t) p^2 over that of y + w (1 - y). `inverse_propensity_mean` is the same idea for a mean of
    credits, where a row that was not sampled is absent rather than a label 0.
    """
    y, p = (np.asarray(figures, dtype=np.float64) for figures in (labels, predictions))
    seen = y / np.maximum(np.asarray(propensities, dtype=np.float64), clip)
    loss = seen * (1 - p) ** 2 + weight * (1 - seen) * p**2
    return float(loss.sum() / (y + weight * (1 - y)).sum())


def by_propensity(rows: Sequence[Judged], spec: MetricSpec) -> list[Judged]:
    """The rows with their weights divided by their propensities, the weights of the normalised mean.

    Raises RmbenchError where a row's propensity is missing or not a number in (0, 1].
    """
    return [replace(row, weight=row.weight / max(propensity_of(row, spec), spec.clip)) for row in rows]


def propensity_of(row: Judged, spec: MetricSpec) -> float:
    """The row's chance of having been sampled; raises RmbenchError where it is missing or none in (0, 1]."""
    if spec.propensity not in row.groups:
        hint = did_you_mean(spec.propensity, row.groups)
        raise RmbenchError(f'metric "{spec.name}": row "{row.id}" has no group "{spec.propensity}".{hint}')
    text = row.groups[spec.propensity]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise RmbenchError(
            f'metric "{spec.name}": row "{row.id}" has the propensity "{text}", expected above 0 and at most 1.'
        )
    return value
