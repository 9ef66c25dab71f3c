"""Draws from the Polya-Gamma distribution PG(1, z), exactly (Polson, Scott and Windle 2013, arXiv 1205.0310).

PG(1, z) is J(z / 2) / 4, where J(z) is Devroye's (2009): a mixture of a truncated inverse Gaussian below `_CUT` and an
exponential above it, accepted by the partial sums of an alternating series.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from rmbench.metrics.uncertainty.aggregate import Floats

__all__ = ["polya_gamma"]

_CUT = 0.64
"""Where the two forms of the series change over; Devroye's choice."""


def polya_gamma(z: Floats, rng: np.random.Generator) -> Floats:
    """One draw of PG(1, z) for each element of `z`, of any shape."""
    tilt = np.abs(np.ravel(z)) / 2
    out = np.empty_like(tilt)
    waiting = np.arange(len(tilt))
    below = _below(tilt)
    while len(waiting):
        proposed = _proposed(tilt[waiting], below[waiting], rng)
        accepted = _accepted(proposed, rng)
        out[waiting[accepted]] = proposed[accepted]
        waiting = waiting[~accepted]
    return out.reshape(np.shape(z)) / 4


def _below(tilt: Floats) -> Floats:
    """The probability that a proposal lies below the cut."""
    rate = np.pi**2 / 8 + tilt**2 / 2
    root = np.sqrt(1 / _CUT)
    # log of the inverse Gaussian's distribution function at the cut, times 2 exp(-z), in parts that do not overflow.
    small = np.logaddexp(
        special.log_ndtr(root * (_CUT * tilt - 1)) - tilt, special.log_ndtr(-root * (_CUT * tilt + 1)) + tilt
    ) + np.log(2)
    large = np.log(np.pi / (2 * rate)) - rate * _CUT
    return np.asarray(special.expit(small - large), dtype=np.float64)


def _proposed(tilt: Floats, below: Floats, rng: np.random.Generator) -> Floats:
    rate = np.pi**2 / 8 + tilt**2 / 2
    out = _CUT + rng.exponential(size=len(tilt)) / rate
    small = rng.random(len(tilt)) < below
    out[small] = _truncated(tilt[small], rng)
    return out


def _truncated(tilt: Floats, rng: np.random.Generator) -> Floats:
    """Inverse Gaussian draws with mean 1 / tilt and shape 1, below the cut."""
    out = np.empty_like(tilt)
    waiting = np.arange(len(tilt))
    while len(waiting):
        z = tilt[waiting]
        # Below the cut, where the mean is above it: 1 / chi-square, then the tilt by rejection.
        e1, e2 = rng.exponential(size=(2, len(waiting)))
        drawn = _CUT / (1 + _CUT * e1) ** 2
        kept = (e1**2 <= 2 * e2 / _CUT) & (rng.random(len(waiting)) <= np.exp(-(z**2) * drawn / 2))
        light = z * _CUT > 1
        if light.any():
            drawn[light] = rng.wald(1 / z[light], 1.0)
            kept[light] = drawn[light] < _CUT
        out[waiting[kept]] = drawn[kept]
        waiting = waiting[~kept]
    return out


def _term(n: int, x: Floats) -> Floats:
    """The n-th term of the series for the density of J(0) at x."""
    half = n + 0.5
    with np.errstate(over="ignore", under="ignore"):
        low = (2 / (np.pi * x)) ** 1.5 * np.pi * half * np.exp(-2 * half**2 / x)
        high = np.pi * half * np.exp(-(half**2) * np.pi**2 * x / 2)
    return np.where(x > _CUT, high, low)


def _accepted(x: Floats, rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Whether each proposal stays: partial sums are turn by turn above and below the density."""
    total = _term(0, x)
    level = rng.random(len(x)) * total
    answer = np.zeros(len(x), dtype=np.bool_)
    open_ = np.ones(len(x), dtype=np.bool_)
    n = 0
    while open_.any():
        n += 1
        term = _term(n, x)
        total = total - term if n % 2 else total + term
        decided = open_ & ((level <= total) if n % 2 else (level > total))
        answer[decided] = bool(n % 2)
        open_ &= ~decided
    return answer
