"""Groups by name: those that a user's pattern means."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from rmbench.errors import RmbenchError, did_you_mean

__all__ = ["matching"]

_NAMED = 8


def matching(pattern: str, groups: Iterable[str]) -> frozenset[str]:
    """The groups (`name=value`) that a pattern means: one by its exact name, or all that a glob fits.

    Raises:
        RmbenchError: it means none; the message has the nearest spelling and the groups' names.

    >>> sorted(matching("domain=c*", ["domain=chat", "domain=code", "level=hard"]))
    ['domain=chat', 'domain=code']
    """
    known = list(dict.fromkeys(groups))
    found = frozenset([pattern] if pattern in known else (group for group in known if fnmatchcase(group, pattern)))
    if not found:
        raise RmbenchError(f'--group "{pattern}": {_what_there_is(known)}{did_you_mean(pattern, known)}')
    return found


def _what_there_is(groups: list[str]) -> str:
    if not groups:
        return "there are no groups."
    names = list(dict.fromkeys(f"{group.partition('=')[0]}=*" for group in groups))
    shown = groups if len(groups) <= _NAMED else names
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return f"no such group. There are {', '.join(shown[:_NAMED])}{more}."
