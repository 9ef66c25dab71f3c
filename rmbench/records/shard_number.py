"""Which of several runs that share the rows of their tasks: its number, as users spell it."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from rmbench.errors import RmbenchError

__all__ = ["SHARD_NAME", "ShardNumber", "parse_shard"]

SHARD_NAME = "shard.json"
"""The file of a shard, in place of a record's."""
_SPELLED = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)


class ShardNumber(NamedTuple):
    """Which shard of how many, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def parse_shard(given: Any) -> ShardNumber:
    """A shard as the user gives it, "3/16" or (3, 16); RmbenchError for anything else.

    >>> parse_shard("3/16").of
    16
    """
    found = _SPELLED.fullmatch(given) if isinstance(given, str) else None
    numbers = tuple(map(int, found.groups())) if found else given
    whole = isinstance(numbers, tuple) and len(numbers) == 2 and all(type(each) is int for each in numbers)
    if not whole or not 1 <= numbers[0] <= numbers[1]:
        raise RmbenchError(f"--shard {given}: expected I/N, with I from 1 to N, such as 3/16.")
    return ShardNumber(*numbers)
