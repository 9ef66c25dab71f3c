"""A board for `rich.print`: default colours only, legible on dark and light terminals, and names as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rmbench.boards.admission import grouped
from rmbench.boards.figures import interval, marks, rank_range
from rmbench.boards.published import PublishedCell
from rmbench.boards.sorting import sorted_rows
from rmbench.boards.table import BoardTable, Cell, Column, Row
from rmbench.text import figure, line, printable, text_table

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table
    from rich.text import Text

__all__ = ["BoardView"]

_GAP = 2
_LOWER = ", lower is better"
_LISTED = 20
_AGGREGATES = {"mean": "mean", "win_share": "win share"}
_RULES = {
    "mean": "Mean: of the columns by their weights, for models that have them all.",
    "win_share": "Win share: the share of a column's other models that a model is ahead of, ties half; the mean over "
    "the columns that it has.",
}


@dataclass(frozen=True, slots=True)
class BoardView:
    """A filled board, ready for `rich.print`. Columns that do not fit side by side are in further tables."""

    table: BoardTable
    sort: str = "place"
    """As `rmbench.boards.sorting` takes it."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows of the table, in the order to print them."""
        return sorted_rows(self.table, self.sort)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the board, its columns, its rows in this order, and the records that it refuses."""
        from rmbench.boards.output.plain import plain

        return plain(self.table, self.rows)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        table = self.table
        yield line(f"{table.board.title} ({table.board.id})", "bold")
        rows = self.rows
        if not rows:
            yield line("No record is admitted.")
        else:
            flags = [cell.flags for row in table.rows for cell in row.cells if cell is not None]
            common, letters = marks(flags)
            columns = _columns(table, rows, {**letters, **_numbers(table)})
            yield from _grids([_name(row) for row in rows], columns, options.max_width)
            yield from _notes(table, common, letters)
        yield from _published(table, options.max_width)
        yield from _refusals(table)


@dataclass(frozen=True, slots=True)
class _Strip:
    """The texts of a column: its header, chance, and a cell per model."""

    head: str
    chance: str
    texts: tuple[str, ...]

    @property
    def width(self) -> int:
        return max(len(text) for text in (*self.head.split("\n"), self.chance, *self.texts))


def _columns(table: BoardTable, rows: Sequence[Row], letters: Mapping[str, str]) -> list[_Strip]:
    strips = []
    if any(row.place is not None for row in rows):
        strips.append(_Strip("place", "", tuple("-" if row.place is None else str(row.place) for row in rows)))
        if table.rank_rule:
            strips.append(_Strip("rank", "", tuple(rank_range(row.rank) for row in rows)))
        if not table.single:
            texts = (f"{figure(row.aggregate)} {interval(row.low, row.high)}".strip() for row in rows)
            strips.append(_Strip(_AGGREGATES[table.board.aggregate], "", tuple(texts)))
    folded = _folded(table)
    for k, column in enumerate(table.columns):
        if column in table.empty or column in folded:
            continue
        cells = [row.cells[k] for row in rows]
        strips.append(_Strip(_head(column), _chance(cells), tuple(_text(cell, letters) for cell in cells)))
    return strips


def _numbers(table: BoardTable) -> Mapping[str, str]:
    """Source of printed figures -> its number in brackets."""
    return {source: f"[{k}]" for k, (source, _) in enumerate(table.published.sources, 1)}


def _folded(table: BoardTable) -> list[Column]:
    """Slices beyond a task's first kind, which the page shows and a terminal has no room for."""
    first: dict[str, str] = {}
    for column in table.columns:
        if column.slice:
            first.setdefault(column.part_of, column.heading)
    return [column for column in table.columns if column.slice and first[column.part_of] != column.heading]


def _head(column: Column) -> str:
    return "\n".join(
        (printable(column.name), printable(column.metric) + _LOWER * (column.better == "lower"), column.rows)
    ).rstrip()


def _chance(cells: Sequence[Cell | None]) -> str:
    """Levels that guessing reaches; several where models differ in the kind of their answers."""
    levels = sorted({cell.chance for cell in cells if cell is not None and cell.chance is not None})
    return " or ".join(figure(level) for level in levels)


def _text(cell: Cell | None, letters: Mapping[str, str]) -> str:
    if cell is None or cell.value is None:
        return "-"
    if cell.kind == "published":
        return f"{figure(cell.value)} {letters.get(cell.source, '')}".strip()
    signs = "".join(letters[flag] for flag in cell.flags if flag in letters)
    return " ".join(part for part in (figure(cell.value), interval(cell.low, cell.high), signs) if part)


def _parts(strips: Sequence[_Strip], width: int) -> Iterator[list[_Strip]]:
    """Runs of columns that fit next to the names; a column that does not fit has a table of its own."""
    part: list[_Strip] = []
    used = 0
    for strip in strips:
        if part and used + strip.width + _GAP > width:
            yield part
            part, used = [], 0
        part.append(strip)
        used += strip.width + _GAP
    yield part


def _name(row: Row) -> str:
    name = printable(row.name)
    return f"{name} ({printable(', '.join(row.flags))})" if row.flags else name


def _grids(names: Sequence[str], strips: Sequence[_Strip], max_width: int) -> Iterator[Table | Text]:
    # At a third of the screen, or half where names would be broken elsewhere than behind the organisation.
    parts = max(len(part) for name in names for part in re.split(r"(?<=/)| ", name))
    width = min(max(map(len, names)), max(20, max_width // 3, min(parts, max_width // 2)))
    for part in _parts(strips, max_width - width - _GAP):
        yield _grid(names, width, part)
        yield line("")


def _grid(names: Sequence[str], width: int, strips: Sequence[_Strip]) -> Table:
    rows: list[list[str | Text]] = [[name, *(strip.texts[k] for strip in strips)] for k, name in enumerate(names)]
    if any(strip.chance for strip in strips):
        rows.append([line(text, "italic") for text in ("chance", *(strip.chance for strip in strips))])
    return text_table([("model", width), *((strip.head, "right") for strip in strips)], rows, gap=_GAP)


def _notes(table: BoardTable, common: Sequence[str], letters: Mapping[str, str]) -> Iterator[Text]:
    printed = any(row.kind == "published" for row in table.listed)
    if common:
        yield line(f"Every value {'measured ' * printed}here is marked: {', '.join(common)}.")
    if letters:
        yield line("Marks: " + ", ".join(f"{letter} {flag}" for flag, letter in letters.items()) + ".")
    yield line("In brackets: 95% intervals." + " Printed figures have none, and no rank." * printed)
    if table.note:
        yield line(table.note)
    elif not table.single:
        yield line(_RULES[table.board.aggregate])
    if table.rank_rule:
        yield line(table.rank_rule)
    elif not table.note:
        yield line("Places carry no significance.")
    empty = [column.name for column in table.empty if not column.slice]
    if empty:
        yield line(f"Without records: {', '.join(empty)}.")
    folded = list(dict.fromkeys(column.heading for column in _folded(table)))
    if folded:
        yield line(f"Not shown here: {', '.join(folded)}.")
    if printed:
        yield line("Printed in:")
        shown = {cell.source for row in table.listed for cell in row.cells if cell is not None}
        numbers = _numbers(table)
        yield from (
            line(f"{numbers[name]} {name}: {where}") for name, where in table.published.sources if name in shown
        )


def _published(table: BoardTable, max_width: int) -> Iterator[Table | Text]:
    """Figures that others printed under another definition than the columns', in the order of the models' names."""
    published = table.published
    own = {(column.task, column.version) for column in table.columns}
    rows = [
        (
            row.name,
            [
                [cell for cell in cells if cell.metric or task not in own]
                for task, cells in zip(published.tasks, row.cells, strict=True)
            ],
        )
        for row in published.rows
    ]
    rows = [(name, cells) for name, cells in rows if any(cells)]
    if not rows:
        return
    yield line("")
    yield line("Printed under other definitions", "bold")
    letters = _numbers(table)
    strips = [
        _Strip(f"{printable(task)}@{version}", "", tuple(_published_text(cells[k], letters) for _, cells in rows))
        for k, (task, version) in enumerate(published.tasks)
        if any(cells[k] for _, cells in rows)
    ]
    yield from _grids([printable(name) for name, _ in rows], strips, max_width)
    yield line("Figures as others printed them: without rows, so without intervals, ranks and comparisons. Sources:")
    shown = {cell.source for _, cells in rows for each in cells for cell in each}
    for source, where in published.sources:
        if source in shown:
            yield line(f"{letters[source]} {source}: {where}")


def _published_text(cells: Sequence[PublishedCell], letters: Mapping[str, str]) -> str:
    texts = (
        f"{figure(cell.value)} {cell.metric and printable(cell.metric) + ' '}{letters[cell.source]}" for cell in cells
    )
    return ", ".join(texts) or "-"


def _refusals(table: BoardTable) -> Iterator[Text]:
    if not table.refused:
        return
    yield line("")
    yield line(f"Refused ({len(table.refused)}):", "bold")
    groups = grouped(table.refused)
    for model, why, tasks in groups[:_LISTED]:
        yield line(f"{printable(model)} on {printable(', '.join(tasks))}: {printable(why, 1_000)}")
    if len(groups) > _LISTED:
        yield line(f"and {len(groups) - _LISTED} more models or reasons; the page lists them all.")
