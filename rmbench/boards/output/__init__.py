"""A board's table in forms that papers and pages take over: Markdown, LaTeX, CSV, JSON, and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from rmbench.boards.rows import Row
from rmbench.boards.table import BoardTable

__all__ = ["FORMATS", "TEXTS", "Format", "exported"]

Format = Literal["md", "latex", "csv", "json", "svg", "png", "pdf"]
FORMATS: tuple[Format, ...] = get_args(Format)
TEXTS: tuple[Format, ...] = ("md", "latex", "csv", "json")


def exported(table: BoardTable, rows: Sequence[Row], to: Format) -> bytes:
    """The bytes of a file.

    Args:
        table: the board.
        rows: all its rows, in the order wanted.
        to: "md" and "latex" hold the columns that stand for themselves, with half the width of each interval, the best
            of a column in bold with what a paired test does not tell from it; "csv" a line per value, "json" all that
            is known; "svg", "png" and "pdf" a figure.

    Raises:
        RmbenchError: a figure is wanted, and there is nothing to draw, or the extra `board` is not installed.
    """
    if to == "md" or to == "latex":
        from rmbench.boards.output.grid import grid_of
        from rmbench.boards.output.latex import latex
        from rmbench.boards.output.markdown import markdown

        grid = grid_of(table, rows)
        return (markdown(grid) if to == "md" else latex(grid)).encode()
    if to == "csv":
        from rmbench.boards.output.plain import flat, plain
        from rmbench.text import csv_text, printable

        lines = flat(plain(table, rows))
        names = list(lines[0]) if lines else []
        cells = (
            [printable(each, 2_000) if isinstance(each, str) else each for each in line.values()] for line in lines
        )
        return csv_text([names, *cells]).encode()
    if to == "json":
        from rmbench.boards.output.plain import plain
        from rmbench.text import json_text

        return f"{json_text(plain(table, rows))}\n".encode()
    from rmbench.boards.output.figure import figure_of

    return figure_of(table, rows, to)
