"""Rankings and losses from labels that are missing not at random: a positive is seen with a chance of its own, its
propensity, and a label 0 may be a positive that was not seen (arXiv 1909.03601, as usaito/unbiased-implicit-rec-real
evaluates it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import special

from rmbench.errors import RmbenchError
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.noise import propensity_of, unbiased_implicit_loss
from rmbench.metrics.rows.answers import in_dimension, item_scores, scores
from rmbench.metrics.rows.gold import figures, joined
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.metrics.uncertainty.sample import Sample, mean_sample
from rmbench.types import Judged

__all__ = ["unbiased_dcg", "unbiased_loss_sample", "unbiased_map", "unbiased_ranking_sample", "unbiased_recall"]

CLIP = 0.01
"""What the authors raise propensities to in their evaluation."""


def unbiased_dcg(
    score: Sequence[float], label: Sequence[bool], propensity: Sequence[float], k: int, *, clip: float = CLIP
) -> float | None:
    """Discounted cumulative gain at `k` of [K] items, each positive of weight w = 1 / max(propensity, clip), over the
    sum of w of all positives; None without any.

    The discount of rank 1 is 1 and of rank r > 1 is 1 / log2(r), so the first two ranks weigh alike, as upstream has
    it. Items of equal score share what they would have in any order.
    """
    worth = _worth(label, propensity, clip)
    discount = np.concatenate([[1.0], 1 / np.log2(np.arange(2, max(len(worth), 2) + 1))])[: len(worth)]
    discount[k:] = 0.0
    return _over(worth, float(_expected(score, worth) @ discount))


def unbiased_recall(
    score: Sequence[float], label: Sequence[bool], propensity: Sequence[float], k: int, *, clip: float = CLIP
) -> float | None:
    """The share of the positives' weights that is among the first `k`; the rest as `unbiased_dcg` has it."""
    worth = _worth(label, propensity, clip)
    return _over(worth, float(_expected(score, worth)[:k].sum()))


def unbiased_map(
    score: Sequence[float], label: Sequence[bool], propensity: Sequence[float], k: int, *, clip: float = CLIP
) -> float | None:
    """Average precision at `k`: over ranks i <= k with a positive the sum of (weights of the positives up to i) / i,
    over the sum of all weights. It may exceed 1: upstream divides by no number of positives."""
    worth, there = _worth(label, propensity, clip), np.asarray(label, dtype=np.float64)
    together = _expected_products(np.asarray(score, dtype=np.float64), there, worth)
    ranks = np.arange(1, len(worth) + 1)
    up_to = np.array([together[i, : i + 1].sum() for i in range(len(worth))])
    return _over(worth, float((up_to / ranks)[:k].sum()))


def _worth(label: Sequence[bool], propensity: Sequence[float], clip: float) -> Floats:
    """[K] label / max(propensity, clip)."""
    there = np.asarray(label, dtype=np.float64)
    return np.asarray(there / np.maximum(np.asarray(propensity, dtype=np.float64), clip), dtype=np.float64)


def _over(worth: Floats, value: float) -> float | None:
    total = float(worth.sum())
    return value / total if total > 0 else None


def _expected(score: Sequence[float], worth: Floats) -> Floats:
    """[K] the expected worth at each rank, best first, where equal scores are ordered by chance."""
    scored = np.asarray(score, dtype=np.float64)
    _, block = np.unique(scored, return_inverse=True)
    mean = (np.bincount(block, weights=worth) / np.bincount(block))[block]
    return np.asarray(mean[np.argsort(-scored, kind="stable")], dtype=np.float64)


def _expected_products(scored: Floats, there: Floats, worth: Floats) -> Floats:
    """[K, K] the expected (label at rank i) times (worth at rank j), where equal scores are ordered by chance."""
    order = np.argsort(-scored, kind="stable")
    product = np.outer(_expected(scored.tolist(), there), _expected(scored.tolist(), worth))
    for value in np.unique(scored):
        members = np.flatnonzero(scored[order] == value)
        y, w = there[order][members], worth[order][members]
        m, own = len(members), float((y * w).sum())
        apart = (float(y.sum() * w.sum()) - own) / (m * (m - 1)) if m > 1 else 0.0
        product[np.ix_(members, members)] = apart
        product[members, members] = own / m
    return np.asarray(product, dtype=np.float64)


_RULES: Mapping[str, Callable[..., float | None]] = {
    "unbiased_dcg": unbiased_dcg,
    "unbiased_recall": unbiased_recall,
    "unbiased_map": unbiased_map,
}


def unbiased_ranking_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The mean of `spec.rule` over lists: the rows of a user that `spec.join` joins, or each row's own candidates.

    An item is positive where its rating is above `spec.positive_above`. Flags: "undefined_lists=N", lists without a
    positive; "incomplete", lists left out because the model gave no scores.
    """
    values: list[float] = []
    of: list[Judged] = []
    undefined = unscored = items = 0
    for numbers in joined(rows, spec.join, spec.name):
        members = [rows[number] for number in numbers]
        score = [_scores(row, spec, alone=len(members) == 1) for row in members]
        label, chance = _labels(members, spec), [one for row in members for one in _chances(row, spec)]
        known = [each for of_row in score if of_row is not None for each in of_row]
        if len(known) < len(label) or not np.isfinite(known).all():
            unscored += 1
            continue
        value = _RULES[spec.rule](known, label, chance, spec.k or len(label), clip=spec.clip)
        if value is None:
            undefined += 1
            continue
        values.append(value)
        of.append(members[0])
        items += len(label)
    marks = {f"undefined_lists={undefined}": undefined, "incomplete": unscored}
    return mean_sample(values, of, comparisons=items, flags=tuple(mark for mark, count in marks.items() if count))


def unbiased_loss_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The mean over rows of `rmbench.stats.unbiased_implicit_loss`, predictions being the sigmoid of the scores.

    A row without a score is left out, with the flag "incomplete".
    """
    values: list[float] = []
    of: list[Judged] = []
    unscored = items = 0
    for row in rows:
        score, label = _scores(row, spec, alone=False), _labels([row], spec)
        if score is None or not np.isfinite(score).all():
            unscored += 1
            continue
        predicted = special.expit(np.asarray(score, dtype=np.float64)).tolist()
        values.append(unbiased_implicit_loss(list(map(float, label)), predicted, _chances(row, spec), clip=spec.clip))
        of.append(replace(row, weight=row.weight * len(label)))
        items += len(label)
    return mean_sample(values, of, comparisons=items, flags=("incomplete",) if unscored else ())


def _scores(row: Judged, spec: MetricSpec, *, alone: bool) -> list[float] | None:
    row = in_dimension(row, spec.dimension)
    found = scores(row) if alone and row.size > 1 else item_scores(row)
    return None if found is None else list(found)


def _labels(rows: Sequence[Judged], spec: MetricSpec) -> list[bool]:
    return [rating > spec.positive_above for row in rows for rating in figures(row, spec) or [0.0] * row.size]


def _chances(row: Judged, spec: MetricSpec) -> list[float]:
    """[K] the propensities: a rated dimension of the candidates, or a group of the row."""
    if spec.propensity in row.gold.dimensions:
        found = [line[row.gold.dimensions.index(spec.propensity)] for line in row.gold.ratings]
        wrong = next((chance for chance in found if not 0 < chance <= 1), None)
        if wrong is not None:
            raise RmbenchError(
                f'metric "{spec.name}": row "{row.id}" has the propensity {wrong:g}, expected above 0 and at most 1.'
            )
        return found
    return [propensity_of(row, spec)] * row.size
