"""Where the good candidates of a list stand in a model's order: reciprocal rank, nDCG, recall, the best-of-n pick."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.rows.answers import is_failed, net_wins, outcomes, scores
from rmbench.metrics.rows.gold import Compared, qualities
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.types import Judged

__all__ = ["best_of_k", "best_of_n", "curve", "ndcg", "ndcg_of", "recall_at", "recall_of", "reciprocal_rank"]


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


def _shared(score: Sequence[float], worth: Floats) -> Floats:
    """[K] the worth at each rank, best first. Candidates of equal score share theirs: the file's order is no matter."""
    scored = np.asarray(score, dtype=np.float64)
    _, block = np.unique(scored, return_inverse=True)
    mean: Floats = (np.bincount(block, weights=worth) / np.bincount(block))[block]
    return mean[np.argsort(-scored, kind="stable")]


def ndcg(
    score: Sequence[float], gain: Sequence[float], k: int | None = None, *, exponential: bool = False
) -> float | None:
    """Normalised discounted cumulative gain at `k` (None, or more than there are: all) of [K] scores and gains.

    DCG = sum over ranks r of gain_r / log2(r + 1), over the same of the best order: with gains as they are (Järvelin
    and Kekäläinen 2002), or, `exponential`, 2^gain - 1 (Burges et al. 2005). Candidates of equal score share their mean
    gain. None where no gain is above 0: then there is nothing to find.
    """
    gains = np.asarray(gain, dtype=np.float64)
    gains = np.exp2(gains) - 1 if exponential else gains
    discount = 1 / np.log2(np.arange(len(gains)) + 2)
    if k is not None:
        discount[k:] = 0.0
    best = float(np.sort(gains)[::-1] @ discount)
    return float(_shared(score, gains) @ discount) / best if best > 0 else None


def recall_at(score: Sequence[float], relevant: Sequence[bool], k: int | None = None) -> float | None:
    """The share of the relevant ones among [K] candidates that are among the `k` of the highest score; equal scores
    share the places. None where none is relevant.
    """
    found = np.asarray(relevant, dtype=np.float64)
    return float(_shared(score, found)[:k].sum() / found.sum()) if found.any() else None


def ndcg_of(row: Judged, spec: MetricSpec) -> float | None:
    """The row's nDCG, gains being ratings, or 1 for the candidates that won and never lost; None without any gain."""
    gain, score = qualities(row, spec), scores(row)
    if gain is None or not max(gain, default=0.0) > 0:
        return None
    return unranked(row, spec) if score is None else ndcg(score, gain, spec.k, exponential=spec.gain == "exponential")


def recall_of(row: Judged, spec: MetricSpec) -> float | None:
    """The row's recall at `spec.k` of the candidates rated above `spec.positive_above`, or that won and never lost.

    None without any.
    """
    quality, score = qualities(row, spec), scores(row)
    relevant = [one > spec.positive_above for one in quality or ()]
    if not any(relevant):
        return None
    return unranked(row, spec) if score is None else recall_at(score, relevant, spec.k)


def unranked(row: Judged, spec: MetricSpec) -> float:
    """The credit of a row whose answer names no order: `spec.unparsed` where it is unreadable, 0 where it failed."""
    return 0.0 if is_failed(row) or not (row.judgment.status == "unparsed" or row.judgment.verdicts) else spec.unparsed


def best_of_n(scores: Sequence[float], quality: Sequence[float]) -> list[float]:
    """[K] expected quality of the top-scored one among n of K candidates drawn without replacement, n = 1 to K.

    By order statistics: with scores ascending from index 0, sum_i q_i C(i, n-1) / C(K, n). Candidates of equal score
    share their mean quality, so the file's order does not matter. `quality` [K] is 0/1 or graded.
    """
    size, ascending = len(scores), _shared(scores, np.asarray(quality, dtype=np.float64))[::-1]
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
