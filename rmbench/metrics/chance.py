"""The level that guessing reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from rmbench.metric_spec import MetricSpec
from rmbench.metrics.uncertainty.aggregate import row_weights
from rmbench.types import Judged

__all__ = ["chance_of"]


def chance_of(spec: MetricSpec, rows: Sequence[Judged], answer_kind: Literal["reward", "verdict"]) -> float | None:
    """The chance level of `spec` for `rows`, the rows of the value that it belongs to.

    A declared number holds for every group; one per kind of answer is looked up by `answer_kind` (None where the kind
    has none); "one_over_k" is the mean of 1/K by the weights of the metric's levels.
    """
    declared = spec.chance
    if declared is None:
        return None
    if declared == "one_over_k":
        if not rows:
            return None
        return float(row_weights(rows, spec) @ np.array([1 / row.size for row in rows]))
    if isinstance(declared, Mapping):
        return declared.get(answer_kind)
    return float(declared)
