"""Whole clips by the majority of their segments (DenseDPO, arXiv 2506.03517)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.rows.answers import in_dimension, margin
from rmbench.metrics.rows.gold import Compared, compared, joined
from rmbench.metrics.uncertainty.sample import Sample, mean_sample
from rmbench.types import Judged

__all__ = ["majority_sample"]


def majority_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The share of pairs that people decide as wholes and the model decides alike by the majority of their segments.

    Rows of one cluster are the pair: one with the second value of `spec.between` in the group `spec.join` is of the
    whole clips, those with the first one are of segments; all compare the same two candidates. Each segment counts for
    the clip with the higher score, whatever people say of it; equal scores count for neither, and a failed segment
    counts against. As many for as against earn `spec.tie`. The whole's own scores are not looked at. Pairs without a
    decided whole, or without segments, are left out, the latter with the flag "no_segments".
    """
    if len(spec.between) != 2 or not spec.join:
        raise RmbenchError(
            f'metric "{spec.name}": `join` is the group that tells segments from wholes, and `between` its two values, '
            "that of segments first."
        )
    segment, whole = spec.between
    values: list[float] = []
    of: list[Judged] = []
    flags: set[str] = set()
    for numbers in joined(rows, "cluster", spec.name):
        members = [in_dimension(rows[number], spec.dimension) for number in numbers]
        segments = [row for row in members if _part(row, spec) == segment]
        for row in members:
            pair = _decided(row, spec) if _part(row, spec) == whole else None
            if pair is None:
                continue
            if not segments:
                flags.add("no_segments")
                continue
            net = sum(_vote(each, pair) for each in segments)
            values.append(spec.tie if net == 0 else float(net > 0))
            of.append(row)
    return mean_sample(values, of, comparisons=len(values), flags=tuple(sorted(flags)))


def _decided(row: Judged, spec: MetricSpec) -> Compared | None:
    return next((pair for pair in compared(row, spec) if not pair.tie), None)


def _vote(row: Judged, pair: Compared) -> float:
    """1 for the candidate that people prefer as a whole, -1 against it."""
    apart = margin(row, pair.i, pair.j)
    return -1.0 if apart is None else float(np.sign(apart))


def _part(row: Judged, spec: MetricSpec) -> str:
    if spec.join not in row.groups:
        hint = did_you_mean(spec.join, row.groups)
        raise RmbenchError(f'metric "{spec.name}": row "{row.id}" has no group "{spec.join}" (`join`).{hint}')
    return row.groups[spec.join]
