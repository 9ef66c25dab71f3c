"""Filling the score cache: batches are put there together, since a commit costs as much as some hundred rows."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic

from rmbench.engine.interfaces import ScoreCache

__all__ = ["Filling"]

_ROWS = 2048
_SECONDS = 1.0
"""How long a finished row waits at most for others while batches go on; the first batch that ends later takes it along.
A run that is killed loses no more than that, and with a journal nothing."""


class Filling:
    """Takes results by key, as JSON texts, and puts them into the cache, all of them by `flush`."""

    def __init__(self, cache: ScoreCache | None, model: str) -> None:
        """`cache`: None: nothing is kept. `model`: the key under which the results are kept."""
        self._cache = cache
        self._model = model
        self._waiting: dict[str, str] = {}
        self._since = monotonic()

    def put(self, results: Mapping[str, str]) -> None:
        """Take results."""
        self._waiting.update(results)
        if len(self._waiting) >= _ROWS or monotonic() - self._since >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Put what is waiting into the cache."""
        if self._cache is not None and self._waiting:
            self._cache.put(self._model, self._waiting)
        self._waiting.clear()
        self._since = monotonic()
