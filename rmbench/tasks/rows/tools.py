"""A column of tool definitions as the message of role "tools", in one form whatever upstream's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from rmbench.tasks.declaration.columns import ColumnRule
from rmbench.tasks.rows.fields import RawRow, as_text, has, kind_of, lookup, pick
from rmbench.types import Conversation, Message

__all__ = ["tools", "without_filled"]

_DEEPEST = 64
"""Lists and objects within one another; schemas of real functions have some ten."""
_MOST = 2**22
"""Characters of a row's definitions."""


def tools(row: RawRow, rule: ColumnRule | None) -> Conversation:
    """The message with the row's tools; () where it has none (null, an empty text or list).

    The column is a list of JSON schemas of functions, or the JSON text of one; a schema may itself be JSON text. A bare
    schema {name, description, parameters} becomes {"type": "function", "function": schema}, as chat templates expect.

    Raises:
        RmbenchError: anything else, more than 4 MiB of it, or more than 64 lists and objects within one another.
    """
    if rule is None:
        return ()
    name = pick(row, rule)
    if name in row.values and not has(row, name):
        return ()
    value = lookup(row, name)
    found = _parsed(row, name, value) if isinstance(value, str) else without_filled(row, value)
    if not isinstance(found, list | tuple):
        raise row.error(f'column "{name}": expected a list of tool definitions, found {kind_of(found)}.')
    if not found:
        return ()
    definitions = [_definition(row, f"{name}[{place}]", each) for place, each in enumerate(found)]
    try:
        message = Message.of_tools(definitions)
    except (TypeError, ValueError, RecursionError) as error:
        raise row.error(f'column "{name}": a tool definition cannot be written as JSON ({error}).') from None
    if len(message.text) > _MOST:
        raise row.error(f'column "{name}": {len(message.text):,} characters of tool definitions, more than {_MOST:,}.')
    as_text(row, name, message.text)
    return (message,)


def _definition(row: RawRow, name: str, value: Any) -> Mapping[str, Any]:
    found = _parsed(row, name, value) if isinstance(value, str) else value
    if not isinstance(found, Mapping):
        raise row.error(f'column "{name}": expected the JSON schema of a function, found {kind_of(found)}.')
    if _depth(found) > _DEEPEST:
        raise row.error(f'column "{name}": more than {_DEEPEST} lists and objects within one another.')
    function = found.get("function", found)
    called = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(called, str) or not called.strip():
        keys = ", ".join(map(str, function)) if isinstance(function, Mapping) else kind_of(function)
        raise row.error(f'column "{name}": a function without a name (it has {keys or "nothing"}).')
    return found if "function" in found else {"type": "function", "function": found}


def _parsed(row: RawRow, name: str, text: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise row.error(
            f'column "{name}": expected JSON of tool definitions, found {kind_of(text)} ({error}).'
        ) from None


def _depth(value: Any) -> int:
    """How many lists and objects are within one another, or one more than may be."""
    depth, level = 0, [value]
    while depth <= _DEEPEST:
        level = [each for each in level if isinstance(each, Mapping | list | tuple)]
        if not level:
            break
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, Mapping) else each)]
    return depth


def without_filled(row: RawRow, value: Any, depth: int = 0) -> Any:
    """A value of lists and objects without the nulls that a table puts where an object lacks a key that others have;
    the value of a JSON file as it is, whose nulls are its own."""
    of_table = row.root is None or row.file.removesuffix(".gz").endswith((".parquet", ".arrow"))
    if not of_table or depth > _DEEPEST:
        return value
    if isinstance(value, Mapping):
        return {key: without_filled(row, each, depth + 1) for key, each in value.items() if each is not None}
    return [without_filled(row, each, depth + 1) for each in value] if isinstance(value, list | tuple) else value
