"""Rows that need not be in memory all at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeVar

from rmbench.types import Judged

__all__ = ["Rows", "batches"]

Item = TypeVar("Item")
_BATCH = 2048


class Rows(Protocol):
    """Rows that may be iterated often: a list of them, or those of a stored record, which are read each time."""

    def __len__(self) -> int:
        """How many."""

    def __iter__(self) -> Iterator[Judged]:
        """Each, in the order of the task."""


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """The items in lists of a few thousand."""
    given = iter(items)
    while batch := list(islice(given, _BATCH)):
        yield batch
