"""Pair accuracy with human ties, the model's ties being differences under a threshold that is tuned on the same labels.

Both rules flatter a model, by choosing the threshold that suits it best; the accuracy without one is reported with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.correlation.groups import acc_eq, tie_calibration
from rmbench.metrics.correlation.lists import lists_of
from rmbench.metrics.rows.answers import in_dimension, margin
from rmbench.metrics.rows.gold import compared
from rmbench.metrics.uncertainty.aggregate import Floats, Ints
from rmbench.metrics.uncertainty.sample import Sample, clusters_of, mean_sample, undefined_sample
from rmbench.types import Judged

__all__ = ["calibrated_sample", "loop_accuracy", "loop_sample"]


@dataclass(frozen=True, slots=True, eq=False)
class _Nearest:
    """Comparisons [n], those of nearest scores first."""

    cluster: Ints
    weight: Floats
    tied: Floats
    """The weight where people tie, else 0."""
    ordered: Floats
    """The weight where the model's order is people's, else 0."""
    distance: Floats
    """Between the scores; infinite where the model gave none."""

    def ends(self) -> Ints:
        """How many comparisons are tied at each threshold that ties any: those of one distance go together."""
        last = np.append(self.distance[1:] != self.distance[:-1], True) & np.isfinite(self.distance)
        return np.flatnonzero(last).astype(np.int64) + 1

    def zero(self) -> int:
        """How many comparisons are tied without a threshold."""
        return int(np.searchsorted(self.distance, 0.0, side="right"))

    def right(self, counts: Floats) -> tuple[Floats, Floats]:
        """[block, n + 1] the weight that is right when so many comparisons are tied, and the weight of all [block, 1].

        `counts` [block, G] is how often each cluster is drawn.
        """
        times = counts[:, self.cluster]
        gained = np.cumsum(times * (self.tied - self.ordered), axis=1)
        start = (times @ self.ordered)[:, None]
        return np.concatenate([start, start + gained], axis=1), (times @ self.weight)[:, None]

    def at_best(self, counts: Floats) -> Floats:
        """[block] the share that is right at the best threshold."""
        right, total = self.right(counts)
        reachable = np.zeros(right.shape[1], dtype=np.bool_)
        reachable[np.append(self.zero(), self.ends())] = True
        return np.asarray(np.where(reachable, right, -np.inf).max(axis=1) / total[:, 0])

    def epsilon(self, groups: int) -> float:
        """The smallest of the best thresholds."""
        right = self.right(np.ones((1, groups)))[0][0]
        candidates = np.append(self.zero(), self.ends())
        worth = right[candidates]
        # Sums of weights may differ by a rounding where they are equal.
        first = int(np.argmax(worth >= worth.max() - 1e-9))
        return float(self.distance[candidates[first] - 1]) if first else 0.0


def calibrated_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The share of pairs ordered as people order them, ties included, at the best threshold ("Ties matter", arXiv
    2305.14324): over all comparisons pooled, or, for ratings, the mean over lists of the share within each.

    With it come "epsilon=0", the same without a threshold, and the flag "epsilon=..." with the best one.
    """
    if any(row.gold.ratings for row in rows):
        return _of_lists(rows, spec)
    found = _pairs(rows, spec)
    if found is None:
        return undefined_sample(("undefined",))
    of, agree, tied, apart = found
    names, codes = clusters_of(of)
    order = np.argsort(apart, kind="stable")
    weight = np.array([row.weight for row in of])[order]
    near = _Nearest(codes[order], weight, tied[order] * weight, agree[order] * weight, apart[order])
    n = len({row.id for row in of})
    right = np.where(apart == 0, tied, agree)
    plain = replace(mean_sample(right, of, comparisons=len(of)), n=n)
    return Sample(
        value=float(near.at_best(np.ones((1, len(names))))[0]),
        clusters=names,
        draw=near.at_best,
        n=n,
        comparisons=len(of),
        flags=(f"epsilon={near.epsilon(len(names)):.6g}",),
        width=len(of),
        extras=(("epsilon=0", plain),),
    )


def _pairs(
    rows: Sequence[Judged], spec: MetricSpec
) -> tuple[list[Judged], Floats, npt.NDArray[np.bool_], Floats] | None:
    """(row, ordered rightly, tied by people, distance of the scores) of each comparison; None where there is none."""
    found = [(in_dimension(row, spec.dimension), one) for row in rows for one in compared(row, spec)]
    if not found:
        return None
    apart = [margin(row, one.i, one.j) for row, one in found]
    # Rounded to 12 digits: equal in exact arithmetic, differences may be apart by a rounding.
    distance = np.array([math.inf if one is None else abs(round(one, 12)) for one in apart])
    tied = np.array([one.tie for _, one in found])
    agree = np.array([float(m is not None and m > 0 and not one.tie) for m, (_, one) in zip(apart, found, strict=True)])
    return [row for row, _ in found], agree, tied, distance


def _of_lists(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """Lists of rated items; the interval takes the threshold as given."""
    found = list(lists_of(rows, spec))
    lists = [one for one in found if one is not None and len(one[1]) > 1]
    flags = ("incomplete",) if None in found else ()
    best = tie_calibration([(human, model) for _, human, model in lists])
    if best is None:
        return undefined_sample((*flags, "undefined"))
    of = [row for row, _, _ in lists]
    items = sum(len(human) for _, human, _ in lists)

    def at(epsilon: float) -> Sample:
        values = np.array([acc_eq((human, model), epsilon) for _, human, model in lists], dtype=np.float64)
        return mean_sample(values, of, comparisons=items, flags=flags)

    return replace(at(best.epsilon), flags=(*flags, f"epsilon={best.epsilon:.6g}"), extras=(("epsilon=0", at(0.0)),))


def loop_accuracy(human: Sequence[float], margins: Sequence[float]) -> float:
    """VideoGen-RewardBench's "accuracy with ties" of labels (1, -1, 0 a tie) and margins, as its own loop finds it.

    KwaiVGI/VideoAlign, `calc_accuracy.py`: pairs become ties one at a time, nearest first (equal distances in the order
    given), and the best share right after each step counts. So a threshold that parts pairs of equal distance is
    reachable there, and no tie at all is not: [0, 1] at margins [.5, .5] gives 1 where a threshold gives .5, and [1, 1]
    at [.5, .2] gives .5 where no tie gives 1.
    """
    pairs = sorted(zip(human, margins, strict=True), key=lambda pair: abs(pair[1]))
    right = sum(h * m > 0 for h, m in pairs)
    best = 0
    for h, m in pairs:
        right += (h == 0) - (h * m > 0)
        best = max(best, right)
    return best / len(pairs)


def loop_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """`loop_accuracy` of all comparisons pooled, equal distances in the order of the rows."""
    found = _pairs(rows, spec)
    if found is None:
        return undefined_sample(("undefined",))
    of, agree, tied, apart = found
    order = np.argsort(apart, kind="stable")
    names, codes = clusters_of(of)
    # A row without an answer never counts as right.
    gain = np.where(np.isfinite(apart), tied - agree, 0.0)[order]
    start, cluster = agree[order], codes[order]

    def draw(counts: Floats) -> Floats:
        times = counts[:, cluster]
        steps = np.cumsum(times * gain, axis=1)
        # Copies of a drawn row become ties together, as equal distances in their order would.
        return np.asarray((times @ start + steps.max(axis=1)) / times.sum(axis=1))

    value = float(draw(np.ones((1, len(names))))[0])
    return Sample(value, names, draw, len({row.id for row in of}), len(of), width=len(of))
