"""Levels, weights and RewardBench's sections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.errors import RmbenchError
from rmbench.metric_spec import Level, MetricSpec
from rmbench.metrics.credit.row import credit
from rmbench.metrics.measure import measure
from rmbench.metrics.uncertainty.aggregate import (
    cluster_codes,
    nest,
    row_weights,
)
from tests._make import make_row


def row(name, groups=None, weight=1.0, right=True, cluster=""):
    rewards = (1.0, 0.0) if right else (0.0, 1.0)
    return make_row(name, rewards, groups=groups, cluster=cluster, weight=weight)


def reward_bench_rows(table):
    """Rows whose subset accuracies are the published ones; math-prm has 447 rows and weight 984."""
    rows = []
    for section, subsets in table["sections"].items():
        for subset in subsets:
            n = 447 if subset == "math-prm" else table["counts"][subset]
            right = round(n * table["example_metrics"][subset])
            groups = {"section": section, "subset": subset}
            rows += [row(f"{subset}-{k}", groups, right=k < right) for k in range(n)]
    return rows


def test_reward_bench_sections_from_rows(golden):
    """2,985 rows with those accuracies, through the levels: the section scores and their mean."""
    table = golden("reward_bench_sections")
    levels = (Level("section"), Level("subset", table["counts"]))
    spec = MetricSpec("score", "pair", levels=levels, report=(("section",), ("subset",)), chance=0.5)
    rows = reward_bench_rows(table)
    values = {value.group: value for value in measure(rows, [spec], resamples=200)}
    assert len(rows) == values[None].n == 2985
    assert values[None].value == pytest.approx(table["mean_of_four"], abs=1e-12)
    for section, score in table["section_scores"].items():
        assert values[f"section={section}"].value == pytest.approx(score, abs=1e-12)
    assert values["subset=math-prm"].value == pytest.approx(132 / 447)
    assert values[None].interval == "wilson-cr2"
    assert values[None].low < table["mean_of_four"] < values[None].high


def test_nested_means_by_hand():
    # a/x: 1, 0; a/y: 1; b/z: 0, 0, 1, 1.
    right = {("a", "x"): (1, 0), ("a", "y"): (1,), ("b", "z"): (0, 0, 1, 1)}
    rows = [
        row(f"{g}{s}{k}", {"g": g, "s": s}, right=bool(one))
        for (g, s), ones in right.items()
        for k, one in enumerate(ones)
    ]
    spec = MetricSpec("m", "pair", levels=(Level("g", {"a": 3, "b": 1, "c": 9}), Level("s")))
    expected = (3 * (0.5 + 1) / 2 + 1 * 0.5) / 4
    assert measure(rows, [spec], resamples=50)[0].value == pytest.approx(expected)
    earned = np.array([credit(one, spec).value for one in rows])
    assert row_weights(rows, spec) @ earned == pytest.approx(expected)
    assert row_weights(rows, spec) == pytest.approx([3 / 16, 3 / 16, 3 / 8, *[1 / 16] * 4])


def test_row_weights_weigh_within_a_leaf():
    rows = [row("1", {"g": "a"}, 3), row("2", {"g": "a"}, 1), row("3", {"g": "b"}, 7)]
    assert row_weights(rows, MetricSpec("m", "pair", levels=(Level("g"),))) == pytest.approx([3 / 8, 1 / 8, 1 / 2])
    assert row_weights(rows, MetricSpec("m", "pair")) == pytest.approx([3 / 11, 1 / 11, 7 / 11])
    assert row_weights([], MetricSpec("m", "pair")).shape == (0,)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.floats(0.1, 10)), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_weights_sum_to_one_and_do_not_hang_on_order(rows, random):
    judged = [row(str(k), {"g": g, "s": s}, weight) for k, (g, s, weight) in enumerate(rows)]
    spec = MetricSpec("m", "pair", levels=(Level("g", {"a": 1, "b": 2, "c": 5}), Level("s")))
    weights = row_weights(judged, spec)
    assert weights.sum() == pytest.approx(1)
    places = list(range(len(judged)))
    random.shuffle(places)
    assert row_weights([judged[place] for place in places], spec) == pytest.approx(weights[places])
    assert nest(judged, spec.levels).mean_of_rows(np.ones(len(judged))) == 1.0


def test_a_missing_group_or_weight_is_named():
    with pytest.raises(RmbenchError, match=r'row "7" has no group .sectoin.*Did you mean "section"'):
        row_weights([row("7", {"section": "a"})], MetricSpec("m", "pair", levels=(Level("sectoin"),)))
    spec = MetricSpec("m", "pair", levels=(Level("section", {"Chat": 1.0}),))
    with pytest.raises(RmbenchError, match=r'no weight for "Chatt".*Did you mean "Chat"'):
        row_weights([row("7", {"section": "Chatt"})], spec)


def test_cluster_codes_follow_names():
    rows = [row("1", cluster="p"), row("2", cluster="a"), row("3", cluster="p")]
    assert cluster_codes(rows).tolist() == [1, 0, 1]
    assert cluster_codes([]).tolist() == []
