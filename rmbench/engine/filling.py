"""Filling the score cache: batches are put there together, since a commit costs as much as some hundred rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from time import monotonic

from rmbench.engine.interfaces import ScoreCache

__all__ = ["filling"]

_ROWS = 2048
_SECONDS = 1.0
"""How long a finished row waits at most for others while batches go on; the first batch that ends later takes it along.
A run that is killed loses no more than that, and with a journal nothing."""


@contextlib.contextmanager
def filling(cache: ScoreCache | None, model: str) -> Iterator[Callable[[Mapping[str, str]], None]]:
    """Takes results by key, as JSON texts, and puts them into the cache, all of them by the end, however it comes.

    Args:
        cache: None: nothing is kept.
        model: the key under which the results are kept.
    """
    waiting: dict[str, str] = {}
    since = monotonic()

    def flush() -> None:
        nonlocal since
        if cache is not None and waiting:
            cache.put(model, waiting)
        waiting.clear()
        since = monotonic()

    def put(results: Mapping[str, str]) -> None:
        waiting.update(results)
        if len(waiting) >= _ROWS or monotonic() - since >= _SECONDS:
            flush()

    try:
        yield put
    finally:
        flush()
