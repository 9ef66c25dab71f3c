"""The layout of packed rows: prefix groups end to end, each shared prefix once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rmbench.models.protocols import Encoded, Group, IntArray

__all__ = ["Layout", "Segment", "lay_out"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A prefix group among the packed tokens: a prefix, then each row's own tokens."""

    start: int
    prefix: int
    """Tokens that the rows share; 0 for a row alone."""
    ends: tuple[int, ...]
    """Where each row's own tokens end; the first begin at `start + prefix`, the others where the one before ends."""
    longest: int
    """Tokens of the longest row, prefix included."""

    def own(self) -> list[tuple[int, int]]:
        """Each row's own tokens as a half-open range."""
        begins = (self.start + self.prefix, *self.ends[:-1])
        return list(zip(begins, self.ends, strict=True))


@dataclass(frozen=True, slots=True)
class Layout:
    """N packed tokens."""

    ids: IntArray
    """[N]"""
    positions: IntArray
    """[N], counted from 0 in each row."""
    segments: tuple[Segment, ...]
    starts: IntArray
    """[B] start of each row's segment."""
    prefixes: IntArray
    """[B] length of each row's shared prefix."""
    owns: IntArray
    """[B] where each row's own tokens begin."""

    def places(self, row: int, indices: Sequence[int]) -> list[int]:
        """Packed positions of a row's tokens, by their indices in the row."""
        start, prefix, own = int(self.starts[row]), int(self.prefixes[row]), int(self.owns[row])
        return [start + index if index < prefix else own + index - prefix for index in indices]

    def seen(self, window: int | None = None) -> tuple[IntArray, IntArray, IntArray]:
        """What each packed token sees: packed positions `first` to before `stop`, of its group's prefix, and `own` to
        itself; each [N]. Of a `window`, a token sees itself and the window - 1 tokens before it in its row."""
        first, stop, own = (np.empty(len(self.ids), dtype=np.int64) for _ in range(3))
        for segment in self.segments:
            rest, end = segment.start + segment.prefix, segment.ends[-1]
            first[segment.start : end] = segment.start
            stop[segment.start : rest], stop[rest:end] = segment.start, rest
            own[segment.start : rest] = segment.start
            for begin, behind in segment.own():
                own[begin:behind] = begin
        if window is not None:
            first += np.maximum(self.positions - window + 1, 0)
            own = np.maximum(own, np.arange(len(self.ids)) - window + 1)
        return first, stop, own


def lay_out(rows: Sequence[Encoded], groups: Sequence[Group]) -> Layout:
    """The packed layout of a batch; `groups` cover the rows in their order.

    Raises:
        ValueError: the groups do not cover the rows, or a row is not longer than its group's prefix.
    """
    if sum(group.rows for group in groups) != len(rows):
        raise ValueError(f"groups of {sum(group.rows for group in groups)} rows for {len(rows)} rows")
    ids: list[int] = []
    positions: list[int] = []
    segments: list[Segment] = []
    starts, prefixes, owns = (np.zeros(len(rows), dtype=np.int64) for _ in range(3))
    row = 0
    for group in groups:
        start = len(ids)
        members = rows[row : row + group.rows]
        ids.extend(members[0].ids[: group.prefix])
        positions.extend(range(group.prefix))
        ends = []
        for member in members:
            if len(member.ids) <= group.prefix:
                raise ValueError(f"a row of {len(member.ids)} tokens in a group that shares {group.prefix}")
            starts[row], prefixes[row], owns[row] = start, group.prefix, len(ids)
            ids.extend(member.ids[group.prefix :])
            positions.extend(range(group.prefix, len(member.ids)))
            ends.append(len(ids))
            row += 1
        segments.append(Segment(start, group.prefix, tuple(ends), max(len(member.ids) for member in members)))
    return Layout(
        np.array(ids, dtype=np.int64), np.array(positions, dtype=np.int64), tuple(segments), starts, prefixes, owns
    )
