"""Rank and product-moment correlations between model scores and human ratings, and their cluster bootstrap.

Over all pairs of n items: C concordant, D discordant, Th tied in the human figures alone, Tm in the model's alone, Thm
in both; N = n(n - 1)/2. Constant input has no correlation: None, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from rmbench.metrics.uncertainty.aggregate import Floats, Ints
from rmbench.metrics.uncertainty.interval import resample_counts

__all__ = [
    "PairCounts",
    "bootstrap_correlation",
    "correlation",
    "correlation_draw",
    "gamma",
    "kendall_a",
    "pair_counts",
    "pairwise_accuracy",
    "somers_d",
]


@dataclass(frozen=True, slots=True)
class PairCounts:
    """How the pairs of n items fall out."""

    concordant: int
    discordant: int
    human_ties: int
    """Tied in the human figures alone."""
    model_ties: int
    """Tied in the model's scores alone."""
    both_ties: int

    @property
    def total(self) -> int:
        """N, all pairs."""
        return self.concordant + self.discordant + self.human_ties + self.model_ties + self.both_ties


def _tied(values: Floats) -> int:
    _, sizes = np.unique(values, axis=0, return_counts=True)
    return int((sizes * (sizes - 1) // 2).sum())


def pair_counts(human: Floats, model: Floats) -> PairCounts:
    """Counts over all pairs of [n] figures, in O(n log n)."""
    n = len(human)
    total = n * (n - 1) // 2
    in_human, in_model, in_both = _tied(human), _tied(model), _tied(np.stack([human, model], axis=1))
    untied = total - in_human - in_model + in_both
    if untied:
        # scipy divides an integer, C - D, by a known root; rounding takes the integer back.
        root = math.sqrt(total - in_human) * math.sqrt(total - in_model)
        difference = round(float(stats.kendalltau(human, model).statistic) * root)
    else:
        difference = 0
    return PairCounts(
        concordant=(untied + difference) // 2,
        discordant=(untied - difference) // 2,
        human_ties=in_human - in_both,
        model_ties=in_model - in_both,
        both_ties=in_both,
    )


def _ratio(top: float, bottom: float) -> float | None:
    return top / bottom if bottom else None


def kendall_a(human: Floats, model: Floats) -> float | None:
    """tau-a = (C - D)/N; None where either side is constant."""
    counts = pair_counts(human, model)
    return _ratio(counts.concordant - counts.discordant, counts.total)


def gamma(counts: PairCounts) -> float | None:
    """Goodman and Kruskal's gamma = (C - D)/(C + D)."""
    return _ratio(counts.concordant - counts.discordant, counts.concordant + counts.discordant)


def somers_d(counts: PairCounts) -> float | None:
    """Somers' D of the model given the human figures = (C - D)/(C + D + Tm)."""
    untied = counts.concordant + counts.discordant + counts.model_ties
    return _ratio(counts.concordant - counts.discordant, untied)


def pairwise_accuracy(counts: PairCounts, tie: float | None = 0.0) -> float | None:
    """The share of pairs without a human tie that the model orders rightly: (C + tie x Tm)/(C + D + Tm).

    `tie` is the credit of a pair with equal model scores; None leaves such pairs out.
    """
    if tie is None:
        return _ratio(counts.concordant, counts.concordant + counts.discordant)
    untied = counts.concordant + counts.discordant + counts.model_ties
    return _ratio(counts.concordant + tie * counts.model_ties, untied)


_COEFFICIENTS: dict[str, Callable[[Floats, Floats], float | None]] = {
    "kendall_a": kendall_a,
    "kendall_b": lambda human, model: float(stats.kendalltau(human, model).statistic),
    "kendall_c": lambda human, model: float(stats.kendalltau(human, model, variant="c").statistic),
    "spearman": lambda human, model: float(stats.spearmanr(human, model).statistic),
    "pearson": lambda human, model: float(stats.pearsonr(human, model).statistic),
}


def correlation(rule: str, human: Floats, model: Floats) -> float | None:
    """The coefficient `rule` of kind "correlation" of two [n] figures; None where either is constant or n < 2.

    tau-b and tau-c are scipy's; tau-a comes from the counts of pairs.
    """
    if len(human) < 2 or np.ptp(human) == 0 or np.ptp(model) == 0:
        return None
    return _COEFFICIENTS[rule](human, model)


_MATRIX_CLUSTERS = 1500
"""Up to this many clusters the sums over pairs of clusters are held as a matrix, which makes a resample a product."""


Draw = Callable[[Floats], Floats]


def correlation_draw(rule: str, human: Floats, model: Floats, cluster: Ints) -> Draw:
    """The coefficient of [n] figures whose clusters are drawn so often: counts [block, G] to [block], nan where a draw
    is constant. `cluster` [n] numbers the clusters from 0 to G - 1, and each has an item.
    """
    groups = int(cluster.max()) + 1
    if rule == "pearson":
        return _pearson_draw(human, model, cluster, groups)
    if rule == "spearman":
        return _spearman_draw(human, model, cluster)
    return _kendall_draw(rule, human, model, cluster, groups)


def bootstrap_correlation(
    rule: str, human: Floats, model: Floats, clusters: Ints, resamples: int, rng: np.random.Generator
) -> Floats:
    """[resamples] the coefficient when clusters are drawn with replacement; nan where a draw is constant."""
    _, cluster = np.unique(clusters, return_inverse=True)
    groups = int(cluster.max()) + 1
    out = np.empty(resamples)
    draw = correlation_draw(rule, human, model, cluster)
    for block, counts in resample_counts(groups, resamples, rng):
        # Row figures are n wide where counts are G wide: smaller blocks keep memory flat for clusters of many rows.
        step = max(1, len(counts) * groups // (len(human) + groups))
        parts = [draw(counts[at : at + step]) for at in range(0, len(counts), step)]
        out[block] = np.concatenate(parts)
    return out


def _weighted_pearson(n: Floats, x: Floats, y: Floats, xx: Floats, yy: Floats, xy: Floats) -> Floats:
    """From sums; nan where a variance is nought against its rounding error."""
    var_x, var_y = n * xx - x * x, n * yy - y * y
    spread = (var_x > 1e-10 * n * xx) & (var_y > 1e-10 * n * yy)
    root = np.sqrt(np.where(spread, var_x, 1.0)) * np.sqrt(np.where(spread, var_y, 1.0))
    return np.where(spread, np.clip((n * xy - x * y) / root, -1.0, 1.0), np.nan)


def _pearson_draw(human: Floats, model: Floats, cluster: Ints, groups: int) -> Callable[[Floats], Floats]:
    # Centred and scaled first, so that sums of squares do not cancel.
    h = (human - human.mean()) / human.std()
    s = (model - model.mean()) / model.std()
    moments = np.stack(
        [np.bincount(cluster, weights=w, minlength=groups) for w in (np.ones_like(h), h, s, h * h, s * s, h * s)],
        axis=1,
    )

    def draw(counts: Floats) -> Floats:
        sums = counts @ moments
        return _weighted_pearson(*(sums[:, k] for k in range(6)))

    return draw


def _spearman_draw(human: Floats, model: Floats, cluster: Ints) -> Callable[[Floats], Floats]:
    classes = [np.unique(values, return_inverse=True)[1] for values in (human, model)]
    orders = [np.argsort(of, kind="stable") for of in classes]
    starts = [np.searchsorted(of[order], np.arange(of.max() + 1)) for of, order in zip(classes, orders, strict=True)]

    def ranks(times: Floats, which: int) -> Floats:
        """[block, n] mid-ranks of rows drawn `times` [block, n], centred."""
        sizes = np.add.reduceat(times[:, orders[which]], starts[which], axis=1)
        upto = np.cumsum(sizes, axis=1)
        middle = upto - (sizes - 1) / 2 - (times.sum(axis=1, keepdims=True) + 1) / 2
        return np.asarray(middle[:, classes[which]])

    def draw(counts: Floats) -> Floats:
        times = counts[:, cluster]
        x, y = ranks(times, 0), ranks(times, 1)
        sums = [np.einsum("rn,rn->r", times, part) for part in (x, y, x * x, y * y, x * y)]
        return _weighted_pearson(times.sum(axis=1), *sums)

    return draw


def _kendall_draw(rule: str, human: Floats, model: Floats, cluster: Ints, groups: int) -> Callable[[Floats], Floats]:
    if groups > _MATRIX_CLUSTERS:

        def one(times: Ints) -> float:
            value = correlation(rule, np.repeat(human, times), np.repeat(model, times))
            return math.nan if value is None else value

        return lambda counts: np.array([one(line[cluster].astype(np.int64)) for line in counts])

    between = _signs_between(human, model, cluster, groups)
    tables = [_class_table(values, cluster, groups) for values in (human, model)]
    sizes = np.bincount(cluster, minlength=groups).astype(np.float64)

    def draw(counts: Floats) -> Floats:
        # C - D of the draw: a row met with its own copy is a tie and adds nothing.
        difference = np.einsum("rg,rg->r", counts @ between, counts) / 2
        n = counts @ sizes
        pairs = n * (n - 1) / 2
        times = [counts @ table for table in tables]
        untied = [pairs - (of * (of - 1) / 2).sum(axis=1) for of in times]
        if rule == "kendall_a":
            bottom = np.where((untied[0] > 0) & (untied[1] > 0), pairs, 0.0)
        elif rule == "kendall_b":
            bottom = np.sqrt(untied[0] * untied[1])
        else:
            fewer = np.minimum(*((of > 0).sum(axis=1) for of in times))
            bottom = n * n * (fewer - 1) / np.maximum(fewer, 1) / 2
        out: Floats = np.divide(difference, bottom, out=np.full(len(counts), np.nan), where=bottom > 0)
        return out

    return draw


def _class_table(values: Floats, cluster: Ints, groups: int) -> Floats:
    """[clusters, distinct values] how many items of a cluster have each value."""
    _, of = np.unique(values, return_inverse=True)
    width = int(of.max()) + 1
    return np.bincount(cluster * width + of, minlength=groups * width).reshape(groups, width).astype(np.float64)


def _signs_between(human: Floats, model: Floats, cluster: Ints, groups: int) -> Floats:
    """[clusters, clusters] concordant less discordant pairs of items, one of each cluster."""
    order = np.argsort(cluster, kind="stable")
    h, s = human[order], model[order]
    starts = np.searchsorted(cluster[order], np.arange(groups))
    out = np.empty((groups, groups))
    ends = np.append(starts[1:], len(h))
    for g in range(groups):
        mine = slice(starts[g], ends[g])
        signs = np.sign(h[mine, None] - h[None, :]) * np.sign(s[mine, None] - s[None, :])
        out[g] = np.add.reduceat(signs.sum(axis=0), starts)
    return out
