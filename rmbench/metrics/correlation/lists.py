"""Rank correlation within lists: each list's own coefficient, averaged over the lists that have one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.correlation.coefficients import correlation
from rmbench.metrics.rows.answers import in_dimension, item_scores, scores
from rmbench.metrics.rows.gold import figures, joined
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.metrics.uncertainty.sample import Sample, mean_sample
from rmbench.types import Judged

__all__ = ["Listed", "list_sample", "lists_of"]

Listed = tuple[Judged, Floats, Floats]
"""(first row of the list, human figures [k], model scores [k])."""


def lists_of(rows: Sequence[Judged], spec: MetricSpec) -> Iterator[Listed | None]:
    """The lists that `spec.join` makes of the rows, by default one per row; None for one that the model gave no scores
    for. Lists without gold are passed over, and candidates without a human figure left out.
    """
    for numbers in joined(rows, spec.join, spec.name):
        members = [rows[number] for number in numbers]
        human = [figures(row, spec) for row in members]
        if any(one is None for one in human):
            continue
        model = [_scores_of(row, spec, alone=len(members) == 1) for row in members]
        if any(one is None for one in model):
            yield None
            continue
        h = np.array([figure for one in human if one is not None for figure in one])
        s = np.array([score for one in model if one is not None for score in one])
        there = ~np.isnan(h)
        yield (members[0], h[there], s[there]) if np.isfinite(s[there]).all() else None


def _scores_of(row: Judged, spec: MetricSpec, *, alone: bool) -> list[float] | None:
    """Scores that order one row's candidates suffice for a list of its own."""
    row = in_dimension(row, spec.dimension)
    return scores(row) if alone else item_scores(row)


def list_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The mean over lists of `spec.rule`'s coefficient, each list with the weight of its first row.

    Flags: "undefined_lists=N", lists left out because one side is constant or they have one item; "incomplete", lists
    left out because the model gave no scores.
    """
    rule = spec.rule.removeprefix("list_")
    values: list[float] = []
    of: list[Judged] = []
    undefined = unscored = items = 0
    for one in lists_of(rows, spec):
        if one is None:
            unscored += 1
            continue
        row, human, model = one
        value = correlation(rule, human, model)
        if value is None or math.isnan(value):
            undefined += 1
            continue
        values.append(value)
        of.append(row)
        items += len(human)
    marks = {f"undefined_lists={undefined}": undefined, "incomplete": unscored}
    flags = tuple(mark for mark, count in marks.items() if count)
    return mean_sample(values, of, comparisons=items, flags=flags)
