"""Upstream's rows brought into the columns that a declaration names: adapted, expanded into variants, gathered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rmbench.tasks.declaration.schema import Declaration, TextRule, VariantRule
from rmbench.tasks.rows.adapt import ADAPTERS
from rmbench.tasks.rows.fields import RawRow, label, lookup, text

__all__ = ["prepare"]


def prepare(declaration: Declaration, rows: Sequence[RawRow]) -> list[RawRow]:
    """The rows after the declared transform (`adapt`), variants, gathering (`gather`) and the transform of the gathered
    rows (`adapt_gathered`), in upstream's order.

    Raises:
        RmbenchError: a column that the transform or the gathering needs is missing or of the wrong type.
    """
    rules = declaration.rows
    adapted = [each for row in rows for each in _adapted(rules.adapt, row)]
    varied = [each for row in adapted for each in _variants(row, rules.variants)]
    gathered = _gathered(varied, rules.gather) if rules.gather else varied
    return [each for row in gathered for each in _adapted(rules.adapt_gathered, row)]


def _adapted(name: str | None, row: RawRow) -> list[RawRow]:
    if name is None:
        return [row]
    adapter = ADAPTERS[name]
    for column in adapter.columns:
        text(row, TextRule(column=column))
    try:
        adapted = adapter.apply(row.values)
    except ValueError as error:
        raise row.error(f"{error}.") from None
    return [replace(row, values=values) for values in (adapted if isinstance(adapted, list) else [adapted])]


def _variants(row: RawRow, variants: Sequence[VariantRule]) -> list[RawRow]:
    """The row once for each variant, or as it is."""
    if not variants:
        return [row]
    taken = [{new: lookup(row, column) for new, column in each.take.items()} for each in variants]
    return [
        replace(row, values={**row.values, **columns, **each.set})
        for each, columns in zip(variants, taken, strict=True)
    ]


def _gathered(rows: Sequence[RawRow], keys: Sequence[str]) -> list[RawRow]:
    """Rows with equal keys as one, in the place of the first, with all of them as objects under `rows`."""
    groups: dict[tuple[str, ...], list[RawRow]] = {}
    for row in rows:
        if "rows" in row.values:
            raise row.error('a column is called "rows", the name under which gathered rows are kept.')
        groups.setdefault(tuple(label(row, key) for key in keys), []).append(row)
    return [
        replace(members[0], values={**members[0].values, "rows": [dict(each.values) for each in members]})
        for members in groups.values()
    ]
