"""Rank ranges: a model is ahead of another only where a paired test on the rows of both is significant.

The difference of two aggregates is the weighted sum of the tasks' paired differences. Tasks may share prompts (RMB's
two sets, LLMBar inside RewardBench), so their errors may be correlated to an unknown degree; the standard error of the
sum is therefore taken as the weighted sum of the tasks' standard errors, which no dependence exceeds. P values of all
pairs of models are corrected by Holm. Range: 1 + models significantly ahead, to K - models significantly behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from scipy import stats

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.judging.votes import voted
from rmbench.metrics.paired.comparison import Comparison, compare_rows
from rmbench.metrics.uncertainty.discordance import holm
from rmbench.records.store import read, read_rows
from rmbench.types import Judged

__all__ = ["LARGEST", "RULE", "Pair", "ranges_of", "rank_ranges"]

LARGEST = 30
"""Models that are compared pair by pair; 30 make 435 pairs per task."""
ALPHA = 0.05
RULE = (
    "A rank is a range: from 1 + the models significantly ahead to the number of models minus those behind, by "
    "paired tests on the rows both judged, two-sided .05 with Holm's correction over all pairs."
)
_Z = float(stats.norm.ppf(0.975))


@dataclass(frozen=True, slots=True)
class Pair:
    """Models `i` and `j` of a board, compared."""

    i: int
    j: int
    difference: float
    """How much better the aggregate of j is than that of i."""
    p: float
    """Two-sided, uncorrected."""


def rank_ranges(
    models: Sequence[Sequence[Path]], specs: Sequence[MetricSpec], weights: Sequence[float], *, seed: int = 0
) -> list[tuple[int, int]]:
    """(best, worst) rank of every model.

    Args:
        models: per model its record folders, one per task, in the order of `specs`.
        specs: the tasks' headline metrics.
        weights: the tasks' shares in the aggregate, summing to 1.
        seed: of resampled intervals.
    """
    difference: dict[tuple[int, int], list[Comparison]] = {pair: [] for pair in combinations(range(len(models)), 2)}
    for task, spec in enumerate(specs):
        # One task's rows at a time: those of all tasks of all models need not fit into memory together.
        places = [folders[task] for folders in models]
        rows: list[list[Judged]] = [voted(read_rows(place), read(place).model.settings) for place in places]
        for i, j in difference:
            difference[i, j].append(compare_rows(rows[i], rows[j], spec, seed=seed))
    return ranges_of(len(models), [_pair(i, j, comparisons, weights) for (i, j), comparisons in difference.items()])


def ranges_of(count: int, pairs: Sequence[Pair], alpha: float = ALPHA) -> list[tuple[int, int]]:
    """The ranges of `count` models from the comparisons of all their pairs."""
    ahead, behind = [0] * count, [0] * count
    for pair, p in zip(pairs, holm([pair.p for pair in pairs]), strict=True):
        if p < alpha and pair.difference != 0:
            better, worse = (pair.j, pair.i) if pair.difference > 0 else (pair.i, pair.j)
            ahead[worse] += 1
            behind[better] += 1
    return [(1 + ahead[k], count - behind[k]) for k in range(count)]


def _pair(i: int, j: int, comparisons: Sequence[Comparison], weights: Sequence[float]) -> Pair:
    limits = [(one.difference, one.low, one.high) for one in comparisons]
    known = [(d, low, high) for d, low, high in limits if d is not None and low is not None and high is not None]
    if len(known) < len(limits):
        return Pair(i, j, 0.0, 1.0)
    sign = -1 if all(one.better == "lower" for one in comparisons) else 1
    difference = sign * sum(weight * d for (d, _, _), weight in zip(known, weights, strict=True))
    if len(comparisons) == 1 and comparisons[0].p_midp is not None:
        return Pair(i, j, difference, comparisons[0].p_midp)
    error = sum(weight * (high - low) for (_, low, high), weight in zip(known, weights, strict=True)) / (2 * _Z)
    return Pair(i, j, difference, 2 * float(stats.norm.sf(abs(difference) / error)) if error > 0 else 1.0)
