"""The rows of a sharing trial, which compares shared with plain states before anything counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmbench.models.protocols import Batch, Encoded, Group

__all__ = ["trial_rows"]

_PREFIX = 128
_OWN = 32
"""Tokens of a group's common beginning, and of a row behind it, that are kept: a wrong mask shows on few tokens, and
trying it on whole long rows would cost more than it saves on a small job."""


def trial_rows(batches: Sequence[Batch], windows: Sequence[int]) -> list[Batch]:
    """Small batches cut from real rows: three groups that share something (any rows where none does), and for each
    window one longer than it, where a window that was forgotten shows."""
    groups = [group for batch in batches for group in _groups(batch)]
    if not groups:
        return []
    sharing = [group for group in groups if group[0].rows > 1] or groups
    trials = [_batch([_short(group, _PREFIX) for group in sorted(sharing, key=_cost)[:3]])]
    for window in windows:
        beyond = [group for group in sharing if max(len(row.ids) for row in group[1]) > window]
        if beyond:
            trials.append(_batch([_short(min(beyond, key=_cost), window, window)]))
    return trials


def _short(group: tuple[Group, tuple[Encoded, ...]], prefix: int, own: int = _OWN) -> tuple[Group, tuple[Encoded, ...]]:
    """The end of the common beginning, and the beginning of what each row has behind it."""
    shape, rows = group
    kept = min(shape.prefix, prefix)
    first, behind = shape.prefix - kept, shape.prefix + (own if shape.prefix else own + prefix)
    cut = tuple(_row(row.ids[first:behind]) for row in rows)
    return Group(kept, shape.rows), cut


def _row(ids: tuple[int, ...]) -> Encoded:
    return Encoded(key="", size=len(ids), ids=ids)


def _groups(batch: Batch) -> list[tuple[Group, tuple[Encoded, ...]]]:
    found = []
    start = 0
    for group in batch.groups:
        found.append((group, batch.rows[start : start + group.rows]))
        start += group.rows
    return found


def _cost(group: tuple[Group, tuple[Encoded, ...]]) -> int:
    """Tokens of the plain forward."""
    return sum(len(row.ids) for row in group[1])


def _batch(groups: Sequence[tuple[Group, tuple[Encoded, ...]]]) -> Batch:
    rows = tuple(row for _, members in groups for row in members)
    nothing = np.zeros((len(rows), 0), dtype=np.int64)
    return Batch(rows, nothing, nothing, np.zeros(len(rows), dtype=np.int64), tuple(group for group, _ in groups))
