"""RewardBench 2's Ties score: several answers are right, and a good model scores them close together, above the rest.

Upstream: allenai/reward-bench, `rewardbench/utils.py`, `process_single_model`; paper arXiv 2506.01937.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.rows.answers import answered_by, is_failed, item_scores
from rmbench.metrics.rows.gold import compared
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.metrics.uncertainty.sample import Sample, undefined_sample
from rmbench.types import Judged

__all__ = ["TiesRow", "margin_term", "ties_rows", "ties_sample", "ties_score", "ties_terms"]


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


def margin_term(gap: float, spread: float) -> float:
    """tanh(gap/spread - 1), with 0/0 as 0 and x/0 as an infinity of x's sign."""
    if spread == 0:
        return 0.0 if gap == 0 else math.copysign(1.0, gap)
    return math.tanh(gap / spread - 1)


def ties_terms(rows: Sequence[TiesRow]) -> tuple[list[str], Floats]:
    """The keys, and [keys, 8] their terms: is there a ref row, a tied row, both; then ref and tied accurate, preferred,
    preferred hard, margin. The last three are of keys that have both rows.
    """
    by_key: dict[str, dict[str, TiesRow]] = {}
    for row in rows:
        by_key.setdefault(row.key, {})[row.kind] = row
    keys = sorted(by_key)
    return keys, np.array([_terms(by_key[key].get("ref"), by_key[key].get("tied")) for key in keys])


def _terms(ref: TiesRow | None, tied: TiesRow | None) -> list[float]:
    accurate = [float(ref is not None and ref.accurate), float(tied is not None and tied.accurate)]
    if ref is None or tied is None:
        return [float(ref is not None), float(tied is not None), 0.0, *accurate, 0.0, 0.0, 0.0]
    hard = min(ref.gap, tied.gap)
    preferred = [float(tied.gap > tied.spread), float(hard > tied.spread)]
    return [1.0, 1.0, 1.0, *accurate, *preferred, margin_term(hard, tied.spread)]


def ties_score(sums: Floats) -> Floats:
    """[...] the score of [..., 8] sums of `ties_terms`: .30 tied accuracy + .30 ref accuracy + .20 preferred + .20
    preferred hard + .01 margin; nan where a kind of row is missing. Perfect separation without spread gives 1.01.
    """
    refs, tied, both, ref_accurate, tied_accurate, preferred, hard, margin = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = 0.30 * tied_accurate / tied + 0.30 * ref_accurate / refs
        score = score + 0.20 * preferred / both + 0.20 * hard / both + 0.01 * margin / both
    return np.where((refs > 0) & (tied > 0) & (both > 0), score, np.nan)


_UNRATED = -1.0
"""What upstream's judges write for a rating that could not be read; it goes into the formula as a score."""


def _named(row: Judged, metric: str) -> tuple[str, str]:
    """("ref" or "tied", key) of the last part of the row's id, "ref:7"."""
    kind, _, key = row.id.rpartition("/")[2].partition(":")
    if kind not in ("ref", "tied") or not key:
        raise RmbenchError(f'metric "{metric}": row "{row.id}": expected an id that ends in "ref:<k>" or "tied:<k>".')
    return kind, key


def _scores(row: Judged, right: Sequence[int], wrong: Sequence[int]) -> list[float] | None:
    """Scores, the right answers first; None where the model compares answers and gives none."""
    if is_failed(row):
        # As wrong as can be: no right answer above a wrong one, and a gap without end.
        return [0.0] * len(right) + [math.inf] * len(wrong)
    score = item_scores(row)
    if score is None:
        return None
    if answered_by(row) == "verdict":
        score = [one if math.isfinite(one) else _UNRATED for one in score]
    return [score[k] for k in (*right, *wrong)]


def ties_rows(rows: Sequence[Judged], spec: MetricSpec) -> list[TiesRow] | None:
    """The rows with their right answers first; None where a row is answered without scores.

    Raises RmbenchError for an id that is not "ref:<k>" or "tied:<k>", or a row without right and wrong answers.
    """
    out = []
    for row in rows:
        decided = [one for one in compared(row, spec) if not one.tie]
        right = sorted({one.i for one in decided} - {one.j for one in decided})
        wrong = [k for k in range(row.size) if k not in right]
        if not right or not wrong:
            raise RmbenchError(f'metric "{spec.name}": row "{row.id}" needs right and wrong answers.')
        score = _scores(row, right, wrong)
        if score is None:
            return None
        out.append(TiesRow(*_named(row, spec.name), tuple(score), len(right)))
    return out


def ties_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The Ties score; a key's two rows are drawn together.

    Null, with the flag "needs_scores", for a model that gives no score per answer.
    """
    made = ties_rows(rows, spec)
    if made is None:
        return undefined_sample(("needs_scores", "undefined"), len(rows))
    keys, terms = ties_terms(made)
    if not terms[:, 2].any():
        return undefined_sample(("undefined",), len(rows))
    names: dict[str, str] = {}
    for row, one in zip(rows, made, strict=True):
        names.setdefault(one.key, row.cluster or row.id)
    return Sample(
        value=float(ties_score(np.ones((1, len(keys))) @ terms)[0]),
        clusters=tuple(names[key] for key in keys),
        draw=lambda counts: ties_score(counts @ terms),
        n=len(rows),
        comparisons=sum(one.correct * (len(one.scores) - one.correct) for one in made),
        width=len(keys),
    )
