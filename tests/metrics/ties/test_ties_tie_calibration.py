"""Calibrated ties within lists, some of them without an answer, against a plain loop."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.ties.tie_calibration import calibrated_sample

SPEC = MetricSpec("m", "tie_calibrated_accuracy")
LISTS = [((1, 1, 2, 3), (0.0, 0.25, 0.5, 0.75)), ((2, 1, 1), (4.0, 3.0, 3.5))]


def rated(make, name, human, model):
    status = "failed" if model is None else "ok"
    ratings = tuple((float(one),) for one in human)
    return make(name, model, size=len(human), edges=(), ratings=ratings, dimensions=("q",), status=status)


def accuracy(human, model, epsilon):
    right = []
    for i, j in itertools.combinations(range(len(human)), 2):
        people, apart = np.sign(human[i] - human[j]), model[i] - model[j]
        right.append(people == (0 if abs(apart) <= epsilon else np.sign(apart)))
    return np.mean(right)


def test_lists_without_an_answer_are_left_out_and_flagged(make):
    rows = [rated(make, str(k), *one) for k, one in enumerate(LISTS)]
    best = {epsilon: np.mean([accuracy(*one, epsilon) for one in LISTS]) for epsilon in (0.0, 0.25, 0.5, 0.75, 1.0)}
    epsilon = max(best, key=best.__getitem__)
    failed = rated(make, "failed", (1, 2, 3), None)
    for found, flags in (
        (calibrated_sample(rows, SPEC), ()),
        (calibrated_sample([*rows, failed], SPEC), ("incomplete",)),
    ):
        assert found.value == pytest.approx(best[epsilon])
        assert (found.n, found.comparisons, found.flags) == (2, 7, (*flags, f"epsilon={epsilon:g}"))
        ((label, plain),) = found.extras
        assert (label, plain.value, plain.flags) == ("epsilon=0", pytest.approx(best[0.0]), flags)
    nothing = calibrated_sample([failed], SPEC)
    assert (nothing.value, nothing.flags) == (None, ("incomplete", "undefined"))
