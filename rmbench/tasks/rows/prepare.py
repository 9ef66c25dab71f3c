"""Upstream's rows brought into the columns that a declaration speaks of: transformed, then gathered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rmbench.tasks.declaration.schema import Declaration, TextRule, VariantRule
from rmbench.tasks.rows.adapt import ADAPTERS
from rmbench.tasks.rows.fields import RawRow, label, lookup, text

__all__ = ["prepared"]


def prepared(declared: Declaration, rows: Sequence[RawRow]) -> list[RawRow]:
    """The rows after the declared transform (`adapt`), variants, gathering (`gather`) and the transform of what was
    gathered (`adapt_gathered`), in upstream's order.

    Raises:
        RmbenchError: a column that the transform or the gathering needs is missing or holds the wrong thing.
    """
    rules = declared.rows
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
        made = adapter.apply(row.values)
    except ValueError as error:
        raise row.error(f"{error}.") from None
    return [replace(row, values=values) for values in (made if isinstance(made, list) else [made])]


def _variants(row: RawRow, variants: Sequence[VariantRule]) -> list[RawRow]:
    """The row once for each variant, or as it is."""
    if not variants:
        return [row]
    return [
        replace(row, values={**row.values, **{to: lookup(row, of) for to, of in each.take.items()}, **each.set})
        for each in variants
    ]


def _gathered(rows: Sequence[RawRow], keys: Sequence[str]) -> list[RawRow]:
    """Rows that agree in all keys as one, in the place of the first, with all of them as objects under `rows`."""
    together: dict[tuple[str, ...], list[RawRow]] = {}
    for row in rows:
        if "rows" in row.values:
            raise row.error('a column is called "rows", which is what gathered rows are called.')
        together.setdefault(tuple(label(row, key) for key in keys), []).append(row)
    return [
        replace(members[0], values={**members[0].values, "rows": [dict(each.values) for each in members]})
        for members in together.values()
    ]
