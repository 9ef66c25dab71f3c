"""A task of which every row failed for one reason: nothing was measured, so it ends with that reason and no record."""

from __future__ import annotations

from collections.abc import Sequence

from rmbench.errors import RmbenchError
from rmbench.evaluation.reasons import kind_of_reason
from rmbench.types import Judged

__all__ = ["AllFailedError", "NothingMeasuredError", "refuse_all_failed"]


class NothingMeasuredError(RmbenchError):
    """No task of a run has a record: every row of one failed, or its data are not there."""

    exit_code = 3


class AllFailedError(NothingMeasuredError):
    """Every row of a task failed for one reason."""

    def __init__(self, task: str, why: str, rows: int) -> None:
        super().__init__(f"{task}: {why}")
        self.why = why
        self.rows = rows


def refuse_all_failed(task: str, model: str, rows: Sequence[Judged]) -> None:
    """Raise AllFailedError where no row was judged, and all have the same reason but for numbers and their own id.

    A task of one row that failed is no exception: a record of it would hold no number either.
    """
    if not rows or any(row.judgment.status != "failed" for row in rows):
        return
    if len({kind_of_reason(row) for row in rows}) == 1:
        first = rows[0]
        why = f"{model} failed on all {len(rows)} rows; the first, {first.id}: {first.judgment.error}"
        raise AllFailedError(task, why, len(rows))
