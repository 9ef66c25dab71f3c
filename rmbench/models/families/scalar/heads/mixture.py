"""Mixtures of Bradley-Terry heads: probabilities are mixed, not rewards (MiCRo, arXiv 2505.24846)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rmbench.models.protocols import FloatArray

__all__ = ["mixed_margins"]


def mixed_margins(objectives: Sequence[FloatArray], weights: Sequence[FloatArray]) -> FloatArray:
    """Margins [K, K] of K candidates, row shown first: the log odds of P(a > b) = sum over m of w_m sigmoid(r_m(a) -
    r_m(b)).

    Args:
        objectives: each candidate's r [M].
        weights: each candidate's w [M], at least 0, of whatever sum. Those of a pair are averaged, which changes
            nothing where both answer one prompt and keeps margins antisymmetric where they do not.
    """
    r = np.asarray(objectives, dtype=np.float64)  # [K, M]
    w = np.asarray(weights, dtype=np.float64)
    both = (w[:, None] + w[None, :]) / 2  # [K, K, M]
    difference = r[:, None] - r[None, :]
    margins: FloatArray = (_log_mixture(both, difference) - _log_mixture(both, -difference)).astype(np.float32)
    return margins


def _log_mixture(weights: npt.NDArray[np.float64], difference: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The logarithm of sum w sigmoid(d) over the last axis, without underflow."""
    with np.errstate(divide="ignore"):  # a weight of 0 takes no part
        terms = np.log(weights) - np.logaddexp(0.0, -difference)
    found: npt.NDArray[np.float64] = np.logaddexp.reduce(terms, axis=-1)
    return found
