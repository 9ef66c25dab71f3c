"""A table as people write it, read into cells of plain text: from CSV, TSV, Markdown or LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rmbench.errors import RmbenchError
from rmbench.exchange.claims.inputs import Document, read_document
from rmbench.exchange.claims.latex import latex_tables
from rmbench.exchange.claims.number import printed_number
from rmbench.untrusted.files import MIB, read_text

__all__ = ["SUFFIXES", "Grid", "read_grids"]

_LARGEST = 32 * MIB
_MOST_CELLS = 1_000_000
_LATEX = ".tex"
_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*")
_MARKUP = re.compile(r"<[^<>]{1,200}>|\*\*|__|`|~~|(?<!\\)\*(?=[^\s*])|(?<=[^\s*])\*(?!\*)")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of plain text."""

    place: str
    """File and line."""
    head: tuple[tuple[str, ...], ...]
    """Rows of headings, the outermost first; each as wide as the table."""
    body: tuple[tuple[str, ...], ...]


def read_grids(file: Path) -> tuple[list[Grid], tuple[str, ...]]:
    """The tables of a file, told by its suffix, and what could not be read, a sentence each.

    Raises:
        RmbenchError: another suffix, a file that cannot be read, or one that holds no table.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise RmbenchError(f"{file}: no table; expected a file that ends in {', '.join(SUFFIXES)}.")
    document = (
        read_document(file)
        if suffix == _LATEX
        else Document(((file, 1, read_text(file, _LARGEST).removeprefix("\ufeff")),))
    )
    grids = [grid for grid in SUFFIXES[suffix](document) if grid.body]
    if not grids:
        what = "no tabular in it, nor in what it inputs" if suffix == _LATEX else "no rows in it"
        raise RmbenchError(" ".join([f"{file}: {what}.", *document.notes]))
    if sum(len(row) for grid in grids for row in grid.body) > _MOST_CELLS:
        raise RmbenchError(f"{file}: more than {_MOST_CELLS:,} cells.")
    return grids, document.notes


def _separated(document: Document) -> list[Grid]:
    text, place = document.text, str(document.file)
    first = re.sub(r'"[^"]*"', "", text[:100_000]).partition("\n")[0]  # without what stands in quotes
    mark = max(",;\t", key=first.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=mark) if any(map(str.strip, row))]
    except csv.Error as error:
        raise RmbenchError(f"{place}: not CSV ({error}).") from error
    return [_grid(place, rows[:1], rows[1:])] if rows else []


def _markdown(document: Document) -> list[Grid]:
    """Tables of pipes: a line of headings, a line of hyphens, and the lines up to one without a pipe."""
    lines, grids = document.text.split("\n"), []
    for at in range(1, len(lines)):
        if "-" in lines[at] and "|" in lines[at - 1] and _RULE.fullmatch(lines[at][:10_000]):
            end = at + 1
            while end < len(lines) and "|" in lines[end]:
                end += 1
            cells = [_pipes(line) for line in (lines[at - 1], *lines[at + 1 : end])]
            grids.append(_grid(document.place(at), cells[:1], cells[1:]))
    return grids


def _pipes(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip())
    cells = cells[1:] if cells and not cells[0].strip() else cells
    cells = cells[:-1] if cells and not cells[-1].strip() else cells
    return [_MARKUP.sub("", _LINK.sub(r"\1", cell)).replace("\\", "").strip() for cell in cells]


def _latex(document: Document) -> list[Grid]:
    grids = []
    for place, rows in latex_tables(document.text, document.place):
        # Headings end where numbers begin.
        start = next((k for k, row in enumerate(rows) if _has_numbers(row)), len(rows))
        grids.append(_grid(place, rows[:start], rows[start:]))
    return grids


def _has_numbers(row: Sequence[str]) -> bool:
    return any(printed_number(cell) is not None for cell in row[1:])


def _grid(place: str, head: Sequence[Sequence[str]], body: Sequence[Sequence[str]]) -> Grid:
    """All rows as wide as the widest."""
    width = max((len(row) for row in (*head, *body)), default=0)

    def filled(rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(" ".join(cell.split()) for cell in (*row, *[""] * (width - len(row)))) for row in rows)

    return Grid(place, filled(head), filled(body))


SUFFIXES: dict[str, Callable[[Document], list[Grid]]] = {
    ".csv": _separated,
    ".tsv": _separated,
    ".md": _markdown,
    _LATEX: _latex,
}
"""End of a file's name -> how it is read."""
