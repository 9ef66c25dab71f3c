"""Values of a row by a column's path: texts, messages, groups, numbers. Every error names file, row and column."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rmbench.errors import RmbenchError, did_you_mean
from rmbench.tasks.declaration.columns import ColumnRule, GroupRule, TextRule
from rmbench.tasks.rows.formats import Unreadable
from rmbench.tasks.rows.paths import filled

__all__ = [
    "ExcludedError",
    "RawRow",
    "as_figure",
    "as_text",
    "figure",
    "group_value",
    "has",
    "is_finite",
    "kind_of",
    "label",
    "lookup",
    "media_of",
    "pairs_of",
    "pick",
    "propensity",
    "text",
    "texts",
]


class ExcludedError(Exception):
    """A row that the benchmark's own rule excludes; its text is the reason."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as upstream has it, and where it is from."""

    file: str
    """Path below the data set's folder, or the hub's name of it."""
    label: str
    """The file's name without formats and shard numbers; the split's name on the hub."""
    index: int
    """0-based row within the file, or within all shards of a split."""
    values: Mapping[str, Any]
    root: Path | None = None
    """The data set's folder; None for rows of the hub."""

    def error(self, what: str) -> RmbenchError:
        """The error for this row."""
        return RmbenchError(f"{self.file}, row {self.index}: {what}")


def lookup(row: RawRow, path: str) -> Any:
    """The value at a column's path: a column's own name, a step into objects, `[]` for every item of a list.

    Raises:
        RmbenchError: no such column; the message lists the row's columns.
    """
    if path in row.values:
        return row.values[path]
    if path in ("@row", "@file"):
        return row.index if path == "@row" else row.label
    return _step(row, row.values, _steps(path), path)


@lru_cache(maxsize=4096)
def _steps(path: str) -> tuple[tuple[str, bool], ...]:
    """The names of a path, each with whether every item of the list there is meant."""
    return tuple((key.removesuffix("[]"), key.endswith("[]")) for key in path.split("."))


def _step(row: RawRow, value: Any, steps: tuple[tuple[str, bool], ...], path: str) -> Any:
    for place, (name, listed) in enumerate(steps, 1):
        if not isinstance(value, (dict, Mapping)):
            raise row.error(f'column "{path}": expected an object that has "{name}", found {kind_of(value)}.')
        if name not in value:
            near = did_you_mean(name, map(str, value))
            raise row.error(f'no column "{path}".{near} Columns here: {", ".join(map(str, value))}.')
        value = value[name]
        if listed:
            if not isinstance(value, list | tuple):
                raise row.error(f'column "{path}": expected a list at "{name}", found {kind_of(value)}.')
            return [_step(row, item, steps[place:], path) for item in value]
    return value


def pick(row: RawRow, rule: ColumnRule) -> str:
    """The column that the rule takes from this row."""
    if rule.column is not None:
        return rule.column
    for name in rule.first_of:
        if name in row.values:
            return name
    raise row.error(f"no column {' or '.join(rule.first_of)}. Columns here: {', '.join(row.values)}.")


def text(row: RawRow, rule: TextRule) -> str:
    """The one text that the rule takes."""
    if rule.template is not None:
        return filled(rule.template, lambda name: label(row, name))
    if rule.join:
        pieces = [
            as_text(row, name, value, cast=rule.cast)
            for name in rule.join
            for value in (_flat(lookup(row, name)) if "[]" in name else [lookup(row, name)])
        ]
        return rule.separator.join(piece for piece in pieces if piece)
    name = pick(row, rule)
    return _piece(row, name, lookup(row, name), rule)


def texts(row: RawRow, rule: TextRule) -> list[str]:
    """The texts that the rule takes: one, or one per item of a list."""
    if rule.join or rule.template is not None or not (name := pick(row, rule)).count("[]"):
        return [text(row, rule)]
    return [_piece(row, name, value, rule) for value in _items(row, name, rule)]


def _piece(row: RawRow, name: str, value: Any, rule: TextRule) -> str:
    if rule.joined and isinstance(value, list | tuple):
        return rule.separator.join(as_text(row, name, each, cast=rule.cast) for each in value)
    return as_text(row, name, value, cast=rule.cast)


def _items(row: RawRow, name: str, rule: TextRule) -> list[Any]:
    """A column's value, or every one of a list; lists in lists are one list, unless the rule joins them."""
    value = lookup(row, name)
    if "[]" not in name:
        return [value]
    return list(value) if rule.joined else list(_flat(value))


def media_of(row: RawRow, rule: TextRule) -> list[tuple[str, Any]]:
    """(column, value) of each medium that the rule takes: one, or one per item of a list."""
    if rule.template is not None:
        return [(rule.template, text(row, rule))]
    name = pick(row, rule)
    return [(name, each) for each in _items(row, name, rule)]


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def as_text(row: RawRow, name: str, value: Any, *, cast: bool = False) -> str:
    """A value as a text; with `cast`, finite numbers and booleans become one."""
    if cast and isinstance(value, bool | int | float) and is_finite(value):
        return str(value)
    if not isinstance(value, str):
        raise row.error(f'column "{name}": expected a text, found {kind_of(value)}.')
    if not value.isascii():
        _require_unicode(row, name, value)
    return value


def _require_unicode(row: RawRow, name: str, value: str) -> None:
    """A lone surrogate can be neither tokenized nor written. JSON can spell one, and it stands for a byte that is not
    UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = ord(value[error.start])
        byte = f"the byte 0x{code - 0xDC00:02X}, so the file is not UTF-8" if 0xDC80 <= code <= 0xDCFF else ""
        what = byte or "half of a surrogate pair"
        raise row.error(f'column "{name}": character {error.start} is {what}.') from None


def label(row: RawRow, name: str) -> str:
    """A value that is a name (of a group, an id): text, a whole number, or a boolean as `true` / `false`."""
    value = lookup(row, name)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | str):
        return as_text(row, name, str(value))
    raise row.error(f'column "{name}": expected a text or a whole number, found {kind_of(value)}.')


def group_value(row: RawRow, group: str, rule: GroupRule) -> str:
    """The row's value of a group, mapped by the rule's `values` or `prefixes`."""
    if rule.default is not None and not any(has(row, name) for name in (rule.column, *rule.first_of)):
        return rule.default
    name = pick(row, rule)
    raw = label(row, name)
    if rule.values:
        for value, members in rule.values.items():
            if raw in map(str, members):
                return value
        if rule.default is not None:
            return rule.default
        known = [str(member) for members in rule.values.values() for member in members]
        raise row.error(f'column "{name}": "{raw}" belongs to no value of group "{group}".{did_you_mean(raw, known)}')
    if rule.prefixes:
        fitting = [(len(p), value) for value, starts in rule.prefixes.items() for p in starts if raw.startswith(p)]
        if not fitting and rule.default is not None:
            return rule.default
        if not fitting:
            raise row.error(f'column "{name}": "{raw}" begins with no prefix of group "{group}".')
        return max(fitting)[1]
    return raw


def propensity(row: RawRow, group: str, rule: GroupRule) -> str:
    """The row's value of a group that holds chances of having been sampled: a number of any format, as a text."""
    given = any(has(row, name) for name in (rule.column, *rule.first_of))
    mapped = rule.values or rule.prefixes or (rule.default is not None and not given)
    value = group_value(row, group, rule) if mapped else lookup(row, pick(row, rule))
    try:
        number = math.nan if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 < number <= 1:
        what = f'group "{group}": expected a propensity, a number above 0 and at most 1, found {kind_of(value)}.'
        raise row.error(what)
    return repr(number)


def has(row: RawRow, name: str | None) -> bool:
    """Whether the row has the column or path, with a value other than null and ""."""
    if name is None:
        return False
    value: Any = row.values
    for key in [name] if name in row.values else name.split("."):
        if not isinstance(value, Mapping) or value.get(key) in (None, ""):
            return False
        value = value[key]
    return True


def figure(row: RawRow, name: str) -> float:
    """A column's finite number."""
    return as_figure(row, name, lookup(row, name))


def as_figure(row: RawRow, name: str, value: Any, *, flags: bool = False) -> float:
    """A value as a finite number; with `flags`, true and false are 1 and 0."""
    if isinstance(value, bool) and flags:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_finite(value):
        text = " (`numbers` under [[files]] names the columns of a CSV that hold numbers)" * isinstance(value, str)
        raise row.error(f'column "{name}": expected a finite number, found {kind_of(value)}{text}.')
    if float(value) != value:
        raise row.error(f'column "{name}": {value} has no room in floating point, which reads {float(value):.0f}.')
    return float(value)


def is_finite(value: float) -> bool:
    """Whether a float holds the number."""
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the range of a float
        return False


def pairs_of(row: RawRow, name: str, value: Any, size: int) -> list[tuple[int, int]]:
    """A list of pairs of places among `size` candidates."""
    if not isinstance(value, list | tuple):
        raise row.error(f'column "{name}": expected a list of pairs, found {kind_of(value)}.')
    out = []
    for pair in value:
        good = isinstance(pair, list | tuple) and len(pair) == 2
        if not good or any(type(k) is not int or not 0 <= k < size for k in pair) or pair[0] == pair[1]:
            raise row.error(f'column "{name}": {pair!r} is no pair of different places from 0 to {size - 1}.')
        out.append((pair[0], pair[1]))
    return out


def kind_of(value: Any) -> str:
    """A wrong value in words, short enough for a message."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, Unreadable):
        return f"a value that cannot be read ({value.why[:100]})"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, int) and not is_finite(value):
        return "a whole number beyond the range of a float"
    shown = json.dumps(value) if isinstance(value, str | int | float) else repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
