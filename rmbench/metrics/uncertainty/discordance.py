"""Two models on the same independent rows, each right or wrong on each: Tango's score interval and McNemar's tests.

Notation: of n rows, b have the baseline right and the candidate wrong, c the reverse; m = b + c are discordant, psi =
m/n, and the difference is candidate minus baseline, (c - b)/n. b, c and n need not be whole in Tango's formulas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import optimize, stats

from rmbench.metrics.uncertainty.interval import wilson

__all__ = [
    "holm",
    "mcnemar",
    "mcnemar_worse",
    "minimum_detectable_effect",
    "n_for_non_inferiority",
    "newcombe_limits",
    "tango_limits",
    "tango_q",
    "tango_variance",
    "tango_z",
]


def tango_q(b: float, c: float, n: float, difference: float) -> float:
    """The restricted maximum-likelihood probability of (baseline right, candidate wrong) under `difference`.

    Tango 1998, Statistics in Medicine 17, 891-908.
    """
    w = (b + c) - (2 * n + b - c) * difference
    root = math.sqrt(max(w * w + 8 * n * b * difference * (1 - difference), 0.0))
    return max((w + root) / (4 * n), 0.0, -difference)


def tango_variance(b: float, c: float, n: float, difference: float) -> float:
    """The variance of the observed difference if the true one is `difference`."""
    return max(2 * tango_q(b, c, n, difference) + difference - difference**2, 0.0) / n


def tango_z(b: float, c: float, n: float, difference: float) -> float:
    """The score statistic for a true `difference`; at 0 its square is McNemar's chi-squared without correction.

    Non-inferiority with margin M: p = 1 - Phi(tango_z(b, c, n, -M)). Infinite where the variance is 0.
    """
    gap = (c - b) / n - difference
    variance = tango_variance(b, c, n, difference)
    if variance == 0:
        return math.copysign(math.inf, gap) if gap else 0.0
    return gap / math.sqrt(variance)


@lru_cache(maxsize=65_536)  # of a board many pairs of models differ on as many rows
def tango_limits(b: float, c: float, n: float, critical: float = 1.959963984540054) -> tuple[float, float]:
    """The differences whose score statistic is within +-`critical` (95%: 1.96); n > 0.

    With no discordant row they are +-critical^2/(n + critical^2), never a point.
    """
    observed = (c - b) / n

    def excess(difference: float) -> float:
        gap = abs(observed - difference)
        return gap - critical * math.sqrt(tango_variance(b, c, n, difference))

    # A step aside of the observed difference, where the excess may touch zero without being a limit.
    step = 1e-10
    low = -1.0 if observed - step <= -1 else float(optimize.brentq(excess, -1.0, observed - step, xtol=1e-13))
    high = 1.0 if observed + step >= 1 else float(optimize.brentq(excess, observed + step, 1.0, xtol=1e-13))
    return low, high


def newcombe_limits(a: int, b: int, c: int, d: int, corrected: bool = True) -> tuple[float, float]:
    """Newcombe's square-and-add 95% limits of the difference (method 10), a cross-check of Tango's.

    `a` rows have both models right and `d` both wrong. Newcombe 1998, Statistics in Medicine 17, 2635-2650; `corrected`
    shrinks a positive correlation of the two by n/2 in its numerator.
    """
    n = a + b + c + d
    p_base, p_cand = (a + b) / n, (a + c) / n
    low_base, high_base = wilson(a + b, n)
    low_cand, high_cand = wilson(a + c, n)
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    joint = float(a * d - b * c)
    if corrected and joint > 0:
        joint = max(joint - n / 2, 0.0)
    phi = joint / math.sqrt(margins) if margins else 0.0

    def root(x: float, y: float) -> float:
        return math.sqrt(max(x * x - 2 * phi * x * y + y * y, 0.0))

    difference = p_cand - p_base
    low = difference - root(p_cand - low_cand, high_base - p_base)
    high = difference + root(high_cand - p_cand, p_base - low_base)
    return low, high


def mcnemar(b: int, c: int) -> tuple[float, float]:
    """(exact, mid-p) two-sided p of no difference: c ~ Binomial(b + c, 1/2). Without discordant rows both are 1."""
    if b + c == 0:
        return 1.0, 1.0
    fewer = min(b, c)
    tail = 2 * float(stats.binom.cdf(fewer, b + c, 0.5))
    return min(1.0, tail), min(1.0, tail - float(stats.binom.pmf(fewer, b + c, 0.5)))


def mcnemar_worse(b: int, c: int) -> tuple[float, float]:
    """(exact, mid-p) one-sided p that the candidate is worse: the chance of c or fewer wins among b + c."""
    if b + c == 0:
        return 1.0, 1.0
    tail = float(stats.binom.cdf(c, b + c, 0.5))
    return tail, tail - float(stats.binom.pmf(c, b + c, 0.5)) / 2


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given: sorted, times k, k - 1, ..., 1, running maximum, at most 1."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = highest
    return adjusted


def n_for_non_inferiority(
    psi: float, margin: float, alpha: float = 0.05, power: float = 0.8, design_effect: float = 1.0
) -> int:
    """Rows that let an unchanged candidate pass with `power`, one-sided `alpha`: (z_alpha + z_power)^2 psi / margin^2,
    times the design effect of clusters.
    """
    z = float(stats.norm.ppf(1 - alpha) + stats.norm.ppf(power))
    return math.ceil(round(z * z * psi / margin**2 * design_effect, 6))


def minimum_detectable_effect(n: int, psi: float, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """The smallest difference found with `power` by a one-sided test at `alpha`; None where none can be.

    Solves n D^2 = (z_alpha sqrt(psi) + z_power sqrt(psi - D^2))^2 (Connor 1987); D cannot exceed psi. For a two-sided
    test pass half its alpha.
    """
    z_alpha, z_power = float(stats.norm.ppf(1 - alpha)), float(stats.norm.ppf(power))

    def shortfall(effect: float) -> float:
        spread = z_alpha * math.sqrt(psi) + z_power * math.sqrt(max(psi - effect**2, 0.0))
        return math.sqrt(n) * effect - spread

    return float(optimize.brentq(shortfall, 0.0, psi)) if psi > 0 and shortfall(psi) >= 0 else None
