"""RewardBench 2's Ties score, its rows and its counts, by hand."""

from __future__ import annotations

import math

import pytest

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.ties.rewardbench2 import TiesRow, ties_rows, ties_sample, ties_score, ties_terms
from rmbench.types import Edge


def test_keys_with_one_row_count_in_its_accuracy_alone():
    rows = [
        TiesRow("ref", "1", (3.0, 1.0), 1),
        TiesRow("tied", "1", (5.0, 4.0, 1.0), 2),  # gap 3, spread 1; the smaller gap of the two rows is 2
        TiesRow("ref", "2", (0.0, 1.0), 1),
        TiesRow("ref", "3", (2.0, 1.0), 1),
        TiesRow("tied", "4", (3.0, 2.0, 0.0), 2),
    ]
    keys, terms = ties_terms(rows)
    assert keys == ["1", "2", "3", "4"]
    expected = 0.30 * 2 / 2 + 0.30 * 2 / 3 + 0.20 * 1 / 1 + 0.20 * 1 / 1 + 0.01 * math.tanh(2 / 1 - 1)
    assert ties_score(terms.sum(axis=0)) == pytest.approx(expected, abs=1e-12)


def test_right_answers_that_people_tie_are_all_right(make):
    """Two right answers, tied by people, and three wrong ones: six comparisons."""
    decided = tuple(Edge(i, j) for i in (0, 1) for j in (2, 3, 4))
    scores = (5.0, 4.0, 1.0, 0.0, 2.0)
    tied = make("tied:1", scores, edges=(Edge(0, 1, 0.0), *decided))
    ref = make("ref:1", (2.0, 1.0, 0.0), edges=(Edge(0, 1), Edge(0, 2)))
    spec = MetricSpec("m", "ties")
    assert ties_rows([tied, ref], spec) == [TiesRow("tied", "1", scores, 2), TiesRow("ref", "1", (2.0, 1.0, 0.0), 1)]
    assert ties_sample([tied, ref], spec).comparisons == 6 + 2
