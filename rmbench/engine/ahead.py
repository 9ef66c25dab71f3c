"""Making things ahead of their use, in a thread of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

__all__ = ["Ahead"]

Item = TypeVar("Item")
Made = TypeVar("Made")


class Ahead(Generic[Item, Made]):
    """What a call makes of items, one after another and in their order; a few at a time are there, or in the making,
    before they are asked for. Use it in a `with`."""

    def __init__(
        self, make: Callable[[Item], Made], items: Iterator[Item], most: int, stop: Callable[[], None]
    ) -> None:
        """Items are taken and `make` is called in the thread; at most `most` wait to be asked for. `stop` is called at
        the end of the `with`, which waits for a call under way."""
        self._make = make
        self._items = items
        self._most = most
        self._stop = stop
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._waiting: deque[Future[Made | None]] = deque()

    def __enter__(self) -> Ahead[Item, Made]:
        self._fill()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._thread.shutdown(wait=True, cancel_futures=True)

    @property
    def ready(self) -> bool:
        """Whether `take` need not wait."""
        return self._waiting[0].done()

    def take(self) -> Made | None:
        """The next one, None after the last; waits until it is made, and raises what its making raised."""
        made = self._waiting.popleft().result()
        self._fill()
        return made

    def _fill(self) -> None:
        while len(self._waiting) < self._most:
            self._waiting.append(self._thread.submit(self._next))

    def _next(self) -> Made | None:
        for item in self._items:
            return self._make(item)
        return None
