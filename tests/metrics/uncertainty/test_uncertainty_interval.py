"""Intervals against published tables, scipy, statsmodels and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from rmbench.metric_spec import Level
from rmbench.metrics.uncertainty.aggregate import nest
from rmbench.metrics.uncertainty.interval import (
    bootstrap_interval,
    cr1,
    effective,
    linear_interval,
    percentile,
    resample_counts,
    wilson,
)
from tests._make import make_row

WILSON = [
    (81, 100, 0.722212, 0.874852),
    (10, 10, 0.722467, 1),
    (0, 10, 0, 0.277533),
    (225, 358, 0.577321, 0.676934),
    (2700, 2985, 0.893454, 0.914551),
]
SIZES = (3, 3, 2, 4, 1, 2)
D = np.array([-1, -1, 0, 0, 1, 0, -1, 0, 0, 0, -1, -1, 1, 0, -1], dtype=float)
CLUSTERS = np.repeat(np.arange(6), SIZES)


def rng():
    return np.random.default_rng(0)


def rows(groups, weights=None):
    weights = weights or [1.0] * len(groups)
    each = enumerate(zip(groups, weights, strict=True))
    return [make_row(str(k), edges=(), groups={"g": group}, weight=weight) for k, (group, weight) in each]


def flat(n):
    return nest(rows(["a"] * n), ())


@pytest.mark.parametrize("k, n, low, high", WILSON)
def test_wilson_published(k, n, low, high):
    assert wilson(k, n) == (pytest.approx(low, abs=5e-7), pytest.approx(high, abs=5e-7))
    assert wilson(k, n) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-12)
    theirs = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_ends_are_exact():
    assert wilson(0, 7)[0] == 0.0
    assert math.copysign(1, wilson(0, 7)[0]) == 1
    assert wilson(7, 7)[1] == 1.0


def test_cr1_published():
    error, groups = cr1(D, CLUSTERS)
    assert D.mean() == pytest.approx(-0.266667, abs=5e-7)
    assert (error, groups) == (pytest.approx(0.201211, abs=5e-7), 6)
    assert error * math.sqrt(5 / 6) == pytest.approx(0.183680, abs=5e-7)  # CR0
    normal = D.mean() + stats.norm.ppf(0.975) * error * np.array([-1, 1])
    assert normal == pytest.approx([-0.661033, 0.127700], abs=5e-7)
    half = stats.t.ppf(0.975, 5) * error
    assert (D.mean() - half, D.mean() + half) == (pytest.approx(-0.783896, abs=5e-7), pytest.approx(0.250563, abs=5e-7))
    assert 2 * stats.t.sf(abs(D.mean()) / error, 5) == pytest.approx(0.242397, abs=5e-7)


def test_cr1_with_singleton_clusters_is_the_plain_standard_error():
    assert cr1(D, np.arange(15))[0] == pytest.approx(D.std(ddof=1) / math.sqrt(15))
    assert D.std(ddof=1) / math.sqrt(15) == pytest.approx(0.181703, abs=5e-7)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 4), st.floats(-1, 1)), min_size=3, max_size=25))
def test_cr1_is_statsmodels(pairs):
    clusters, values = np.array([g for g, _ in pairs]), np.array([d for _, d in pairs])
    if len(np.unique(clusters)) < 2:
        assert math.isnan(cr1(values, clusters)[0])
        return
    fit = OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    assert cr1(values, clusters)[0] == pytest.approx(fit.bse[0], abs=1e-9)


def test_effective_clusters():
    assert effective(np.full(8, 1 / 8), np.arange(8)) == pytest.approx(8)
    assert effective(np.full(8, 1 / 8), np.repeat([0, 1], 4)) == pytest.approx(2)
    assert effective(np.array([0.5, 0.25, 0.25]), np.arange(3)) == pytest.approx(1 / 0.375)


def test_which_interval():
    binary = np.array([1.0, 0, 1, 1, 0, 1, 1, 0])
    assert linear_interval(binary, flat(8), np.arange(8)).method == "wilson"
    assert linear_interval(binary, flat(8), np.repeat(np.arange(4), 2)).method == "wilson-cr2"
    assert linear_interval(binary / 2, flat(8), np.arange(8)).method == "wilson-cr2"
    assert linear_interval(binary, nest(rows("aaaaaabb"), (Level("g"),)), np.arange(8)).method == "wilson-cr2"
    assert linear_interval(binary, flat(8), np.arange(8), None, None).method == "t-cr2"


def test_values_beyond_the_range_of_their_rule_have_an_interval_around_them():
    """Ratings from 1 to 5 under a rule of [0, 1]: the value lies between its limits."""
    ratings = np.array([1.0, 5, 3, 2, 4, 4])
    got = linear_interval(ratings, flat(6), np.arange(6))
    half = stats.t.ppf(0.975, 5) * ratings.std(ddof=1) / math.sqrt(6)
    assert (got.low, got.high) == pytest.approx((ratings.mean() - half, ratings.mean() + half))
    assert got.method == "t-cr2"


def test_a_mean_of_correlations_has_limits_within_minus_one_and_one():
    values = np.array([1.0, 1, 1, 0.8, 1, 1])
    got = linear_interval(values, flat(6), np.arange(6), -1.0, 1.0)
    assert values.mean() + stats.t.ppf(0.975, 5) * values.std(ddof=1) / math.sqrt(6) > 1
    assert 0 < got.low < values.mean() < got.high < 1
    same = linear_interval(np.ones(6), flat(6), np.arange(6), -1.0, 1.0)
    assert (same.high, same.method) == (1.0, "wilson-effective")
    assert same.low == pytest.approx(2 * wilson(6, 6)[0] - 1)


@pytest.mark.parametrize(
    "values, clusters",
    [
        ([1.0], [0]),
        ([0.5], [0]),
        ([1.0] * 6, [0, 0, 1, 1, 2, 2]),
        ([0.5] * 6, [0, 1, 2, 3, 4, 5]),
        ([1.0, 0.0, 1.0], [0, 0, 0]),
        ([1.0, 0.0, 1.0, 0.0], [0, 0, 1, 1]),
    ],
)
def test_without_spread_the_interval_is_wide_not_a_point(values, clusters):
    """One row, one cluster, rows or clusters that are all alike: Wilson over the clusters."""
    got = linear_interval(np.array(values), flat(len(values)), np.array(clusters))
    groups = len(set(clusters))
    assert (got.low, got.high) == pytest.approx(wilson(np.mean(values) * groups, groups))
    assert got.high - got.low > 0.2


def test_an_oracle_under_unequal_weights_has_no_certain_interval():
    nested = nest(rows("aaaaaabb"), (Level("g"),))
    got = linear_interval(np.ones(8), nested, np.arange(8))
    assert (got.high, got.method) == (1.0, "wilson-effective")
    assert got.low < 0.75


def test_leaves_of_one_row_have_a_wide_interval():
    """Within leaves of one row nothing could vary: they are held against the aggregate."""
    nested = nest(rows("abcdefgg"), (Level("g"),))
    values = np.array([1, 0, 1, 0, 1, 1, 0, 1.0])
    got = linear_interval(values, nested, np.arange(8))
    assert got.method == "wilson-cr2"
    assert got.high - got.low > 0.4


def test_resample_counts_blocks_do_not_change_the_draws(monkeypatch):
    whole = np.concatenate([counts for _, counts in resample_counts(7, 50, rng())])
    monkeypatch.setattr("rmbench.metrics.uncertainty.interval._CELLS", 20)
    blocks = [counts for _, counts in resample_counts(7, 50, rng())]
    assert len(blocks) > 1
    assert np.array_equal(np.concatenate(blocks), whole)
    assert (whole.sum(axis=1) == 7).all()


def test_percentile_limits_are_quantiles_of_a_bootstrap():
    """b 25, c 10, n 358 (scipy, 9,999 resamples): se .016359, percentile limits -.07542, -.01117."""
    d = np.repeat([-1.0, 1.0, 0.0], [25, 10, 323])
    draws = np.concatenate([counts @ d / 358 for _, counts in resample_counts(358, 9999, rng())])
    assert draws.std() == pytest.approx(0.016359, rel=0.03)
    assert percentile(draws) == pytest.approx((-0.07542, -0.01117), abs=2 / 358)


def test_bootstrap_interval_is_t_of_the_draws_spread():
    draws = np.random.default_rng(4).normal(0.6, 0.05, 4000)
    got = bootstrap_interval(0.6, draws, 9)
    half = stats.t.ppf(0.975, 8) * draws.std(ddof=1) * math.sqrt(9 / 8)
    assert (got.low, got.high, got.method) == (pytest.approx(0.6 - half), pytest.approx(0.6 + half), "t-bootstrap")
    bounded = bootstrap_interval(0.6, draws, 9, 1, -1.0, 1.0)
    assert bounded.method == "wilson-bootstrap"
    assert -1 < bounded.low < 0.6 < bounded.high < 1


@pytest.mark.parametrize(
    "draws, clusters", [([0.5] * 50, 9), ([0.1, 0.2] * 40 + [math.nan] * 20, 9), ([0.1, 0.2] * 9, 1)]
)
def test_no_interval_without_spread_defined_draws_or_clusters(draws, clusters):
    assert bootstrap_interval(0.5, np.array(draws), clusters).low is None


def test_percentile_needs_defined_draws():
    draws = np.array([0.1] * 80 + [math.nan] * 20)
    assert percentile(draws) is None
    assert percentile(np.append(np.linspace(0, 1, 99), math.nan)) == pytest.approx((0.025, 0.975))
    assert percentile(np.zeros(0)) is None


def test_two_clusters_have_t_of_one_degree():
    """Means .2 and .8 of two equal clusters: standard error .3, and t of .975 with one degree is 12.7062."""
    values, clusters = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9]), np.repeat([0, 1], 3)
    got = linear_interval(values, flat(6), clusters, None, None)
    half = 12.706204736432095 * 0.3
    assert (got.low, got.high, got.method) == (pytest.approx(0.5 - half), pytest.approx(0.5 + half), "t-cr2")
