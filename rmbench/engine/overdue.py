"""When a worker is overdue: its work takes long beside that of others, or it does nothing at all."""

from __future__ import annotations

import statistics
from collections import deque

__all__ = ["SILENT", "Pace", "is_silent"]

SILENT = 600.0
"""Seconds without a sign of life after which a worker that should do something is given up. A worker gives one a minute
as long as it computes or reads (`rmbench.engine.pulse`), so that a model may take hours to open."""


def is_silent(heard: float | None, now: float) -> bool:
    """Whether a worker that should do something was last heard too long ago; None: it has not started yet."""
    return heard is not None and now - heard > SILENT


class Pace:
    """How long pieces take here, from those that were done last."""

    _LEAST = 8
    """Pieces done before any can be called late."""
    _TIMES = 5.0
    """Times its expected seconds after which a piece is late."""
    _SECONDS = 10.0
    """A piece is never late before: workers warm up, and machines pause."""
    _LOST_TIMES = 100.0
    """Times its expected seconds after which a piece is taken for one that never ends, however busy its worker is."""

    def __init__(self) -> None:
        self._seconds_a_token: deque[float] = deque(maxlen=64)

    def add(self, tokens: int, seconds: float) -> None:
        """A piece was done."""
        self._seconds_a_token.append(seconds / max(1, tokens))

    def is_late(self, tokens: int, seconds: float) -> bool:
        """Whether a piece should be done after so many seconds."""
        return seconds >= self._SECONDS and self._is_over(self._TIMES, tokens, seconds)

    def is_lost(self, tokens: int, seconds: float) -> bool:
        """Whether a piece will not be done any more."""
        return seconds >= SILENT and self._is_over(self._LOST_TIMES, tokens, seconds)

    def _is_over(self, times: float, tokens: int, seconds: float) -> bool:
        known = self._seconds_a_token
        return len(known) >= self._LEAST and seconds > times * tokens * statistics.median(known)
