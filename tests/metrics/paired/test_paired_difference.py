"""Limits and design effects of paired differences whose rows are weighted or clustered, by statsmodels and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import WLS

from rmbench.metric_spec import Level, MetricSpec
from rmbench.metrics.paired.comparison import compare_rows, pair_rows
from rmbench.metrics.paired.difference import differences, no_spread
from rmbench.metrics.paired.non_inferiority import non_inferiority
from rmbench.metrics.uncertainty.discordance import mcnemar, tango_limits
from rmbench.types import Judged
from tests._make import make_row

PAIR = MetricSpec("accuracy", "pair")
Z = 1.959963984540054


def pairs(d, clusters=None, weights=None, groups=None) -> tuple[list[Judged], list[Judged]]:
    """Both sides of rows whose credits differ by `d`: -1 lost, 1 won, 0 right twice."""

    def side(wrong: int) -> list[Judged]:
        return [
            make_row(
                str(k),
                (0.0, 1.0) if x == wrong else (1.0, 0.0),
                cluster="" if clusters is None else str(clusters[k]),
                weight=1.0 if weights is None else float(weights[k]),
                groups={} if groups is None else {"g": groups[k]},
            )
            for k, x in enumerate(d)
        ]

    return side(1), side(-1)


def by_statsmodels(d, clusters, weights, level=0.95):
    """(low, high, standard error) of the weighted mean with clustered errors."""
    d = np.array(d, dtype=float)
    fit = WLS(d, np.ones(len(d)), weights=weights).fit(
        cov_type="cluster", cov_kwds={"groups": np.array(clusters)}, use_t=True
    )
    return (*fit.conf_int(1 - level)[0], fit.bse[0])


def test_shares_that_differ_by_rounding_alone_are_equal():
    """Three groups of eleven rows, each a third of the mean: rows weigh 1/33, which floats miss by their last bit."""
    d = [-1] * 5 + [1] * 2 + [0] * 26
    spec = MetricSpec("m", "pair", levels=(Level("g", {"a": 0.1, "b": 0.1, "c": 0.1}),))
    a, b = pairs(d, groups=["a", "b", "c"] * 11)
    assert (differences(a, b, spec).nested.shares() != 1 / 33).any()
    got = compare_rows(a, b, spec)
    assert (got.low, got.high) == pytest.approx(tango_limits(5, 2, 33), abs=1e-9)
    assert (got.method, got.p_exact, got.p_midp) == ("tango", *map(pytest.approx, mcnemar(5, 2)))


@pytest.mark.parametrize("first", [1.1, 1.0000001])
def test_shares_that_differ_a_little_are_weights(first):
    d, weights = [-1] * 5 + [1] * 2 + [0] * 14, [first, *[1] * 20]
    got = compare_rows(*pairs(d, weights=weights), PAIR)
    assert got.method == "cr1-t"
    assert (got.low, got.high) == pytest.approx(by_statsmodels(d, range(21), weights)[:2])


def test_both_limits_of_clusters_that_almost_cancel_are_tangos_at_t():
    """Nine clusters lose a row and win one, the tenth wins one: CR1 is narrower than Tango's null variance allows."""
    d, clusters = [-1, 1, 0, 0] * 9 + [0, 1, 0, 0], np.arange(40) // 4
    got = compare_rows(*pairs(d, clusters), PAIR)
    floor = tango_limits(9, 10, 40, stats.t.ppf(0.975, 9))
    low, high, _ = by_statsmodels(d, clusters, np.ones(40))
    assert floor[0] < low < high < floor[1]
    assert (got.low, got.high, got.method) == (*map(pytest.approx, floor), "cr1-t")


def test_weighted_rows_have_no_floor():
    """The same clusters with weights: Tango's null variance is one of rows that weigh the same."""
    d, clusters, weights = [-1, 1, 0, 0] * 9 + [0, 1, 0, 0], np.arange(40) // 4, [2, 2, 1, 1] * 10
    a, b = pairs(d, clusters, weights)
    got = compare_rows(a, b, PAIR)
    low, high, error = by_statsmodels(d, clusters, weights)
    assert (got.low, got.high, got.method) == (pytest.approx(low), pytest.approx(high), "cr1-t")
    judged = non_inferiority(a, b, PAIR, margin=0.01)
    assert judged.p == pytest.approx(stats.t.sf((2 / 60 + 0.01) / error, 9))
    assert (judged.lower, judged.upper) == pytest.approx(by_statsmodels(d, clusters, weights, 0.9)[:2])


def test_limits_stay_within_the_range_of_a_difference():
    """Two clusters and t of one degree of freedom: the limits by the formula lie outside -1 and 1."""
    d, clusters, weights = [-1, -1, -1, 0, 0, 1], [0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 1, 2]
    low, high, _ = by_statsmodels(d, clusters, weights)
    assert low < -1 < 1 < high
    got = compare_rows(*pairs(d, clusters, weights), PAIR)
    assert (got.low, got.high, got.method) == (-1, 1, "cr1-t")


def test_one_cluster_counts_as_one_row():
    """Without a discordant row +-z^2/(1 + z^2); with some, Tango's of the weighted shares lost and won."""
    got = compare_rows(*pairs([0] * 20, [0] * 20), PAIR)
    edge = Z**2 / (1 + Z**2)
    assert (got.low, got.high, got.method) == (pytest.approx(-edge), pytest.approx(edge), "tango")
    got = compare_rows(*pairs([-1, 1, 0, 0], [0] * 4, [4, 2, 1, 1]), PAIR)
    assert (got.low, got.high, got.method) == (*map(pytest.approx, tango_limits(0.5, 0.25, 1)), "tango")
    assert got.design_effect is None


def test_weighted_rows_without_a_discordant_one_count_as_their_effective_number():
    """Clusters of weight 5, 2, 2 and 1: Kish's number is 10^2/(25 + 4 + 4 + 1)."""
    got = compare_rows(*pairs([0] * 6, [0, 0, 1, 2, 3, 3], [3, 2, 2, 2, 0.5, 0.5]), PAIR)
    n = 100 / 34
    edge = Z**2 / (n + Z**2)
    assert (got.low, got.high, got.method) == (pytest.approx(-edge), pytest.approx(edge), "tango")


def test_design_effect_of_weighted_clusters():
    d, clusters, weights = [-1, -1, 0, 0, 1, 0, 0, -1, 0], [0, 0, 1, 1, 1, 2, 2, 3, 3], [2, 2, 1, 1, 1, 3, 1, 1, 2]
    got = compare_rows(*pairs(d, clusters, weights), PAIR)
    clustered, independent = (by_statsmodels(d, of, weights)[2] for of in (clusters, range(9)))
    assert got.design_effect == pytest.approx((clustered / independent) ** 2)


def test_no_design_effect_where_rows_alone_have_no_spread():
    """Group a loses every row and b none, so rows by stratum are all alike; clusters that cross the groups are not."""
    spec = MetricSpec("m", "pair", levels=(Level("g", {"a": 1, "b": 3}),))
    a, b = pairs([-1] * 4 + [0] * 4, clusters=[0, 0, 0, 1, 1, 2, 2, 2], groups=["a"] * 4 + ["b"] * 4)
    got = compare_rows(a, b, spec)
    assert (got.method, got.clusters, got.design_effect) == ("cr1-t", 3, None)


def test_design_effect_of_repeated_rows_multiplies_the_rows_needed():
    """Ten rows four times each: V is 10/9 x 16 S with clusters and 40/39 x 4 S without, S the ten rows' squares."""
    a, b = pairs(np.repeat([-1, 1, -1, 0, 0, 0, 0, 1, 0, 0], 4), np.arange(40) // 4)
    effect = (10 / 9 * 16) / (40 / 39 * 4)
    assert compare_rows(a, b, PAIR).design_effect == pytest.approx(effect)
    plain = (stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) ** 2 * 0.4 / 0.03**2
    assert non_inferiority(a, b, PAIR, margin=0.03).n_needed == math.ceil(plain * effect)


def test_a_design_effect_below_one_does_not_lower_the_rows_needed():
    a, b = pairs([-1, 1, 0, 0] * 9 + [0, 1, 0, 0], np.arange(40) // 4)
    assert compare_rows(a, b, PAIR).design_effect < 0.1
    plain = (stats.norm.ppf(0.9) + stats.norm.ppf(0.8)) ** 2 * 19 / 40 / 0.03**2
    assert non_inferiority(a, b, PAIR, margin=0.03, alpha=0.1).n_needed == math.ceil(plain)


def test_sign_flips_of_weighted_clusters():
    """The sum 3 - 1 + 2 + 2 among those under each of the 16 signs."""
    d, clusters, weights = [1, -1, 1, 1], range(4), [3, 1, 2, 2]
    got = compare_rows(*pairs(d, clusters, weights), PAIR)
    signs = np.array(np.meshgrid(*[(-1, 1)] * 4)).reshape(4, -1).T
    sums = np.abs(signs @ np.array([3, -1, 2, 2]))
    assert got.p_exact == pytest.approx((sums >= 6).mean())
    assert got.p_midp == pytest.approx((sums > 6).mean() + (sums == 6).mean() / 2)


def test_gain_is_the_limits_in_the_metrics_direction_or_none():
    attack = MetricSpec("attacked", "attack_success")
    a, b = pairs([-1] * 6 + [1] * 2 + [0] * 22)
    low, high = tango_limits(6, 2, 30)
    found, turned = compare_rows(a, b, PAIR), compare_rows(a, b, attack)
    assert found.gain == pytest.approx((low, high))
    assert turned.gain == pytest.approx((low, high))
    assert turned.low == pytest.approx(-high)
    assert (found.lost_won, turned.lost_won, turned.b) == ((6, 2), (6, 2), 2)
    judged = non_inferiority(a, b, attack, margin=0.1)
    assert (judged.lower, judged.upper) == pytest.approx(tango_limits(6, 2, 30, stats.norm.ppf(0.95)))
    nothing = [make_row("0", (1.0, 0.0), edges=())]
    for spec in (PAIR, attack):
        got = compare_rows(nothing, nothing, spec)
        assert (got.gain, got.n, got.clusters, got.b, got.c, got.ties) == (None, 0, 0, 0, 0, 0)
        assert (got.psi, got.discordant_clusters) == (0, 0)


def test_a_variance_under_1e_24_or_of_one_cluster_is_no_spread():
    assert [no_spread(variance, 3) for variance in (9e-25, 1e-24, 1.0, math.nan)] == [True, False, False, True]
    assert (no_spread(1.0, 0), no_spread(1.0, 1)) == (True, False)


def test_limits_are_of_95_percent_unless_told():
    paired = pair_rows(*pairs([-1] * 6 + [1] * 2 + [0] * 22), PAIR)
    assert (paired.compare().low, paired.compare().level) == (pytest.approx(tango_limits(6, 2, 30)[0]), 0.95)
