"""The decision on one task, as a pure function of what the rows say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from rmbench.gate.policy import Policy
from rmbench.metrics.paired.comparison import Comparison
from rmbench.metrics.uncertainty.discordance import n_for_non_inferiority

__all__ = ["SEVERITY", "Decision", "Verdict", "decide", "rows_needed", "worst"]

Verdict = Literal["pass", "regression", "inconclusive", "broken"]
SEVERITY: tuple[Verdict, ...] = ("pass", "inconclusive", "regression", "broken")
"""Mildest first."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, and why."""

    verdict: Verdict
    reason: str
    n_needed: int | None = None
    """Of an inconclusive task: rows with which an unchanged candidate would pass with power .8; None where the rows at
    hand do not tell."""


def decide(found: Comparison, policy: Policy, *, identical: bool = False) -> Decision:
    """The three-way verdict on a comparison made at level 1 - 2 alpha, so that each limit is one-sided at alpha.

    - pass: the lower limit is above minus the margin, or both models judged every row alike.
    - regression: else, the upper limit is below 0.
    - inconclusive: else; and where the clusters with a discordant row are fewer than `min_discordant_clusters`. Where
      rows are independent each is a cluster. If their credits are 0 or 1 as well, Tango's lower limit holds with few
      discordant rows and even none, so a pass stands; its upper limit would make an alarm of three lost rows against
      none (p .125 by the exact test), so a regression does not. A variance from few clusters supports neither.
    """
    if identical:
        return Decision("pass", "identical: both models judged every row alike")
    if found.low is None or found.high is None:
        return Decision("inconclusive", "the rows leave no spread to make an interval from")
    few = _few(found, policy)
    safe = found.low > -policy.margin
    if safe and (not few or found.method == "tango"):
        return Decision("pass", _passed(found, policy))
    worse = found.high < 0 and not safe
    if worse and not few:
        return Decision("regression", "worse: the upper limit is below 0")
    needed = rows_needed(found, policy)
    if few and (worse or found.method != "tango"):
        return Decision("inconclusive", few, needed)
    return Decision("inconclusive", f"a loss of {policy.points} is neither shown nor excluded", needed)


def rows_needed(found: Comparison, policy: Policy) -> int | None:
    """Rows with which an unchanged candidate would pass with power .8 at this spread, clusters allowed for."""
    if found.method == "cluster-bootstrap":
        if found.low is None or found.high is None:
            return None
        z = float(stats.norm.ppf(1 - policy.alpha))
        error = (found.high - found.low) / (2 * z)
        return math.ceil(found.n * ((z + float(stats.norm.ppf(0.8))) * error / policy.margin) ** 2)
    if not found.n:
        return None
    rows = n_for_non_inferiority(max(found.psi, 1 / found.n), policy.margin, policy.alpha)
    return math.ceil(rows * max(1.0, found.design_effect or 1.0))


def worst(verdicts: list[Verdict]) -> Verdict:
    """The most severe of at least one."""
    return max(verdicts, key=SEVERITY.index)


def _few(found: Comparison, policy: Policy) -> str:
    """Why the clusters are too few, or ""."""
    least = policy.min_discordant_clusters
    if found.method == "cluster-bootstrap":
        # A correlation has no discordant rows; its resampling has the clusters.
        return f"only {found.clusters} clusters, of the {least} that a verdict needs" if found.clusters < least else ""
    there = found.discordant_clusters
    what, needs = ("rows", "regression") if found.method == "tango" else ("clusters", "verdict")
    return f"only {there} discordant {what}, of the {least} that a {needs} needs" if there < least else ""


def _passed(found: Comparison, policy: Policy) -> str:
    within = f"any loss is under {policy.points}"
    if found.high is not None and found.high < 0:
        return f"{within}, though there is one: the upper limit is below 0"
    return within
