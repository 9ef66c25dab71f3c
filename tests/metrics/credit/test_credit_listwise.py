"""Reciprocal rank, nDCG, the best-of-K curve and rank correlation within lists."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.curves import curve_values
from rmbench.metrics.credit.listwise import best_of_n, ndcg, recall_at
from rmbench.metrics.measure import measure
from rmbench.types import Edge, Verdict
from tests._make import worth


def one_best(size):
    return tuple(Edge(0, k) for k in range(1, size))


@pytest.mark.parametrize(
    "rewards, expected",
    [
        ((3.0, 2.0, 1.0, 0.0), 1),
        ((2.0, 3.0, 1.0, 0.0), 1 / 2),
        ((2.0, 2.0, 1.0, 0.0), 1 / 2),
        ((0.0, 0.0, 0.0, 0.0), 1 / 4),
        ((-1.0, 0.0, 1.0, 2.0), 1 / 4),
    ],
)
def test_reciprocal_rank_is_pessimistic(make, rewards, expected):
    assert worth(make("r", rewards, size=4, edges=one_best(4)), "reciprocal_rank") == expected


def test_reciprocal_rank_of_several_good_and_of_judges(make):
    edges = tuple(Edge(i, j) for i in (0, 1) for j in (2, 3))
    assert worth(make("r", (0.0, 2.0, 3.0, 1.0), size=4, edges=edges), "reciprocal_rank") == 1 / 2
    # A pairwise judge: one lost, one unread and one won of three.
    verdicts = (Verdict((0, 1), "pick", 1), Verdict((2, 0), "pick", None, "unparsed"), Verdict((0, 3), "pick", 0))
    assert worth(make("r", size=4, edges=one_best(4), verdicts=verdicts), "reciprocal_rank") == 1 / 3
    ranking = make("r", size=3, edges=one_best(3), verdicts=(Verdict((0, 1, 2), "ranking", (2, 0, 1)),))
    assert worth(ranking, "reciprocal_rank") == 1 / 2
    assert worth(make("r", status="failed", size=3, edges=one_best(3)), "reciprocal_rank") == 0
    assert worth(make("r", (1.0, 1.0), edges=(Edge(0, 1, 0.0),)), "reciprocal_rank") is None


def test_ndcg_of_the_textbook_example():
    """Gains 3 2 3 0 1 2 in the order shown: DCG 6.861 over 7.141."""
    assert ndcg([6, 5, 4, 3, 2, 1], [3, 2, 3, 0, 1, 2]) == pytest.approx(0.961, abs=5e-4)
    dcg = 3 + 2 / math.log2(3) + 3 / 2 + 1 / math.log2(6) + 2 / math.log2(7)
    best = 3 + 3 / math.log2(3) + 2 / 2 + 2 / math.log2(5) + 1 / math.log2(6)
    assert ndcg([6, 5, 4, 3, 2, 1], [3, 2, 3, 0, 1, 2]) == pytest.approx(dcg / best, abs=1e-12)
    assert ndcg([2, 1], [0, 1], k=1) == 0
    assert ndcg([2, 1], [0, 0]) is None


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 5)), min_size=1, max_size=5), st.integers(1, 5))
def test_ndcg_averages_over_the_orders_of_ties(items, k):
    scores, gains = zip(*items, strict=True)
    got = ndcg(scores, gains, k)
    best = sum(gain / math.log2(r + 2) for r, gain in enumerate(sorted(gains, reverse=True)[:k]))
    if best == 0:
        assert got is None
        return
    orders = [
        order
        for order in itertools.permutations(range(len(items)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    mean = np.mean([sum(gains[i] / math.log2(r + 2) for r, i in enumerate(order[:k])) for order in orders])
    assert got == pytest.approx(mean / best, rel=1e-9)


def test_ndcg_of_linear_and_exponential_gains_at_k(make):
    """IRPO's metric: gains 2^rel - 1, discount log2(rank + 1)."""
    relevance = [3.0, 2.0, 0.0, 1.0]
    assert ndcg([4, 3, 2, 1], relevance) == pytest.approx(0.9854, abs=5e-5)
    assert ndcg([4, 3, 2, 1], relevance, exponential=True) == pytest.approx(0.9926, abs=5e-5)
    row = make("r", (1.0, 3.0, 4.0, 2.0), edges=(), ratings=tuple((one,) for one in relevance), dimensions=("q",))
    for k in (1, 3, 5, None):
        for gain, worth_of in (("linear", lambda r: r), ("exponential", lambda r: 2**r - 1)):
            found = sum(worth_of(r) / math.log2(n + 2) for n, r in enumerate([0.0, 2.0, 1.0, 3.0][:k]))
            best = sum(worth_of(r) / math.log2(n + 2) for n, r in enumerate([3.0, 2.0, 1.0, 0.0][:k]))
            assert worth(row, "ndcg", k=k, gain=gain) == pytest.approx(found / best, abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=5), st.integers(1, 6))
def test_recall_averages_over_the_orders_of_ties(items, k):
    scores, relevant = zip(*items, strict=True)
    if not any(relevant):
        assert recall_at(scores, relevant, k) is None
        return
    orders = [
        order
        for order in itertools.permutations(range(len(items)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    mean = np.mean([sum(relevant[i] for i in order[:k]) / sum(relevant) for order in orders])
    assert recall_at(scores, relevant, k) == pytest.approx(mean, rel=1e-9)


def test_recall_by_rows(make):
    ratings = {"edges": (), "ratings": ((4.0,), (1.0,), (3.0,)), "dimensions": ("q",)}
    assert worth(make("r", (1.0, 3.0, 2.0), **ratings), "recall_at_k", k=2, positive_above=2.5) == 1 / 2
    assert worth(make("r", (1.0, 3.0, 2.0), **ratings), "recall_at_k", k=2, positive_above=5) is None
    assert worth(make("r", (1.0, 2.0, 3.0), size=3, edges=(Edge(0, 2), Edge(1, 2))), "recall_at_k", k=2) == 1 / 2
    unread = make("r", status="unparsed", size=3, edges=one_best(3))
    assert worth(unread, "recall_at_k", k=1, unparsed=0.25) == 0.25
    assert worth(unread, "recall_at_k", k=1, unparsed=0.25, positive_above=5) is None


def test_pooled_accuracy_counts_comparisons_alike_and_the_mean_of_lists_does_not(make):
    generator = np.random.default_rng(19)
    rows, right, shares = [], [], []
    for number in range(30):
        quality, score = generator.integers(0, 3, 5), generator.normal(size=5)
        pairs = [(i, j) for i in range(5) for j in range(5) if quality[i] > quality[j]]
        tags = {pair: (f"level={'hard' if sum(pair) % 2 else 'easy'}",) for pair in pairs}
        edges = tuple(Edge(i, j, tags=tags[i, j]) for i, j in pairs)
        rows.append(make(f"r{number}", tuple(map(float, score)), edges=edges, weight=1.0 + number))
        won = [(tags[i, j], float(score[i] > score[j])) for i, j in pairs]
        right += won
        shares += [np.mean([one for _, one in won])] if won else []
    spec = MetricSpec("m", "pooled_pair", report=(("level",),))
    values = {value.group: value for value in measure(rows, [spec])}
    assert values[None].value == pytest.approx(np.mean([one for _, one in right]), abs=1e-12)
    for group in ("level=hard", "level=easy"):
        of_group = [one for tags_, one in right if tags_ == (group,)]
        assert values[group].value == pytest.approx(np.mean(of_group), abs=1e-12)
        assert values[group].comparisons == len(of_group)
    plain = [replace(row, weight=1.0) for row in rows]
    assert measure(plain, [MetricSpec("m", "pair")])[0].value == pytest.approx(np.mean(shares), abs=1e-12)
    assert abs(values[None].value - np.mean(shares)) > 1e-3


def test_ndcg_by_rows(make):
    rated = make("r", (1.0, 2.0), edges=(), ratings=((1.0,), (0.0,)), dimensions=("q",))
    assert worth(rated, "ndcg") == pytest.approx(1 / math.log2(3))
    assert worth(make("r", (1.0, 2.0, 0.0), size=3, edges=one_best(3)), "ndcg") == pytest.approx(1 / math.log2(3))
    assert worth(make("r", status="failed", size=3, edges=one_best(3)), "ndcg", unparsed=0.5) == 0
    assert worth(make("r", status="unparsed", size=3, edges=one_best(3)), "ndcg", unparsed=0.5) == 0.5


def test_best_of_n_published():
    assert best_of_n([0.1, 0.9, 0.4, 0.7], [1, 0, 1, 1]) == pytest.approx([0.75, 0.5, 0.25, 0])
    # Correctness by rank, best first: 1, 0, 1, 0.
    assert best_of_n([4, 3, 2, 1], [1, 0, 1, 0]) == pytest.approx([0.5, 4 / 6, 0.75, 1])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=6))
def test_best_of_n_by_brute_force(items):
    scores, quality = zip(*items, strict=True)
    curve = best_of_n(scores, quality)
    for n in range(1, len(items) + 1):
        picks = []
        for drawn in itertools.combinations(items, n):
            best = max(score for score, _ in drawn)
            picks.append(np.mean([q for score, q in drawn if score == best]))
        # A tie inside a draw shares the quality of what was drawn; over all draws that is the block's mean.
        assert curve[n - 1] == pytest.approx(np.mean(picks), abs=1e-9)
    assert curve == pytest.approx(best_of_n(scores[::-1], quality[::-1]))


@pytest.fixture
def sampled(make):
    generator = np.random.default_rng(3)
    rows = []
    for k in range(30):
        quality = tuple((float(q),) for q in generator.integers(0, 2, 6))
        rewards = tuple(generator.integers(0, 4, 6) / 1.0)
        rows.append(
            make(str(k), rewards, size=6, edges=(), ratings=quality, dimensions=("correct",), cluster=str(k // 2))
        )
    return rows


def test_best_of_k_curve(sampled):
    values = {value.group: value for value in measure(sampled, [MetricSpec("bok", "best_of_k")])}
    assert list(values) == [None, *(f"k={k}" for k in range(1, 7)), "k=max"]
    curves = np.array([best_of_n(row.judgment.rewards, [q for (q,) in row.gold.ratings]) for row in sampled])
    for k in range(6):
        assert values[f"k={k + 1}"].value == pytest.approx(curves[:, k].mean())
    assert values[None].value == values["k=6"].value
    assert values["k=1"].value == pytest.approx(np.mean([row.gold.ratings for row in sampled]))
    top = int(curves.mean(axis=0).argmax())
    assert values["k=max"].value == pytest.approx(curves.mean(axis=0).max())
    assert values["k=max"].flags == (f"k={top + 1}",)
    assert values["k=max"].low <= values["k=max"].value <= values["k=max"].high
    # Having chosen k, its interval cannot lie below that of the end of the curve.
    assert values["k=max"].high >= values[None].value


def test_the_interval_of_the_best_k_is_wilsons_at_the_spread_of_its_draws(sampled):
    """The maximum of each draw of the 15 clusters: their variance times 15/14, and t of 14 degrees of freedom."""
    spec = MetricSpec("bok", "best_of_k")
    end = measure(sampled, [spec], resamples=20)[0]
    got = curve_values(sampled, spec, end, 300, np.random.default_rng(5))[-1]
    curves = np.array([best_of_n(row.judgment.rewards, [q for (q,) in row.gold.ratings]) for row in sampled])
    names = sorted({row.cluster for row in sampled})
    members = [[k for k, row in enumerate(sampled) if row.cluster == name] for name in names]
    drawn = np.random.default_rng(5).integers(0, 15, size=(300, 15))
    highest = [curves[[k for code in codes for k in members[code]]].mean(axis=0).max() for codes in drawn]
    mean, t = curves.mean(axis=0).max(), stats.t.ppf(0.975, 14)
    unit = np.var(highest, ddof=1) * 15 / 14 / (mean * (1 - mean))

    def excess(limit):
        return (mean - limit) ** 2 - t * t * unit * limit * (1 - limit)

    limits = optimize.brentq(excess, 0.0, mean), optimize.brentq(excess, mean, 1.0)
    assert (got.low, got.high) == pytest.approx(limits, rel=1e-6)
    assert (got.group, got.interval) == ("k=max", "wilson-bootstrap")


def test_best_of_k_counts_failures_as_nothing_found(sampled, make):
    ratings, names = sampled[0].gold.ratings, sampled[0].gold.dimensions
    failed = make("x", status="failed", size=6, edges=(), ratings=ratings, dimensions=names)
    got = {v.group: v for v in measure([*sampled, failed], [MetricSpec("bok", "best_of_k")], resamples=50)}
    before = {v.group: v for v in measure(sampled, [MetricSpec("bok", "best_of_k")], resamples=50)}
    for group in (None, "k=1", "k=3"):
        assert got[group].value == pytest.approx(before[group].value * 30 / 31)
    # A weight says how many comparisons a row has, which a list's curve has nothing to do with.
    heavy = make("0", (1.0, 0.0), edges=(Edge(0, 1),), weight=9.0)
    light = make("1", (0.0, 1.0), edges=(Edge(0, 1),))
    assert measure([heavy, light], [MetricSpec("bok", "best_of_k")])[0].value == 0.5
    assert measure([heavy, light], [MetricSpec("accuracy", "pair")])[0].value == 0.9


def ranked(make, name, human, model, cluster=""):
    ratings = tuple((float(h),) for h in human)
    return make(
        name, tuple(map(float, model)), size=len(human), edges=(), ratings=ratings, dimensions=("q",), cluster=cluster
    )


LISTS = [((1, 1, 2, 3, 3, 5), (0.2, 0.5, 0.5, 0.4, 0.9, 0.8)), ((1, 2, 3, 4, 5), (2, 1, 4, 3, 5))]
CALLS = {
    "list_kendall_b": lambda h, s: stats.kendalltau(h, s).statistic,
    "list_kendall_c": lambda h, s: stats.kendalltau(h, s, variant="c").statistic,
    "list_spearman": lambda h, s: stats.spearmanr(h, s).statistic,
}


@pytest.mark.parametrize("rule", CALLS)
def test_lists_are_averaged_and_constant_ones_counted(make, rule):
    rows = [ranked(make, str(k), *one) for k, one in enumerate(LISTS)]
    rows.append(ranked(make, "constant", (2, 2, 2), (1, 2, 3)))
    got = measure(rows, [MetricSpec("m", rule)])[0]
    assert got.value == pytest.approx(np.mean([CALLS[rule](*one) for one in LISTS]))
    assert (got.n, got.comparisons, got.flags) == (2, 11, ("undefined_lists=1",))
    failed = make("f", status="failed", size=3, edges=(), ratings=((1.0,), (2.0,), (3.0,)), dimensions=("q",))
    assert measure([*rows, failed], [MetricSpec("m", rule, min_coverage=0)])[0].flags == (
        "undefined_lists=1",
        "incomplete",
    )
    nothing = measure(rows[2:], [MetricSpec("m", rule)])[0]
    assert (nothing.value, nothing.flags) == (None, ("undefined_lists=1", "undefined"))


def test_the_published_coefficients_of_a_list(make):
    for (human, model), expected in zip(LISTS, ((0.444750, 0.444444, 0.582154), (0.6, 0.6, 0.8)), strict=True):
        row = ranked(make, "r", human, model)
        got = [measure([row], [MetricSpec("m", rule)])[0].value for rule in CALLS]
        assert got == pytest.approx(expected, abs=5.1e-7)


def test_a_relation_is_a_list_too(make):
    """Ranks 1, 2, 2, 4 as comparisons order the candidates as the ranks do."""
    ranks = (1, 2, 2, 4)
    edges = tuple(Edge(i, j, float(np.sign(ranks[j] - ranks[i]))) for i, j in itertools.combinations(range(4), 2))
    model = (0.9, 0.4, 0.7, 0.1)
    got = measure([make("r", model, size=4, edges=edges)], [MetricSpec("m", "list_kendall_b")])[0]
    assert got.value == pytest.approx(stats.kendalltau([-r for r in ranks], model).statistic)


def test_rows_of_one_item_join_into_lists(make):
    rows = []
    for name, (human, model) in zip("ab", LISTS, strict=True):
        rows += [
            ranked(make, f"{name}{k}", (h,), (m,), name) for k, (h, m) in enumerate(zip(human, model, strict=True))
        ]
    by_cluster = measure(rows, [MetricSpec("m", "list_kendall_b", join="cluster")])[0]
    assert by_cluster.value == pytest.approx(np.mean([CALLS["list_kendall_b"](*one) for one in LISTS]))
    alone = measure(rows, [MetricSpec("m", "list_kendall_b")])[0]
    assert (alone.value, alone.flags) == (None, ("undefined_lists=11", "undefined"))
    with pytest.raises(RmbenchError, match='has no group "prompt", which joins'):
        measure(rows, [MetricSpec("m", "list_kendall_b", join="prompt")])
