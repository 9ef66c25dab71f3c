"""Where the good candidates of a list stand in a model's order: reciprocal rank, nDCG, the best-of-n pick."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.best_of_n import best_of_n
from rmbench.metrics.rows.answers import is_failed, outcomes, scores
from rmbench.metrics.rows.gold import Compared, qualities
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.types import Judged

__all__ = ["best_of_k", "curve", "ndcg", "ndcg_of", "reciprocal_rank"]


def reciprocal_rank(row: Judged, found: Sequence[Compared], spec: MetricSpec) -> float:
    """1 / rank of the first good candidate, ranked pessimistically: 1 + the bad ones not clearly below it.

    A tie, an unreadable comparison or one that was never asked counts as lost, so a constant scorer has 1/K. It is
    RewardMATH's MRR (`src/evaluation/eval.py`), where a rejected solution stands before the chosen one at equal scores,
    and a pairwise judge's rank is 1 + the verdicts it lost.
    """
    decided = [one for one in found if not one.tie]
    losers = {one.j for one in decided} - {one.i for one in decided}
    winners = sorted({one.i for one in decided} - {one.j for one in decided})
    beaten = {winner: {one.j for one in decided if one.i == winner} & losers for winner in winners}
    above = [sum(_net(row, winner, loser) <= 0 for loser in beaten[winner]) for winner in winners]
    return 1 / (1 + min(above, default=row.size - 1))


def _net(row: Judged, winner: int, loser: int) -> int:
    said = outcomes(row, winner, loser)
    return sum((one.outcome == "win") - (one.outcome == "loss") for one in said)


def ndcg(score: Sequence[float], gain: Sequence[float], k: int | None = None) -> float | None:
    """Normalised discounted cumulative gain at `k` (None: all) of [K] scores and gains.

    DCG = sum over ranks r of gain_r / log2(r + 1) (Järvelin and Kekäläinen 2002, with gains as they are), over the same
    of the best order. Candidates of equal score share their mean gain, so that the order of the file does not matter.
    None where no gain is above 0: then there is nothing to find.
    """
    scored, gains = np.asarray(score, dtype=np.float64), np.asarray(gain, dtype=np.float64)
    _, block = np.unique(scored, return_inverse=True)
    shared = (np.bincount(block, weights=gains) / np.bincount(block))[block]
    discount = 1 / np.log2(np.arange(len(gains)) + 2)
    if k is not None:
        discount[k:] = 0.0
    best = float(np.sort(gains)[::-1] @ discount)
    return float(shared[np.argsort(-scored, kind="stable")] @ discount) / best if best > 0 else None


def ndcg_of(row: Judged, spec: MetricSpec) -> float | None:
    """The row's nDCG, gains being ratings, or 1 for the candidates that won and never lost; None without any gain."""
    gain, score = qualities(row, spec), scores(row)
    if gain is None or not max(gain, default=0.0) > 0:
        return None
    return unranked(row, spec) if score is None else ndcg(score, gain)


def unranked(row: Judged, spec: MetricSpec) -> float:
    """The credit of a row whose answer names no order: `spec.unparsed` where it is unreadable, 0 where it failed."""
    return 0.0 if is_failed(row) or not (row.judgment.status == "unparsed" or row.judgment.verdicts) else spec.unparsed


def curve(row: Judged, spec: MetricSpec) -> Floats | None:
    """[K] expected quality of the candidate that the model picks among k = 1 ... K; None where people said nothing.

    PPE's best-of-K curve (arXiv 2410.14872) without sampling. A row that failed has 0 throughout; one whose answer
    names no order has `spec.unparsed`.
    """
    quality = qualities(row, spec)
    if quality is None:
        return None
    score = scores(row)
    if score is None:
        return np.full(row.size, unranked(row, spec))
    return np.array(best_of_n(score, quality))


def best_of_k(row: Judged, spec: MetricSpec) -> float | None:
    """The curve's end: the quality of the candidate picked among all."""
    whole = curve(row, spec)
    return None if whole is None else float(whole[-1])
