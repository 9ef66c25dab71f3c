"""Comparing two models on the same rows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS

from rmbench.errors import RmbenchError
from rmbench.metric_spec import Level, MetricSpec
from rmbench.metrics.correlation.coefficients import correlation
from rmbench.metrics.credit.row import credit
from rmbench.metrics.paired.comparison import compare_rows
from rmbench.metrics.paired.difference import differences, limits
from rmbench.metrics.paired.non_inferiority import non_inferiority
from rmbench.metrics.uncertainty.aggregate import row_weights
from rmbench.metrics.uncertainty.discordance import mcnemar, tango_limits, tango_z
from rmbench.types import Edge

PAIR = MetricSpec("accuracy", "pair")
EDGES9 = tuple(Edge(i, j) for i in range(3) for j in range(3, 6))


@pytest.fixture
def sides(make):
    """Builds both sides from cells: (baseline right, candidate right) per row."""

    def build(cells, clusters=None, groups=None):
        out = []
        for side in (0, 1):
            rows = []
            for k, cell in enumerate(cells):
                rewards = (1.0, 0.0) if cell[side] else (0.0, 1.0)
                cluster = str(clusters[k]) if clusters is not None else ""
                rows.append(make(str(k), rewards, cluster=cluster, groups={"g": groups[k]} if groups else {}))
            out.append(rows)
        return out

    return build


def cells(b, c, n, both=0):
    return [(1, 0)] * b + [(0, 1)] * c + [(1, 1)] * both + [(0, 0)] * (n - b - c - both)


@pytest.mark.parametrize("b, c, n", [(25, 10, 358), (5, 0, 100), (0, 0, 40), (60, 40, 1563)])
def test_independent_rows_by_tango_and_mcnemar(sides, b, c, n):
    one, two = sides(cells(b, c, n, both=20))
    got = compare_rows(one, two, PAIR)
    assert (got.method, got.n, got.clusters, got.b, got.c, got.ties) == ("tango", n, n, b, c, n - b - c)
    assert got.difference == pytest.approx((c - b) / n)
    assert got.value_a == pytest.approx((b + 20) / n)
    assert got.value_b == pytest.approx((c + 20) / n)
    assert (got.low, got.high) == pytest.approx(tango_limits(b, c, n), abs=1e-9)
    assert (got.p_exact, got.p_midp) == pytest.approx(mcnemar(b, c))
    assert got.psi == pytest.approx((b + c) / n)
    assert got.discordant_clusters == b + c


def test_published_limits_through_rows(sides):
    a, b = sides(cells(25, 10, 358))
    got = compare_rows(a, b, PAIR)
    assert (got.low, got.high) == (pytest.approx(-0.07668, abs=6e-6), pytest.approx(-0.01004, abs=6e-6))


def test_rows_align_by_id_in_any_order(sides):
    a, b = sides(cells(6, 2, 30))
    assert compare_rows(a, b[::-1], PAIR) == compare_rows(a, b, PAIR)


def test_turning_the_sides_round_turns_the_difference(sides):
    a, b = sides(cells(9, 3, 60), clusters=[k // 4 for k in range(60)])
    one, other = compare_rows(a, b, PAIR), compare_rows(b, a, PAIR)
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low), abs=1e-9)
    assert (one.p_midp, one.p_exact) == (other.p_midp, other.p_exact)


def test_different_rows_are_refused_by_name(sides):
    a, b = sides(cells(1, 1, 5))
    with pytest.raises(RmbenchError, match=r"different rows \(5 and 3\): 2 only in the first \(3, 4\)"):
        compare_rows(a, b[:3], PAIR)
    with pytest.raises(RmbenchError, match=r"2 only in the first \(0, 1\); 1 only in the second \(4\)"):
        compare_rows(a[:4], b[2:], PAIR)
    with pytest.raises(RmbenchError, match="first side has 6 rows but 5 different ids"):
        compare_rows([*a, a[0]], b, PAIR)


def test_clustered_rows_by_cr1(sides):
    """The published clusters: differences -1 -1 0 | 0 1 0 | -1 0 | 0 0 -1 -1 | 1 | 0 -1."""
    d = [-1, -1, 0, 0, 1, 0, -1, 0, 0, 0, -1, -1, 1, 0, -1]
    clusters = np.repeat(np.arange(6), (3, 3, 2, 4, 1, 2))
    a, b = sides([(1, 0) if x < 0 else (0, 1) if x > 0 else (1, 1) for x in d], clusters)
    got = compare_rows(a, b, PAIR)
    assert (got.method, got.clusters, got.discordant_clusters) == ("cr1-t", 6, 6)
    assert (got.p_exact, got.b, got.c) == (0.40625, 6, 2)
    # CR1 with t(5) is wider here than the floor, Tango's null variance at the same critical value.
    assert got.low == pytest.approx(min(-0.783896, tango_limits(6, 2, 15, stats.t.ppf(0.975, 5))[0]), abs=5e-7)
    assert got.high == pytest.approx(max(0.250563, tango_limits(6, 2, 15, stats.t.ppf(0.975, 5))[1]), abs=5e-7)
    assert got.design_effect == pytest.approx((0.201211 / 0.181703) ** 2, abs=1e-4)


def test_clusters_that_cancel_do_not_narrow_below_tango(sides):
    """In each cluster one row is lost and one won: cluster sums are all 0, and CR1 alone would be certain."""
    a, b = sides([(1, 0), (0, 1), (1, 1), (0, 0)] * 10, [k // 4 for k in range(40)])
    got = compare_rows(a, b, PAIR)
    assert got.low < -0.1 < 0.1 < got.high
    assert (got.p_exact, got.discordant_clusters) == (1, 10)


def test_clusters_without_a_discordant_row_have_tangos_interval(sides):
    a, b = sides(cells(0, 0, 40, both=30), [k // 4 for k in range(40)])
    got = compare_rows(a, b, PAIR)
    assert (got.low, got.high) == pytest.approx(tango_limits(0, 0, 40))
    assert (got.p_midp, got.design_effect) == (1, None)


def test_one_cluster_says_nothing(sides):
    a, b = sides(cells(8, 1, 20), [0] * 20)
    got = compare_rows(a, b, PAIR)
    assert got.high - got.low > 0.9


def test_fractions_by_cr1(make):
    """Credits of nine comparisons a row: CR1 with clusters of one row is the plain t interval of the differences."""
    generator = np.random.default_rng(1)
    a, b = ([make(str(k), tuple(generator.normal(size=6)), edges=EDGES9, size=6) for k in range(25)] for _ in range(2))
    got = compare_rows(a, b, PAIR)
    d = np.array([credit(y, PAIR).value - credit(x, PAIR).value for x, y in zip(a, b, strict=True)])
    plain = stats.ttest_1samp(d, 0).confidence_interval(0.95)
    assert got.method == "cr1-t"
    assert (got.low, got.high) == pytest.approx((plain.low, plain.high))
    assert (got.b, got.c, got.ties) == ((d < 0).sum(), (d > 0).sum(), (d == 0).sum())
    groups = np.arange(25) // 5
    one, two = ([replace(row, cluster=str(g)) for row, g in zip(rows, groups, strict=True)] for rows in (a, b))
    got = compare_rows(one, two, PAIR)
    fit = OLS(d, np.ones(25)).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    assert (got.low, got.high) == pytest.approx(tuple(fit.conf_int()[0]))


def test_weighted_strata_add_their_variances(sides):
    """se^2 = sum of squared weights x se^2 of each stratum; degrees of freedom are rows less strata."""
    groups = ["a"] * 20 + ["b"] * 40
    generator = np.random.default_rng(2)
    a, b = sides(list(zip(generator.integers(0, 2, 60), generator.integers(0, 2, 60), strict=True)), groups=groups)
    spec = MetricSpec("m", "pair", levels=(Level("g", {"a": 1, "b": 3}),))
    got = compare_rows(a, b, spec)
    d = np.array([credit(y, spec).value - credit(x, spec).value for x, y in zip(a, b, strict=True)])
    means, errors = zip(*[(part.mean(), stats.sem(part)) for part in (d[:20], d[20:])], strict=True)
    error = math.sqrt((errors[0] / 4) ** 2 + (3 * errors[1] / 4) ** 2)
    assert got.difference == pytest.approx(means[0] / 4 + 3 * means[1] / 4)
    assert got.difference == pytest.approx(row_weights(a, spec) @ d)
    half = stats.t.ppf(0.975, 58) * error
    assert (got.method, got.high - got.difference) == ("cr1-t", pytest.approx(half))


def test_a_failed_row_counts_against_its_side(make):
    a = [make(str(k), (1, 0)) for k in range(10)]
    b = [make("0", status="failed"), *[make(str(k), (1, 0)) for k in range(1, 10)]]
    got = compare_rows(a, b, PAIR)
    assert (got.b, got.n, got.difference) == (1, 10, pytest.approx(-0.1))


def test_nothing_compared_is_no_difference(make):
    rows = [make("0", (1, 0), edges=())]
    got = compare_rows(rows, rows, PAIR)
    assert (got.difference, got.low, got.method, got.n) == (None, None, "", 0)


def rated(make, human, model, clusters, missing=()):
    return [
        make(
            str(k),
            None if k in missing else (float(m),),
            status="failed" if k in missing else "ok",
            size=1,
            edges=(),
            ratings=((float(h),),),
            dimensions=("overall",),
            cluster=str(c),
        )
        for k, (h, m, c) in enumerate(zip(human, model, clusters, strict=True))
    ]


def test_correlations_by_bootstrap(make):
    generator = np.random.default_rng(4)
    human = generator.integers(1, 6, 120).astype(float)
    good, poor = human + generator.normal(0, 1, 120), human + generator.normal(0, 6, 120)
    clusters = np.arange(120) // 6
    spec = MetricSpec("tau", "kendall_b")
    a, b = rated(make, human, poor, clusters), rated(make, human, good, clusters)
    got = compare_rows(a, b, spec, seed=3)
    expected = correlation("kendall_b", human, good) - correlation("kendall_b", human, poor)
    assert (got.method, got.n, got.clusters) == ("cluster-bootstrap", 120, 20)
    assert got.difference == pytest.approx(expected)
    assert 0 < got.low < expected < got.high
    assert compare_rows(a, b, spec, seed=3) == got
    # The same model twice never differs, and that says nothing of the spread.
    same = compare_rows(a, a, spec)
    assert (same.difference, same.low, same.method) == (0, None, "")
    # Rows that one side has no score for are left out of both.
    short = compare_rows(a, rated(make, human, good, clusters, missing=(0, 7)), spec)
    keep = np.setdiff1d(np.arange(120), [0, 7])
    assert short.n == 118
    assert short.value_a == pytest.approx(correlation("kendall_b", human[keep], poor[keep]))
    judged = non_inferiority(a, b, spec, margin=0.1, seed=3)
    assert (judged.discordant_clusters, judged.n_needed) == (20, None)
    assert same.discordant_clusters == 0
    assert judged.p < 0.01
    assert judged.lower == pytest.approx(compare_rows(a, b, spec, seed=3, level=0.9).low)


def test_non_inferiority_of_independent_rows(sides):
    a, b = sides(cells(60, 40, 1563, both=900))
    got = non_inferiority(a, b, PAIR, margin=0.03)
    assert got.p == pytest.approx(0.00506, abs=6e-6)
    assert (got.lower, got.upper) == pytest.approx(tango_limits(60, 40, 1563, stats.norm.ppf(0.95)), abs=1e-9)
    assert got.lower > -0.03
    assert (got.discordant_clusters, got.n) == (100, 1563)
    assert got.n_needed == math.ceil((stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) ** 2 * (100 / 1563) / 0.03**2)


def test_limit_and_p_of_non_inferiority_agree(sides):
    for b, c, n in ((12, 2, 50), (3, 2, 80), (0, 0, 60), (7, 7, 100)):
        for clusters, within in ((None, 1e-6), ([k % 20 for k in range(n)], 1e-3)):
            one, two = sides(cells(b, c, n, both=3), clusters)
            lower = non_inferiority(one, two, PAIR, margin=0.05).lower
            assert non_inferiority(one, two, PAIR, margin=-lower).p == pytest.approx(0.05, abs=within)


def test_non_inferiority_without_discordance_is_not_certain(sides):
    a, b = sides(cells(0, 0, 40, both=30), [k // 4 for k in range(40)])
    got = non_inferiority(a, b, PAIR, margin=0.01)
    assert got.lower < -0.01
    assert got.p == pytest.approx(stats.norm.sf(tango_z(0, 0, 40, -0.01)))
    assert (got.discordant_clusters, got.psi) == (0, 0)
    assert got.n_needed == math.ceil((stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) ** 2 / 40 / 0.01**2)


def test_false_alarms_under_clusters_stay_near_the_level(sides):
    """No true difference, flips shared within 30 clusters of 10: rejections by CR1 and by flips near .05."""
    generator = np.random.default_rng(11)
    clusters = np.repeat(np.arange(30), 10)
    outside = low_p = 0
    for _ in range(150):
        direction = np.where(generator.random(30) < 0.5, 0.9, 0.1)[clusters]
        active = (generator.random(30) < 0.4)[clusters] & (generator.random(300) < 0.5)
        worse = generator.random(300) < direction
        rows = [((1, 0) if bad else (0, 1)) if on else (1, 1) for on, bad in zip(active, worse, strict=True)]
        a, b = sides(rows, clusters)
        got = compare_rows(a, b, PAIR)
        outside += not got.low <= 0 <= got.high
        low_p += got.p_midp < 0.05
    assert outside <= 17
    assert low_p <= 17


def test_clusters_that_lose_alike_count_as_one_row_each(sides):
    """Each of ten clusters of four loses one row: no spread, and ten independent figures, not forty."""
    a, b = sides([(1, 0), (1, 1), (1, 1), (0, 0)] * 10, [k // 4 for k in range(40)])
    got = compare_rows(a, b, PAIR)
    assert (got.b, got.c, got.method) == (10, 0, "tango")
    assert (got.low, got.high) == pytest.approx(tango_limits(2.5, 0, 10), abs=1e-9)
    assert non_inferiority(a, b, PAIR, margin=0.1).p == pytest.approx(stats.norm.sf(tango_z(2.5, 0, 10, -0.1)))


def test_two_clusters_have_t_of_one_degree(sides):
    """Six rows in clusters of three, sums of -2 and 0: CR1 = sqrt(2 (1 + 1)) / 6 = 1/3, and t of .975 is 12.7062."""
    d = [-1, -1, 0, 0, 0, 0]
    a, b = sides([(1, 0) if x else (1, 1) for x in d], [0, 0, 0, 1, 1, 1])
    values = differences(a, b, PAIR)
    half = 12.706204736432095 / 3
    got = limits(replace(values, a=values.a * 0.1, b=values.b * 0.1), 0.95)
    assert got == (pytest.approx(-1 / 30 - half / 10), pytest.approx(-1 / 30 + half / 10), "cr1-t")


def test_a_row_without_credit_on_one_side_is_left_out_of_both(make):
    """A failed row has no figure of cycles: three rows of the baseline meet two of the candidate."""
    cycles = MetricSpec("cycles", "cyclic_triples")
    a, b = ([make(str(k), (3.0, 2.0, 1.0), edges=(), size=3) for k in range(3)] for _ in range(2))
    b[1] = make("1", None, edges=(), size=3, status="failed")
    for one, other in ((a, b), (b, a)):
        assert differences(one, other, cycles).ids == ("0", "2")
