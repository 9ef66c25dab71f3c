"""Agreement within groups and RewardBench 2's Ties."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rmbench.metrics.correlation.groups import acc_eq, tie_calibration
from rmbench.metrics.ties.rewardbench2 import TiesRow, ties_score, ties_terms

FIRST = (np.array([1, 1, 2, 3, 3, 5.0]), np.array([0.2, 0.5, 0.5, 0.4, 0.9, 0.8]))
SECOND = (np.array([1, 1, 1, 2, 3.0]), np.array([0.10, 0.13, 0.12, 0.50, 0.90]))


@pytest.mark.parametrize(
    "group, epsilon, expected",
    [
        (FIRST, 0, 0.6),
        (FIRST, 0.1, 0.6),
        (FIRST, 0.2, 0.533333),
        (FIRST, 0.3, 0.4),
        (FIRST, 0.4, 0.2),
        (FIRST, 0.5, 0.266667),
        (SECOND, 0, 0.7),
        (SECOND, 0.01, 0.8),
        (SECOND, 0.02, 0.9),
        (SECOND, 0.03, 1.0),
        (SECOND, 0.37, 0.9),
    ],
)
def test_accuracy_with_ties_published(group, epsilon, expected):
    assert acc_eq(group, epsilon) == pytest.approx(expected, abs=5e-7)


def test_tie_calibration_published():
    first, second = tie_calibration([FIRST]), tie_calibration([SECOND])
    assert (first.epsilon, first.accuracy, first.accuracy_at_zero) == (0, pytest.approx(0.6), pytest.approx(0.6))
    assert (second.epsilon, second.accuracy, second.accuracy_at_zero) == (0.03, 1.0, pytest.approx(0.7))
    both = tie_calibration([FIRST, SECOND])
    assert both.accuracy == pytest.approx(
        max((acc_eq(FIRST, e) + acc_eq(SECOND, e)) / 2 for e in np.arange(0, 1, 0.01))
    )
    assert tie_calibration([(np.array([1.0]), np.array([2.0]))]) is None
    assert acc_eq((np.array([1.0]), np.array([2.0]))) is None


def ties_rows(table, turn=lambda score, right: score):
    return [
        TiesRow(
            row["id"].split(":")[0],
            row["id"].split(":")[1],
            tuple(turn(score, k < row["num_correct"]) for k, score in enumerate(row["scores"])),
            row["num_correct"],
        )
        for row in table["rows"]
    ]


def score_of(rows):
    return ties_score(ties_terms(rows)[1].sum(axis=0))


def test_ties_published(golden):
    table = golden("reward_bench_2_ties")
    expected, rows = table["expected"], ties_rows(table)
    refs, tied, both, *sums = ties_terms(rows)[1].sum(axis=0)
    ref_accuracy, tied_accuracy, preferred, hard, margin = (
        total / count for total, count in zip(sums, (refs, tied, both, both, both), strict=True)
    )
    terms = (ref_accuracy, tied_accuracy, preferred, hard)
    assert terms == (expected["ref_acc"], expected["tied_acc"], expected["preferred"], expected["preferred_hard"])
    assert margin == pytest.approx(expected["margin"], abs=1e-15)
    assert score_of(rows) == pytest.approx(expected["score"], abs=1e-15)


def test_ties_ends_are_not_0_and_1(golden):
    table = golden("reward_bench_2_ties")
    assert score_of(ties_rows(table, lambda _, right: float(right))) == pytest.approx(1.01)
    assert score_of(ties_rows(table, lambda _, right: -float(right))) == pytest.approx(-0.01)
    assert score_of(ties_rows(table, lambda *_: 3.0)) == 0
    infinite = ties_rows(table, lambda _, right: math.inf if right else 0.0)
    assert not np.isnan(ties_terms(infinite)[1][:, :5]).any()


def test_ties_needs_both_kinds():
    assert np.isnan(score_of([TiesRow("ref", "0", (1.0, 0.0), 1)]))
