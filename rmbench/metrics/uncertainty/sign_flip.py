"""The sign-flip test: is the sum of paired differences more than flipping whole clusters would give?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rmbench.metrics.uncertainty.aggregate import Floats

__all__ = ["sign_flip"]

_EXACT = 20
"""Up to this many non-zero sums every flip is enumerated."""
_CELLS = 1_000_000


def _all_flips(sums: Floats) -> Floats:
    totals = np.zeros(1)
    for one in sums:
        totals = np.concatenate([totals + one, totals - one])
    return totals


def _random_flips(sums: Floats, flips: int, rng: np.random.Generator) -> Iterator[Floats]:
    step = max(1, _CELLS // len(sums))
    for start in range(0, flips, step):
        signs = rng.integers(0, 2, size=(min(step, flips - start), len(sums))) * 2.0 - 1.0
        yield signs @ sums


def sign_flip(sums: Floats, rng: np.random.Generator, flips: int = 9_999) -> tuple[float, float]:
    """(p, mid-p) two-sided that cluster `sums` [G] of differences have no direction.

    p is the share of flips whose absolute total reaches the observed one, exact for at most 20 sums that are not 0,
    else (hits + 1)/(flips + 1); the mid-p takes off half the share that equals it. With clusters of one row and
    differences of -1, 0, 1 it is McNemar's exact test. Without a sum that is not 0 both are 1.
    """
    sums = sums[sums != 0]
    if not len(sums):
        return 1.0, 1.0
    observed = abs(float(sums.sum()))
    # Equal in exact arithmetic, apart by the rounding of the sums.
    slack = 1e-9 * float(np.abs(sums).sum())
    exact = len(sums) <= _EXACT
    hits = ties = 0 if exact else 1
    drawn = 0 if exact else 1
    for totals in [_all_flips(sums)] if exact else _random_flips(sums, flips, rng):
        reached = np.abs(totals)
        hits += int((reached >= observed - slack).sum())
        ties += int((np.abs(reached - observed) <= slack).sum())
        drawn += len(totals)
    return hits / drawn, (hits - ties / 2) / drawn
