"""The work of one stream of jobs: what is sent once more, and what is done once all rows of a job have results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rmbench.engine.compute import halves as halves_of
from rmbench.engine.interfaces import Job
from rmbench.engine.serialization import RowResult
from rmbench.models.protocols import Group

__all__ = ["Piece", "Pieces"]

_DEATHS = 2
"""After this many deaths on a batch its rows are computed one by one; after this many on one row, the row fails."""


@dataclass(slots=True, eq=False)
class Piece:
    """Rows of a job that are computed together: all of them, one, or a part of those that did not fit into memory."""

    job: Job
    places: range
    deaths: int = 0
    copies: int = 0
    """Workers that have it."""
    done: bool = False
    groups: tuple[Group, ...] | None = None
    """Of its rows, where it is a part of what did not fit."""
    tokens: int = field(init=False)
    """Tokens to compute, prefixes counted once."""

    def __post_init__(self) -> None:
        job = self.as_job
        saved = sum(group.prefix * (group.rows - 1) for group in job.groups)
        self.tokens = sum(row.size for row in job.rows) - saved

    @property
    def as_job(self) -> Job:
        """What a worker is sent."""
        if len(self.places) == len(self.job.rows):
            return self.job
        alone = (Group(0, 1),) if self.job.groups else ()
        groups = alone if self.groups is None else self.groups
        return Job(self.job.index, self.job.rows[self.places.start : self.places.stop], groups)

    @property
    def suspect(self) -> bool:
        """Whether a worker died on it: it is then computed with nothing else in its worker."""
        return self.deaths > 0


@dataclass(slots=True)
class Pieces:
    """Pieces of the jobs of a stream, taken from it one by one."""

    jobs: Iterator[Job | None]
    again: deque[Piece] = field(default_factory=deque)
    """To be sent once more: after a death, or since they are late where they are."""
    exhausted: bool = False
    none_ready: bool = False
    """The stream had none when it was asked last."""
    _results: dict[int, list[RowResult | None]] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether every job is done, and none will come."""
        return self.exhausted and not self._results

    @property
    def some_left(self) -> bool:
        """Whether there may be a piece to send."""
        return bool(self.again) or not (self.none_ready or self.exhausted)

    def next(self, has: Callable[[Piece], bool], free: bool) -> Piece | None:
        """What a worker computes next, or None.

        Args:
            has: whether the worker has a piece already.
            free: whether it has nothing at all. While a suspect waits, others get nothing in addition to what they
                have, so that one of them is soon free for it.
        """
        self.again = deque(piece for piece in self.again if not piece.done)
        for piece in self.again:
            if (free or not piece.suspect) and not has(piece):
                self.again.remove(piece)
                return piece
        if self.none_ready or self.exhausted or (not free and any(piece.suspect for piece in self.again)):
            return None
        job = next(self.jobs, self)
        if isinstance(job, Job):
            self._results[job.index] = [None] * len(job.rows)
            return Piece(job, range(len(job.rows)))
        self.none_ready, self.exhausted = job is None, job is self
        return None

    def send_again(self, pieces: Sequence[Piece]) -> None:
        """Pieces that are sent once more, before all others."""
        self.again.extendleft(piece for piece in reversed(pieces) if piece not in self.again)

    def add(self, piece: Piece, results: Sequence[RowResult]) -> tuple[int, list[RowResult]] | None:
        """Store a piece's results; returns the job's index with its results once there are no others to come."""
        piece.done = True
        index = piece.job.index
        stored = self._results[index]
        if piece.groups is not None:
            results = [replace(result, halved=True) for result in results]
        stored[piece.places.start : piece.places.stop] = results
        whole = [result for result in stored if result is not None]
        if len(whole) < len(stored):
            return None
        del self._results[index]
        return index, whole

    def blame(self, piece: Piece, how: str, halves: bool = False) -> tuple[int, list[RowResult]] | None:
        """After a worker's death on a piece: it waits again, whole or row by row; or its one row has failed. With
        `halves` it waits as two pieces at once, without blame: it was too large."""
        if piece.done:
            return None
        if halves and len(piece.places) > 1:
            piece.done = True
            parts, at = [], piece.places.start
            for rows, groups in halves_of(piece.as_job.rows, piece.as_job.groups):
                parts.append(Piece(piece.job, range(at, at + len(rows)), groups=groups))
                at += len(rows)
            self.send_again(parts)
            return None
        piece.deaths += 1
        if piece.copies:
            return None  # another worker has it
        if piece.deaths < _DEATHS:
            self.send_again([piece])
        elif len(piece.places) > 1:
            piece.done = True
            self.send_again([Piece(piece.job, range(at, at + 1)) for at in piece.places])
        else:
            return self.add(piece, [RowResult(error=f"the worker process died twice on it ({how})")])
        return None
