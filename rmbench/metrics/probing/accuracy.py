"""Predicted classes against gold ones: accuracy, macro-F1, and whether a constant answer would do as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from rmbench.errors import RmbenchError
from rmbench.metrics.classes.confusion import confusion_matrix, macro
from rmbench.metrics.probing.states import checked_labels
from rmbench.metrics.uncertainty.aggregate import Ints
from rmbench.metrics.uncertainty.interval import wilson

__all__ = ["FAILED", "NOT_ABOVE_MAJORITY", "ProbeReport", "probe_report"]

FAILED = -1
"""Stands in the predictions for a row that the model failed on: it stays in n and is wrong."""

NOT_ABOVE_MAJORITY = "not_above_majority"

_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a probe's predictions are worth. Shares are fractions."""

    n: int
    correct: int
    accuracy: float
    low: float
    high: float
    """Wilson's 95% limits of the accuracy."""
    macro_f1: float
    majority: float
    """Share of test rows of the class that is most frequent in training: what one answer learned from the training
    labels alone gets."""
    best_constant: float
    """Share of the most frequent class of the test rows; never below `majority`, and the same unless they disagree."""
    p_above: float
    """One-sided exact binomial p that the accuracy is above `best_constant`, the stricter of the two."""
    flags: tuple[str, ...]
    """"not_above_majority" where `p_above` is above .05."""


def probe_report(gold: Ints, predicted: Ints, *, train_counts: Sequence[int]) -> ProbeReport:
    """The report of `predicted` [M] (a class, or FAILED) against `gold` [M].

    `train_counts` [C] are the training rows per class (`Probe.train_counts`); of equally frequent classes the lower one
    is the majority. Raises RmbenchError where there are no rows, a label is out of range, or a gold label is of a class
    that no training row had: a probe that was not trained on a class cannot be measured by it.
    """
    classes = len(train_counts)
    n = len(gold)
    if not n:
        raise RmbenchError("probe: no test rows to measure on.")
    gold = checked_labels(gold, n, classes, "gold labels of the test rows")
    predicted = checked_labels(predicted, n, classes, "predicted labels of the test rows", lowest=FAILED)
    unseen = np.asarray(train_counts)[gold] == 0
    if unseen.any():
        row = int(unseen.argmax())
        raise RmbenchError(f"probe: test row {row} has label {gold[row]}, which no training row has.")
    correct = int((gold == predicted).sum())
    low, high = wilson(correct, n)
    counts = np.bincount(gold, minlength=classes)
    best = int(counts.max()) / n
    p_above = float(stats.binomtest(correct, n, best, alternative="greater").pvalue)
    return ProbeReport(
        n=n,
        correct=correct,
        accuracy=correct / n,
        low=low,
        high=high,
        macro_f1=float(macro("macro_f1", confusion_matrix(gold, predicted, classes))),
        majority=int(counts[int(np.argmax(train_counts))]) / n,
        best_constant=best,
        p_above=p_above,
        flags=(NOT_ABOVE_MAJORITY,) if p_above > _LEVEL else (),
    )
