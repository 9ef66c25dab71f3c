"""Columns of a board's page: which there are, how they fold, and the scale that their intervals are drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmbench.boards.table import BoardTable, Column
from rmbench.html import Scale, fitted_scale
from rmbench.records.slug import task_slug
from rmbench.text import figure

__all__ = ["Head", "Shown", "chance_levels", "groups_of", "heads_of", "shown_columns"]

_OPEN = 9
"""Columns of numbers that are shown at first; those of further headings are folded."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A column of the table that has values."""

    k: int
    """Its place in the board's table."""
    column: Column
    scale: Scale
    folded: bool


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a column of the page."""

    id: str
    name: str
    css: str
    group: str = ""
    """The heading under which it can be folded; "" where it cannot."""
    lines: tuple[str, ...] = ()
    folded: bool = False
    scale: str = ""
    """The ends of its scale and the level of chance, for the drawings that the page's script makes."""
    file: str = ""
    """The end of its records' pages."""


def shown_columns(table: BoardTable) -> list[Shown]:
    """The columns that have values, with their scales; those of whole tasks open, further ones folded by heading."""
    rows = (*table.rows, *table.printed)
    filled = [k for k in range(len(table.columns)) if any(row.cells[k] is not None for row in rows)]
    headings: dict[str, int] = {}
    for k in filled:
        headings[_heading(table.columns[k])] = headings.get(_heading(table.columns[k]), 0) + 1
    open_, used = set(), 0
    for heading, count in headings.items():
        if not used or used + count <= _OPEN:
            open_.add(heading)
            used += count
    wholes = sum(not table.columns[k].part_of for k in filled)
    made = []
    for place, k in enumerate(filled):
        column = table.columns[k]
        many = wholes > _OPEN and not column.part_of and place >= _OPEN
        made.append(Shown(k, column, fitted_scale(row.cells[k] for row in rows), _heading(column) not in open_ or many))
    return made


def _heading(column: Column) -> str:
    """Wholes fold together; slices and parts by their own heading."""
    return column.heading if column.part_of or column.heading else "Tasks"


def heads_of(table: BoardTable, shown: Sequence[Shown]) -> list[Head]:
    """Place, model, aggregate, values, facts, in the order of the page."""
    places = any(row.place is not None for row in (*table.rows, *table.printed))
    heads = [Head("rank", "Rank", "num low")] if places else []
    heads.append(Head("model", "Model", "model text"))
    if has_aggregate(table):
        name = "Mean" if table.board.aggregate == "mean" else "Win share"
        heads.append(Head("mean", name, "num value"))
    for one in shown:
        column, levels = one.column, chance_levels(table, one.k)
        ends = f"{one.scale.low:g} {one.scale.high:g}" + (f" {levels[0]:.4g}" if len(levels) == 1 else "")
        lines = _lines(column)
        css = "num low" if column.better == "lower" else "num value"
        css += " part" if column.part_of else ""
        file = f"{task_slug(column.task, column.version or 0)}.html"
        heads.append(Head(column.key, _title(column), css, _heading(column), lines, one.folded, ends, file))
    return [
        *heads,
        Head("size", "Parameters", "fact num value", "Facts"),
        Head("license", "License", "fact text", "Facts"),
        Head("family", "Family", "fact text", "Facts"),
        Head("made", "Made", "fact text", "Facts"),
    ]


def has_aggregate(table: BoardTable) -> bool:
    """Whether there is an aggregate that no column shows already."""
    wholes = [column for column in table.columns if not column.part_of]
    return table.board.aggregate == "win_share" or (table.board.aggregate == "mean" and len(wholes) > 1)


def _title(column: Column) -> str:
    return column.name if column.slice or column.tasks else column.task


def _lines(column: Column) -> tuple[str, ...]:
    if column.slice:
        return (column.slice.partition("=")[0],) if "=" in column.slice else ()
    metric = column.metric + (", lower is better" if column.better == "lower" else "")
    return tuple(line for line in (metric, column.rows) if line)


def groups_of(heads: Sequence[Head]) -> list[tuple[str, list[Head]]]:
    """(heading, its columns) in the order of the table."""
    groups: dict[str, list[Head]] = {}
    for head in heads:
        if head.group:
            groups.setdefault(head.group, []).append(head)
    return list(groups.items())


def chance_levels(table: BoardTable, k: int) -> list[float]:
    """The levels that guessing reaches in a column: several where the kinds of answer differ."""
    cells = [row.cells[k] for row in (*table.rows, *table.printed)]
    found = {cell.chance for cell in cells if cell is not None and cell.chance is not None and cell.kind != "published"}
    return sorted(found)


def levels_text(table: BoardTable, k: int) -> str:
    """The levels of chance as text; "" where there is none."""
    return " or ".join(map(figure, chance_levels(table, k)))
