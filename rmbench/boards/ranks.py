"""Rank ranges: a model is ahead of another only where the paired test of the two, corrected for all pairs, says so.

Range: 1 + models significantly ahead, to K - models significantly behind.
"""

from __future__ import annotations

from collections.abc import Sequence

from rmbench.boards.pairs import Pair

__all__ = ["ALPHA", "RULE", "ranges_of"]

ALPHA = 0.05
RULE = (
    "A rank is a range: from 1 + the models significantly ahead to the number of models minus those behind, by "
    "paired tests on the rows both judged, two-sided .05 with Holm's correction over all pairs."
)


def ranges_of(count: int, pairs: Sequence[Pair], alpha: float = ALPHA) -> list[tuple[int, int]]:
    """(best, worst) rank of each of `count` models from the comparisons of all their pairs."""
    ahead, behind = [0] * count, [0] * count
    for pair in pairs:
        if pair.corrected < alpha and pair.difference != 0:
            better, worse = (pair.j, pair.i) if pair.difference > 0 else (pair.i, pair.j)
            ahead[worse] += 1
            behind[better] += 1
    return [(1 + ahead[k], count - behind[k]) for k in range(count)]
