"""The page of two models: the paired difference on every board that compares them, and their numbers side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rmbench.boards.pairs import OnTask, Pair
from rmbench.boards.ranks import ALPHA
from rmbench.boards.site.entries import Entries
from rmbench.boards.site.pages import render
from rmbench.boards.site.paths import model_page, pair_page
from rmbench.boards.table import BoardTable, Cell, Column, Row
from rmbench.html import Scale, fitted_scale

__all__ = ["Duel", "Rival", "compare_document", "duels_of", "rivals_of"]

_APART = 20
"""Places between two models beyond which a pair that is not told apart has no page."""


@dataclass(frozen=True, slots=True)
class Duel:
    """Two models on one board: `first` is the better placed one."""

    table: BoardTable
    pair: Pair

    @property
    def first(self) -> Row:
        """The row that stands higher."""
        return self.table.rows[min(self.pair.i, self.pair.j)]

    @property
    def second(self) -> Row:
        """The row that stands lower."""
        return self.table.rows[max(self.pair.i, self.pair.j)]

    @property
    def page(self) -> str:
        """The page of the two models, which all boards share."""
        return pair_page((self.first.name, self.first.revision), (self.second.name, self.second.revision))

    @property
    def told_apart(self) -> bool:
        """Whether the two differ significantly after the correction."""
        return self.pair.corrected < ALPHA


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better the page's first model is."""

    value: float | None
    low: float | None
    high: float | None
    chance: float | None = 0.0
    """No difference."""


@dataclass(frozen=True, slots=True)
class Line:
    """A board, or a task of it, on the page."""

    title: str
    link: str
    first: float | None
    second: float | None
    difference: Difference
    p: float | None
    corrected: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Rival:
    """Another model on a model's page."""

    name: str
    page: str
    board: str
    value: float
    """How much better the page's own model is."""
    low: float | None
    high: float | None
    verdict: str


def rivals_of(duels: Mapping[str, Sequence[Duel]]) -> dict[str, list[Rival]]:
    """Name of a model -> the others that it has a page with."""
    found: dict[str, list[Rival]] = {}
    for page, ones in duels.items():
        for duel in ones:
            for own, other in ((duel.first, duel.second), (duel.second, duel.first)):
                less = difference_of(duel, own)
                value = less.value or 0.0
                verdict = "not told apart" if not duel.told_apart else "ahead" if value > 0 else "behind"
                rival = Rival(other.name, page, duel.table.board.title, value, less.low, less.high, verdict)
                found.setdefault(own.name, []).append(rival)
    return {name: sorted(rivals, key=lambda one: (one.board, one.value)) for name, rivals in found.items()}


def _worth_a_page(pair: Pair) -> bool:
    """Neighbours, and pairs that are not told apart though they stand near each other."""
    apart = abs(pair.i - pair.j)
    return apart == 1 or (pair.corrected >= ALPHA and apart <= _APART)


def duels_of(tables: Sequence[BoardTable]) -> dict[str, list[Duel]]:
    """Page -> the boards that compare its two models, for the pairs that are worth one."""
    found: dict[str, list[Duel]] = {}
    for table in tables:
        for pair in table.pairs:
            duel = Duel(table, pair)
            if _worth_a_page(pair):
                found.setdefault(duel.page, []).append(duel)
    return dict(sorted(found.items()))


def compare_document(duels: Sequence[Duel], entries: Entries) -> str:
    """The page of two models from the boards that compare them."""
    first, second = duels[0].first, duels[0].second
    boards = [_line(duel, first) for duel in duels]
    lines = [line for duel, board in zip(duels, boards, strict=True) for line in (board, *_task_lines(duel, first))]
    told = [line for line in lines if line.corrected is not None and line.corrected < ALPHA]
    return render(
        "compare",
        f"{first.name} and {second.name}",
        root="../",
        crumbs=((first.name, model_page(first.name)),),
        first=first,
        second=second,
        lines=lines,
        boards=len(boards),
        told=told,
        scale=_scale([line.difference for line in lines]),
        entry_page=lambda folder: entries[folder].page,
        sides=[(duel, list(_sides(duel, first))) for duel in duels],
    )


def difference_of(duel: Duel, first: Row, of: Pair | OnTask | None = None) -> Difference:
    """How much better `first`, one of the two, is on a board, or on one of its tasks."""
    of, one = of or duel.pair, duel.table.rows[duel.pair.i]
    # `difference` is how much better j is.
    sign = -1 if (one.name, one.revision) == (first.name, first.revision) else 1
    limits = sorted(sign * each for each in (of.low, of.high) if each is not None)
    low, high = limits if len(limits) == 2 else (None, None)
    return Difference(None if of.difference is None else sign * of.difference, low, high)


def _task_lines(duel: Duel, first: Row) -> Iterator[Line]:
    """The board's tasks each by itself, where it has several."""
    pair, table = duel.pair, duel.table
    rows = _in_order(duel, first)
    columns = [k for k, column in enumerate(table.columns) if column.weight > 0 and not column.tasks]
    for k, on in zip(columns, pair.tasks, strict=False):
        values = [None if (cell := row.cells[k]) is None else cell.value for row in rows]
        yield Line(table.columns[k].name, "", values[0], values[1], difference_of(duel, first, on), on.p, None, on.n)


def _in_order(duel: Duel, first: Row) -> tuple[Row, Row]:
    """The two rows, the page's first model first."""
    a, b = duel.table.rows[duel.pair.i], duel.table.rows[duel.pair.j]
    return (a, b) if (a.name, a.revision) == (first.name, first.revision) else (b, a)


def _line(duel: Duel, first: Row) -> Line:
    pair, board = duel.pair, duel.table.board
    a, b = _in_order(duel, first)
    link, difference = f"../{board.id}/index.html", difference_of(duel, first)
    return Line(board.title, link, a.aggregate, b.aggregate, difference, pair.p, pair.corrected, pair.n)


def _sides(duel: Duel, first: Row) -> Iterator[tuple[Column, Cell, Cell, Scale]]:
    """(column, first's cell, second's cell, scale) of every column in which both have a value."""
    one, other = _in_order(duel, first)
    for k, column in enumerate(duel.table.columns):
        a, b = one.cells[k], other.cells[k]
        if a is not None and b is not None:
            yield column, a, b, fitted_scale((a, b))


def _scale(differences: Sequence[Difference]) -> Scale:
    """The same on both sides of no difference."""
    reach = max(
        (abs(x) for each in differences for x in (each.value, each.low, each.high) if x is not None), default=1.0
    )
    return Scale(-reach or -1.0, reach or 1.0)
