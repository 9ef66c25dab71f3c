"""Accuracy by the number of a rater's earlier choices that stood before the row, and what they add to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.raters.accuracy import rated_rows
from rmbench.metrics.uncertainty.sample import Sample, mean_sample, undefined_sample
from rmbench.types import Judged

__all__ = ["few_shot_sample", "gain_sample"]


def few_shot_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The mean over raters of their accuracy at the most shots; at every number of them as groups `shots=k`."""
    return _curve(rows, spec, gain=False)


def gain_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The mean over raters of their accuracy at the most shots less that at the fewest, on the same questions; of every
    other number of shots as groups `shots=k`. Raters are resampled with both of their accuracies."""
    return _curve(rows, spec, gain=True)


def _curve(rows: Sequence[Judged], spec: MetricSpec, *, gain: bool) -> Sample:
    by_shots: dict[int, list[Judged]] = {}
    for row in rows:
        by_shots.setdefault(_number(row, spec), []).append(row)
    if not by_shots:
        return undefined_sample(("undefined",))
    accuracies = {k: _by_rater(of, spec) for k, of in sorted(by_shots.items())}
    fewest, most = min(accuracies), max(accuracies)

    def at(k: int) -> Sample:
        first = accuracies[fewest] if gain else {}
        raters = sorted(accuracies[k].keys() & first.keys()) if gain else sorted(accuracies[k])
        values = [accuracies[k][rater] - first.get(rater, 0.0) for rater in raters]
        of = {row.rater: replace(row, cluster=row.rater, weight=1.0) for row in by_shots[k]}
        sample = mean_sample(np.array(values), [of[rater] for rater in raters], flags=(f"raters={len(raters)}",))
        return replace(sample, n=len(by_shots[k]), comparisons=len(by_shots[k]))

    others = [k for k in accuracies if not gain or k != fewest]
    return replace(at(most), extras=tuple((f"{spec.join}={k}", at(k)) for k in others))


def _by_rater(rows: Sequence[Judged], spec: MetricSpec) -> dict[str, float]:
    rated = rated_rows(rows, spec)
    return dict(zip(rated.raters, rated.accuracies.tolist(), strict=True))


def _number(row: Judged, spec: MetricSpec) -> int:
    value = row.groups.get(spec.join)
    if value is None or not value.isdecimal():
        hint = did_you_mean(spec.join, row.groups)
        raise RmbenchError(
            f'metric "{spec.name}": row "{row.id}" has no number of shots in the group "{spec.join}" (`join`).{hint}'
        )
    return int(value)
