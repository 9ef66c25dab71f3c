"""The length-controlled accuracy against statsmodels' logistic regression."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from statsmodels.discrete.discrete_model import Logit

from rmbench.metrics.length import LengthFit, length_controlled


def simulated(n: int, a: float, b: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, differences of lengths and clusters of two."""
    rng = np.random.default_rng(seed)
    differences = np.round(rng.normal(30, 200, n))
    right = (rng.random(n) < expit(a + b * differences / differences.std())).astype(float)
    return right, differences, np.arange(n) // 2


@pytest.mark.parametrize("a, b", [(1.0, 0.8), (-0.3, 0.0), (0.2, -1.5)])
def test_it_is_the_logit_of_statsmodels(a: float, b: float) -> None:
    right, differences, cluster = simulated(600, a, b)
    z = differences / differences.std()
    fit = Logit(right, np.stack([np.ones_like(z), z], axis=1)).fit(
        disp=0, tol=1e-12, cov_type="cluster", cov_kwds={"groups": cluster, "use_correction": False}
    )
    groups = 300
    half = stats.t.ppf(0.975, groups - 1) * fit.bse * math.sqrt(groups / (groups - 1))
    found = length_controlled(right, differences, cluster)
    assert isinstance(found, LengthFit)
    assert found.unit == pytest.approx(differences.std())
    assert found.accuracy.value == pytest.approx(expit(fit.params[0]), abs=1e-7)
    assert [found.accuracy.low, found.accuracy.high] == pytest.approx(
        [expit(fit.params[0] - half[0]), expit(fit.params[0] + half[0])], abs=1e-7
    )
    assert found.slope.value == pytest.approx(fit.params[1], abs=1e-6)
    assert [found.slope.low, found.slope.high] == pytest.approx(
        [fit.params[1] - half[1], fit.params[1] + half[1]], abs=1e-6
    )


def test_a_model_that_likes_length_is_worse_at_equal_length() -> None:
    """Right whenever the preferred answer is longer, and a coin otherwise: without length it is no better than that."""
    right, differences, cluster = simulated(4000, 0.0, 2.0)
    found = length_controlled(right, differences, cluster)
    assert isinstance(found, LengthFit)
    assert found.accuracy.low < 0.5 < found.accuracy.high
    assert found.slope.low > 1
    assert right.mean() > 0.53


@pytest.mark.parametrize(
    "right, differences, why",
    [
        ([1, 0, 1], [5, 5, 5], "all pairs have the same difference"),
        ([1, 1, 1], [1, 2, 3], "every pair is right"),
        ([0, 0, 0], [1, 2, 3], "every pair is wrong"),
        ([1, 1, 0, 0], [9, 8, 2, 1], "alone tells right pairs from wrong"),
        ([0, 1, 0, 1], [1, 1, 0, 2], "alone tells right pairs from wrong"),
        ([0, 0, 1], [9, 8, 1], "alone tells right pairs from wrong"),
    ],
)
def test_there_is_no_fit_without_a_finite_best_one(right: list[float], differences: list[float], why: str) -> None:
    found = length_controlled(np.array(right, float), np.array(differences, float), np.arange(len(right)))
    assert isinstance(found, str)
    assert why in found


def test_one_cluster_has_no_interval() -> None:
    right, differences, _ = simulated(60, 0.5, 0.5)
    found = length_controlled(right, differences, np.zeros(60, dtype=int))
    assert isinstance(found, LengthFit)
    assert found.accuracy.low is None
    assert found.slope.high is None
    assert 0 < found.accuracy.value < 1
