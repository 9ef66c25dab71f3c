"""Accuracy per rater: its mean and its distribution over people, and how far the worst group lies behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.credit.row import credit
from rmbench.metrics.uncertainty.aggregate import Floats, Ints
from rmbench.metrics.uncertainty.sample import Draw, Sample, clusters_of, mean_sample, table_of, undefined_sample
from rmbench.types import Judged

__all__ = ["Rated", "gap_sample", "rated_rows", "rater_sample"]

_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True, slots=True, eq=False)
class Rated:
    """Rows of the raters that have enough of them, each with its credit."""

    rows: Sequence[Judged]
    credits: Floats
    """[n]"""
    raters: tuple[str, ...]
    """[R] sorted."""
    codes: Ints
    """[n] the rater of each row."""
    comparisons: int
    flags: tuple[str, ...]
    """How many raters there are, and how many rows of others were left out."""

    @property
    def counts(self) -> Floats:
        """[R] rows of each rater."""
        return np.bincount(self.codes, minlength=len(self.raters)).astype(np.float64)

    @property
    def accuracies(self) -> Floats:
        """[R] the mean credit of each rater's rows."""
        return np.bincount(self.codes, weights=self.credits, minlength=len(self.raters)) / self.counts


def rated_rows(rows: Sequence[Judged], spec: MetricSpec) -> Rated:
    """The rows with a credit under `spec.credit` whose raters have at least `spec.min_rows` of them.

    Raises:
        RmbenchError: a row has no rater.
    """
    found = [(row, credit(row, replace(spec, rule=spec.credit))) for row in rows]
    counted = [(_of_rater(row, spec), one, one.value) for row, one in found if one.value is not None]
    names, totals = np.unique([row.rater for row, _, _ in counted], return_counts=True)
    enough = {str(name) for name, n in zip(names, totals, strict=True) if n >= spec.min_rows}
    kept = [each for each in counted if each[0].rater in enough]
    raters = tuple(sorted(enough))
    number = {name: k for k, name in enumerate(raters)}
    left_out = len(counted) - len(kept)
    return Rated(
        rows=[row for row, _, _ in kept],
        credits=np.array([value for _, _, value in kept], dtype=np.float64),
        raters=raters,
        codes=np.array([number[row.rater] for row, _, _ in kept], dtype=np.int64),
        comparisons=sum(one.comparisons for _, one, _ in kept),
        flags=(f"raters={len(raters)}", *([f"rows_left_out={left_out}"] if left_out else [])),
    )


def _of_rater(row: Judged, spec: MetricSpec) -> Judged:
    """The row as one that depends on all others of its rater."""
    if not row.rater:
        raise RmbenchError(
            f'metric "{spec.name}": row "{row.id}" names no rater, which rule "{spec.rule}" needs: `rater` under '
            "[rows] is the column with the person whose preference the row asks for (`--columns rater=...`)."
        )
    return row if row.cluster == row.rater else replace(row, cluster=row.rater)


def rater_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The mean over raters of their accuracy, whatever the number of each one's rows; raters are what is resampled.

    With it are reported, as groups: quantiles of the raters' accuracies, their standard deviation `sd=observed`, and
    `sd=between`, that of the raters' true accuracies, after the variance that p (1 - p) / (n - 1) says is of having few
    rows of each has been taken off (0 where less than that is left). Raters of one row tell nothing of it: they have no
    part in the latter.
    """
    rated = rated_rows(rows, spec)
    if not rated.raters:
        return undefined_sample((*rated.flags, "undefined"))
    accuracies = rated.accuracies
    first = np.unique(rated.codes, return_index=True)[1]
    sample = mean_sample(accuracies, [replace(rated.rows[k], weight=1.0) for k in first], comparisons=rated.comparisons)
    extras = [(f"quantile={q:g}", _quantile(rated, accuracies, q)) for q in _QUANTILES]
    extras += [("sd=observed", _spread(rated, accuracies, np.zeros_like(accuracies)))]
    within = np.full_like(accuracies, np.nan)
    several = rated.counts > 1
    within[several] = (accuracies * (1 - accuracies))[several] / (rated.counts[several] - 1)
    extras += [("sd=between", _spread(rated, accuracies, within))]
    return replace(sample, n=len(rated.rows), flags=rated.flags, extras=tuple(extras))


def _quantile(rated: Rated, accuracies: Floats, q: float) -> Sample:
    """The lowest accuracy that at least a share q of the raters do not exceed."""
    order = np.argsort(accuracies, kind="stable")
    ranked = accuracies[order]

    def draw(counts: Floats) -> Floats:
        reached = np.cumsum(counts[:, order], axis=1)
        return np.asarray(ranked[np.argmax(reached >= q * reached[:, -1:] - 1e-9, axis=1)], dtype=np.float64)

    return _of_raters(rated, draw)


def _spread(rated: Rated, accuracies: Floats, within: Floats) -> Sample:
    """The standard deviation over raters (nan in `within`: left out) less the variance that is within them."""
    there = ~np.isnan(within)
    noise = np.where(there, within, 0.0)

    def draw(counts: Floats) -> Floats:
        weights = counts * there
        total = weights.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = weights @ accuracies / total
            variance = (weights @ accuracies**2 / total - mean**2) * total / (total - 1) - weights @ noise / total
        return np.where(total > 1, np.sqrt(np.maximum(variance, 0.0)), np.nan)

    return _of_raters(rated, draw)


def _of_raters(rated: Rated, draw: Draw) -> Sample:
    value = float(draw(np.ones((1, len(rated.raters))))[0])
    return Sample(
        None if np.isnan(value) else value,
        rated.raters,
        draw,
        len(rated.rows),
        rated.comparisons,
        width=len(rated.raters),
    )


def gap_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The accuracy of all rows less that of the worst group, among the values of the group `spec.join` that have at
    least `spec.min_rows` rows; the worst group is found anew in each draw. The flag `worst=...` names it.

    Rows are resampled by rater, or by cluster where they name none. The least of several estimates is low by chance
    too, so the gap of groups that do not differ is above 0.
    """
    found = [(row, credit(row, replace(spec, rule=spec.credit))) for row in rows]
    kept = [(replace(row, cluster=row.rater or row.cluster), one) for row, one in found if one.value is not None]
    values = [_group(row, spec) for row, _ in kept]
    names = sorted(name for name in set(values) if values.count(name) >= spec.min_rows)
    if not names:
        return undefined_sample(("undefined",))
    of = [row for row, _ in kept]
    worth = np.array([one.value for _, one in kept], dtype=np.float64)
    member = np.array([[value == name for name in names] for value in values], dtype=np.float64)
    weight = np.array([row.weight for row in of])[:, None]
    member = np.hstack([np.ones((len(of), 1)), member]) * weight
    clusters, codes = clusters_of(of)
    sums, totals = table_of(codes, len(clusters), member * worth[:, None]), table_of(codes, len(clusters), member)

    def means(counts: Floats) -> Floats:
        top, bottom = counts @ sums, counts @ totals
        return np.asarray(np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0))

    def draw(counts: Floats) -> Floats:
        drawn = means(counts)
        worst = np.fmin.reduce(drawn[:, 1:], axis=1)
        return np.asarray(drawn[:, 0] - worst, dtype=np.float64)

    every = means(np.ones((1, len(clusters))))[0]
    worst = names[int(np.argmin(every[1:]))]
    return Sample(
        value=float(every[0] - every[1:].min()),
        clusters=clusters,
        draw=draw,
        n=len(of),
        comparisons=sum(one.comparisons for _, one in kept),
        flags=(f"worst={worst}",),
        width=2 * len(names) + 2,
    )


def _group(row: Judged, spec: MetricSpec) -> str:
    if spec.join not in row.groups:
        hint = did_you_mean(spec.join, row.groups)
        raise RmbenchError(f'metric "{spec.name}": row "{row.id}" has no group "{spec.join}" (`join`).{hint}')
    return row.groups[spec.join]
