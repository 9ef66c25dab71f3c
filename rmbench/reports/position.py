"""The part on order: does the answer change with which of the two is shown first?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmbench.metrics.judging.position_bias import in_both_orders
from rmbench.metrics.rows.answers import answered_by, outcomes
from rmbench.reports.pairs import Pairs, mean_of
from rmbench.reports.report import Estimate, Position
from rmbench.types import Judged

__all__ = ["position_of"]


def position_of(pairs: Pairs, rows: Sequence[Judged]) -> Position | str:
    """Of `rows` with every vote; a sentence that says why order says nothing."""
    answered = [row for row in rows if answered_by(row) != "none"]
    if not answered:
        return "The model has a readable answer to no row."
    if all(row.judgment.rewards is not None for row in answered):
        return "The model scores each answer by itself, so that their order cannot matter."
    asked = [
        (row, there, back)
        for row in answered
        if row.judgment.rewards is None
        for there, back in in_both_orders(row.judgment)
    ]
    if not asked:
        return "No two answers were shown in both orders."
    if all(row.judgment.directed is not None and there == -back for row, there, back in asked):
        return "The margins only change their sign with the order."
    of, there, back = [row for row, _, _ in asked], *(np.array([each[k] for each in asked]) for k in (1, 2))
    return Position(
        asked=len(asked),
        consistent=mean_of((np.sign(there) == -np.sign(back)).astype(np.float64), of),
        first=mean_of(((there > 0) & (back > 0)).astype(np.float64), of),
        second=mean_of(((there < 0) & (back < 0)).astype(np.float64), of),
        right_first=_accuracy(pairs, preferred_first=True),
        right_second=_accuracy(pairs, preferred_first=False),
    )


def _accuracy(pairs: Pairs, *, preferred_first: bool) -> Estimate:
    """Over the questions on a pair that show the preferred answer first, or second."""
    right: list[float] = []
    rows: list[Judged] = []
    for row, (i, j) in zip(pairs.rows, pairs.sides, strict=True):
        for one in outcomes(row, i, j, by_order=True):
            if (one.order == "first") == ((i < j) == preferred_first):
                right.append(float(one.outcome == "win"))
                rows.append(row)
    return mean_of(np.array(right, dtype=np.float64), rows)
