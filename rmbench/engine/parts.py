"""Rows in several parts: the parts are computed, and the rows joined from their results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmbench.engine.compute import check_names, checked_row, reason
from rmbench.engine.serialization import RowResult
from rmbench.errors import RmbenchError
from rmbench.models.protocols import Encoded, MultipartScorer, Scorer

__all__ = ["join_row", "units_of"]


def units_of(encoded: Sequence[Encoded]) -> tuple[list[Encoded], list[range]]:
    """What is computed: each row, or its parts in its place; and for each row the places of its units."""
    units: list[Encoded] = []
    places: list[range] = []
    for row in encoded:
        own = (row,) if row.error or not row.parts else row.parts
        places.append(range(len(units), len(units) + len(own)))
        units.extend(own)
    return units, places


def join_row(scorer: Scorer, row: Encoded, results: Sequence[RowResult]) -> RowResult:
    """A row's result from those of its parts; the first part that failed is the reason of a row that failed.

    Raises:
        RmbenchError: the scorer made parts that it cannot join, or its answer has not the promised names.
    """
    if not row.parts or row.error:
        return results[0]
    for result in results:
        if result.error:
            return result
    if not isinstance(scorer, MultipartScorer):
        raise RmbenchError(f"{scorer.facts.name} encodes rows in parts and has no `join`.")
    try:
        joined = scorer.join(row, [result.values for result in results])
    except Exception as error:
        return RowResult(error=f"join: {reason(error)}")
    check_names(scorer, joined, "join")
    return checked_row({name: np.atleast_1d(value) for name, value in joined.items()})
