"""Records under a folder -> one table: a row per model, a column per task, and the refused records with reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rmbench.boards.admission import Admitted, Refusal, admit, printed_on
from rmbench.boards.columns import Column, columns_of
from rmbench.boards.declaration import Board
from rmbench.boards.library import Library
from rmbench.boards.pairs import LARGEST, Pair, compared
from rmbench.boards.published import Published, published
from rmbench.boards.ranks import RULE, ranges_of
from rmbench.boards.rows import Cell, Kind, Row, rows_of, with_win_shares
from rmbench.engine.interfaces import Progress
from rmbench.errors import RmbenchError
from rmbench.records.headline import spec_of

__all__ = ["BoardTable", "Cell", "Column", "Kind", "Row", "tabulate"]


@dataclass(frozen=True, slots=True)
class BoardTable:
    """A board with the numbers of records."""

    board: Board
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    """Measured and recomputed rows, those with an aggregate first, by it."""
    refused: tuple[Refusal, ...]
    date: str
    """When the newest admitted record was finished; "" without records."""
    rank_rule: str
    """The rule of the ranks, in one sentence; "" without ranks."""
    published: Published
    """Figures that others printed, whatever their definition, listed below the board."""
    printed: tuple[Row, ...] = ()
    """Rows of figures that others printed under the columns' own metrics, in the same order; without intervals, rank
    ranges and pairs. Empty where the board merges them into `rows`."""
    pairs: tuple[Pair, ...] = ()
    """Every pair of `rows` that were measured in all columns, by their places in `rows`; empty without rank ranges."""
    note: str = ""
    """Why nothing is ranked, in one line; "" where something is."""

    @property
    def listed(self) -> tuple[Row, ...]:
        """All rows by their places; those without one after them."""
        rows = (*self.rows, *self.printed)
        return tuple(sorted(rows, key=lambda row: (row.place is None, row.place or 0, row.name.casefold())))

    @property
    def single(self) -> bool:
        """Whether the aggregate is one column's value."""
        return self.board.aggregate == "mean" and sum(not column.part_of for column in self.columns) == 1

    @property
    def empty(self) -> tuple[Column, ...]:
        """Columns in which no row has a value."""
        rows = (*self.rows, *self.printed)
        return tuple(column for k, column in enumerate(self.columns) if all(row.cells[k] is None for row in rows))


def tabulate(board: Board, root: Path, *, allow: Iterable[str] = (), library: Library | None = None) -> BoardTable:
    """The board's table from every record under `root`; `allow` adds to the flags that the board admits.

    `library` holds the records of `root`, read already, where several boards are made of them.

    Raises:
        RmbenchError: `root` holds no record at all.
    """
    library = library or Library(root)
    if not library.folders:
        raise RmbenchError(
            f"{root} holds no record.json; `rmbench run --model MODEL --tasks SEL --out {root}` creates them."
        )
    admitted, refused = admit(board, library, frozenset(allow) | frozenset(board.allow))
    printed = printed_on(board, library)
    columns = columns_of(board, admitted, printed)
    made = rows_of(board, columns, admitted, printed)
    lower = _lower_is_better(board, columns)
    if board.aggregate == "win_share":
        shared = with_win_shares(board, columns, [row for row, _ in made])
        made = [(row, records) for row, (_, records) in zip(shared, made, strict=True)]
    made.sort(key=lambda one: _order(one[0], lower=lower))
    made = _placed(made)
    measured = [one for one in made if board.merge or one[0].kind != "published"]
    rows = [row for row, _ in measured]
    ranked, pairs = _pairs(board, columns, measured, library.progress)
    ranks = dict(zip(ranked, ranges_of(len(ranked), pairs), strict=True)) if pairs else {}
    rows = [replace(row, rank=ranks.get(k)) for k, row in enumerate(rows)]
    pairs = [replace(pair, i=ranked[pair.i], j=ranked[pair.j]) for pair in pairs]
    others = tuple(row for row, _ in made if not board.merge and row.kind == "published")
    return BoardTable(
        board=board,
        columns=columns,
        rows=tuple(rows),
        refused=tuple(refused),
        date=max((one.record.run.finished for one in admitted), default=""),
        rank_rule=RULE if ranks else "",
        published=published(board, library),
        printed=others,
        pairs=tuple(pairs),
        note=_note(board, columns, (*rows, *others)),
    )


Made = tuple[Row, Mapping[str, Admitted]]
"""A row and the measured records of its columns, by the columns' keys."""


def _order(row: Row, *, lower: bool) -> tuple[bool, float, str, str]:
    aggregate = row.aggregate or 0.0
    return row.aggregate is None, aggregate if lower else -aggregate, row.name.casefold(), row.revision


def _placed(made: Sequence[Made]) -> list[Made]:
    """The rows, sorted, with their places: 1 + the rows with a better aggregate."""
    first: dict[float, int] = {}
    for k, (row, _) in enumerate(made, 1):
        if row.aggregate is not None:
            first.setdefault(row.aggregate, k)
    return [
        (replace(row, place=None if row.aggregate is None else first[row.aggregate]), records) for row, records in made
    ]


def _lower_is_better(board: Board, columns: Sequence[Column]) -> bool:
    """Whether lower aggregates come first. RmbenchError where a mean would mix both directions."""
    known = [column for column in columns if column.metric and not column.slice and not column.tasks]
    low = [column.name for column in known if column.better == "lower"]
    if board.aggregate == "mean" and 0 < len(low) < len(known):
        high = [column.name for column in known if column.better == "higher"]
        raise RmbenchError(
            f"board {board.id}: lower is better on {', '.join(low)} and higher on {', '.join(high)}, so their mean "
            'says nothing: set aggregate = "none".'
        )
    return board.aggregate == "mean" and bool(low)


def _pairs(
    board: Board, columns: Sequence[Column], rows: Sequence[Made], progress: Progress
) -> tuple[list[int], list[Pair]]:
    """The places of the rows that were measured in every column of the aggregate, and the pairs of those rows, counted
    from 0 among them; none for one model alone, or too many."""
    tasks = [column for column in columns if column.weight > 0 and not column.tasks]
    ranked = [
        k
        for k, (row, records) in enumerate(rows)
        if row.aggregate is not None and all(column.key in records for column in tasks)
    ]
    if board.aggregate != "mean" or not 2 <= len(ranked) <= LARGEST:
        return ranked, []
    complete = [rows[k][1] for k in ranked]
    specs = [spec_of(complete[0][column.key].record, board.metrics.get(column.entry, "")) for column in tasks]
    folders = [[records[column.key].folder for column in tasks] for records in complete]
    return ranked, compared(folders, specs, [column.weight for column in tasks], progress=progress)


def _note(board: Board, columns: Sequence[Column], rows: Sequence[Row]) -> str:
    if board.aggregate == "none":
        return "This board ranks nothing: its columns have no common measure."
    if any(row.aggregate is not None for row in rows):
        return ""
    if not rows:
        return "Nothing is ranked: no record is admitted."
    wholes = [k for k, column in enumerate(columns) if not column.part_of]
    most = max(sum(row.cells[k] is not None for k in wholes) for row in rows)
    if board.aggregate == "win_share":
        return f"Nothing is ranked: no model has {board.min_columns} columns; the most complete one has {most}."
    missing = Counter(columns[k].name for row in rows for k in wholes if row.cells[k] is None)
    lacking = ", ".join(name for name, _ in missing.most_common(3))
    return (
        f"Nothing is ranked: no model has all {len(wholes)} columns, and a mean over fewer says something else. The "
        f"most complete one has {most}; most often missing: {lacking}."
    )
