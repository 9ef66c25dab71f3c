"""A worker's signs of life: whether its process has computed or read something lately."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

__all__ = ["BEAT", "Pulse"]

BEAT = 60.0
"""Seconds between two looks at what the process has done."""
_SHARE = 0.05
"""Of one core: who computes uses more, who waits for a lock, a disk or the network less."""
_BYTES = 1_000_000
"""Read or written between two looks: a model that comes over a slow line."""
_COUNTED = ("rchar:", "wchar:", "read_bytes:")
"""Lines of /proc/self/io: by calls, and from the disk or network for weights that are mapped into memory."""


class Pulse:
    """What this process, all its threads together, had done when it was last looked at."""

    def __init__(self) -> None:
        self._at, self._seconds, self._bytes = _done()

    def beats(self) -> bool:
        """Whether it has computed or read something since the last call."""
        at, seconds, read = _done()
        busy = seconds - self._seconds > _SHARE * (at - self._at) or read - self._bytes > _BYTES
        self._at, self._seconds, self._bytes = at, seconds, read
        return busy


def _done() -> tuple[float, float, int]:
    """The time, seconds of processor time, and bytes read and written, where the system counts them."""
    counted = ""
    with suppress(OSError):
        counted = Path("/proc/self/io").read_text("ascii")
    bytes_ = sum(int(line.split()[1]) for line in counted.splitlines() if line.startswith(_COUNTED))
    return time.monotonic(), time.process_time(), bytes_
