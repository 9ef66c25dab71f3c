"""Prefix sharing: which rows are grouped by their common prefix. Cut on tokens, never on text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["PrefixGroup", "group_rows", "split_group"]

_LEAST = 16
"""Shared tokens below which a group costs more calls than it saves work."""


@dataclass(frozen=True, slots=True)
class PrefixGroup:
    """Rows with a common prefix."""

    rows: tuple[int, ...]
    prefix: int
    """Tokens that all of them share; at least one less than the shortest row has."""
    tokens: int
    """Tokens computed: the prefix once, then each row's own."""


def group_rows(ids: Sequence[Sequence[int]]) -> list[PrefixGroup]:
    """Groups that cover all rows, from the rows sorted by their ids.

    A row joins the group before it as long as that saves more tokens: prefix times (rows - 1) grows. Every row keeps at
    least one token outside the prefix, so that its last state is its own.
    """
    order = sorted(range(len(ids)), key=lambda row: (ids[row], row))
    sorted_ids = [ids[row] for row in order]
    groups: list[PrefixGroup] = []
    start = 0
    while start < len(order):
        prefix, stop = len(sorted_ids[start]) - 1, start + 1
        while stop < len(order):
            shorter = min(prefix, _common(sorted_ids[stop - 1], sorted_ids[stop], prefix), len(sorted_ids[stop]) - 1)
            count = stop - start
            if shorter < _LEAST or shorter * count <= (prefix * (count - 1) if count > 1 else 0):
                break
            prefix, stop = shorter, stop + 1
        members = order[start:stop]
        groups.append(_group_of(members, prefix if len(members) > 1 else 0, ids))
        start = stop
    return groups


def split_group(group: PrefixGroup, ids: Sequence[Sequence[int]], most: int) -> list[PrefixGroup]:
    """A group as several that compute at most `most` tokens each, where single rows allow it; each has the prefix."""
    if group.tokens <= most or len(group.rows) == 1:
        return [group]
    parts: list[list[int]] = [[]]
    used = group.prefix
    for row in group.rows:
        own = len(ids[row]) - group.prefix
        if parts[-1] and used + own > most:
            parts.append([])
            used = group.prefix
        parts[-1].append(row)
        used += own
    return [_group_of(part, group.prefix if len(part) > 1 else 0, ids) for part in parts]


def _group_of(rows: Sequence[int], prefix: int, ids: Sequence[Sequence[int]]) -> PrefixGroup:
    return PrefixGroup(tuple(rows), prefix, prefix + sum(len(ids[row]) - prefix for row in rows))


def _common(a: Sequence[int], b: Sequence[int], most: int) -> int:
    """Length of the common prefix, at most `most`; by halves, since comparing slices is far quicker than a loop."""
    length = min(len(a), len(b), most)
    if a[:length] == b[:length]:
        return length
    equal, different = 0, length
    while different - equal > 1:
        middle = (equal + different) // 2
        if a[equal:middle] == b[equal:middle]:
            equal = middle
        else:
            different = middle
    return equal
