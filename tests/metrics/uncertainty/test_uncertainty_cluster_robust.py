"""The cluster-robust variance against dense linear algebra, and limits against their equation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats

from rmbench.metric_spec import Level
from rmbench.metrics.uncertainty.aggregate import nest
from rmbench.metrics.uncertainty.cluster_robust import RobustError, bounded_limits, robust_error
from rmbench.types import Gold, Judged, Judgment


def rows_of(leaves, clusters, weights=None):
    weights = [1.0] * len(leaves) if weights is None else weights
    return [
        Judged(str(k), 2, Gold(), Judgment(str(k)), {"g": str(leaf)}, str(cluster), weight)
        for k, (leaf, cluster, weight) in enumerate(zip(leaves, clusters, weights, strict=True))
    ]


def dense(values, leaves, clusters, correlation):
    """Bell and McCaffrey by matrices: OLS on leaf dummies, (I - H_gg)^(-1/2), and the traces of Satterthwaite."""
    x = (leaves[:, None] == np.unique(leaves)[None]).astype(float)
    contrast = np.full(x.shape[1], 1 / x.shape[1])
    bread = np.linalg.inv(x.T @ x)
    hat = x @ bread @ x.T
    residual = np.eye(len(values)) - hat
    groups = [np.flatnonzero(clusters == code) for code in np.unique(clusters)]
    terms = []
    for rows in groups:
        block = np.eye(len(rows)) - hat[np.ix_(rows, rows)]
        root = linalg.sqrtm(np.linalg.pinv(block)).real
        terms.append(contrast @ bread @ x[rows].T @ root @ residual[rows])
    b = np.array(terms)
    variance = float(np.sum((b @ values) ** 2))
    same = clusters[:, None] == clusters[None]
    omega = (1 - correlation) * np.eye(len(values)) + correlation * same
    m = b @ omega @ b.T
    return variance, np.trace(m) ** 2 / np.trace(m @ m)


CASES = {
    "one leaf, unequal clusters": ([0] * 12, [0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 3, 4]),
    "two leaves": ([0] * 6 + [1] * 8, [0, 0, 1, 1, 1, 2, 3, 3, 3, 3, 4, 5, 6, 6]),
    "single rows": ([0] * 4 + [1] * 9, list(range(13))),
}


@pytest.mark.parametrize("name", CASES)
def test_variance_and_degrees_are_those_of_dense_algebra(name, monkeypatch):
    leaves, clusters = map(np.array, CASES[name])
    values = np.random.default_rng(1).random(len(leaves))
    nested = nest(rows_of(leaves, clusters), (Level("g"),))
    for correlation in (0.0, 0.4, 1.0):
        monkeypatch.setattr(
            "rmbench.metrics.uncertainty.cluster_robust._correlation", lambda *_, value=correlation: value
        )
        got = robust_error(values, nested, clusters)
        variance, degrees = dense(values, leaves, clusters, correlation)
        assert got.variance == pytest.approx(variance, rel=1e-9)
        assert got.degrees == pytest.approx(degrees, rel=1e-9)


def test_single_rows_of_one_leaf_give_the_plain_standard_error():
    values = np.random.default_rng(2).random(20)
    got = robust_error(values, nest(rows_of([0] * 20, range(20)), ()), np.arange(20))
    assert got.variance == pytest.approx(values.var(ddof=1) / 20)
    assert got.degrees == pytest.approx(19)


def test_weights_of_rows_are_repetitions_within_a_cluster():
    """A row of weight 3 in a cluster counts as three equal rows of that cluster do."""
    values, clusters = np.array([0.2, 0.9, 0.4, 0.6, 0.1]), np.array([0, 0, 1, 2, 3])
    weights = [3.0, 1.0, 2.0, 1.0, 2.0]
    times = np.array([3, 1, 2, 1, 2])
    weighted = robust_error(values, nest(rows_of([0] * 5, clusters, weights), ()), clusters)
    repeated = np.repeat(clusters, times)
    plain = robust_error(np.repeat(values, times), nest(rows_of([0] * 9, repeated), ()), repeated)
    assert weighted.variance == pytest.approx(plain.variance)


def test_a_leaf_of_one_cluster_is_held_against_the_aggregate():
    leaves, clusters = np.array([0] * 6 + [1]), np.arange(7)
    values = np.array([0.5, 0.6, 0.4, 0.5, 0.6, 0.4, 1.0])
    got = robust_error(values, nest(rows_of(leaves, clusters), (Level("g"),)), clusters)
    inner = values[:6].var(ddof=1) / 6
    assert got.variance == pytest.approx(0.25 * inner + (0.5 * (1.0 - 0.75)) ** 2)


def test_clusters_that_cross_leaves_are_one_stratum():
    leaves, clusters = np.array([0, 1] * 5), np.repeat(np.arange(5), 2)
    values = np.random.default_rng(3).random(10)
    got = robust_error(values, nest(rows_of(leaves, clusters), (Level("g"),)), clusters)
    residual = values - np.where(leaves == 0, values[leaves == 0].mean(), values[leaves == 1].mean())
    sums = np.array([residual[clusters == g].sum() / 10 for g in range(5)])
    assert got.variance == pytest.approx(np.sum(sums**2) * 5 / 4)
    assert got.degrees == pytest.approx(4)


@settings(deadline=None, max_examples=60)
@given(st.floats(-0.98, 0.98), st.floats(1e-6, 0.2), st.floats(1, 200))
def test_limits_solve_their_equation(mean, variance, degrees):
    """(mean - limit)^2 = t^2 x the variance that the limit would have at the same effective rows."""
    low, high = bounded_limits(mean, RobustError(variance, degrees), -1.0, 1.0)
    assert -1 <= low < mean < high <= 1
    t = stats.t.ppf(0.975, degrees)
    for limit in (low, high):
        there = variance * (1 - limit**2) / (1 - mean**2)
        assert (mean - limit) ** 2 == pytest.approx(t * t * there, rel=1e-6, abs=1e-9)


def test_limits_at_a_normal_quantile_are_wilsons():
    low, high = bounded_limits(0.81, RobustError(0.81 * 0.19 / 100, 1e9), 0.0, 1.0)
    assert (low, high) == (pytest.approx(0.722212, abs=5e-7), pytest.approx(0.874852, abs=5e-7))


def test_degrees_are_those_at_the_correlation_that_analysis_of_variance_estimates():
    """One-way layout of unequal clusters: (MSB - MSW) / (MSB + (n0 - 1) MSW), by a plain loop."""
    clusters = np.repeat(np.arange(5), [5, 2, 3, 4, 2])
    generator = np.random.default_rng(7)
    values = generator.normal(size=5)[clusters] + generator.normal(size=16)
    groups = [values[clusters == code] for code in range(5)]
    between = sum(len(of) * (of.mean() - values.mean()) ** 2 for of in groups) / 4
    within = sum(((of - of.mean()) ** 2).sum() for of in groups) / (16 - 5)
    assert between / within == pytest.approx(stats.f_oneway(*groups).statistic)
    size = (16 - sum(len(of) ** 2 for of in groups) / 16) / 4
    correlation = (between - within) / (between + (size - 1) * within)
    assert 0.2 < correlation < 0.8
    got = robust_error(values, nest(rows_of([0] * 16, clusters), ()), clusters)
    _, degrees = dense(values, np.zeros(16), clusters, correlation)
    assert got.degrees == pytest.approx(degrees, rel=1e-9)
