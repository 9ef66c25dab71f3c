"""Where the good candidates of a list stand in a model's order: reciprocal rank, nDCG, the best-of-n pick."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.rows.answers import is_failed, net_wins, outcomes, scores
from rmbench.metrics.rows.gold import Compared, qualities
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.types import Judged

__all__ = ["best_of_k", "best_of_n", "curve", "ndcg", "ndcg_of", "reciprocal_rank"]


def reciprocal_rank(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    """1 / rank of the first good candidate, ranked pessimistically: 1 + the bad ones not clearly below it.

    A tie, an unreadable comparison or one that was never asked counts as lost, so a constant scorer has 1/K. It is
    RewardMATH's MRR (`src/evaluation/eval.py`), where a rejected solution stands before the chosen one at equal scores,
    and a pairwise judge's rank is 1 + the verdicts it lost.
    """
    losers = {pair.j for pair in pairs} - {pair.i for pair in pairs}
    winners = sorted({pair.i for pair in pairs} - {pair.j for pair in pairs})
    beaten = {winner: {pair.j for pair in pairs if pair.i == winner} & losers for winner in winners}
    above = [sum(net_wins(outcomes(row, winner, loser)) <= 0 for loser in beaten[winner]) for winner in winners]
    return 1 / (1 + min(above, default=row.size - 1))


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


def best_of_n(scores: Sequence[float], quality: Sequence[float]) -> list[float]:
    """[K] expected quality of the top-scored one among n of K candidates drawn without replacement, n = 1 to K.

    By order statistics: with scores ascending from index 0, sum_i q_i C(i, n-1) / C(K, n). Candidates of equal score
    share their mean quality, so the file's order does not matter. `quality` [K] is 0/1 or graded.
    """
    score, size = np.asarray(scores, dtype=np.float64), len(scores)
    graded = np.asarray(quality, dtype=np.float64)
    _, block = np.unique(score, return_inverse=True)
    shared = (np.bincount(block, weights=graded) / np.bincount(block))[block]
    ascending = shared[np.argsort(score, kind="stable")]
    return [
        float(sum(q * math.comb(i, n - 1) for i, q in enumerate(ascending)) / math.comb(size, n))
        for n in range(1, size + 1)
    ]


def curve(row: Judged, spec: MetricSpec) -> Floats | None:
    """[K] expected quality of the candidate that the model picks among k = 1 ... K; None without any gold.

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
