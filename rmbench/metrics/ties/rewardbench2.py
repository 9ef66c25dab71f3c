"""RewardBench 2's Ties score: several answers are right, and a good model scores them close together, above the rest.

Upstream: allenai/reward-bench, `rewardbench/utils.py`, `process_single_model`; paper arXiv 2506.01937.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.errors import RmbenchError

__all__ = ["TiesRow", "TiesScore", "margin_term", "ties_score"]


@dataclass(frozen=True, slots=True)
class TiesRow:
    """One prompt: `kind` is "ref" (one right answer) or "tied" (several); rows of one `key` belong together."""

    kind: str
    key: str
    scores: tuple[float, ...]
    """[K] the right answers first."""
    correct: int
    """How many are right."""

    @property
    def accurate(self) -> bool:
        """Every right answer strictly above every wrong one."""
        return min(self.scores[: self.correct]) > max(self.scores[self.correct :])

    @property
    def gap(self) -> float:
        """Lowest right score less highest wrong one."""
        return min(self.scores[: self.correct]) - max(self.scores[self.correct :])

    @property
    def spread(self) -> float:
        """Highest less lowest right score."""
        right = self.scores[: self.correct]
        return max(right) - min(right)


@dataclass(frozen=True, slots=True)
class TiesScore:
    """The score and its terms. Its range is not [0, 1]: perfect separation without spread gives 1.01."""

    ref_accuracy: float
    tied_accuracy: float
    preferred: float
    preferred_hard: float
    margin: float

    @property
    def score(self) -> float:
        """.30 tied accuracy + .30 ref accuracy + .20 preferred + .20 preferred hard + .01 margin."""
        terms = 0.30 * self.tied_accuracy + 0.30 * self.ref_accuracy
        return terms + 0.20 * self.preferred + 0.20 * self.preferred_hard + 0.01 * self.margin


def margin_term(gap: float, spread: float) -> float:
    """tanh(gap/spread - 1), with 0/0 as 0 and x/0 as an infinity of x's sign."""
    if spread == 0:
        return 0.0 if gap == 0 else math.copysign(1.0, gap)
    return math.tanh(gap / spread - 1)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def ties_score(rows: Sequence[TiesRow]) -> TiesScore:
    """The Ties score of `rows`; accuracies over all rows of a kind, the other terms over keys that have both kinds.

    Raises RmbenchError where a kind, or a key with both, is missing: the score is then undefined.
    """
    refs = {row.key: row for row in rows if row.kind == "ref"}
    tied = {row.key: row for row in rows if row.kind == "tied"}
    both = sorted(refs.keys() & tied.keys())
    if not both:
        raise RmbenchError("Ties needs at least one prompt with a `ref` and a `tied` row")
    hard = [(min(refs[key].gap, tied[key].gap), tied[key].spread) for key in both]
    return TiesScore(
        ref_accuracy=_mean([float(row.accurate) for row in refs.values()]),
        tied_accuracy=_mean([float(row.accurate) for row in tied.values()]),
        preferred=_mean([float(tied[key].gap > tied[key].spread) for key in both]),
        preferred_hard=_mean([float(gap > spread) for gap, spread in hard]),
        margin=_mean([margin_term(gap, spread) for gap, spread in hard]),
    )
