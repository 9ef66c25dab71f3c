"""Scores must not depend on the round, the batch, the padding side or prefix sharing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rmbench.check.report import CheckResult, failed, not_run, passed
from rmbench.check.subject import Subject, largest_change
from rmbench.models.protocols import SharingScorer
from rmbench.types import Judgment

__all__ = ["batching", "determinism", "padding", "sharing"]

_EXACT = 1e-6
"""Share of the largest score, or of 1, by which two equal computations may differ."""


def determinism(subject: Subject) -> CheckResult:
    """Two rounds give the same numbers, and no module is in training mode, where dropout is active."""
    name = "determinism"
    scores = subject.scores()
    training = [label for module in subject.modules for label in _training(module)]
    change, where = largest_change(subject.judgments, subject.ask(subject.examples))
    figures = {"largest_change": change, "training_modules": len(training)}
    differ = f"two rounds differ by {change:.3g} ({where})" if change else ""
    if training:
        listed = ", ".join(training[:3]) + (f" and {len(training) - 3} more" if len(training) > 3 else "")
        return failed(name, f"{differ + '; ' if differ else ''}in training mode: {listed}", figures)
    if change > _EXACT * max(1.0, float(np.abs(scores).max(initial=0.0))):
        return failed(name, differ, figures)
    if not len(scores):
        return not_run(name, "there are no scores to compute twice")
    return passed(name, f"two rounds differ by {change:.3g}" if change else "two rounds are equal bitwise", figures)


def batching(subject: Subject) -> CheckResult:
    """A row scores the same alone and in a batch with rows of other lengths."""
    name = "batching"
    if subject.scorer is None:
        return not_run(name, f"a {subject.facts.family} model answers row by row; there are no batches")
    alone = subject.ask(subject.examples, batch_rows=1)
    return _compared(subject, name, alone, "alone and in one batch")


def padding(subject: Subject) -> CheckResult:
    """A row scores the same padded on the left and on the right."""
    name = "padding"
    if subject.scorer is None:
        return not_run(name, f"a {subject.facts.family} model answers row by row; there is nothing to pad")
    if not any(part.ids for row in subject.encoded for part in (row, *row.parts)):
        return not_run(name, "its rows have no token ids that the engine pads")
    left = subject.ask(subject.examples, padding_side="left")
    return _compared(subject, name, left, "padded right and left")


def sharing(subject: Subject) -> CheckResult:
    """Rows whose shared prefix is computed once score as rows computed in full."""
    name = "sharing"
    if not isinstance(subject.scorer, SharingScorer):
        return not_run(name, "the model computes every row in full")
    shared = subject.ask(subject.examples, batch_tokens=None, share=True)
    return _compared(subject, name, shared, "with and without prefix sharing")


def _compared(subject: Subject, name: str, other: Sequence[Judgment], how: str) -> CheckResult:
    change, where = largest_change(subject.judgments, other)
    rows, allowed = len(subject.scores()), subject.tolerance
    figures = {"largest_change": change, "tolerance": allowed, "rows": rows}
    if not rows:
        return not_run(name, "there are no scores to compare")
    if math.isinf(change):
        return failed(name, f"{where} is answered in one of two ways only: {how}", figures)
    line = f"{rows} scores {how} differ by {change:.2g} at most"
    if change > allowed:
        return failed(name, f"{line} ({where}); rounding explains {allowed:.2g}", figures)
    return passed(name, f"{line} (allowed {allowed:.2g})", figures)


def _training(module: Any) -> list[str]:
    """Modules in training mode, those first whose output it changes."""
    training = [
        (name or "the model itself", type(part).__name__) for name, part in module.named_modules() if part.training
    ]
    training.sort(key=lambda part: not any(word in part[1] for word in ("Dropout", "BatchNorm")))
    return [f"{name} ({kind})" for name, kind in training]
