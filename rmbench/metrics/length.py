"""A model's accuracy on pairs against the lengths of their answers.

The length-controlled accuracy answers: how often would the model be right if both answers were equally long? As
AlpacaEval 2 does for win rates (Dubois et al. 2024, arXiv 2404.04475), a logistic regression explains the outcome by
the difference of lengths and is read where that is 0:

    P(right) = sigmoid(a + b z),   z = (length of the answer that people prefer - length of the other) / SD

with SD the standard deviation of the differences; the accuracy is sigmoid(a). Unlike AlpacaEval's it has one model and
gold labels, so that there are no terms of a model or an instruction, and z is not bounded by tanh. b > 0: the model is
right more often where the preferred answer is the longer one. Limits are cluster-robust (CR1, with t of G - 1 degrees
of freedom) on the scale of a and b.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats
from scipy.special import expit

from rmbench.metrics.uncertainty.aggregate import Floats, Ints
from rmbench.metrics.uncertainty.sample import table_of

__all__ = ["Coefficient", "LengthFit", "length_controlled"]


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A fitted number with its 95% limits; None with a single cluster."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class LengthFit:
    """What the regression says."""

    accuracy: Coefficient
    """sigmoid(a): the share of right pairs where both answers are equally long."""
    slope: Coefficient
    """b: the change in the log-odds of being right for one SD more of the preferred answer's length."""
    unit: float
    """SD, in units of the lengths."""


def length_controlled(right: Floats, differences: Floats, cluster: Ints) -> LengthFit | str:
    """The fit of outcomes `right` [n], 0 or 1, on `differences` [n] of lengths; a clause that says why where there is
    none. `cluster` [n] numbers the clusters from 0."""
    unit = float(differences.std())
    if not unit:
        return "all pairs have the same difference of lengths"
    if right.min() == right.max():
        return f"every pair is {'right' if right[0] else 'wrong'}"
    z = differences / unit
    if _separated(right, z):
        return "the difference of lengths alone tells right pairs from wrong ones"
    design = np.stack([np.ones_like(z), z], axis=1)

    def loss(beta: Floats) -> tuple[float, Floats]:
        eta = design @ beta
        return float((np.logaddexp(0.0, eta) - right * eta).mean()), design.T @ (expit(eta) - right) / len(right)

    def curvature(beta: Floats) -> Floats:
        p = expit(design @ beta)
        return np.asarray((design * (p * (1 - p))[:, None]).T @ design / len(right))

    found = optimize.minimize(loss, np.zeros(2), jac=True, hess=curvature, method="trust-exact", tol=1e-12)
    a, b = (float(each) for each in found.x)
    errors = _errors(design * (expit(design @ found.x) - right)[:, None], curvature(found.x) * len(right), cluster)
    if errors is None:
        return LengthFit(Coefficient(float(expit(a)), None, None), Coefficient(b, None, None), unit)
    (low_a, high_a), (low_b, high_b) = ((each - half, each + half) for each, half in zip((a, b), errors, strict=True))
    accuracy = Coefficient(float(expit(a)), float(expit(low_a)), float(expit(high_a)))
    return LengthFit(accuracy, Coefficient(b, low_b, high_b), unit)


def _separated(right: Floats, z: Floats) -> bool:
    """Whether a value of z parts right pairs from wrong ones, up to equals, so that no finite fit is best."""
    good, bad = z[right == 1], z[right == 0]
    return bool(good.min() >= bad.max() or bad.min() >= good.max())


def _errors(scores: Floats, information: Floats, cluster: Ints) -> list[float] | None:
    """Half the width of the 95% limits of each coefficient, by the sandwich of `scores` [n, 2]; None of one cluster."""
    groups = int(cluster.max()) + 1
    if groups < 2:
        return None
    sums = table_of(cluster, groups, scores)
    inverse = np.linalg.inv(information)
    variance = groups / (groups - 1) * inverse @ (sums.T @ sums) @ inverse
    t = float(stats.t.ppf(0.975, groups - 1))
    return [t * math.sqrt(max(float(each), 0.0)) for each in np.diagonal(variance)]
