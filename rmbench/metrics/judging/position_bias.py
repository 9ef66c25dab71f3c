"""Position bias of a pairwise model or judge: how often its answer on two candidates is the same in both orders, over
all rows of a task."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.types import TIE, Judgment, Verdict

__all__ = ["Orders", "in_both_orders", "orders"]


@dataclass(frozen=True, slots=True)
class Orders:
    """Pairs of candidates, each asked in both orders; of a judge, votes on them that could be read in both. Pairs that
    are in none of the three first counts are tied in one order alone."""

    consistent: int
    """The same candidate is better in both orders, or both orders tie."""
    first: int
    """The candidate shown first is better in both orders."""
    second: int
    """The candidate shown second is."""
    total: int
    rows: int
    """Rows with two candidates or more, those that failed left out."""


def orders(judgments: Sequence[Judgment]) -> Orders | None:
    """The count over judgments that hold margins or picks and no rewards; None where there is none, or where all
    margins are skew-symmetric to the last bit, so that order cannot matter to the model."""
    found = [judgment for judgment in judgments if judgment.status == "ok" and judgment.rewards is None]
    asked = [row for judgment in found if (row := in_both_orders(judgment))]
    both = [pair for row in asked for pair in row]
    judges = any(judgment.directed is None for judgment in found)
    if not both or (not judges and all(there == -back for there, back in both)):
        return None
    return Orders(
        consistent=sum((there > 0) - (there < 0) == (back < 0) - (back > 0) for there, back in both),
        first=sum(there > 0 and back > 0 for there, back in both),
        second=sum(there < 0 and back < 0 for there, back in both),
        total=len(both),
        rows=len(asked),
    )


def in_both_orders(judgment: Judgment) -> list[tuple[float, float]]:
    """(how much better the candidate shown first is in one order, the same in the other) of every pair."""
    margins = judgment.directed
    if margins is not None:
        return [(margins[i][j], margins[j][i]) for i, j in itertools.combinations(range(len(margins)), 2)]
    picks = {
        (verdict.shown, verdict.vote): _first_shown(verdict)
        for verdict in judgment.verdicts
        if verdict.kind == "pick" and verdict.status == "ok" and len(verdict.shown) == 2
    }
    return [
        (first, picks[(j, i), vote]) for ((i, j), vote), first in picks.items() if i < j and ((j, i), vote) in picks
    ]


def _first_shown(verdict: Verdict) -> float:
    """1 where the candidate shown first is picked, -1 where the other is, 0 for a tie."""
    return 0.0 if verdict.value == TIE else 1.0 if verdict.value == verdict.shown[0] else -1.0
