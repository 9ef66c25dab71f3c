"""How far apart a model scores candidates that people tie: how much a change that should not matter moves a reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.rows.answers import is_failed, item_scores
from rmbench.metrics.rows.gold import compared
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.metrics.uncertainty.sample import Sample, mean_sample, undefined_sample
from rmbench.types import Judged

__all__ = ["largest_shift_sample", "reward_spread", "shift_sample"]

Shifts = tuple[list[Judged], list[Floats], tuple[str, ...]]
"""The rows with ties, of each its shifts [ties] in standard deviations, and flags."""


def reward_spread(rows: Sequence[Judged], dimension: str = "") -> float:
    """The standard deviation (ddof 0) of all finite scores of all candidates of `rows`, which have at least one, in the
    model's own units."""
    found = np.array([score for row in rows for score in item_scores(row, dimension) or ()])
    finite = found[np.isfinite(found)]
    # Equal numbers may differ from their mean by a rounding, which is no spread.
    return float(finite.std()) if np.ptp(finite) > 0 else 0.0


def shift_sample(rows: Sequence[Judged], spec: MetricSpec, task_rows: Sequence[Judged]) -> Sample:
    """The mean over rows of |difference of scores| between candidates that people tie, of a row with several ties their
    mean, in `reward_spread` of `task_rows`: all of the task, so that the unit is one for every group of rows.

    The interval takes the unit as given. A row that is answered without scores is left out, with the flag "incomplete";
    where every one is, the value is null with "needs_scores". Scores that are all alike have no unit: "undefined".
    """
    found = _shifts(rows, spec, task_rows)
    if isinstance(found, Sample):
        return found
    of, shifts, flags = found
    values = np.array([one.mean() for one in shifts])
    return mean_sample(values, of, comparisons=sum(map(len, shifts)), flags=flags)


def largest_shift_sample(rows: Sequence[Judged], spec: MetricSpec, task_rows: Sequence[Judged]) -> Sample:
    """As `shift_sample`, the largest in place of the mean. It has no interval: no resample goes beyond it."""
    found = _shifts(rows, spec, task_rows)
    if isinstance(found, Sample):
        return found
    of, shifts, flags = found
    largest = max(float(one.max()) for one in shifts)
    return replace(undefined_sample(flags, len(of)), value=largest, comparisons=sum(map(len, shifts)))


def _shifts(rows: Sequence[Judged], spec: MetricSpec, task_rows: Sequence[Judged]) -> Shifts | Sample:
    """The shifts; or a sample without a value, where there are none."""
    tied = [(row, ties) for row in rows if (ties := [one for one in compared(row, spec) if one.tie])]
    of, gaps = [], []
    for row, ties in tied:
        score = item_scores(row, spec.dimension)
        if score is not None and np.isfinite(score).all():
            of.append(row)
            gaps.append(np.array([abs(score[one.i] - score[one.j]) for one in ties]))
    flags = ("incomplete",) if len(of) < len(tied) else ()
    if not of:
        unscored = any(not is_failed(row) and item_scores(row, spec.dimension) is None for row, _ in tied)
        return undefined_sample((*flags, *(("needs_scores",) if unscored else ()), "undefined"), len(of))
    spread = reward_spread(task_rows, spec.dimension)
    if spread == 0:
        return undefined_sample((*flags, "undefined"), len(of))
    return of, [gap / spread for gap in gaps], flags
