"""ROC AUC: how often a model scores a good item above a bad one, over all items pooled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.rows.answers import item_scores
from rmbench.metrics.rows.gold import label_of, qualities
from rmbench.metrics.uncertainty.aggregate import Floats, Ints
from rmbench.metrics.uncertainty.sample import Sample, clusters_of, undefined_sample
from rmbench.types import Judged

__all__ = ["auc_sample", "weighted_auc"]


_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


def weighted_auc(scores: Floats, positive: Ints, times: Floats) -> Floats:
    """[block] the chance that a positive item is above a negative one, ties half, of items drawn `times` [block, n].

    With all `times` one it is the Mann-Whitney U of `scores` [n] over the number of pairs; nan where a side is empty.
    """
    _, at = np.unique(scores, return_inverse=True)
    order = np.argsort(at, kind="stable")
    starts = np.searchsorted(at[order], np.arange(at.max() + 1))
    good = np.add.reduceat((times * positive)[:, order], starts, axis=1)
    bad = np.add.reduceat((times * (1 - positive))[:, order], starts, axis=1)
    below = np.cumsum(bad, axis=1) - bad
    above = (good * (below + bad / 2)).sum(axis=1)
    pairs = good.sum(axis=1) * bad.sum(axis=1)
    out: Floats = np.divide(above, pairs, out=np.full(len(times), np.nan), where=pairs > 0)
    return out


_MATRIX_CLUSTERS = 1500
"""Up to this many clusters the wins between clusters are held as a matrix, which makes a draw a product."""


def _draw(scores: Floats, positive: Ints, cluster: Ints, groups: int) -> Callable[[Floats], Floats]:
    if groups > _MATRIX_CLUSTERS:
        return lambda counts: weighted_auc(scores, positive, counts[:, cluster])
    good, bad = positive == 1, positive == 0
    wins = np.zeros((groups, groups))
    for g in range(groups):
        mine = np.sort(scores[good & (cluster == g)])
        left, right = (np.searchsorted(mine, scores[bad], side=side) for side in _SIDES)
        above = len(mine) - (left + right) / 2
        wins[g] = np.bincount(cluster[bad], weights=above, minlength=groups)
    goods, bads = (np.bincount(cluster[of], minlength=groups).astype(np.float64) for of in (good, bad))

    def draw(counts: Floats) -> Floats:
        pairs = (counts @ goods) * (counts @ bads)
        above = np.einsum("rg,rg->r", counts @ wins, counts)
        out: Floats = np.divide(above, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)
        return out

    return draw


def _positive(row: Judged, spec: MetricSpec) -> list[int] | None:
    """[K] 1 where the row's label is 1, or the candidate's rating is high enough; None without gold."""
    label, quality = label_of(row, spec), qualities(row, spec)
    if label is not None:
        return [int(label == 1)] * row.size
    return None if quality is None else [int(one > spec.positive_above) for one in quality]


def auc_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The AUC of all candidates' scores against their class, or against a rating above `spec.positive_above`.

    A candidate without a score that can be compared between rows is left out, with the flag "incomplete".
    """
    scores: list[float] = []
    positive: list[int] = []
    of: list[Judged] = []
    left_out = False
    for row in rows:
        good = _positive(row, spec)
        if good is None:
            continue
        score = item_scores(row, spec.dimension)
        usable = [k for k in range(row.size) if score is not None and np.isfinite(score[k])]
        left_out |= len(usable) < row.size
        scores += [score[k] for k in usable] if score is not None else []
        positive += [good[k] for k in usable]
        of += [row] * len(usable)
    flags = ("incomplete",) if left_out else ()
    if len(set(positive)) < 2:
        return undefined_sample((*flags, "undefined"), len({row.id for row in of}))
    names, codes = clusters_of(of)
    score_array, label_array = np.array(scores), np.array(positive, dtype=np.int64)
    return Sample(
        value=float(weighted_auc(score_array, label_array, np.ones((1, len(of))))[0]),
        clusters=names,
        draw=_draw(score_array, label_array, codes, len(names)),
        n=len({row.id for row in of}),
        comparisons=len(of),
        flags=flags,
        width=len(of),
    )
