"""Whether a candidate loses less than a margin against a baseline on the same rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy import stats

from rmbench.metric_spec import MetricSpec, better_of, is_linear
from rmbench.metrics.paired.comparison import NO_CONTEXT, ComparisonContext, pair_rows
from rmbench.metrics.paired.difference import Differences, alike, discordance, no_spread, robust
from rmbench.metrics.uncertainty.discordance import n_for_non_inferiority, tango_variance, tango_z
from rmbench.types import Judged

__all__ = ["NonInferiority", "non_inferiority"]


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """Whether the candidate is worse by less than a margin, one-sided."""

    margin: float
    """A fraction, not percentage points."""
    alpha: float
    lower: float | None
    """One-sided limits of the gain at `alpha` each, a difference turned round where lower is better: non-inferior where
    lower > -margin, worse where upper < 0."""
    upper: float | None
    p: float | None
    """p of a loss of `margin` or more."""
    discordant_clusters: int
    psi: float
    n: int
    n_needed: int | None
    """Rows that would let an unchanged candidate pass with power .8 at this discordance (at least one row's) and this
    design effect (at least 1); None without credits."""


def _p_of_loss(of: Differences, margin: float) -> float:
    """One-sided p of a true loss of `margin` or more: Tango's, or t with CR1, never below Tango's null variance."""
    if of.tango:
        return float(stats.norm.sf(tango_z(*discordance(of), -margin)))
    variance, freedom = robust(of, of.clusters)
    if no_spread(variance, freedom):
        return float(stats.norm.sf(tango_z(*alike(of), -margin)))
    if of.binary and of.equal:
        variance = max(variance, tango_variance(*discordance(of), -margin))
    return float(stats.t.sf((of.mean + margin) / math.sqrt(variance), freedom))


def non_inferiority(
    a: Sequence[Judged],
    b: Sequence[Judged],
    spec: MetricSpec,
    *,
    margin: float,
    alpha: float = 0.05,
    seed: int = 0,
    resamples: int = 2000,
    context: ComparisonContext = NO_CONTEXT,
) -> NonInferiority:
    """Whether the candidate `b` loses less than `margin` (a fraction above 0) against the baseline `a`.

    The limits are those of `compare_rows` at level 1 - 2 alpha, so each is one-sided at `alpha`. Without credits
    p is the share of draws with a loss of `margin` or more.
    """
    if better_of(spec) == "lower":
        # What the baseline loses is what the candidate gains.
        a, b, context = b, a, replace(context, fit_a=context.fit_b, fit_b=context.fit_a)
    paired = pair_rows(a, b, spec, seed=seed, resamples=resamples, context=context)
    found = paired.compare(1 - 2 * alpha)
    p: float | None = None
    if paired.resampled is not None:
        draws = paired.resampled.draws
        lost = int((draws <= -margin).sum())
        p = (lost + 1) / (len(draws) + 1) if len(draws) else None
    elif paired.differences is not None:
        p = _p_of_loss(paired.differences, margin)
    needed: int | None = None
    if is_linear(spec) and found.n:
        effect = max(1.0, found.design_effect or 1.0)
        needed = n_for_non_inferiority(max(found.psi, 1 / found.n), margin, alpha, design_effect=effect)
    return NonInferiority(
        margin=margin,
        alpha=alpha,
        lower=found.low,
        upper=found.high,
        p=p,
        discordant_clusters=found.discordant_clusters,
        psi=found.psi,
        n=found.n,
        n_needed=needed,
    )
