"""Rows with the columns of a second file's rows of the same key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rmbench.tasks.declaration.schema import JoinRule
from rmbench.tasks.rows.fields import RawRow, lookup

__all__ = ["joined", "named"]


def joined(rows: Sequence[RawRow], second: Sequence[RawRow], rule: JoinRule) -> list[RawRow]:
    """The rows with the columns that they lack.

    Raises:
        RmbenchError: a key column is missing; a key occurs twice in the second file; or that lacks the key of a row.
    """
    by_key: dict[tuple[str, ...], RawRow] = {}
    for row in second:
        key = _key(row, rule.key)
        if key in by_key:
            raise row.error(f"{named(rule.key)} {_shown(key)} occurs twice.")
        by_key[key] = row
    out = []
    for row in rows:
        key = _key(row, rule.on, rule.drop)
        if key not in by_key:
            raise row.error(f"{named(rule.on)} {_shown(key)} is no {named(rule.key)} of {rule.path}.")
        out.append(replace(row, values={**by_key[key].values, **row.values}))
    return out


def named(columns: str | Sequence[str]) -> str:
    """The columns of a key, for messages."""
    return " and ".join(f'"{name}"' for name in _listed(columns))


def _key(row: RawRow, columns: str | Sequence[str], drop: Sequence[str] = ()) -> tuple[str, ...]:
    values = [str(lookup(row, name)) for name in _listed(columns)]
    for text in drop:
        values = [value.replace(text, "") for value in values]
    return tuple(values)


def _listed(columns: str | Sequence[str]) -> list[str]:
    return [columns] if isinstance(columns, str) else list(columns)


def _shown(key: Sequence[str]) -> str:
    return ", ".join(map(repr, key))
