"""Python's collector of cycles, paused while many objects without any are made."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["paused"]


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Within, no cycles are looked for. Rows have none, and the collector would look at all of them again each time
    that their number has grown by a quarter, which takes as long as to make them."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
