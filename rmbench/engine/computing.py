"""Rows that are being computed, so that a later window waits for an equal row instead of computing it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rmbench.engine.serialization import RowResult

__all__ = ["Computing", "Receive"]

Receive = Callable[[str, RowResult], bool]
"""Takes the result of a key; whether it computes the key itself from now on, since the row failed."""


class Computing:
    """The keys that open windows compute, with the windows that wait for them.

    Whether an equal row of an earlier window is already in the score cache depends on how fast its batch was. Waiting
    for it gives the same results however fast that is.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[Receive]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._waiting

    @property
    def awaited(self) -> bool:
        """Whether anybody waits for any key."""
        return any(self._waiting.values())

    def begin(self, keys: Iterable[str]) -> None:
        """Keys that are to be computed."""
        self._waiting.update((key, []) for key in keys)

    def forget(self, keys: Iterable[str]) -> None:
        """Keys of `begin` that are not computed after all, and for which nobody waits yet."""
        for key in keys:
            del self._waiting[key]

    def wait(self, key: str, receive: Receive) -> None:
        """Have a key's result handed over once it is there."""
        self._waiting[key].append(receive)

    def leave(self, key: str, receive: Receive) -> None:
        """Wait for it no longer."""
        self._waiting[key].remove(receive)

    def done(self, key: str, result: RowResult) -> None:
        """A key is computed: those who wait get it, or where it failed, the first of them computes it again."""
        waiting = self._waiting.pop(key, [])
        for place, receive in enumerate(waiting):
            if receive(key, result):
                self._waiting[key] = waiting[place + 1 :]
                return
