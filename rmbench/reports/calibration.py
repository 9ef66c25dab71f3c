"""The part on calibration: sigmoid(margin) as a probability, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit

from rmbench.metrics.calibration.reliability import (
    calibration_error,
    calibration_error_draw,
    confidence_of,
    reliability,
    right_of,
)
from rmbench.metrics.calibration.temperature import inverse_temperature, inverse_temperature_draw, log_loss
from rmbench.metrics.uncertainty.aggregate import Floats, cluster_codes
from rmbench.metrics.uncertainty.interval import bootstrap_interval, percentile, resample_counts
from rmbench.reports.pairs import Pairs, mean_of
from rmbench.reports.report import Calibration, ConfidenceBin, Estimate
from rmbench.types import Judged

__all__ = ["calibration_of"]

_ROUNDING = 1e-9
"""A part of a pair that is none."""


def calibration_of(pairs: Pairs, resamples: int, rng: np.random.Generator) -> Calibration:
    """Of the pairs with a margin, of which there is one at least."""
    rows, margins = pairs.of(pairs.answered), pairs.margins[pairs.answered]
    codes, inverse = cluster_codes(rows), inverse_temperature(margins)
    figures = [calibration_error_draw(margins, codes)]
    if 0 < inverse < math.inf:
        figures.append(inverse_temperature_draw(margins, codes))
    clusters = int(codes.max()) + 1
    errors, *inverses = _draws(figures, clusters, resamples, rng)
    temperature, note = _temperature(inverse, inverses, len(margins))
    return Calibration(
        n=len(margins),
        confidence=float(confidence_of(margins).mean()),
        accuracy=float(right_of(margins).mean()),
        ece=_error(margins, errors, clusters),
        brier=mean_of(expit(-margins) ** 2, rows),
        log_loss=mean_of(log_loss(margins), rows, high=None),
        temperature=temperature,
        temperature_note=note,
        bins=_bins(margins, rows),
    )


def _bins(margins: Floats, rows: Sequence[Judged]) -> tuple[ConfidenceBin, ...]:
    found, right = reliability(margins), right_of(margins)
    made = []
    for low, high, sure, weights in zip(found.low, found.high, found.confidence, found.weights, strict=True):
        inside = np.flatnonzero(weights > _ROUNDING)
        accuracy = mean_of(right[inside], [rows[k] for k in inside.tolist()], weights=weights[inside])
        made.append(ConfidenceBin(float(low), float(high), float(sure), accuracy, float(weights.sum())))
    return tuple(made)


def _error(margins: Floats, draws: Floats, clusters: int) -> Estimate:
    """ECE, which is no mean: limits from its spread over draws."""
    error = calibration_error(margins)
    limits = bootstrap_interval(error, draws, clusters, low=0.0, high=1.0)
    return Estimate(error, limits.low, limits.high, len(margins))


def _temperature(inverse: float, draws: Sequence[Floats], n: int) -> tuple[Estimate, str]:
    """T with percentile limits, and why there is no T; `draws` holds those of a finite one."""
    if not draws:
        none = Estimate(None, None, None, n)
        if inverse:
            return none, "no pair is wrong, so that the loss falls as long as T does"
        return none, "the mean margin is not above 0, so that no finite T is best"
    # A draw may be infinite: limits are taken on a scale from 0 to 1.
    with np.errstate(invalid="ignore"):
        places = np.where(np.isinf(draws[0]), 1.0, draws[0] / (draws[0] + inverse))
    found = percentile(places)
    low, high = (None, None) if found is None else (_at(found[1], inverse), _at(found[0], inverse))
    return Estimate(1 / inverse, low, high, n), ""


def _draws(
    figures: Sequence[Callable[[Floats], Floats]], clusters: int, resamples: int, rng: np.random.Generator
) -> list[Floats]:
    """[resamples] each figure when clusters are drawn with replacement; nan of a single cluster."""
    out = [np.full(resamples, np.nan) for _ in figures]
    if clusters > 1:
        for block, counts in resample_counts(clusters, resamples, rng):
            for values, figure in zip(out, figures, strict=True):
                values[block] = figure(counts)
    return out


def _at(place: float, inverse: float) -> float | None:
    """The temperature at a place of that scale; None where it is infinite."""
    return (1 - place) / place / inverse if place > 0 else None
