"""Figures of raters against plain loops and against every ranking there is."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import rmbench
from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.row import credit
from rmbench.metrics.measure import measure
from rmbench.metrics.raters.accuracy import gap_sample, rater_sample
from rmbench.metrics.raters.people import agreement_sample, ceiling_sample
from rmbench.metrics.uncertainty.sample import Sample
from rmbench.types import Edge, Judged
from tests._make import make_row, write_lines

MEAN = MetricSpec("per_rater", "rater_mean")
AGREE = MetricSpec("agree", "rater_agreement", join="question")
CEILING = MetricSpec("ceiling", "rater_ceiling", join="question")
GAP = MetricSpec("gap", "worst_group_gap", join="country")


def rated(
    rater: str, question: str, winner: int, *, size: int = 2, rewards: Sequence[float] | None = None, country: str = "x"
) -> Judged:
    """A rater's choice of one candidate over all others."""
    edges = tuple(Edge(winner, other) for other in range(size) if other != winner)
    scores = rewards or [float(size - k) for k in range(size)]
    row = make_row(f"{rater}/{question}", scores, edges=edges, groups={"question": question, "country": country})
    return replace(row, rater=rater)


def crowd(seed: int, size: int = 2, raters: int = 6) -> list[Judged]:
    """Raters with few to many of six questions, most of them shared."""
    rng = random.Random(seed)
    return [
        rated(f"p{p}", f"q{q}", rng.randrange(size), size=size, rewards=[rng.random() for _ in range(size)])
        for p in range(raters)
        for q in range(6)
        if rng.random() < 0.7
    ]


def accuracies(rows: Sequence[Judged], rule: str = "pair") -> dict[str, float]:
    of: dict[str, list[float]] = {}
    for row in rows:
        of.setdefault(row.rater, []).append(credit(row, MetricSpec("m", rule)).value or 0.0)
    return {rater: sum(values) / len(values) for rater, values in of.items()}


def test_the_mean_over_raters_and_its_distribution() -> None:
    rows = crowd(1)
    each = accuracies(rows)
    sample = rater_sample(rows, MEAN)
    assert sample.value == pytest.approx(np.mean(list(each.values())))
    assert (sample.n, sample.flags) == (len(rows), (f"raters={len(each)}",))
    extras = {name: extra.value for name, extra in sample.extras}
    assert extras["quantile=0.5"] == np.quantile(list(each.values()), 0.5, method="inverted_cdf")
    assert extras["quantile=0.9"] == np.quantile(list(each.values()), 0.9, method="inverted_cdf")
    assert extras["sd=observed"] == pytest.approx(np.std(list(each.values()), ddof=1))


def test_raters_with_few_rows_are_left_out_and_counted() -> None:
    rows = [rated("many", f"q{k}", 0) for k in range(3)] + [rated("few", "q0", 1)]
    sample = rater_sample(rows, replace(MEAN, min_rows=2))
    assert (sample.value, sample.n, sample.flags) == (1.0, 3, ("raters=1", "rows_left_out=1"))
    assert rater_sample(rows, MEAN).value == 0.5


def test_the_spread_between_raters_is_not_that_of_few_rows() -> None:
    """Raters who differ in nothing have none; with true accuracies of .5 and .9 it is .2."""
    rng = np.random.default_rng(0)

    def between(true: Sequence[float]) -> float:
        rows = [rated(f"p{p}", f"{p}/{k}", int(rng.random() > true[p])) for p in range(len(true)) for k in range(10)]
        return dict(rater_sample(rows, MEAN).extras)["sd=between"].value or 0.0

    assert between([0.7] * 400) < 0.06
    assert between([0.5, 0.9] * 200) == pytest.approx(0.2, abs=0.025)


def brute_ceiling(rows: Sequence[Judged], options: Sequence[Callable[[Judged], float]]) -> float:
    """The best mean over raters among all ways to give each question one ranking."""
    questions = sorted({row.groups["question"] for row in rows})
    counts = {row.rater: sum(other.rater == row.rater for other in rows) for row in rows}
    best = 0.0
    for chosen in itertools.product(options, repeat=len(questions)):
        by_question = dict(zip(questions, chosen, strict=True))
        total = sum(by_question[row.groups["question"]](row) / counts[row.rater] for row in rows)
        best = max(best, total / len(counts))
    return best


def first_is(k: int) -> Callable[[Judged], float]:
    return lambda row: float(row.gold.relation[0].i == k)


def in_order(order: Sequence[int]) -> Callable[[Judged], float]:
    return lambda row: float(np.mean([order.index(e.i) < order.index(e.j) for e in row.gold.relation]))


@pytest.mark.parametrize("seed", range(4))
def test_the_ceiling_is_that_of_every_ranking(seed: int) -> None:
    rows = crowd(seed, raters=5)
    assert ceiling_sample(rows, CEILING).value == pytest.approx(brute_ceiling(rows, [first_is(0), first_is(1)]))
    three = [row for row in crowd(seed, size=3) if row.groups["question"] in ("q0", "q1", "q2")]
    top = replace(CEILING, credit="top")
    assert ceiling_sample(three, top).value == pytest.approx(brute_ceiling(three, [first_is(k) for k in range(3)]))
    orders = [in_order(order) for order in itertools.permutations(range(3))]
    assert ceiling_sample(three, CEILING).value == pytest.approx(brute_ceiling(three, orders))


def test_no_model_blind_to_raters_is_above_the_ceiling() -> None:
    for seed in range(20):
        rows = crowd(seed)
        blind = {
            question: [random.Random(f"{seed}{question}{k}").random() for k in range(2)]
            for question in map(str, range(6))
        }
        same = [replace(r, judgment=replace(r.judgment, rewards=tuple(blind[r.groups["question"][1:]]))) for r in rows]
        assert (rater_sample(same, MEAN).value or 0) <= (ceiling_sample(rows, CEILING).value or 0) + 1e-12


def test_opposite_tastes_have_a_ceiling_of_one_half() -> None:
    rows = [rated(f"p{p}", f"q{q}", p % 2) for p in range(4) for q in range(5)]
    assert ceiling_sample(rows, CEILING).value == 0.5
    assert agreement_sample(rows, AGREE).value == pytest.approx(1 / 3)
    alone = ceiling_sample([*rows, rated("p9", "of their own", 1)], CEILING)
    assert alone.value == pytest.approx((4 * 0.5 + 1) / 5)
    assert dict(alone.extras)["rows=shared"].value == 0.5


@pytest.mark.parametrize("how", ["top", "pair"])
def test_agreement_by_a_plain_loop(how: Literal["top", "pair"]) -> None:
    """Two who chose differently compared one pair in common, and disagree on it."""
    rows = crowd(3, size=3)
    chances = []
    for row in rows:
        peers = [other for other in rows if other.groups == row.groups and other.rater != row.rater]
        if peers:
            chances.append(np.mean([peer.gold.relation[0].i == row.gold.relation[0].i for peer in peers]))
    sample = agreement_sample(rows, replace(AGREE, credit=how))
    assert sample.value == pytest.approx(np.mean(chances))
    assert sample.n == len(chances)


def drawn_again(rows: Sequence[Judged], counts: Sequence[int], of: Callable[[list[Judged]], Sample]) -> float | None:
    """The figure of raters drawn again, each draw a person of their own."""
    raters = sorted({row.rater for row in rows})
    again = []
    for rater, times in zip(raters, counts, strict=True):
        again += [
            replace(row, rater=f"{rater}#{n}", id=f"{row.id}#{n}")
            for n in range(times)
            for row in rows
            if row.rater == rater
        ]
    return of(again).value


def extra(name: str) -> Callable[[list[Judged]], Sample]:
    return lambda rows: dict(rater_sample(rows, MEAN).extras)[name]


OF: dict[str, Callable[[list[Judged]], Sample]] = {
    "mean": lambda rows: rater_sample(rows, MEAN),
    "ceiling": lambda rows: ceiling_sample(rows, CEILING),
    "median": extra("quantile=0.5"),
    "spread": extra("sd=observed"),
    "between": extra("sd=between"),
}


@pytest.mark.parametrize("name", OF)
def test_draws_are_the_figures_of_the_raters_drawn(name: str) -> None:
    rows, rng = crowd(2), np.random.default_rng(1)
    raters = len({row.rater for row in rows})
    for _ in range(5):
        counts = np.bincount(rng.integers(0, raters, raters), minlength=raters)
        drawn = OF[name](rows).draw(counts[None, :].astype(float))[0]
        assert drawn == pytest.approx(drawn_again(rows, counts.tolist(), OF[name]))


def test_the_gap_of_the_worst_group() -> None:
    rows = [rated(f"p{k}", f"q{k}", int(k % 4 == 0), country="a" if k < 8 else "b") for k in range(12)]
    rows += [rated("p99", "q99", 1, country="tiny")]
    right = [float(row.gold.relation[0].i == 0) for row in rows]
    spec = replace(GAP, min_rows=2)
    sample = gap_sample(rows, spec)
    assert sample.value == pytest.approx(np.mean(right) - 0.75)
    assert sample.flags == ("worst=a",)
    assert gap_sample(rows, GAP).flags == ("worst=tiny",)
    assert gap_sample(rows, GAP).value == pytest.approx(np.mean(right))


def test_a_row_without_a_rater_is_named() -> None:
    with pytest.raises(RmbenchError, match=r'metric "per_rater": row "r" names no rater'):
        rater_sample([make_row("r", [1.0, 0.0])], MEAN)


def test_an_interval_by_raters_is_wider_than_one_by_rows() -> None:
    """Each rater's rows are all right or all wrong: there are as many facts as raters."""
    rows = [rated(f"p{p}", f"{p}/{q}", p % 2) for p in range(10) for q in range(20)]
    found = {
        value.metric: value for value in measure(rows, [MEAN, MetricSpec("by_row", "pair")]) if value.group is None
    }
    low, high = found["per_rater"].low, found["per_rater"].high
    assert low is not None
    assert high is not None
    by_row = found["by_row"]
    assert by_row.low is not None
    assert low < 0.25 < by_row.low
    assert high > 0.75


def test_sides_in_any_order_are_one_question(tmp_path: Path) -> None:
    """Chosen and rejected hold the taste in their order; the question is the same, and the people disagree."""
    rows = [
        {"prompt": f"q{q}", "chosen": f"{'AB'[p % 2]}{q}", "rejected": f"{'BA'[p % 2]}{q}", "who": f"p{p}"}
        for p in range(4)
        for q in range(5)
    ]
    data = write_lines(tmp_path / "mine.jsonl", rows)
    record = rmbench.run("baseline:length", data=data, columns={"rater": "who"}, out=tmp_path).records[0]
    found = {value.metric: value for value in record.results if value.group is None}
    assert found["ceiling"].value == 0.5
    people = found["people_agree"].value
    assert people is not None
    assert math.isclose(people, 1 / 3)
    assert "raters=4" in found["per_rater"].flags
