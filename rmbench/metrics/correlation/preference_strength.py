"""Differences of a model's scores against graded human preferences, as RAGChecker's meta evaluation correlates them.

Upstream: amazon-science/RAGChecker, `data/meta_evaluation/meta_eval.py`; paper arXiv 2408.08067. For a pair the
difference d = score of the second candidate less that of the first; a missing one takes the median of the others; all
are mapped linearly so that the smallest is -2 and the largest 2 (left alone where they are equal), and each counts once
against every annotator's label. The map changes no correlation but by merging differences that a rounding kept apart,
which moves the last digit of rank correlations: it is here to reproduce upstream's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.correlation.coefficients import correlation, correlation_draw
from rmbench.metrics.rows.answers import in_dimension, margin
from rmbench.metrics.rows.gold import MAJORITY
from rmbench.metrics.uncertainty.aggregate import Floats
from rmbench.metrics.uncertainty.sample import Sample, clusters_of, undefined_sample
from rmbench.types import Judged

__all__ = ["delta_sample", "graded_dimensions", "mapped"]


def mapped(differences: Floats) -> Floats:
    """[n] `differences` with the median in place of nan, then linearly from their range to [-2, 2]."""
    known = differences[~np.isnan(differences)]
    filled = np.where(np.isnan(differences), np.median(known) if len(known) else 0.0, differences)
    low, high = filled.min(), filled.max()
    return filled if high == low else ((filled - low) / (high - low) - 0.5) * 4


def graded_dimensions(rows: Sequence[Judged]) -> list[str]:
    """The dimensions of the rows' comparisons, in the order the task declares them."""
    return list(dict.fromkeys(edge.dimension for row in rows for edge in row.gold.relation))


def _labels(row: Judged, dimension: str, annotator: str) -> list[float]:
    """How much better people find the second candidate, one entry per label: the annotator's, or every annotator's, or
    that of a comparison which names none.
    """
    edges = [edge for edge in row.gold.relation if edge.dimension == dimension]
    own = [edge for edge in edges if edge.annotator not in ("", MAJORITY)] or edges
    chosen = [edge for edge in edges if edge.annotator == annotator] if annotator else own
    return [-edge.strength if edge.i < edge.j else edge.strength for edge in chosen]


def delta_sample(rows: Sequence[Judged], spec: MetricSpec) -> Sample:
    """The correlation of mapped differences with every label of `spec.dimension` and `spec.annotator` (all, by "").

    Flag "median_filled": the model gave some rows no readable difference.
    """
    having = [(row, labels) for row in rows if (labels := _labels(row, spec.dimension, spec.annotator))]
    if not having:
        return undefined_sample(("undefined",))
    apart = [margin(in_dimension(row, spec.dimension), 1, 0) for row, _ in having]
    model = mapped(np.array([math.nan if one is None else one for one in apart]))
    flags = ("median_filled",) if None in apart else ()
    item = np.repeat(np.arange(len(having)), [len(labels) for _, labels in having])
    human = np.array([label for _, labels in having for label in labels])
    rule = spec.rule.removeprefix("delta_")
    value = correlation(rule, human, model[item])
    if value is None:
        return undefined_sample((*flags, "undefined"), len(having))
    names, codes = clusters_of([row for row, _ in having])
    return Sample(
        value=value,
        clusters=names,
        draw=correlation_draw(rule, human, model[item], codes[item]),
        n=len(having),
        comparisons=len(human),
        flags=flags,
        width=len(human),
    )
