"""Which values of a column are its best: the highest, and those that a paired test does not tell from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rmbench.boards.pairs import compared
from rmbench.boards.table import BoardTable, Row
from rmbench.metrics.uncertainty.discordance import holm
from rmbench.records.headline import spec_of
from rmbench.records.store import read

__all__ = ["ALPHA", "RULE", "leading", "leading_overall"]

ALPHA = 0.05
RULE = (
    "Bold: the best of a column, and what paired tests on the rows that both judged (two-sided .05, Holm's correction) "
    "do not tell from it; a printed figure has no rows to test."
)


def leading_overall(table: BoardTable, rows: Sequence[Row]) -> frozenset[int]:
    """The places in `rows` of the best aggregates and of those not worse by the board's pairs."""
    best = {place for place, row in enumerate(rows) if row.place == 1}
    first = next((k for k, row in enumerate(table.rows) if row.place == 1), None)
    if first is None:
        return frozenset(best)
    against = [pair for pair in table.pairs if first in (pair.i, pair.j)]
    alike = [table.rows[pair.i + pair.j - first] for pair in against if pair.corrected >= ALPHA]  # as in the ranks
    return frozenset(best | {place for place, row in enumerate(rows) if any(row is one for one in alike)})


def leading(table: BoardTable, rows: Sequence[Row], k: int) -> frozenset[int]:
    """The places in `rows` of the best values of column `k` and of those not worse by paired tests against one."""
    column = table.columns[k]
    if table.single and table.pairs and column.weight > 0:
        return leading_overall(table, rows)
    values = {place: cell.value for place, row in enumerate(rows) if (cell := row.cells[k]) and cell.value is not None}
    if not values:
        return frozenset()
    top = (min if column.better == "lower" else max)(values.values())
    best = [place for place, value in values.items() if value == top]
    folders = {place: found for place in values if (found := _folders(table, rows[place], k))}
    tested = next((place for place in best if place in folders), None)
    if tested is None:
        return frozenset(best)
    others = [place for place in folders if place != tested]
    return frozenset(best) | _not_worse({place: _p(table, k, folders[tested], folders[place]) for place in others})


def _not_worse(p_values: Mapping[int, float]) -> frozenset[int]:
    corrected = holm(list(p_values.values()))
    return frozenset(place for place, p in zip(p_values, corrected, strict=True) if p >= ALPHA)


def _parts(table: BoardTable, k: int) -> list[int]:
    """The columns whose records a column's values are of: itself, or those that it is a mean of."""
    column = table.columns[k]
    return [place for place, one in enumerate(table.columns) if one.part_of == column.title] if column.tasks else [k]


def _folders(table: BoardTable, row: Row, k: int) -> list[Path]:
    """The records behind a value; none where one of them is printed, or it is a slice of a task's value."""
    if table.columns[k].slice:
        return []
    cells = [row.cells[part] for part in _parts(table, k)]
    folders = [cell.folder for cell in cells if cell is not None and cell.kind != "published" and cell.folder]
    return folders if len(folders) == len(cells) else []


def _p(table: BoardTable, k: int, one: Sequence[Path], other: Sequence[Path]) -> float:
    """Of the paired test of two models in a column; 1 where they cannot be compared."""
    parts = [table.columns[part] for part in _parts(table, k)]
    specs = [
        spec_of(read(folder), table.board.metrics.get(part.entry, "")) for part, folder in zip(parts, one, strict=True)
    ]
    pairs = compared([one, other], specs, [1 / len(parts)] * len(parts))
    return pairs[0].p if pairs else 1.0
