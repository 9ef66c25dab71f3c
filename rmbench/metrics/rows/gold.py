"""The gold of a row as a metric reads it: comparisons, ratings or net wins per candidate, a class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec
from rmbench.types import Edge, Judged

__all__ = ["MAJORITY", "Compared", "compared", "comparisons", "figures", "joined", "label_of", "qualities", "with_tags"]

MAJORITY = "majority"
"""The annotator that stands for more than half of them."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A human comparison of candidates `i` and `j`."""

    i: int
    """The better one; for a tie, the one that the benchmark names first."""
    j: int
    tie: bool = False
    tags: tuple[str, ...] = ()


def compared(row: Judged, spec: MetricSpec, tags: Sequence[str] = ()) -> list[Compared]:
    """The row's comparisons that `spec.dimension`, `spec.annotator` and `tags` ("level=hard") keep, ties among them.

    No dimension (annotator) means the comparisons that name none; where every one names one, all of them.
    """
    edges = [edge for edge in row.gold.relation if all(tag in edge.tags for tag in tags)]
    named = [edge for edge in edges if edge.dimension == spec.dimension]
    return [_oriented(edge) for edge in _of_annotator(named or ([] if spec.dimension else edges), spec.annotator)]


def comparisons(row: Judged, dimension: str = "", tags: Sequence[str] = ()) -> list[tuple[int, int]]:
    """(candidate people prefer, the other) of the row's comparisons, human ties left out.

    `dimension` and `tags` ("level=hard") keep only the comparisons that carry them.
    """
    return [(one.i, one.j) for one in compared(row, MetricSpec("", "", dimension=dimension), tags) if not one.tie]


def _oriented(edge: Edge) -> Compared:
    i, j = (edge.i, edge.j) if edge.strength >= 0 else (edge.j, edge.i)
    return Compared(i, j, edge.strength == 0, edge.tags)


def _of_annotator(edges: Sequence[Edge], annotator: str) -> list[Edge]:
    if annotator == "":
        return [edge for edge in edges if not edge.annotator] or list(edges)
    named = [edge for edge in edges if edge.annotator == annotator]
    return named if named or annotator != MAJORITY else _majority(edges)


def _majority(edges: Sequence[Edge]) -> list[Edge]:
    """One edge for each pair and dimension on which more than half of the votes agree."""
    votes: dict[tuple[int, int, str], list[Edge]] = {}
    for edge in edges:
        votes.setdefault((min(edge.i, edge.j), max(edge.i, edge.j), edge.dimension), []).append(edge)
    out = []
    for (low, high, dimension), cast in votes.items():
        signs = [math.copysign(1.0, e.strength) * (1 if e.i == low else -1) if e.strength else 0.0 for e in cast]
        for sign in (1.0, -1.0, 0.0):
            if 2 * signs.count(sign) > len(signs):
                out.append(Edge(low, high, sign, dimension, MAJORITY))
    return out


def with_tags(rows: Sequence[Judged], tags: Sequence[str]) -> list[Judged]:
    """The rows with only the comparisons that carry all of `tags`; without tags the rows as they are."""
    if not tags:
        return list(rows)
    kept = (tuple(edge for edge in row.gold.relation if all(tag in edge.tags for tag in tags)) for row in rows)
    return [replace(row, gold=replace(row.gold, relation=edges)) for row, edges in zip(rows, kept, strict=True)]


def figures(row: Judged, spec: MetricSpec) -> list[float] | None:
    """[K] how good people find each candidate: its rating in `spec.dimension`, nan where it has none, else its
    comparisons won less lost, which orders a ranked list (ties too) as the ranks do. None where the row has neither.

    Raises RmbenchError where the rows have several rated dimensions and the metric names none.
    """
    gold = row.gold
    if gold.ratings:
        return [line[_column(gold.dimensions, spec)] for line in gold.ratings]
    found = compared(row, spec)
    if not found:
        return None
    net = [0.0] * row.size
    for one in found:
        net[one.i] += not one.tie
        net[one.j] -= not one.tie
    return net


def _column(dimensions: Sequence[str], spec: MetricSpec) -> int:
    if spec.dimension:
        if spec.dimension not in dimensions:
            hint = did_you_mean(spec.dimension, dimensions)
            raise RmbenchError(f'metric "{spec.name}": the rows have no rated dimension "{spec.dimension}".{hint}')
        return list(dimensions).index(spec.dimension)
    if len(dimensions) != 1:
        raise RmbenchError(f'metric "{spec.name}": declare its dimension, one of {", ".join(dimensions)}')
    return 0


def qualities(row: Judged, spec: MetricSpec) -> list[float] | None:
    """[K] the worth of picking each candidate: its rating, else 1 for those that won and never lost, 0 for the others.
    None without gold, or where a candidate has no rating.
    """
    if row.gold.ratings:
        rated = figures(row, spec)
        return None if rated is None or any(map(math.isnan, rated)) else rated
    decided = [one for one in compared(row, spec) if not one.tie]
    if not decided:
        return None
    best = {one.i for one in decided} - {one.j for one in decided}
    return [float(k in best) for k in range(row.size)]


def label_of(row: Judged, spec: MetricSpec) -> int | None:
    """The class of the row in `spec.dimension`, or in the only dimension there is; None where it has none.

    Raises RmbenchError where there are several and the metric names none.
    """
    labels = row.gold.labels
    if not labels:
        return None
    if spec.dimension:
        return labels.get(spec.dimension)
    if len(labels) > 1:
        raise RmbenchError(f'metric "{spec.name}": declare its dimension, one of {", ".join(labels)}')
    return next(iter(labels.values()))


def joined(rows: Sequence[Judged], join: str, metric: str) -> list[list[int]]:
    """The numbers of the rows that belong together by `MetricSpec.join`, in the order of their first rows.

    Raises RmbenchError where a row lacks the group.
    """
    together: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if join == "":
            key = str(number)
        elif join == "cluster":
            key = row.cluster or row.id
        elif join in row.groups:
            key = row.groups[join]
        else:
            hint = did_you_mean(join, row.groups)
            raise RmbenchError(f'metric "{metric}": row "{row.id}" has no group "{join}", which joins its rows.{hint}')
        together.setdefault(key, []).append(number)
    return list(together.values())
