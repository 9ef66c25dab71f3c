"""Rated rows as two columns of numbers: people's ratings of each candidate, and the model's scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.metric_spec import MetricSpec
from rmbench.metrics.rows.answers import item_scores
from rmbench.metrics.uncertainty.aggregate import Floats, Ints, cluster_codes
from rmbench.types import Judged

__all__ = ["RatedItems", "dimension_of", "dimensions_of", "rated_items"]


@dataclass(frozen=True, slots=True)
class RatedItems:
    """One entry per candidate that has both a human figure and a model score in one dimension."""

    human: Floats
    """[n]."""
    model: Floats
    """[n]."""
    cluster: Ints
    """[n] the cluster of the candidate's row, from 0."""
    rows: int
    """Rows that gave at least one entry."""
    left_out: int
    """Rows with a human figure that the model gave no usable score for."""


def dimensions_of(rows: Sequence[Judged]) -> list[str]:
    """The rated dimensions of the rows, in the order the task declares them."""
    return list(dict.fromkeys(name for row in rows for name in row.gold.dimensions))


def dimension_of(rows: Sequence[Judged], spec: MetricSpec) -> str:
    """The dimension of the overall value: the declared one, or the only one there is.

    Raises RmbenchError where it is none of the rows', or where it is not declared and there are several.
    """
    known = dimensions_of(rows)
    if spec.dimension:
        if rows and spec.dimension not in known:
            hint = did_you_mean(spec.dimension, known)
            raise RmbenchError(f'metric "{spec.name}": the rows have no rated dimension "{spec.dimension}".{hint}')
        return spec.dimension
    if len(known) > 1:
        raise RmbenchError(f'metric "{spec.name}": declare its dimension, one of {", ".join(known)}')
    return known[0] if known else ""


def rated_items(rows: Sequence[Judged], dimension: str) -> RatedItems:
    """The candidates of all rows pooled, as upstream's sample-level correlations pool them.

    A candidate without a finite model score is left out, and its row counted in `left_out`: a correlation has no credit
    to take away for it.
    """
    human: list[float] = []
    model: list[float] = []
    cluster: list[int] = []
    used = left_out = 0
    for row, code in zip(rows, cluster_codes(rows), strict=True):
        if dimension not in row.gold.dimensions:
            continue
        column = row.gold.dimensions.index(dimension)
        figures = [(k, line[column]) for k, line in enumerate(row.gold.ratings) if not math.isnan(line[column])]
        scores = item_scores(row, dimension)
        usable = [(figure, scores[k]) for k, figure in figures if scores is not None and math.isfinite(scores[k])]
        left_out += len(usable) < len(figures)
        used += bool(usable)
        human += [figure for figure, _ in usable]
        model += [score for _, score in usable]
        cluster += [int(code)] * len(usable)
    return RatedItems(np.array(human), np.array(model), np.array(cluster, dtype=np.int64), used, left_out)
