"""RewardBench 2's Ties score of prompts that lack one of their two rows, by hand."""

from __future__ import annotations

import math

import pytest

from rmbench.metrics.ties.rewardbench2 import TiesRow, ties_score, ties_terms


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
