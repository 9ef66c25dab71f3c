"""Reports of predicted classes against hand calculations, exact fractions and plain loops."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmbench.errors import RmbenchError
from rmbench.metrics.classes.confusion import confusion_matrix, macro
from rmbench.metrics.probing.accuracy import FAILED, probe_report


def test_report_by_hand() -> None:
    gold, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
    report = probe_report(gold, predicted, train_counts=(5, 3, 2))
    assert (report.n, report.correct) == (6, 4)
    assert report.accuracy == pytest.approx(4 / 6)
    # F1 per class: 4/5, 2/4, 2/3.
    assert report.macro_f1 == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert report.majority == report.best_constant == 0.5
    # P(X >= 4) of six fair coins: (15 + 6 + 1) / 64.
    assert report.p_above == pytest.approx(22 / 64)
    assert report.flags == ("not_above_majority",)


def test_report_interval_is_wilsons() -> None:
    gold = np.array([0] * 50 + [1] * 50)
    predicted = np.where(np.arange(100) % 100 < 19, 1 - gold, gold)
    report = probe_report(gold, predicted, train_counts=(1, 1))
    assert (report.low, report.high) == pytest.approx((0.722212, 0.874852), abs=1e-6)
    assert report.flags == ()


def test_half_width_at_the_size_of_the_benchmark() -> None:
    gold = np.ones(1038, dtype=np.int64)
    report = probe_report(gold, (np.arange(1038) < 747).astype(np.int64), train_counts=(1, 2))
    assert (report.high - report.low) / 2 == pytest.approx(0.027, abs=5e-4)


@pytest.mark.parametrize(("correct", "flagged"), [(8, True), (9, False)])
def test_above_majority_is_an_exact_test(correct: int, flagged: bool) -> None:
    gold = np.array([0] * 6 + [1] * 4)
    predicted = np.where(np.arange(10) < correct, gold, 1 - gold)
    report = probe_report(gold, predicted, train_counts=(6, 4))
    p = Fraction(6, 10)
    tail = sum(math.comb(10, k) * p**k * (1 - p) ** (10 - k) for k in range(correct, 11))
    assert report.p_above == pytest.approx(float(tail))
    assert (report.flags == ("not_above_majority",)) == flagged


def test_a_constant_answer_is_never_above_the_majority() -> None:
    gold = np.array([0] * 545 + [1] * 455)
    report = probe_report(gold, np.zeros(1000, dtype=np.int64), train_counts=(3, 2))
    assert report.accuracy == report.majority == 0.545
    assert report.p_above > 0.4
    assert report.flags == ("not_above_majority",)
    # Training and test disagree: the test takes the better constant answer, not the one training suggests.
    turned = probe_report(gold, np.zeros(1000, dtype=np.int64), train_counts=(2, 3))
    assert (turned.majority, turned.best_constant) == (0.455, 0.545)
    assert turned.flags == ("not_above_majority",)
    alike = probe_report(np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64), train_counts=(1, 1))
    assert (alike.accuracy, alike.p_above) == (1.0, 1.0)


def test_failed_rows_stay_and_are_wrong() -> None:
    report = probe_report(np.array([0, 0, 1, 1]), np.array([0, FAILED, 1, FAILED]), train_counts=(1, 1))
    assert (report.n, report.accuracy) == (4, 0.5)
    assert report.macro_f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("gold", "predicted", "counts", "message"),
    [
        ([], [], (1, 1), "no test rows"),
        ([0, 2], [0, 1], (3, 3, 0), "test row 1 has label 2, which no training row has"),
        ([0, 2], [0, 1], (3, 3), "gold labels of the test rows: row 1 has label 2, expected 0 to 1"),
        ([0, 1], [0, 2], (3, 3), "predicted labels of the test rows: row 1 has label 2, expected -1 to 1"),
        ([0, 1], [0], (3, 3), "1 labels for 2 rows"),
    ],
)
def test_what_cannot_be_reported_is_said(gold: list[int], predicted: list[int], counts: tuple[int, ...], message: str):
    with pytest.raises(RmbenchError, match=message):
        probe_report(np.array(gold, dtype=np.int64), np.array(predicted, dtype=np.int64), train_counts=counts)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=1, max_size=30))
def test_macro_f1_equals_a_plain_loop(pairs: list[tuple[int, int]]) -> None:
    scores = []
    for label in sorted({g for g, _ in pairs} | {p for _, p in pairs if p >= 0}):
        hits = sum(g == p == label for g, p in pairs)
        if not hits:
            scores.append(0.0)
            continue
        precision = hits / sum(p == label for _, p in pairs)
        recall = hits / sum(g == label for g, _ in pairs)
        scores.append(2 * precision * recall / (precision + recall))
    gold, predicted = np.array(pairs).T
    assert float(macro("macro_f1", confusion_matrix(gold, predicted, 4))) == pytest.approx(sum(scores) / len(scores))
