"""Patterns with names in braces: columns taken from a file's path, and templates filled with columns; and the parts of
a row that paths name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["captured", "captured_names", "filled", "filled_names", "kept"]

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


def kept(row: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """What of a row the paths name, `[]` standing for every item of a list; what a row lacks is lacking.

    >>> kept({"a": 1, "b": [{"c": 2, "d": 3}], "e": 4}, ["a", "b[].c"])
    {'a': 1, 'b': [{'c': 2}]}
    """
    below: dict[str, list[str]] = {}
    for path in paths:
        name, _, rest = path.partition(".")
        below.setdefault(name, []).append(rest)
    out: dict[str, Any] = {}
    for name, rests in below.items():
        key = name.removesuffix("[]")
        if key not in row:
            continue
        value = row[key]
        inner = [rest for rest in rests if rest]
        if len(inner) < len(rests):
            out[key] = value
        elif name.endswith("[]") and isinstance(value, list):
            out[key] = [kept(each, inner) if isinstance(each, Mapping) else each for each in value]
        else:
            out[key] = kept(value, inner) if isinstance(value, Mapping) else value
    return out
