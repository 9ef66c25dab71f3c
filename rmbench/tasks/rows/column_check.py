"""The check for missing columns: the first row of each file is looked at before any example is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rmbench.errors import did_you_mean
from rmbench.tasks.declaration.columns import ColumnRule, Columns, RatingRule, TextRule
from rmbench.tasks.declaration.schema import Declaration
from rmbench.tasks.rows.fields import RawRow
from rmbench.tasks.rows.paths import filled_names

__all__ = ["check_columns", "declared_columns"]


def check_columns(declaration: Declaration, rows: Sequence[RawRow]) -> None:
    """Raise one `RmbenchError` that names every declared column that the first row of a file lacks.

    Args:
        declaration: where its task is not verified, the message says so.
        rows: brought into columns (`prepare`).
    """
    declared = sorted(set(declared_columns(declaration)))
    first: dict[str, RawRow] = {}
    for row in rows:
        first.setdefault(row.file, row)
    for row in first.values():
        missing = [names for names in declared if not any(_root(name, row) in row.values for name in names)]
        if missing:
            raise row.error(_message(declaration, missing, [str(name) for name in row.values]))


def _message(declaration: Declaration, missing: Sequence[tuple[str, ...]], columns: Sequence[str]) -> str:
    sentences = []
    for names in missing:
        quoted = " or ".join(f'"{name}"' for name in names)
        sentences.append(f"no column {quoted}.{did_you_mean(names[0], columns)}")
    unverified = "" if declaration.verified else " The task is not verified: nobody has seen the real columns before."
    return f"{' '.join(sentences)} Columns here: {', '.join(columns)}.{unverified}"


def _root(name: str, row: RawRow) -> str:
    """The column that a path begins at."""
    return name if name in row.values else name.split(".")[0].removesuffix("[]")


def declared_columns(declaration: Declaration) -> Iterator[tuple[str, ...]]:
    """The columns that every row must have, each as alternative names, one of which suffices."""
    columns, rows = declaration.columns, declaration.rows
    for rule in _rules(columns):
        yield from _of(rule)
    for group in declaration.groups.values():
        if group.default is None:
            yield from _of(group)
    gold = columns.gold
    if gold is not None:
        fillers = [gold.column, *gold.dimensions.values()]
        templated = any("{}" in path for path in gold.annotators.values())
        yield from _names([] if templated else fillers)
        yield from _names([*gold.columns, *gold.annotators.values()])
    for labelled in columns.labels.values():
        yield from _names([labelled.column])
    yield from _names([*rows.id, *rows.cluster, rows.rater, rows.weight])


def _names(names: Sequence[str | None]) -> Iterator[tuple[str, ...]]:
    yield from ((name,) for name in names if name and not name.startswith("@"))


def _rules(columns: Columns) -> Iterator[ColumnRule | RatingRule]:
    """Every text, medium and rating of `[columns]`."""
    for _, value in columns:
        rules = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        yield from (rule for rule in rules if isinstance(rule, ColumnRule | RatingRule))


def _of(rule: ColumnRule | RatingRule) -> Iterator[tuple[str, ...]]:
    if isinstance(rule, RatingRule):
        yield from _names([rule.column, *rule.columns, *rule.mean])
        return
    if rule.first_of:
        yield tuple(rule.first_of)
    yield from _names([rule.column])
    if isinstance(rule, TextRule):
        yield from _names([*rule.join, *filled_names(rule.template or ""), *filled_names(rule.change or "")])
