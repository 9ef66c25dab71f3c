"""The page of a board: its table, what can be filtered and folded, its figures and its notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from rmbench.boards.admission import grouped
from rmbench.boards.figures import marks, parameters
from rmbench.boards.site.cells import Signs, aggregate_cell, lean_cell, missing_cell, ordered, rank_cell, value_cell
from rmbench.boards.site.charts import Figure
from rmbench.boards.site.entries import Entries
from rmbench.boards.site.heads import Shown, groups_of, has_aggregate, heads_of, levels_text, shown_columns
from rmbench.boards.site.pages import BOARD_SCRIPTS, render
from rmbench.boards.site.paths import model_page
from rmbench.boards.table import BoardTable, Row
from rmbench.html import Scale
from rmbench.records.slug import task_slug
from rmbench.text import printable

__all__ = ["all_rows", "board_page", "notes_of"]

_RICH = 4_000
"""Cells of a table that are written in full; beyond, the page would be too large, and its script completes them."""
_UNIT = Scale(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class RowView:
    """A row of the table, ready for the template."""

    row: Row
    organisation: str
    model: str
    """The name without the organisation."""
    line: str
    """Organisation, size and license, below the name."""
    page: str
    size: str
    base: str
    """What the pages of its records have in common."""
    family: str
    """"" of a model that nobody opened here and no card knows."""
    contaminated: bool
    commands: tuple[str, ...]
    before: tuple[Markup, ...]
    cells: tuple[Markup, ...]


def all_rows(table: BoardTable) -> list[Row]:
    """Measured, recomputed and printed rows together: by place, those without one last."""
    order = {id(row): k for k, row in enumerate((*table.rows, *table.printed))}
    return sorted((*table.rows, *table.printed), key=lambda row: (row.place is None, row.place or 0, order[id(row)]))


def board_page(table: BoardTable, entries: Entries, figures: Sequence[Figure]) -> str:
    """The page's text."""
    shown = shown_columns(table)
    rows = all_rows(table)
    # That a number was recomputed is the badge of its row.
    flags = [{*cell.flags} - {"released"} for row in rows for cell in row.cells if cell is not None]
    common, letters = marks(tuple(each) for each in flags)
    lean = len(rows) * len(shown) > _RICH
    heads = heads_of(table, shown)
    sources = {source: number for number, (source, _) in enumerate(table.published.sources, 1)}
    signs = Signs(letters, sources)
    views = [_row(table, row, entries, shown, signs, lean) for row in rows]
    many = f"{len(rows):,} {'model' if len(rows) == 1 else 'models'}"
    caption = f"{many}: value and 95% interval of each; a value links to its record."
    return render(
        "board",
        table.board.title,
        root="../",
        scripts=BOARD_SCRIPTS if rows else (),
        data={"none": "No model fits.", "caption": caption},
        wide=True,
        table=table,
        board=table.board,
        many=many,
        tasks=sum(not one.column.part_of for one in shown),
        rows=views,
        heads=heads,
        groups=groups_of(heads),
        lean=lean,
        caption=caption,
        notes=notes_of(table),
        chances=_chances(table, [head.id for head in heads], shown),
        filters=_filters(rows),
        sizes=any(row.parameters is not None for row in rows),
        open_known=len({row.open_weights for row in rows}) > 1,
        contaminated=any(view.contaminated for view in views),
        figures=figures,
        entries=entries,
        refused=grouped(table.refused),
        common=common,
        letters=letters,
        levels=levels_text,
        sources=sources,
    )


def _row(table: BoardTable, row: Row, entries: Entries, shown: Sequence[Shown], signs: Signs, lean: bool) -> RowView:
    folders = list(dict.fromkeys(cell.folder for cell in row.cells if cell is not None and cell.folder is not None))
    base = f"../{entries[folders[0]].page.rpartition('/')[0]}/" if folders else ""
    cells = [aggregate_cell(row, _UNIT)] if has_aggregate(table) else []
    for one in shown:
        cell, column = row.cells[one.k], one.column
        link = None if cell is None or cell.folder is None else f"../{entries[cell.folder].page}"
        if cell is None:
            cells.append(missing_cell())
        elif lean and link == f"{base}{task_slug(column.task, column.version or 0)}.html":
            cells.append(lean_cell(cell, signs))
        else:
            cells.append(value_cell(cell, one.scale, link, f"record of {row.name} on {column.key}", signs))
    organisation, slash, model = row.name.partition("/")
    size = "" if row.parameters is None else parameters(row.parameters)
    revision = row.revision if "revision" in table.board.facts else ""
    parts = (organisation if slash else "", size, row.license or "", revision)
    return RowView(
        row=row,
        organisation=organisation if slash else "",
        model=model if slash else row.name,
        line=" · ".join(printable(part) for part in parts if part),
        page=f"../{model_page(row.name)}",
        size=ordered(row.parameters),
        base=base,
        family=_family(row),
        contaminated=any("contaminated" in cell.flags for cell in row.cells if cell is not None),
        commands=_commands(entries, folders),
        before=(rank_cell(row),) if any(one.place is not None for one in (*table.rows, *table.printed)) else (),
        cells=tuple(cells),
    )


def _family(row: Row) -> str:
    return "" if row.family in ("precomputed", "published") else row.family


def _commands(entries: Entries, folders: Sequence[Path]) -> tuple[str, ...]:
    runs = [entries[folder].record.run for folder in folders if entries[folder].record.kind != "published"]
    return tuple(dict.fromkeys(run.command for run in runs if run.command))


def _chances(table: BoardTable, ids: Sequence[str], shown: Sequence[Shown]) -> list[tuple[str, str]]:
    """(column, text) of each cell of the row of chance; empty where no column has a level."""
    levels = {one.column.key: levels_text(table, one.k) for one in shown}
    return [(id_, levels.get(id_, "")) for id_ in ids] if any(levels.values()) else []


def _filters(rows: Sequence[Row]) -> list[tuple[str, str, list[str]]]:
    """(name, label, choices) of the facts that differ between rows."""
    found: list[tuple[str, str, set[str]]] = [
        ("kind", "Numbers", {row.kind for row in rows}),
        ("family", "Family", {printable(_family(row)) for row in rows if _family(row)}),
        ("license", "License", {printable(row.license) for row in rows if row.license}),
        ("check", "Conformance check", {row.check for row in rows}),
    ]
    return [(name, label, sorted(choices, key=str.casefold)) for name, label, choices in found if len(choices) > 1]


def notes_of(table: BoardTable) -> list[str]:
    """What a reader must know before the table: why nothing is ranked, and which columns are left out."""
    notes = [table.note] if table.note else []
    if not table.rows and not table.printed and table.refused:
        notes.append(f"{len(table.refused)} records are refused, with the reasons below.")
    empty = [printable(column.name) for column in table.empty if not column.slice]
    if empty and (table.rows or table.printed):
        notes.append(f"{len(empty)} {'column' if len(empty) == 1 else 'columns'} without records: {', '.join(empty)}.")
    return notes
