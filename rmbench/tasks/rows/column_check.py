"""Are the declared columns there? Asked of the first row of each file, before any example is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rmbench.errors import did_you_mean
from rmbench.tasks.declaration.columns import ColumnRule, RatingRule, TextRule
from rmbench.tasks.declaration.schema import Declaration
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.rows.paths import filled_names

__all__ = ["check_columns", "declared_columns"]


def check_columns(declared: Declaration, rows: Sequence[RawRow]) -> None:
    """Raise one `RmbenchError` that names every declared column that the first row of a file lacks, and those there.

    The rows have been brought into columns (`prepared`). A task that is not verified says so in the message.
    """
    wanted = sorted(set(declared_columns(declared)))
    seen: set[str] = set()
    for row in rows:
        if row.file in seen:
            continue
        seen.add(row.file)
        absent = [ways for ways in wanted if not any(_root(name, row) in row.values for name in ways)]
        if absent:
            raise row.error(_told(declared, absent, [str(name) for name in row.values]))


def _told(declared: Declaration, absent: Sequence[tuple[str, ...]], there: Sequence[str]) -> str:
    names = [" or ".join(f'"{name}"' for name in ways) for ways in absent]
    each = [f"no column {name}.{did_you_mean(ways[0], there)}" for name, ways in zip(names, absent, strict=True)]
    unseen = "" if declared.verified else " The task is not verified: nobody has seen the real columns before."
    return f"{' '.join(each)} Columns here: {', '.join(there)}.{unseen}"


def _root(name: str, row: RawRow) -> str:
    """The column that a path begins at."""
    return name if name in row.values else name.split(".")[0].removesuffix("[]")


def declared_columns(declared: Declaration) -> Iterator[tuple[str, ...]]:
    """The columns that every row must have, each as the names of which one suffices."""
    columns, rows = declared.columns, declared.rows
    for rule in _rules(columns):
        yield from _of(rule)
    for group in declared.groups.values():
        if group.default is None:
            yield from _of(group)
    gold = columns.gold
    if gold is not None:
        fillers = [gold.column, *gold.dimensions.values()]
        filled = any("{}" in path for path in gold.annotators.values())
        yield from _names([] if filled else fillers)
        yield from _names([*gold.columns, *gold.annotators.values()])
    for labelled in columns.labels.values():
        yield from _names([labelled.column])
    yield from _names([*rows.id, *rows.cluster, rows.rater, rows.weight])


def _names(names: Sequence[str | None]) -> Iterator[tuple[str, ...]]:
    yield from ((name,) for name in names if name and not name.startswith("@"))


def _rules(columns: Any) -> Iterator[ColumnRule | RatingRule]:
    """Every text, medium and rating of `[columns]`."""
    for name in type(columns).model_fields:
        value = getattr(columns, name)
        each = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        yield from (rule for rule in each if isinstance(rule, ColumnRule | RatingRule))


def _of(rule: ColumnRule | RatingRule) -> Iterator[tuple[str, ...]]:
    if isinstance(rule, RatingRule):
        yield from _names([rule.column, *rule.columns, *rule.mean])
        return
    if rule.first_of:
        yield tuple(rule.first_of)
    yield from _names([rule.column])
    if isinstance(rule, TextRule):
        yield from _names([*rule.join, *(filled_names(rule.template) if rule.template else ())])
