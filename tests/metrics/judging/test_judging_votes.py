"""Votes into verdicts, and the curve over their number."""

from __future__ import annotations

import math
from itertools import combinations
from math import comb
from random import Random
from typing import Any

import pytest

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.row import credit
from rmbench.metrics.judging.position_bias import orders
from rmbench.metrics.judging.summary import judge_values
from rmbench.metrics.judging.votes import joined_votes, vote_curve, voted
from rmbench.metrics.measure import measure
from rmbench.types import TIE, Edge, Gold, Judged, Judgment, Verdict
from tests._make import make_row

ACCURACY = MetricSpec("accuracy", "pair", unparsed=0.5)
MAJORITY = {"voting": "majority", "voting_unparsed": "abstain"}


def picks(values: list[int | str | None], shown: tuple[int, ...] = (0, 1)) -> tuple[Verdict, ...]:
    """None: unparsed; "failed": failed."""
    return tuple(
        Verdict(shown, "pick", value if isinstance(value, int) else None, _status(value), vote)
        for vote, value in enumerate(values)
    )


def _status(value: int | str | None) -> Any:
    return "ok" if isinstance(value, int) else "unparsed" if value is None else "failed"


def row(verdicts: tuple[Verdict, ...], name: str = "r") -> Judged:
    return make_row(name, verdicts=verdicts)


@pytest.mark.parametrize(
    ("votes", "rule", "counts", "expected"),
    [
        ([0, 0, 1], "majority", False, 0),
        ([0, 1], "majority", False, TIE),
        ([TIE, TIE, 0], "majority", False, TIE),
        ([TIE, TIE, 0], "mean", False, 0),
        ([TIE, TIE], "mean", False, TIE),
        ([0, 1, TIE], "mean", False, TIE),
        ([0, None, None], "majority", False, 0),
        ([0, None, None], "majority", True, None),
        ([0, 0, None], "majority", True, 0),
        ([0, None], "mean", True, None),
        ([0, "failed", "failed"], "majority", True, 0),
        ([None, "failed"], "majority", False, None),
        (["failed", "failed"], "majority", False, "failed"),
    ],
)
def test_picks(votes: list[int | str | None], rule: str, counts: bool, expected: object) -> None:
    (one,) = joined_votes(picks(votes), rule=rule, counts=counts)
    if isinstance(expected, int):
        assert (one.value, one.status) == (expected, "ok")
    else:
        assert (one.value, one.status) == (None, expected or "unparsed")
    assert (one.shown, one.vote) == ((0, 1), 0)


def test_orders_stay_apart_and_ratings_and_rankings_are_averaged() -> None:
    both = joined_votes((*picks([0, 0, 1]), *picks([1, 1, 0], (1, 0))))
    assert [(verdict.shown, verdict.value) for verdict in both] == [((0, 1), 0), ((1, 0), 1)]
    rated = tuple(Verdict((k,), "rating", value, vote=v) for k in (0, 1) for v, value in enumerate((k + 1.0, 4.0)))
    assert [verdict.value for verdict in joined_votes(rated)] == [2.5, 3.0]
    ranked = tuple(
        Verdict((0, 1, 2), "ranking", value, vote=v) for v, value in enumerate([(2, 0, 1), (2, 1, 0), (0, 2, 1)])
    )
    assert joined_votes(ranked)[0].value == (2, 0, 1)  # mean places 1, 5/3, 1/3
    labels = tuple(Verdict((0,), "label", value, vote=v) for v, value in enumerate(["x", "y", "y"]))
    assert joined_votes(labels)[0].value == "y"


def test_nothing_is_joined_unless_the_model_says_so() -> None:
    rows = [row(picks([0, 1, 1]))]
    for settings in ({}, {"voting": None}, {"voting": "each"}):
        assert voted(rows, settings) == rows
        assert vote_curve(rows, ACCURACY, measure(rows, [ACCURACY])[0], settings) == []
    assert voted(rows, MAJORITY)[0].judgment.verdicts[0].value == 1


def test_the_curve_by_hand() -> None:
    """Votes r r w r w: one vote is right in 3 of 5 cases, the first three decide rightly, all five too."""
    rows = [row(picks([0, 0, 1, 0, 1]), "a"), row(picks([1, 1, 1, 0, None]), "b")]
    end = measure(voted(rows, MAJORITY), [ACCURACY])[0]
    curve = {value.group: value.value for value in vote_curve(rows, ACCURACY, end, MAJORITY)}
    assert curve == {
        "votes=1": pytest.approx((3 / 5 + (1 + 0.5) / 5) / 2),
        "votes=3": pytest.approx((1 + 0) / 2),
        "votes=5": pytest.approx((1 + 0) / 2),
    }
    assert curve["votes=5"] == end.value == 0.5
    assert measure(rows, [ACCURACY])[0].value == pytest.approx(curve["votes=1"])


def test_even_numbers_end_the_curve() -> None:
    rows = [row(picks([0, 1, 0, 1]))]
    end = measure(voted(rows, MAJORITY), [ACCURACY])[0]
    assert [value.group for value in vote_curve(rows, ACCURACY, end, MAJORITY)] == ["votes=1", "votes=3", "votes=4"]


def test_the_curve_is_what_theory_says_of_independent_votes() -> None:
    """A judge that is right with p = .7, by itself in every vote: the binomial's upper half, within 4 errors."""
    random, p, count = Random(3), 0.7, 2000
    rows = [row(picks([int(random.random() > p) for _ in range(9)]), str(k)) for k in range(count)]
    end = measure(voted(rows, MAJORITY), [ACCURACY])[0]
    for value in vote_curve(rows, ACCURACY, end, MAJORITY):
        k = int(value.group.removeprefix("votes="))
        wanted = sum(comb(k, right) * p**right * (1 - p) ** (k - right) for right in range(k // 2 + 1, k + 1))
        assert value.value == pytest.approx(wanted, abs=4 * math.sqrt(wanted * (1 - wanted) / count))
        assert value.low < value.value < value.high
        assert (value.n, value.metric) == (count, "accuracy")


def test_blocks_are_unbiased() -> None:
    """Over all orders of the same votes the blocks' mean is the mean over all subsets."""
    from itertools import permutations

    cast: list[int | str | None] = [0, 0, 1, None]
    k = 3
    end = measure([row(picks(cast))], [ACCURACY])[0]
    means = []
    for order in permutations(cast):
        curve = vote_curve([row(picks(list(order)))], ACCURACY, end, MAJORITY)
        means.append({value.group: value.value for value in curve}["votes=3"])
    subsets = [credit(row(joined_votes(picks(list(some)))), ACCURACY).value for some in combinations(cast, k)]
    assert sum(means) / len(means) == pytest.approx(sum(subsets) / len(subsets))


def test_what_is_measured_of_a_judge_beside_the_tasks_metrics() -> None:
    rows = [row((*picks([0, 0]), *picks([1, 0], (1, 0))))]
    found = {(value.metric, value.group): value for value in judge_values(rows, [ACCURACY], [], {})}
    assert found["first_position_rate", None].value == 0.75
    assert found["first_position_rate", None].chance == 0.5
    assert found["position_consistency", None].value == 0.5
    own = [ACCURACY, MetricSpec("order_consistency", "order_consistency")]
    assert {value.metric for value in judge_values(rows, own, [], {})} == {"first_position_rate"}
    scored = [Judged("r", 2, Gold((Edge(0, 1),)), Judgment("r", rewards=(1.0, 0.0)))]
    assert judge_values(scored, [ACCURACY], [], {}) == []
    one_order = [row(picks([0]))]
    assert {value.metric for value in judge_values(one_order, [ACCURACY], [], {})} == {"first_position_rate"}


def test_the_curve_of_a_mean_of_metrics_is_that_of_its_parts() -> None:
    specs = [MetricSpec("mean", "mean_of", of=("accuracy",)), ACCURACY, MetricSpec("other", "pair")]
    rows = [row(picks([0, 1, 0]))]
    values = measure(voted(rows, MAJORITY), specs)
    groups = {(value.metric, value.group) for value in judge_values(rows, specs, values, MAJORITY)}
    assert {group for group in groups if group[1]} == {("accuracy", "votes=1"), ("accuracy", "votes=3")}


def test_first_position_and_attack_success() -> None:
    first, attack = MetricSpec("f", "first_position"), MetricSpec("a", "attack_success")
    one = row((*picks([0, TIE, None]), *picks([1, 0, "failed"], (1, 0))))
    assert credit(one, first).value == pytest.approx(2 / 3)
    assert credit(one, attack).value == pytest.approx(1 / 6)
    assert credit(row(picks([None])), first).value is None
    assert credit(row(picks([None])), attack).value == 0.0
    failed = Judged("r", 2, Gold((Edge(0, 1),)), Judgment("r", status="failed"))
    assert credit(failed, attack).value == 0.0
    scored = Judged("r", 2, Gold((Edge(0, 1),)), Judgment("r", rewards=(1.0, 2.0)))
    assert (credit(scored, attack).value, credit(scored, first).value) == (1.0, None)


def test_both_orders_of_a_judge_are_counted_vote_by_vote() -> None:
    said = [
        row((*picks([0, 0, TIE]), *picks([0, 1, TIE], (1, 0)))),  # the same; the first shown; two ties
        row((*picks([1, 0, None]), *picks([0, TIE, 0], (1, 0)))),  # the second shown; tied in one; unread
        row(picks([0])),
    ]
    found = orders([one.judgment for one in said])
    assert found is not None
    assert (found.consistent, found.first, found.second, found.total, found.rows) == (2, 1, 1, 5, 2)
    assert orders([row(picks([0])).judgment]) is None
