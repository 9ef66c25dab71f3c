"""Rows of RewardBench 2's Ties subset into its score."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.rows.answers import answered_by, is_failed, item_scores
from rmbench.metrics.rows.gold import compared
from rmbench.metrics.ties.rewardbench2 import TiesRow, margin_term
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.metrics.uncertainty.sample import Sample, nothing
from rmbench.types import Judged

__all__ = ["ties_rows", "ties_sample"]

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
    """The Ties score; a key's two rows are drawn together. Its range is not [0, 1], see `ties.TiesScore`.

    Null, with the flag "needs_scores", for a model that gives no score per answer.
    """
    made = ties_rows(rows, spec)
    if made is None:
        return nothing(("needs_scores", "undefined"), len(rows))
    by_key: dict[str, dict[str, TiesRow]] = {}
    names: dict[str, str] = {}
    for row, one in zip(rows, made, strict=True):
        by_key.setdefault(one.key, {})[one.kind] = one
        names.setdefault(one.key, row.cluster or row.id)
    if not any(len(kinds) == 2 for kinds in by_key.values()):
        return nothing(("undefined",), len(rows))
    keys = sorted(by_key)
    terms = np.array([_terms(by_key[key]) for key in keys])

    def draw(counts: Floats) -> Floats:
        refs, tied, both, *sums = (counts @ terms).T
        with np.errstate(invalid="ignore", divide="ignore"):
            # As `ties.TiesScore.score` adds them up.
            score = 0.30 * sums[1] / tied + 0.30 * sums[0] / refs
            score = score + 0.20 * sums[2] / both + 0.20 * sums[3] / both + 0.01 * sums[4] / both
        return np.where((refs > 0) & (tied > 0) & (both > 0), score, np.nan)

    comparisons = sum(one.correct * (len(one.scores) - one.correct) for one in made)
    value = float(draw(np.ones((1, len(keys))))[0])
    return Sample(value, tuple(names[key] for key in keys), draw, len(rows), comparisons, width=len(keys))


def _terms(kinds: dict[str, TiesRow]) -> list[float]:
    """[8]: is there a ref row, a tied row, both; then ref and tied accurate, preferred, preferred hard, margin."""
    ref, tied = kinds.get("ref"), kinds.get("tied")
    accurate = [float(ref is not None and ref.accurate), float(tied is not None and tied.accurate)]
    if ref is None or tied is None:
        return [float(ref is not None), float(tied is not None), 0.0, *accurate, 0.0, 0.0, 0.0]
    hard = min(ref.gap, tied.gap)
    preferred = [float(tied.gap > tied.spread), float(hard > tied.spread)]
    return [1.0, 1.0, 1.0, *accurate, *preferred, margin_term(hard, tied.spread)]
