"""Intransitive preferences: what a scalar could reach at best, how often a model's own margins are intransitive, and
how well the scalar nearest to them would do. (GPM, arXiv 2410.02197, has the cyclic tasks; a scalar reaches at most
(K - 1)/K of a pure cycle of K.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.rows.answers import answered_by, net_wins, outcomes, scores
from rmbench.metrics.rows.gold import Compared
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.numeric import skew_half
from rmbench.types import Judged

__all__ = [
    "bradley_terry_fit",
    "bradley_terry_rewards",
    "count_cyclic_triples",
    "cyclic_triples",
    "most_in_order",
    "scalar_ceiling",
]

_LARGEST = 16
"""Candidates up to which the best order is found exactly, by 2^K steps."""


def most_in_order(weights: Floats) -> float:
    """The greatest total weight of comparisons that one order of K candidates can satisfy.

    `weights` [K, K] holds the weight of "row above column". Found exactly, by a recurrence over sets of candidates: the
    last one of a set adds what the others of the set have above it.
    """
    size = len(weights)
    best = np.zeros(1 << size)
    for members in range(1, 1 << size):
        inside = [k for k in range(size) if members >> k & 1]
        best[members] = max(best[members ^ (1 << last)] + weights[inside, last].sum() for last in inside)
    return float(best[-1])


def scalar_ceiling(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    """The accuracy on the row's comparisons of the best scalar there could be, whatever the model answers.

    Raises RmbenchError for more than 16 candidates.
    """
    if row.size > _LARGEST:
        raise RmbenchError(
            f'metric "{spec.name}": row "{row.id}" has {row.size} candidates; a ceiling is found for up to {_LARGEST}.'
        )
    weights = np.zeros((row.size, row.size))
    for pair in pairs:
        weights[pair.i, pair.j] += 1
    return most_in_order(weights) / float(weights.sum())


def cyclic_triples(row: Judged, spec: MetricSpec) -> float | None:
    """The share of the row's triples of candidates on which the model is intransitive; 0 for any scalar. A triple with
    a tie in it is not.

    None for fewer than three candidates or a row without an answer.
    """
    if row.size < 3 or answered_by(row) == "none":
        return None
    if answered_by(row) == "reward":
        return 0.0
    net = [[float(net_wins(outcomes(row, i, j))) if i != j else 0.0 for j in range(row.size)] for i in range(row.size)]
    return count_cyclic_triples(net) / math.comb(row.size, 3)


def count_cyclic_triples(directed: npt.ArrayLike) -> int:
    """Triples of candidates that margins [K, K], of which the skew half counts, order in a cycle, all strictly.

    A cycle of three is three closed walks of length 3 in the graph of "above", so they are trace(A^3) / 3.
    """
    margins = np.asarray(directed, dtype=np.float64)
    above = (margins > margins.T).astype(np.float64)
    return round(float(np.einsum("ij,ji->", above @ above, above)) / 3)


def bradley_terry_rewards(wins: Floats) -> Floats:
    """[K] figures that order the candidates as the Bradley-Terry fit of `wins` does; equal ones are equal there too.

    `wins` [K, K] holds P(row beats column), each pair once with the two sides adding to one. The likelihood of
    sum of wins_ij log sigmoid(r_i - r_j) is at its maximum where sum_j sigmoid(r_i - r_j) = sum_j wins_ij for each i,
    and the left side rises with r_i: so the sums of wins order the candidates as the fit does (Zermelo 1929). They are
    rounded to 12 digits: equal in exact arithmetic, they may be apart by a rounding.
    """
    return np.asarray(np.round((wins * (1 - np.eye(len(wins)))).sum(axis=1), 12), dtype=np.float64)


def _wins(row: Judged) -> Floats | None:
    """[K, K] the model's P(row beats column): the sigmoid of its margin, or the share of a judge's verdicts."""
    kind = answered_by(row)
    wins = np.full((row.size, row.size), 0.5)
    for i, j in itertools.combinations(range(row.size), 2):
        if kind == "margin" and row.judgment.directed is not None:
            wins[i, j] = 0.5 * (1 + math.tanh(skew_half(row.judgment.directed, i, j) / 2))
        else:
            answers = [one.outcome for one in outcomes(row, i, j)]
            readable = [outcome for outcome in answers if outcome in ("win", "loss", "tie")]
            if not readable:
                return None
            wins[i, j] = (readable.count("win") + readable.count("tie") / 2) / len(readable)
        wins[j, i] = 1 - wins[i, j]
    return wins


def bradley_terry_fit(row: Judged, pairs: Sequence[Compared], spec: MetricSpec) -> float:
    """The accuracy of the best Bradley-Terry fit to the row's own margins; its equal rewards have `spec.tie`.

    A reward model is its own fit. Where a judge left pairs unanswered the fit is of the comparisons won less lost.
    """
    wins = None if answered_by(row) == "reward" else _wins(row)
    score = scores(row) if wins is None else bradley_terry_rewards(wins)
    if score is None:
        return spec.unparsed
    apart = [(score[pair.i], score[pair.j]) for pair in pairs]
    return sum(1.0 if i > j else spec.tie if i == j else 0.0 for i, j in apart) / len(pairs)
