"""What the columns of a user's rows hold: texts, conversations, numbers, lists of these."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.tasks.rows.fields import kind_of
from rmbench.tasks.rows.formats import Unreadable

__all__ = ["WORDS", "Kind", "Table", "is_message"]

Kind = Literal[
    "text", "message", "messages", "number", "flag", "texts", "numbers", "flags", "objects", "object", "other"
]
"""Of a column's values: `message` is one {role, content}, `messages` a conversation, `texts`, `numbers` and `flags` are
lists, `objects` is a list of objects that are no messages."""
WORDS: dict[Kind, str] = {
    "text": "a text",
    "message": "a message",
    "messages": "a list of messages",
    "number": "a number",
    "flag": "true or false",
    "texts": "a list of texts",
    "numbers": "a list of numbers",
    "flags": "a list of true and false",
    "objects": "a list of objects",
    "object": "an object",
    "other": "values of several kinds",
}
_MESSAGES = ({"role", "content"}, {"from", "value"}, {"role", "tool_calls"}, {"role", "function_call"})


class Table:
    """Rows by column: a name, a path into objects (`better.text`) and lists of them (`answers[].text`), or several
    texts joined (`instruction+input`)."""

    def __init__(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.name = name
        self.rows = rows
        self.names = tuple(dict.fromkeys(str(key) for row in rows for key in row))
        self._kinds: dict[str, Kind] = {}
        self._parsed: dict[str, list[Any]] = {}

    def values(self, path: str) -> list[Any]:
        """[rows] the values at a path, messages in JSON text parsed; None where a row lacks it."""
        self.kind(path)
        return self._parsed.get(path) or self._held(path)

    def _held(self, path: str) -> list[Any]:
        if path in self.names:
            return [row.get(path) for row in self.rows]
        if "+" in path:
            columns = [self._held(part) for part in path.split("+")]
            return ["\n".join(part for part in parts if part) for parts in zip(*columns, strict=True)]
        return [_at(row, path.split(".")) for row in self.rows]

    def kind(self, path: str) -> Kind:
        """What the values are that are neither null nor an empty list; `other` where they are of several kinds."""
        if path not in self.names and "+" in path:
            return "text" if all(self.kind(part) == "text" for part in path.split("+")) else "other"
        if path not in self._kinds:
            values = self._held(path)
            kinds = {_kind(value) for value in values if value is not None and value != []}
            if kinds == {"text"} and (messages := _messages_in_json(values)):
                self._parsed[path] = messages
                kinds = {_kind(value) for value in messages if value is not None}
            self._kinds[path] = kinds.pop() if len(kinds) == 1 else "other"
        return self._kinds[path]

    def described(self, path: str) -> str:
        """What the values are, in words; of several kinds the first two, each with a row."""
        if self.kind(path) != "other":
            return WORDS[self.kind(path)]
        first: dict[str, int] = {}
        for row, value in enumerate(self._held(path)):
            if value is not None and value != []:
                first.setdefault(_word(value), row)
        return " and ".join(f"{word} in row {row}" for word, row in list(first.items())[:2]) or "nothing"

    def check(self, path: str, role: str) -> None:
        """Raise RmbenchError where no row has anything at a path that the user gave."""
        if any(value is not None for value in self.values(path)):
            return
        paths = list(self.paths())
        raise RmbenchError(
            f'{self.name}: --columns {role}={path}: no row has a column "{path}".{did_you_mean(path, paths)} '
            f"Columns: {', '.join(paths[:40])}."
        )

    def paths(self) -> Iterator[str]:
        """Every column, and the columns of objects within by their paths."""
        for name in self.names:
            yield name
            first = next((row[name] for row in self.rows if row.get(name) not in (None, [], {})), None)
            item = first[0] if isinstance(first, list) else first
            if isinstance(item, Mapping) and not (isinstance(first, list) and is_message(item)):
                yield from (f"{name}{'[]' * isinstance(first, list)}.{key}" for key in item)


def _at(value: Any, keys: list[str]) -> Any:
    if not keys:
        return value
    name = keys[0].removesuffix("[]")
    inner = value.get(name) if isinstance(value, Mapping) else None
    if not keys[0].endswith("[]"):
        return _at(inner, keys[1:])
    if not isinstance(inner, list | tuple):
        return None
    items = [_at(item, keys[1:]) for item in inner]
    return None if any(item is None for item in items) else items


def _kind(value: Any) -> Kind:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, Mapping):
        return "message" if is_message(value) else "object"
    if not isinstance(value, list | tuple) or not value:
        return "other"
    if all(isinstance(item, Mapping) for item in value):
        return "messages" if all(map(is_message, value)) else "objects"
    of = {_kind(item) for item in value}
    lists: dict[Kind, Kind] = {"text": "texts", "number": "numbers", "flag": "flags"}
    return lists.get(of.pop(), "other") if len(of) == 1 else "other"


def _word(value: Any) -> str:
    if isinstance(value, Unreadable):
        return kind_of(value)
    if isinstance(value, list | tuple) and _kind(value) == "other":
        return f"a list of {' and '.join(dict.fromkeys(map(_word, value)))}" if len(value) < 20 else "a list"
    return "null" if value is None else WORDS[_kind(value)] if _kind(value) != "other" else type(value).__name__


def _messages_in_json(values: Sequence[Any]) -> list[Any]:
    """The values parsed where each text is the JSON text of messages or of one, as a CSV has them; else []."""
    parsed: list[Any] = []
    for value in values:
        if value is None:
            parsed.append(None)
            continue
        if not value.lstrip().startswith(("[", "{")):
            return []
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return []
        if _kind(found) not in ("message", "messages"):
            return []
        parsed.append(found)
    return parsed


def is_message(item: Mapping[str, Any]) -> bool:
    """Whether an object is a message by its keys."""
    return any(keys <= item.keys() for keys in _MESSAGES)
