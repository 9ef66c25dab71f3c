"""The level that guessing reaches: as declared, or that of the questions a judge was asked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.measure import measure
from rmbench.types import TIE, Edge, Judged, Value, Verdict
from tests._make import make_row

REWARDMATH = {"reward": 0.1, "verdict": 0.001953125}
BOTH = [(0, 1), (1, 0)]


def of_ten(*verdicts: Verdict, name: str = "r") -> Judged:
    """One right solution and nine wrong ones."""
    return make_row(name, size=10, edges=tuple(Edge(0, k) for k in range(1, 10)), verdicts=verdicts)


def value_of(rows: Sequence[Judged], rule: str, chance: dict[str, float], **fields: float) -> Value:
    spec = MetricSpec("m", rule, chance=chance, **fields)  # type: ignore[arg-type]
    return measure(rows, [spec], answer_kind="verdict", resamples=50)[0]


def guessed_rankings(orders: int, rows: int = 40_000) -> float:
    """The share of problems on which the right one of ten is first in every one of so many random rankings."""
    first = np.random.default_rng(4).integers(0, 10, (rows, orders))
    return float((first == 0).all(axis=1).mean())


@pytest.mark.parametrize("orders", [1, 2])
def test_rankings_on_rewardmath(orders: int) -> None:
    shown = tuple(range(10))
    asked = [shown, shown[::-1]][:orders]
    row = of_ten(*(Verdict(one, "ranking", shown) for one in asked))
    found = value_of([row], "all", REWARDMATH)
    assert found.value == 1
    assert found.chance == pytest.approx(0.1**orders, abs=1e-12)
    assert found.chance == pytest.approx(guessed_rankings(orders), abs=0.005)


def test_a_choice_among_all_is_enumerated() -> None:
    shown = tuple(range(10))
    once, twice = (of_ten(*(Verdict(one, "pick", 3) for one in (shown, shown[::-1])[:k])) for k in (1, 2))
    assert value_of([once], "all", REWARDMATH).chance == pytest.approx(0.1, abs=1e-12)
    # Picked in both orders, or in one while the other pick beats nobody: 1/100 and no more, the two picks lie level.
    mean = np.mean([float(one == other == 0) for one, other in itertools.product(range(10), repeat=2)])
    assert value_of([twice], "all", REWARDMATH).chance == pytest.approx(mean, abs=1e-12)


def test_the_pairs_that_the_level_was_declared_for_keep_it() -> None:
    row = of_ten(*(Verdict((0, k), "pick", 0) for k in range(1, 10)))
    assert value_of([row], "all", REWARDMATH).chance == REWARDMATH["verdict"] == 1 / 2**9
    both = make_row(verdicts=[Verdict(one, "pick", 0) for one in BOTH])
    assert value_of([both], "both_orders", {"reward": 0.5, "verdict": 0.25}).chance == 0.25


def test_pairs_in_both_orders_where_the_level_is_of_one() -> None:
    row = make_row(verdicts=tuple(Verdict(one, "pick", 0) for one in BOTH))
    assert value_of([row], "all", {"reward": 0.5, "verdict": 0.5}).chance == 1 / 4
    tied = make_row("t", verdicts=tuple(Verdict(one, "pick", TIE) for one in BOTH))
    # With ties each question has three answers: won twice, or won once and tied once, 3 of 9.
    assert value_of([row, tied], "all", {"reward": 0.5, "verdict": 0.5}).chance == pytest.approx(3 / 9)


def test_one_order_where_the_level_is_of_both() -> None:
    row = make_row(verdicts=(Verdict((0, 1), "pick", 0),))
    assert value_of([row], "two_order_majority", {"reward": 0.5, "verdict": 0.25}).chance == 0.5
    assert value_of([row], "both_orders", {"reward": 0.5, "verdict": 0.25}).chance == 0


def test_ratings_are_guessed_from_those_that_the_judge_gave() -> None:
    given = [1, 2, 2, 5]
    row = make_row(
        size=4,
        edges=[Edge(0, k) for k in (1, 2, 3)],
        verdicts=[Verdict((k,), "rating", r) for k, r in enumerate(given)],
    )
    wins = [all(one[0] > other for other in one[1:]) for one in itertools.product(given, repeat=4)]
    assert value_of([row], "all", {"reward": 0.25, "verdict": 0.1}).chance == pytest.approx(np.mean(wins), abs=0.012)


def test_the_level_of_rankings_is_what_random_rankings_reach() -> None:
    """2,000 problems in two orders: right and wrong ones of various numbers, and the mean is near its own level."""
    rng = np.random.default_rng(5)
    rows = []
    for number in range(2000):
        size = int(rng.integers(2, 5))
        edges = [Edge(i, j) for i in range(size // 2) for j in range(size // 2, size)]
        verdicts = [Verdict(tuple(range(size)), "ranking", tuple(map(int, rng.permutation(size)))) for _ in range(2)]
        rows.append(make_row(f"r{number}", size=size, edges=edges, verdicts=verdicts))
    for rule in ("all", "reciprocal_rank", "pair"):
        found = value_of(rows, rule, {"verdict": 0.9})
        assert found.chance == pytest.approx(found.value, abs=0.025)


def test_reciprocal_rank_of_rankings() -> None:
    row = of_ten(Verdict(tuple(range(10)), "ranking", tuple(range(10))))
    expected = sum(1 / r for r in range(1, 11)) / 10
    assert value_of([row], "reciprocal_rank", {"verdict": 0.1998047}).chance == pytest.approx(expected, abs=0.008)


def test_the_level_is_that_of_each_groups_own_questions() -> None:
    def row(name: str, size: int) -> Judged:
        verdicts = (Verdict(tuple(range(size)), "ranking", tuple(range(size))),)
        edges = [Edge(0, k) for k in range(1, size)]
        return make_row(name, size=size, edges=edges, verdicts=verdicts, groups={"of": str(size)})

    spec = MetricSpec("m", "all", chance={"reward": 0.1, "verdict": 0.1}, report=(("of",),))
    values = measure([row("a", 3), row("b", 4), row("c", 4)], [spec], answer_kind="verdict")
    levels = {value.group: value.chance for value in values}
    exact = {size: math.factorial(size - 1) / math.factorial(size) for size in (3, 4)}
    assert levels["of=3"] == pytest.approx(exact[3], abs=1e-12)
    assert levels["of=4"] == pytest.approx(exact[4], abs=1e-12)
    assert levels[None] == pytest.approx((exact[3] + 2 * exact[4]) / 3, abs=1e-12)
