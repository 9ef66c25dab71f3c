"""The decision on one task, as a pure function of its comparison; the outcome and the exit code of several."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from scipy import optimize, stats

from rmbench.gate.policy import Policy
from rmbench.metrics.paired.comparison import Comparison
from rmbench.metrics.uncertainty.discordance import n_for_non_inferiority, tango_variance

__all__ = ["Decision", "Outcome", "decidable_margin", "decide", "exit_code", "rows_needed", "worst"]

Outcome = Literal["pass", "regression", "inconclusive", "broken"]
_SEVERITY: tuple[Outcome, ...] = ("pass", "inconclusive", "regression", "broken")
"""Mildest first."""
_POWER = 0.8
_EXIT_CODES: dict[Outcome, int] = {"pass": 0, "regression": 1, "inconclusive": 2, "broken": 3}


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome and its reason."""

    verdict: Outcome
    reason: str
    n_needed: int | None = None
    """Of an inconclusive task: rows with which an unchanged candidate would pass with power .8; None where the present
    rows do not determine it."""


def decide(comparison: Comparison, policy: Policy, *, identical: bool = False) -> Decision:
    """The outcome of a comparison at level 1 - 2 alpha, so that each limit is one-sided at alpha.

    The limits are those of the gain: of a metric of which lower is better they are turned round.

    - pass: the lower limit is above minus the margin, or both models judged every row alike.
    - regression: else, the upper limit is below 0.
    - inconclusive: else; and where the clusters with a discordant row are fewer than `min_discordant_clusters`. Where
      rows are independent each is a cluster. If their credits are 0 or 1 as well, Tango's lower limit holds with few
      discordant rows and even none, so a pass stands; its upper limit would make an alarm of three lost rows against
      none (p .125 by the exact test), so a regression does not. A variance from few clusters supports neither.
    """
    if identical:
        return Decision("pass", "identical: both models judged every row alike")
    if comparison.better == "neither":
        return Decision("inconclusive", "the metric has no better direction, and the two models differ")
    gain = comparison.gain
    if gain is None:
        return Decision("inconclusive", "the rows leave no spread to make an interval from")
    low, high = gain
    few = _few(comparison, policy)
    safe = low > -policy.margin
    if safe and (not few or comparison.method == "tango"):
        return Decision("pass", _passed(comparison, policy))
    worse = high < 0 and not safe
    if worse and not few:
        return Decision("regression", f"worse: {_wholly_worse(comparison)}")
    needed = rows_needed(comparison, policy)
    if few and (worse or comparison.method != "tango"):
        return Decision("inconclusive", few, needed)
    return Decision("inconclusive", f"a loss of {policy.points} is neither shown nor excluded", needed)


def rows_needed(comparison: Comparison, policy: Policy) -> int | None:
    """Rows with which an unchanged candidate would pass with power .8 at this spread, clusters allowed for."""
    if comparison.method == "cluster-bootstrap":
        if comparison.low is None or comparison.high is None:
            return None
        z = float(stats.norm.ppf(1 - policy.alpha))
        error = (comparison.high - comparison.low) / (2 * z)
        return math.ceil(comparison.n * ((z + float(stats.norm.ppf(_POWER))) * error / policy.margin) ** 2)
    if not comparison.n:
        return None
    rows = n_for_non_inferiority(max(comparison.psi, 1 / comparison.n), policy.margin, policy.alpha, _POWER)
    return math.ceil(rows * max(1.0, comparison.design_effect or 1.0))


def decidable_margin(comparison: Comparison, policy: Policy) -> float | None:
    """The smallest margin, as a fraction of the metric, under which these rows let an unchanged candidate pass with
    power .8; None where they decide none below 1.

    Of independent rows it solves M = z_alpha sqrt(V(-M)) + z_power sqrt(psi/n), V being Tango's variance where the true
    difference is -M and psi at least one row's; else the standard error is that of the limits.
    """
    gain, n = comparison.gain, comparison.n
    if gain is None or (comparison.method != "tango" and _few(comparison, policy)):
        return None
    z_alpha, z_power = float(stats.norm.ppf(1 - policy.alpha)), float(stats.norm.ppf(_POWER))
    if comparison.method != "tango" or comparison.clusters < n:
        half = (gain[1] - gain[0]) / 2
        margin = half + z_power * half / z_alpha
        return margin if margin < 1 else None
    psi = max(comparison.psi, 1 / n)

    def excess(margin: float) -> float:
        tolerance = z_alpha * math.sqrt(tango_variance(n * psi / 2, n * psi / 2, n, -margin))
        return margin - tolerance - z_power * math.sqrt(psi / n)

    return float(optimize.brentq(excess, 0.0, 1.0)) if excess(1.0) > 0 else None


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The most severe of at least one."""
    return max(outcomes, key=_SEVERITY.index)


def exit_code(outcome: Outcome, policy: Policy) -> int:
    """0 pass, 1 regression, 2 inconclusive (0 where the policy says so), 3 broken."""
    if outcome == "inconclusive" and policy.inconclusive == "pass":
        return 0
    return _EXIT_CODES[outcome]


def _few(comparison: Comparison, policy: Policy) -> str:
    """Why the clusters are too few, or ""."""
    least = policy.min_discordant_clusters
    if comparison.method == "cluster-bootstrap":
        # A correlation has no discordant rows; its resampling has the clusters.
        count, unit, needs = comparison.clusters, "clusters", "a decision"
    elif comparison.method == "tango":
        count, unit, needs = comparison.discordant_clusters, "discordant rows", "a regression"
    else:
        count, unit, needs = comparison.discordant_clusters, "discordant clusters", "a decision"
    return f"only {count} {unit}, and {needs} needs {least}" if count < least else ""


def _passed(comparison: Comparison, policy: Policy) -> str:
    within = f"any loss is under {policy.points}"
    if comparison.gain is not None and comparison.gain[1] < 0:
        return f"{within}, though there is one: {_wholly_worse(comparison)}"
    return within


def _wholly_worse(comparison: Comparison) -> str:
    return "the lower limit is above 0" if comparison.better == "lower" else "the upper limit is below 0"
