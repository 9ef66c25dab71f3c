"""Cells of a board's table as markup: value, interval, drawing, marks and the way to the record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from rmbench.boards.figures import interval, rank_range
from rmbench.boards.table import Cell, Row
from rmbench.html import Scale, bar
from rmbench.text import figure, printable

__all__ = ["Signs", "aggregate_cell", "lean_cell", "missing_cell", "ordered", "rank_cell", "value_cell"]

_MISSING = Markup('<td class="num" data-order=""><span class="none">-</span></td>')


@dataclass(frozen=True, slots=True)
class Signs:
    """What stands small beside a number."""

    letters: Mapping[str, str]
    """Flag -> letter."""
    sources: Mapping[str, int]
    """Short name of a printed source -> number."""

    def of(self, cell: Cell) -> Markup:
        """The letters of a cell's flags and the numbers of its sources, each with its meaning."""
        flags = [(self.letters[flag], printable(flag)) for flag in cell.flags if flag in self.letters]
        named = [source for source in cell.source.split(", ") if source in self.sources]
        flags += [(f"[{self.sources[source]}]", f"printed in {printable(source)}") for source in named]
        signs = [Markup('<abbr title="{}">{}</abbr>').format(meaning, sign) for sign, meaning in flags]
        return Markup("<sup>{}</sup>").format(Markup(" ").join(signs)) if signs else Markup("")


def missing_cell() -> Markup:
    """A cell without a record: shown as a hyphen, sorted last in both directions."""
    return _MISSING


def ordered(value: float | None) -> str:
    """A number to sort by; six digits tell apart what a table may hold.

    >>> ordered(0.712345678), ordered(None)
    ('0.712346', '')
    """
    return "" if value is None else f"{value:.6g}"


def rank_cell(row: Row) -> Markup:
    """The place by the aggregate alone, and below it the ranks that the paired tests leave open."""
    if row.place is None:
        return Markup('<td class="num rank" data-order=""><span class="none">-</span></td>')
    range_ = Markup('<small title="ranks that the paired tests leave open">{}</small>').format(rank_range(row.rank))
    return Markup('<td class="num rank" data-order="{0}">{0}{1}</td>').format(row.place, range_ if row.rank else "")


def value_cell(cell: Cell, scale: Scale, link: str | None, label: str, signs: Signs) -> Markup:
    """A cell in full; `label` says to screen readers which record the link leads to."""
    value = Markup("{}").format(figure(cell.value))
    if link is not None:
        value = Markup('<a href="{}" aria-label="{}">{}</a>').format(
            link, f"{figure(cell.value)}, {printable(label)}", figure(cell.value)
        )
    return Markup('<td class="num" data-order="{}">{}{}{}{}{}{}</td>').format(
        ordered(cell.value),
        value,
        signs.of(cell),
        _limits(cell.low, cell.high),
        bar(scale, cell.value, cell.low, cell.high, cell.chance),
        _coverage(cell),
        _others(cell),
    )


def lean_cell(cell: Cell, signs: Signs) -> Markup:
    """A cell of a large table: the numbers only. The page's script adds link and drawing where the row is shown. HTML
    lets the end tag of a cell go that another follows, and there may be 25,000 of them."""
    limits = "" if cell.low is None or cell.high is None else f"{_drawn(cell.low)} {_drawn(cell.high)}"
    return Markup('<td data-order="{}" data-v="{}">{}{}{}').format(
        ordered(cell.value), limits, figure(cell.value), signs.of(cell), _coverage(cell)
    )


def _drawn(value: float) -> str:
    """As many digits as a drawing of a hundred places shows, in as few characters."""
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:.3g}")


def aggregate_cell(row: Row, scale: Scale) -> Markup:
    """The aggregate of a row, which no single record holds."""
    if row.aggregate is None:
        return Markup('<td class="num" data-order=""><span class="none">-</span></td>')
    return Markup('<td class="num" data-order="{}"><strong>{}</strong>{}{}</td>').format(
        ordered(row.aggregate),
        figure(row.aggregate),
        _limits(row.low, row.high),
        bar(scale, row.aggregate, row.low, row.high),
    )


def _limits(low: float | None, high: float | None) -> Markup:
    text = interval(low, high)
    return Markup("<small>{}</small>").format(text) if text else Markup("")


def _coverage(cell: Cell) -> Markup:
    if cell.kind == "published" or cell.coverage is None or cell.coverage >= 1:
        return Markup("")
    return Markup('<small class="caution">{}</small>').format(f"{min(cell.coverage, 0.9999):.2%} covered")


def _others(cell: Cell) -> Markup:
    """What other sources print for the same cell, where that is another figure."""
    other = [(source, figure(value)) for source, value in cell.others if figure(value) != figure(cell.value)]
    texts = [f"{printable(source)}: {value}" for source, value in other]
    return Markup("<small>{}</small>").format("; ".join(texts)) if texts else Markup("")
