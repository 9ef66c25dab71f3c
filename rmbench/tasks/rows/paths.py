"""Patterns with names in braces: columns taken from a file's path, and templates filled with columns."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["captured", "captured_names", "filled", "filled_names"]

_BRACED = re.compile(r"\{([a-z_]+)\}")
_FILLED = re.compile(r"\{([^{}:]+)(?::0(\d))?\}")


def captured_names(pattern: str) -> list[str]:
    """The names in braces of a capture pattern.

    >>> captured_names("data/{domain}_filtered.json")
    ['domain']
    """
    return _BRACED.findall(pattern)


def captured(pattern: str, path: str) -> dict[str, str] | None:
    """The values of the names in braces, or None where the path does not match. A name spans no `/`.

    >>> captured("data/{domain}_filtered.json", "data/chat_filtered.json")
    {'domain': 'chat'}
    """
    pieces = _BRACED.split(pattern)
    parts = [re.escape(piece) if i % 2 == 0 else f"(?P<{piece}>[^/]+)" for i, piece in enumerate(pieces)]
    match = re.fullmatch("".join(parts), path)
    return match.groupdict() if match else None


def filled_names(template: str) -> list[str]:
    """The columns in braces of a template.

    >>> filled_names("{model}/{@row:05}.jpg")
    ['model', '@row']
    """
    return [name for name, _ in _FILLED.findall(template)]


def filled(template: str, value: Callable[[str], str]) -> str:
    """The template with each column's value in its place; `:05` pads with zeros to five places.

    >>> filled("{model}/{@row:05}.jpg", {"model": "sd", "@row": "12"}.__getitem__)
    'sd/00012.jpg'
    """
    return _FILLED.sub(lambda match: value(match[1]).zfill(int(match[2] or 0)), template)
