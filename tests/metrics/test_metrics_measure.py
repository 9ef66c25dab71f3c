"""The values of a metric: overall, groups, coverage, chance, flags."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rmbench.errors import RmbenchError
from rmbench.metric_spec import Level, MetricSpec, is_linear
from rmbench.metrics.measure import measure
from rmbench.metrics.uncertainty.interval import wilson
from rmbench.types import Edge, Verdict
from tests._make import make_row

PAIR = MetricSpec("accuracy", "pair", chance=0.5)
RULES = ("pair", "all", "top", "two_order_majority", "two_order_mean", "both_orders")


def by_group(values):
    return {value.group: value for value in values}


@pytest.fixture
def domains(make):
    """Six rows of two domains; every row has a hard and an easy comparison."""
    edges = (Edge(0, 2, tags=("level=hard",)), Edge(1, 2, tags=("level=easy",)))
    rewards = {"chat": [(3, 2, 1), (1, 3, 2)], "code": [(3, 2, 1), (1, 3, 2), (1, 2, 3), (3, 1, 2)]}
    return [
        make(f"{domain}{k}", scores, edges=edges, size=3, groups={"domain": domain})
        for domain, rows in rewards.items()
        for k, scores in enumerate(rows)
    ]


def test_groups_tags_and_crossings(domains):
    report = (("domain",), ("level",), ("domain", "level"))
    values = measure(domains, [MetricSpec("m", "pair", levels=(Level("domain"),), report=report)], resamples=50)
    crossed = ["domain=chat,level=easy", "domain=chat,level=hard", "domain=code,level=easy", "domain=code,level=hard"]
    singles = ["domain=chat", "domain=code", "level=easy", "level=hard"]
    assert [value.group for value in values] == [None, *singles, *crossed]
    got = {value.group: value.value for value in values}
    # hard: candidate 0 above 2; easy: 1 above 2.
    assert [got[group] for group in crossed] == [1, 0.5, 0.5, 0.5]
    assert got["level=hard"] == (0.5 + 0.5) / 2
    assert got["level=easy"] == (1 + 0.5) / 2
    assert got["domain=chat"] == 0.75
    assert got[None] == pytest.approx((0.75 + 0.5) / 2)
    counts = {value.group: (value.n, value.comparisons) for value in values}
    assert counts[None] == (6, 12)
    assert counts["level=hard"] == (6, 6)
    assert counts["domain=code,level=hard"] == (4, 4)


def test_where_keeps_rows(domains):
    spec = MetricSpec("m", "pair", where={"domain": ("chat",)})
    got = measure(domains, [spec], totals={None: 60, "domain=chat": 4})[0]
    assert (got.n, got.value, got.coverage) == (2, 0.75, 0.5)


def test_coverage_counts_failed_and_absent_rows(make):
    rows = [make(str(k), (1, 0), groups={"g": "a" if k < 6 else "b"}) for k in range(8)]
    rows[0] = make("0", status="failed", groups={"g": "a"})
    spec = MetricSpec("m", "pair", report=(("g",),))
    got = by_group(measure(rows, [spec], totals={None: 20, "g=a": 12}))
    assert [got[group].coverage for group in (None, "g=a", "g=b")] == [7 / 20, 5 / 12, None]
    assert got[None].value == 7 / 8
    assert got[None].n == 8
    assert measure(rows, [spec])[0].coverage == 7 / 8


def test_groups_and_tags_of_whole_rows_are_covered_and_of_part_of_them_unknown(make):
    """Of tags and crossed groups no total is known, so that only all rows make one of them whole."""
    rows = [make(str(k), (1, 0), groups={"g": "ab"[k % 2], "h": "cd"[k // 2]}) for k in range(4)]
    spec = MetricSpec("m", "pair", report=(("g",), ("g", "h")))
    known: list[tuple[dict[str | None, int], float | None]] = [({None: 4}, 1.0), ({None: 9, "g=a": 4}, None)]
    for totals, crossed in known:
        got = by_group(measure(rows, [spec], totals=totals))
        assert got["g=a,h=c"].coverage == crossed
        assert got["g=b"].coverage == crossed
    assert got["g=a"].coverage == 2 / 4


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf])
def test_rewards_that_are_no_number_are_failed_rows(make, reward):
    rows = [make("0", (reward, 0.0)), make("1", (1.0, 0.0))]
    got = measure(rows, [PAIR])[0]
    assert (got.value, got.n, got.coverage) == (0.5, 2, 0.5)


@pytest.mark.parametrize(("failed", "value"), [(0, 1.0), (1, 1.0), (2, None), (20, None)])
def test_a_correlation_has_a_value_where_at_least_99_of_100_rows_are_answered(make, failed, value):
    def row(k):
        gold = {"size": 1, "edges": (), "ratings": ((float(k),),), "dimensions": ("q",)}
        return make(str(k), status="failed", **gold) if k < failed else make(str(k), (float(k),), **gold)

    got, allowed = measure(
        [row(k) for k in range(100)],
        [MetricSpec("m", "spearman"), MetricSpec("allowed", "spearman", min_coverage=0.5)],
        resamples=50,
    )
    assert got.value == (None if value is None else pytest.approx(value))
    assert got.coverage == (100 - failed) / 100
    assert ("low_coverage" in got.flags) == (value is None)
    assert allowed.value == pytest.approx(1.0)


def test_plain_accuracy_has_wilsons_interval(make):
    rows = [make(str(k), (1, 0) if k < 81 else (0, 1)) for k in range(100)]
    got = measure(rows, [PAIR])[0]
    assert (got.value, got.chance, got.interval, got.flags) == (0.81, 0.5, "wilson", ())
    assert (got.low, got.high) == pytest.approx(wilson(81, 100))


def test_repeated_prompts_widen_the_interval(make):
    rows = [make(str(k), (1, 0) if k // 10 % 2 else (0, 1), cluster=str(k // 10)) for k in range(100)]
    got = measure(rows, [PAIR])[0]
    alone = measure([make(row.id, row.judgment.rewards) for row in rows], [PAIR])[0]
    assert got.interval == "wilson-cr2"
    assert got.high - got.low > 3 * (alone.high - alone.low)


def test_empty_is_undefined(make):
    got = measure([], [PAIR, MetricSpec("tau", "kendall_b")])
    assert [(value.value, value.low, value.n, value.flags) for value in got] == [(None, None, 0, ("undefined",))] * 2
    (one,) = measure([make("0", (1, 0), edges=())], [PAIR])
    assert (one.value, one.n, one.coverage) == (None, 0, 1.0)


@pytest.mark.parametrize(
    "chance, kind, expected",
    [
        (0.5, "reward", 0.5),
        ({"reward": 0.5, "verdict": 0.25}, "verdict", 0.25),
        ({"reward": 0.5, "verdict": 0.25}, "reward", 0.5),
        ({"reward": 0.5}, "verdict", None),
        (None, "reward", None),
    ],
)
def test_declared_chance(make, chance, kind, expected):
    spec = MetricSpec("m", "pair", chance=chance, report=(("g",),))
    got = measure([make("0", (1, 0), groups={"g": "a"})], [spec], answer_kind=kind)
    assert [value.chance for value in got] == [expected, expected]


def test_chance_of_one_over_k_follows_rows_and_levels(make):
    sizes = {"a": (2, 4), "b": (5,)}
    rows = [
        make(f"{g}{k}", tuple(range(size)), size=size, edges=(Edge(0, 1),), groups={"g": g})
        for g, of in sizes.items()
        for k, size in enumerate(of)
    ]
    flat = MetricSpec("m", "top", chance="one_over_k", report=(("g",),))
    nested = MetricSpec("n", "top", chance="one_over_k", levels=(Level("g"),))
    got = by_group(measure(rows, [flat], resamples=20))
    assert got[None].chance == pytest.approx((1 / 2 + 1 / 4 + 1 / 5) / 3)
    assert got["g=a"].chance == pytest.approx(3 / 8)
    assert measure(rows, [nested], resamples=20)[0].chance == pytest.approx((3 / 8 + 1 / 5) / 2)


def test_one_order_is_flagged(make):
    rows = [make(str(k), verdicts=(Verdict((0, 1), "pick", 0),)) for k in range(3)]
    spec = MetricSpec("m", "two_order_majority")
    assert measure(rows, [spec])[0].flags == ("one_order",)


def test_unknown_names_are_refused(domains):
    with pytest.raises(RmbenchError, match=r'unknown rule "kendall".*Did you mean "kendall_'):
        measure(domains, [MetricSpec("m", "kendall")])
    with pytest.raises(RmbenchError, match=r'reports "domian".*Did you mean "domain"'):
        measure(domains, [MetricSpec("m", "pair", report=(("domian",),))])
    assert is_linear(PAIR)
    assert not is_linear(MetricSpec("m", "kendall_b"))


REWARDS = st.lists(st.permutations([0.0, 1.0, 2.0]), min_size=1, max_size=25)


def judged(rewards, sign=1.0):
    edges = (Edge(0, 1), Edge(0, 2))
    return [
        make_row(str(k), [sign * r for r in scores], edges=edges, groups={"g": str(k % 3)})
        for k, scores in enumerate(rewards)
    ]


@settings(deadline=None, max_examples=40)
@given(REWARDS, st.sampled_from(["pair", "two_order_mean", "two_order_majority", "both_orders"]))
def test_turned_scores_give_the_complement_without_ties(rewards, rule):
    spec = MetricSpec("m", rule, levels=(Level("g"),))
    value, turned = (measure(judged(rewards, sign), [spec], resamples=20)[0] for sign in (1, -1))
    assert turned.value == pytest.approx(1 - value.value)


@settings(deadline=None, max_examples=40)
@given(REWARDS, st.sampled_from(RULES), st.randoms(use_true_random=False))
def test_order_of_rows_and_scale_of_scores_do_not_matter(rewards, rule, random):
    spec = MetricSpec("m", rule, levels=(Level("g"),), report=(("g",),))
    rows = judged(rewards)
    expected = measure(rows, [spec], resamples=30)
    random.shuffle(rows)
    for got in (
        measure(rows, [spec], resamples=30),
        measure(judged([np.exp(r) for r in rewards]), [spec], resamples=30),
    ):
        for one, other in zip(got, expected, strict=True):
            assert (one.group, one.n, one.interval) == (other.group, other.n, other.interval)
            assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(REWARDS, st.sampled_from(RULES))
def test_an_interval_holds_its_value_and_is_never_a_point(rewards, rule):
    spec = MetricSpec("m", rule, levels=(Level("g"),), report=(("g",),))
    for value in measure(judged(rewards), [spec], resamples=200):
        assert 0 <= value.low <= value.value <= value.high <= 1
        assert value.low < value.high


def test_draws_come_from_the_seed(make):
    generator = np.random.default_rng(0)
    rows = [make(str(k), tuple(generator.normal(size=2)), groups={"g": "aab"[k % 3]}) for k in range(60)]
    spec = MetricSpec("m", "macro_f1")
    one, again, other = (measure(rows, [spec], seed=seed, resamples=500)[0] for seed in (1, 1, 2))
    assert one == again
    assert (one.low, one.high) != (other.low, other.high)
    # A value's draws do not hang on what else is asked.
    assert measure(rows, [PAIR, spec], seed=1, resamples=500)[1] == one


def test_a_coin_meets_chance(make):
    generator = np.random.default_rng(1)
    rows = [make(str(k), tuple(generator.normal(size=2)), cluster=str(k // 3)) for k in range(900)]
    got = measure(rows, [PAIR])[0]
    assert got.low < got.chance < got.high
    assert got.high - got.low < 0.08


@pytest.fixture
def rated(make):
    generator = np.random.default_rng(2)
    rows = []
    for k in range(40):
        human = generator.integers(1, 4, size=(3, 2)).astype(float)
        own = tuple((float(value),) for value in human[:, 1] * 2 + generator.normal(size=3))
        rows.append(
            make(
                str(k),
                tuple(human[:, 0] + generator.normal(size=3)),
                size=3,
                edges=(),
                ratings=tuple(map(tuple, human)),
                dimensions=("overall", "fluency"),
                parts={"fluency": own},
                groups={"g": "ab"[k % 2]},
                cluster=str(k // 4),
            )
        )
    return rows


def columns(rows, dimension, numbers=None):
    rows = rows if numbers is None else [rows[k] for k in numbers]
    human = [line[dimension] for row in rows for line in row.gold.ratings]
    model = [
        r for row in rows for r in (row.judgment.rewards if dimension == 0 else np.ravel(row.judgment.parts["fluency"]))
    ]
    return human, model


def test_correlations_pool_candidates_and_use_a_models_own_dimension(rated):
    spec = MetricSpec("tau", "kendall_b", dimension="overall", report=(("g",),), chance=0.0)
    got = by_group(measure(rated, [spec]))
    assert list(got) == [None, "dimension=fluency", "g=a", "g=b"]
    assert got[None].value == pytest.approx(stats.kendalltau(*columns(rated, 0)).statistic)
    assert got["dimension=fluency"].value == pytest.approx(stats.kendalltau(*columns(rated, 1)).statistic)
    assert got["g=b"].value == pytest.approx(stats.kendalltau(*columns(rated, 0, range(1, 40, 2))).statistic)
    assert (got[None].n, got[None].comparisons, got[None].interval, got[None].chance) == (
        40,
        120,
        "wilson-bootstrap",
        0,
    )
    assert got[None].low < got[None].value < got[None].high


def test_failed_rows_leave_a_correlation_incomplete(rated, make):
    rated[5] = make(
        "5", status="failed", size=3, edges=(), ratings=rated[5].gold.ratings, dimensions=("overall", "fluency")
    )
    got = measure(rated, [MetricSpec("tau", "spearman", dimension="overall", min_coverage=0.9)], totals={None: 50})[0]
    keep = [k for k in range(40) if k != 5]
    assert got.value == pytest.approx(stats.spearmanr(*columns(rated, 0, keep)).statistic)
    assert (got.n, got.comparisons, got.flags, got.coverage) == (39, 117, ("incomplete",), 39 / 50)


def test_a_constant_model_has_no_correlation(make):
    rows = [make(str(k), (1.0,), size=1, edges=(), ratings=((float(k),),), dimensions=("q",)) for k in range(5)]
    for rule in ("kendall_a", "kendall_b", "kendall_c", "spearman", "pearson"):
        got = measure(rows, [MetricSpec("m", rule)])[0]
        assert (got.value, got.low, got.high, got.flags, got.interval) == (None, None, None, ("undefined",), "")


def test_a_perfect_order_has_no_interval(make):
    rows = [make(str(k), (k * 2.0,), size=1, edges=(), ratings=((float(k),),), dimensions=("q",)) for k in range(9)]
    got = measure(rows, [MetricSpec("m", "kendall_b")])[0]
    assert (got.value, got.low, got.high) == (1, None, None)


def test_the_dimension_must_be_known(rated):
    with pytest.raises(RmbenchError, match=r'no rated dimension "overal".*Did you mean "overall"'):
        measure(rated, [MetricSpec("m", "pearson", dimension="overal")])
    with pytest.raises(RmbenchError, match="declare its dimension, one of overall, fluency"):
        measure(rated, [MetricSpec("m", "pearson")])


def test_every_group_of_a_large_task_is_reported(make):
    """The size of RMB's pairs: a weighted aggregate with 49 leaves and 62 groups."""
    generator = np.random.default_rng(0)
    rows = []
    for k in range(14_543):
        file, prompt = k % 49, k // 49 % 54
        groups = {"c": str(file % 13), "f": str(file)}
        rows.append(make(str(k), tuple(generator.normal(size=2)), cluster=f"{file}/{prompt}", groups=groups))
    values = measure(rows, [MetricSpec("m", "pair", levels=(Level("c"), Level("f")), report=(("c",), ("f",)))])
    assert len(values) == 1 + 13 + 49
