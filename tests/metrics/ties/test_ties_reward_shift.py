"""How far apart rewards of candidates are that people tie, against a plain loop; null where there is no reward."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rmbench
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.measure import measure
from rmbench.metrics.paired.comparison import compare_rows
from rmbench.reports.audit import problems
from rmbench.types import Edge, Verdict
from tests._make import exit_code, write_sealed

MEAN = MetricSpec("mean", "reward_shift", report=(("kind",),))
LARGEST = MetricSpec("largest", "largest_reward_shift", report=(("kind",),))
TIED = (Edge(0, 1), Edge(0, 2), Edge(1, 2, 0.0))


def rows(make, count=12):
    rng = np.random.default_rng(5)
    made = []
    for number in range(count):
        kind = "ab"[number % 2]
        rewards = tuple(map(float, rng.normal(10 * number, 1 + number, 3)))
        edges = TIED if number % 3 else (*TIED, Edge(0, 1, 0.0))
        made.append(make(str(number), rewards, edges=edges, groups={"kind": kind}, cluster=str(number // 2)))
    return [*made, make("no tie", (90.0, -90.0), groups={"kind": "a"})]


def by_a_plain_loop(of, everything):
    """(mean, largest) of the rows `of`."""
    every = [reward for row in everything for reward in row.judgment.rewards]
    middle = sum(every) / len(every)
    spread = math.sqrt(sum((reward - middle) ** 2 for reward in every) / len(every))
    means, found = [], []
    for row in of:
        ties = [edge for edge in row.gold.relation if edge.strength == 0]
        gaps = [abs(row.judgment.rewards[edge.i] - row.judgment.rewards[edge.j]) / spread for edge in ties]
        if gaps:
            means.append(sum(gaps) / len(gaps))
            found += gaps
    return sum(means) / len(means), max(found)


def test_mean_and_largest_are_those_of_a_plain_loop_in_one_unit_for_all_groups(make):
    every = rows(make)
    values = {(value.metric, value.group): value for value in measure(every, (MEAN, LARGEST))}
    for kind in (None, "a", "b"):
        of = [row for row in every if kind in (None, row.groups["kind"])]
        group = kind and f"kind={kind}"
        mean, largest = by_a_plain_loop(of, every)
        assert values["mean", group].value == pytest.approx(mean)
        assert values["largest", group].value == pytest.approx(largest)
        assert values["mean", group].low < mean < values["mean", group].high
        assert (values["largest", group].low, values["largest", group].high) == (None, None)
        assert values["mean", group].n == (12 if kind is None else 6)
        for metric in ("mean", "largest"):
            assert values[metric, group].comparisons == (16 if kind is None else 8)
        assert values["mean", group].flags == values["largest", group].flags == ()


def test_the_unit_is_not_changed_by_which_rows_a_metric_counts(make):
    every = rows(make)
    only = MetricSpec("mean", "reward_shift", where={"kind": ("b",)})
    (value,) = measure(every, (only,))
    assert value.value == pytest.approx(by_a_plain_loop([row for row in every if row.groups["kind"] == "b"], every)[0])


def test_an_affine_change_of_the_rewards_changes_nothing(make):
    def scaled(by):
        return [make(str(k), (by * 1.0 + 7, by * 2.0 + 7, by * 4.0 + 7), edges=TIED) for k in range(3)]

    spec = MetricSpec("mean", "reward_shift")
    first, second = (measure(scaled(by), (spec,))[0].value for by in (1.0, -50.0))
    assert first == pytest.approx(second)


def test_two_models_compare_by_the_values_of_their_own_records(make):
    a = rows(make)
    b = [replace(row, judgment=replace(row.judgment, rewards=tuple(x**2 for x in row.judgment.rewards))) for row in a]
    for spec in (replace(every, where={"kind": ("b",)}) for every in (MEAN, LARGEST)):
        found = compare_rows(a, b, spec)
        values = [measure(side, (spec,))[0].value for side in (a, b)]
        assert [found.value_a, found.value_b] == pytest.approx(values)
        assert found.difference == pytest.approx(values[1] - values[0])
        assert (found.low is None) == (spec.rule == "largest_reward_shift")


def picked(make, name):
    verdicts = tuple(Verdict(shown, "pick", shown[0]) for shown in ((0, 1), (1, 0), (1, 2), (2, 1)))
    return make(name, None, size=3, edges=TIED, verdicts=verdicts)


def rated(make, name, *ratings):
    verdicts = tuple(
        Verdict((k,), "rating", value, "ok" if value is not None else "unparsed") for k, value in enumerate(ratings)
    )
    return make(name, None, size=3, edges=TIED, verdicts=verdicts)


def test_judges_that_only_compare_have_none_and_those_that_rate_do(make):
    picks = [picked(make, str(k)) for k in range(4)]
    for value in measure(picks, (MetricSpec("m", "reward_shift"), MetricSpec("l", "largest_reward_shift"))):
        assert (value.value, value.low, value.high) == (None, None, None)
        assert value.flags == ("incomplete", "needs_scores", "undefined")
    ratings = [rated(make, "1", 9, 3, 4), rated(make, "2", 8, 5, 5)]
    (value,) = measure(ratings, (MetricSpec("m", "reward_shift"),))
    assert value.value == pytest.approx(0.5 / np.std([9, 3, 4, 8, 5, 5]))
    unread = [*ratings, rated(make, "3", 9, None, 4)]
    (value,) = measure(unread, (MetricSpec("m", "reward_shift"),))
    assert value.value == pytest.approx(0.5 / np.std([9, 3, 4, 8, 5, 5, 9, 4]))
    assert (value.n, value.flags) == (2, ("incomplete",))


def test_a_failed_row_is_no_row_without_scores(make):
    spec = MetricSpec("m", "reward_shift", min_coverage=0.5)
    failed = [make(f"f{k}", None, size=3, edges=TIED, status="failed") for k in range(2)]
    (value,) = measure(failed, (spec,))
    assert (value.value, value.flags) == (None, ("incomplete", "undefined", "low_coverage"))
    (value,) = measure([*failed, picked(make, "p"), picked(make, "q")], (spec,))
    assert (value.value, value.flags) == (None, ("incomplete", "needs_scores", "undefined"))
    whole = rows(make)
    (value,) = measure([*whole, *failed], (spec,))
    assert value.value == pytest.approx(by_a_plain_loop(whole, whole)[0])
    assert (value.n, value.flags) == (12, ("incomplete",))


def test_equal_rewards_everywhere_have_no_unit(make):
    for count in (1, 2, 3, 4):  # of some the mean is off by a rounding, which is no spread
        alike = [make(str(k), (0.1, 0.1, 0.1), edges=TIED) for k in range(count)]
        (value,) = measure(alike, (MetricSpec("m", "reward_shift"),))
        assert (value.value, value.flags) == (None, ("undefined",))
    even = [make(str(k), (1.0, 0.1, 0.1), edges=TIED) for k in range(3)]
    (value,) = measure(even, (MetricSpec("m", "reward_shift"),))
    assert value.value == 0


def test_the_record_of_a_run_is_recomputed_from_its_rows(tmp_path: Path) -> None:
    """An audit finds it sound, and a shift that was changed by hand unsound."""
    flags = ("--tasks", "forged-turns", "--source", "sample", "--out", str(tmp_path))
    assert exit_code("run", "--model", "tiny-bt", *flags) == 0
    (file,) = tmp_path.glob("**/record.json")
    assert problems(file.parent) == []
    record = json.loads(file.read_text("utf-8"))
    said = {(one["metric"], one["group"]): one["value"] for one in record["results"]}
    every = rmbench.read_rows(file.parent)
    for template in (None, "chatml", "gemma"):
        of = [row for row in every if template in (None, row.groups["template"])]
        group = template and f"template={template}"
        mean, largest = by_a_plain_loop(of, every)
        assert said["reward_shift", group] == pytest.approx(mean)
        assert said["largest_reward_shift", group] == pytest.approx(largest)
    for one in record["results"]:
        if (one["metric"], one["group"]) == ("reward_shift", None):
            one["value"] += 1e-3
    write_sealed(file, record)
    assert any("results: reward_shift: value is" in line for line in problems(file.parent))
