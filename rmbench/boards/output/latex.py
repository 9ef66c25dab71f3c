"""A board's table as LaTeX, for the package booktabs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rmbench.boards.output.grid import Entry, Grid
from rmbench.text import latex_text

__all__ = ["latex"]


def latex(grid: Grid) -> str:
    """A floating table with caption and label; names are escaped, so that each is printed as it is."""
    return "\n".join(_lines(grid)) + "\n"


def _lines(grid: Grid) -> Iterator[str]:
    yield "% \\usepackage{booktabs}"
    yield "\\begin{table}[t]"
    yield "  \\centering"
    yield f"  \\caption{{{latex_text(grid.title)}. {_note(grid.rule)}}}"
    yield f"  \\label{{tab:{grid.id}}}"
    yield f"  \\begin{{tabular}}{{{''.join('r' if head.number else 'l' for head in grid.heads)}}}"
    yield "    \\toprule"
    for k in range(max(len(head.lines) for head in grid.heads)):
        yield _line([latex_text(head.lines[k]) if k < len(head.lines) else "" for head in grid.heads])
    yield "    \\midrule"
    yield from (_line([_entry(entry) for entry in line]) for line in grid.lines)
    yield "    \\bottomrule"
    yield "  \\end{tabular}"
    yield from (f"  \\par\\footnotesize {_note(note)}" for note in grid.notes)
    yield "\\end{table}"


def _note(text: str) -> str:
    return latex_text(text, longest=2_000).replace("±", "$\\pm$")


def _line(cells: Sequence[str]) -> str:
    return f"    {' & '.join(cells)} \\\\"


def _entry(entry: Entry) -> str:
    text = latex_text(entry.text)
    text = f"\\textbf{{{text}}}" if entry.bold else text
    half = f" $\\pm$ {entry.half}" if entry.half else ""
    signs = f"\\textsuperscript{{{latex_text(' '.join(entry.marks))}}}" if entry.marks else ""
    return text + half + signs
