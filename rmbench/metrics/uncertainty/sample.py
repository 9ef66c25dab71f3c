"""Rows made ready for one metric: its value, and its value again when clusters are drawn with replacement.

G is the number of clusters. Several samples are drawn jointly: the same clusters for all of them, so that means over
metrics and differences between models keep what their parts share.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rmbench.metrics.uncertainty.aggregate import Floats, Ints, Nest, cluster_codes, nest
from rmbench.metrics.uncertainty.interval import Interval, bootstrap_interval, linear_interval, strata
from rmbench.types import Judged

__all__ = [
    "Draw",
    "Sample",
    "clusters_of",
    "combined",
    "draw_jointly",
    "interval_of",
    "mean_sample",
    "table_of",
    "undefined_sample",
]

Draw = Callable[[Floats], Floats]
"""Counts [block, G], how often each cluster is drawn, to values [block]; nan where undefined."""

_CELLS = 2_000_000
"""Numbers held at once while resampling; bounds memory, changes no result."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A metric of some rows."""

    value: float | None
    clusters: tuple[str, ...]
    """[G] their names."""
    draw: Draw
    n: int
    """Rows behind the value."""
    comparisons: int
    flags: tuple[str, ...] = ()
    strata: tuple[Hashable, ...] | None = None
    """[G] clusters of one stratum are drawn among themselves; None: all are one stratum."""
    width: int = 0
    """Numbers that one drawn value needs at once, for bounding memory."""
    mean_of: tuple[Floats, Nest, Ints] | None = None
    """(row values, their nest, their clusters) where the metric is their mean: intervals need no draws."""
    extras: tuple[tuple[str, Sample], ...] = ()
    """Further values to report with it: group label, sample."""


def undefined_sample(flags: Sequence[str], n: int = 0) -> Sample:
    """A metric that has no value on these rows."""
    return Sample(None, (), lambda counts: np.full(len(counts), np.nan), n, 0, tuple(flags))


def clusters_of(rows: Sequence[Judged]) -> tuple[tuple[str, ...], Ints]:
    """The names of the rows' clusters, sorted, and the number of each row's [n]."""
    return tuple(sorted({row.cluster or row.id for row in rows})), cluster_codes(rows)


def table_of(clusters: Ints, groups: int, columns: Floats) -> Floats:
    """[groups, columns] sums of the rows' `columns` [n, columns] by cluster."""
    table = np.zeros((groups, columns.shape[1]))
    np.add.at(table, clusters, columns)
    return table


def mean_sample(
    values: Sequence[float] | Floats,
    rows: Sequence[Judged],
    nested: Nest | None = None,
    *,
    comparisons: int = 0,
    flags: tuple[str, ...] = (),
) -> Sample:
    """The nested (None: plain) mean of row `values` [n], undefined without any.

    Clusters are drawn within the leaves of the levels where no cluster crosses them.
    """
    if not len(values):
        return undefined_sample((*flags, "undefined"))
    values, nested = np.asarray(values, dtype=np.float64), nested or nest(rows, ())
    names, codes = clusters_of(rows)
    leaf = np.zeros((len(rows), nested.leaves))
    leaf[np.arange(len(rows)), nested.leaf_of] = nested.weight
    sums, totals = table_of(codes, len(names), leaf * values[:, None]), table_of(codes, len(names), leaf)
    found = strata(nested, codes)
    stratum = np.zeros(len(names), dtype=np.int64)
    for number, (_, members) in enumerate(found):
        stratum[codes[members]] = number
    return Sample(
        value=nested.mean_of_rows(values),
        clusters=names,
        draw=lambda counts: nested.mean(counts @ sums, counts @ totals),
        n=len(rows),
        comparisons=comparisons,
        flags=flags,
        strata=tuple(stratum.tolist()) if len(found) > 1 else None,
        width=nested.leaves,
        mean_of=(values, nested, codes),
    )


def combined(parts: Sequence[Sample], weights: Sequence[float]) -> Sample:
    """The mean of samples by weight, null where any of them is. Clusters that serve several parts are drawn once.

    Its n is that of different rows only where the parts share none; `replace` it where they do.
    """
    flags = tuple(dict.fromkeys(flag for part in parts for flag in part.flags))
    n, comparisons = sum(part.n for part in parts), sum(part.comparisons for part in parts)
    total = sum(weights)
    if not parts or not total or any(part.value is None for part in parts):
        return replace(undefined_sample(tuple(dict.fromkeys((*flags, "undefined"))), n), comparisons=comparisons)
    names, columns, labels = _universe(parts)

    def draw(counts: Floats) -> Floats:
        drawn = [part.draw(counts[:, at]) for part, at in zip(parts, columns, strict=True)]
        return np.asarray(sum(weight * one for weight, one in zip(weights, drawn, strict=True)) / total)

    values = [part.value for part in parts if part.value is not None]
    return Sample(
        value=sum(weight * value for weight, value in zip(weights, values, strict=True)) / total,
        clusters=names,
        draw=draw,
        n=n,
        comparisons=comparisons,
        flags=flags,
        strata=labels,
        width=max(part.width for part in parts),
    )


def _universe(parts: Sequence[Sample]) -> tuple[tuple[str, ...], list[Ints], tuple[Hashable, ...]]:
    """All clusters by name, the columns [G] of each part among them, and a stratum for each.

    Clusters of one stratum have one stratum in every part, or are missing in the same parts.
    """
    names = tuple(sorted({name for part in parts for name in part.clusters}))
    number = {name: k for k, name in enumerate(names)}
    columns = [np.array([number[name] for name in part.clusters], dtype=np.int64) for part in parts]
    labels: list[list[Hashable]] = [[None] * len(parts) for _ in names]
    for k, (part, at) in enumerate(zip(parts, columns, strict=True)):
        own = part.strata or (0,) * len(part.clusters)
        for cluster, stratum in zip(at.tolist(), own, strict=True):
            labels[cluster][k] = ("in", stratum)
    return names, columns, tuple(tuple(label) for label in labels)


def _drawn_together(labels: Sequence[Hashable]) -> list[Ints]:
    """The clusters of each stratum; all in one where a stratum has a single cluster, which drawing would never vary."""
    members: dict[Hashable, list[int]] = {}
    for cluster, label in enumerate(labels):
        members.setdefault(label, []).append(cluster)
    if any(len(of) < 2 for of in members.values()):
        return [np.arange(len(labels), dtype=np.int64)]
    return [np.array(of, dtype=np.int64) for of in members.values()]


def draw_jointly(parts: Sequence[Sample], resamples: int, rng: np.random.Generator) -> list[Floats]:
    """[resamples] values of each sample, the same clusters drawn for all."""
    names, columns, labels = _universe(parts)
    out = [np.full(resamples, np.nan) for _ in parts]
    if not names:
        return out
    together = _drawn_together(labels)
    step = max(1, _CELLS // max(len(names), *(part.width for part in parts)))
    for start in range(0, resamples, step):
        block = min(step, resamples - start)
        counts = np.zeros((block, len(names)))
        for members in together:
            drawn = rng.integers(0, len(members), size=(block, len(members)))
            drawn += np.arange(block)[:, None] * len(members)
            times = np.bincount(drawn.ravel(), minlength=block * len(members)).reshape(block, len(members))
            counts[:, members] = times
        for values, part, at in zip(out, parts, columns, strict=True):
            values[start : start + block] = part.draw(counts[:, at])
    return out


def interval_of(
    sample: Sample, resamples: int, rng: np.random.Generator, low: float | None = None, high: float | None = None
) -> Interval:
    """The 95% interval: of a mean of rows, else from draws of clusters. `low` and `high` are the ends of its range.

    None where there is no value, one cluster, or draws that are all alike (a perfect order), which leave no spread.
    """
    if sample.value is None:
        return Interval(None, None, "")
    if sample.mean_of is not None:
        return linear_interval(*sample.mean_of, low, high)
    if len(sample.clusters) < 2:
        return Interval(None, None, "")
    draws = draw_jointly([sample], resamples, rng)[0]
    together = _drawn_together(sample.strata or (0,) * len(sample.clusters))
    return bootstrap_interval(sample.value, draws, len(sample.clusters), len(together), low, high)
