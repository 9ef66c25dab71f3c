"""Does a row that somebody else wrote agree with itself? Metrics index by its numbers without looking."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rmbench.consistency import judgment_problem
from rmbench.types import Gold, Judged

__all__ = ["problem"]


def problem(row: Judged) -> str:
    """What is wrong with a row, or ""."""
    return next(_problems(row), "") or judgment_problem(row.judgment, row.size)


def _problems(row: Judged) -> Iterator[str]:
    if row.size < 0:
        yield f"size is {row.size}"
    if not math.isfinite(row.weight) or row.weight < 0:
        yield f"weight is {row.weight}"
    yield from _gold_problems(row.gold, row.size)


def _gold_problems(gold: Gold, size: int) -> Iterator[str]:
    for edge in gold.relation:
        if not (0 <= edge.i < size and 0 <= edge.j < size):
            yield f"relation names candidates {edge.i} and {edge.j} of {size}"
    if gold.ratings and len(gold.ratings) != size:
        yield f"ratings has {len(gold.ratings)} rows for {size} candidates"
    if any(len(rating) != len(gold.dimensions) for rating in gold.ratings):
        yield f"ratings has not one column per dimension ({', '.join(gold.dimensions) or 'there are none'})"
