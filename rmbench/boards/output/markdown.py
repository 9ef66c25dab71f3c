"""A board's table as GitHub Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rmbench.boards.output.grid import NUMBER, Entry, Grid
from rmbench.text import markdown_text

__all__ = ["markdown"]


def markdown(grid: Grid) -> str:
    """The title, the table, and a line per note; names are escaped, so that each stays text in its cell."""
    heads = ["<br>".join(markdown_text(text) for text in head.lines if text) for head in grid.heads]
    lines = [f"**{markdown_text(grid.title)}**", "", _line(heads)]
    lines.append(_line(["---:" if head.number else "---" for head in grid.heads]))
    lines += [_line([_entry(entry) for entry in line]) for line in grid.lines]
    notes = [markdown_text(note, longest=2_000) for note in (grid.rule, *grid.notes)]
    return "\n".join([*lines, "", "  \n".join(notes)]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _entry(entry: Entry) -> str:
    text = entry.text if NUMBER.fullmatch(entry.text) else markdown_text(entry.text)
    text = f"**{text}**" if entry.bold else text
    half = f" ± {entry.half}" if entry.half else ""
    signs = f"<sup>{markdown_text(' '.join(entry.marks))}</sup>" if entry.marks else ""
    return text + half + signs
