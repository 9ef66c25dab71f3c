"""Text of others in files that are read by other programs: spreadsheets, Markdown, LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from rmbench.text.printable import LONGEST, printable, printable_block

__all__ = ["csv_text", "latex_text", "markdown_text"]

_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\n\r]")
_MARKED = re.compile(r"([\\`*_\[\]#|~$])")
_LIST = re.compile(r"^([-+]|[0-9]+(?=[.)]))")
_MENTION = re.compile(r"(?<![A-Za-z0-9_])@|(?<=:)//")
_BREAK = "&#8203;"
"""A zero-width space: after "@", or inside "://", it keeps services from creating a mention or a link."""
_LATEX = {
    **{char: f"\\{char}" for char in "{}$&#_%"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}
"""Characters that LaTeX would act upon, join to others, or take for an argument where a line of a table begins."""


def markdown_text(text: str, *, block: bool = False, longest: int = LONGEST) -> str:
    r"""Text that Markdown, its tables and its HTML take as text, in one line, without mentions and bare links.

    Args:
        text: of others.
        block: it stands inside an HTML block, where Markdown reads no backslash.
        longest: characters that are kept.

    >>> print(markdown_text("a|b <c> [x](y)"), markdown_text("- @all"), markdown_text("rm-bench@1"))
    a\|b &lt;c&gt; \[x\](y) \- @&#8203;all rm-bench@1
    """
    plain = printable(text, longest).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if not block:
        plain = _LIST.sub(lambda match: _item(match[0]), _MARKED.sub(r"\\\1", plain))
    return _MENTION.sub(lambda match: match[0][0] + _BREAK + match[0][1:], plain)


def _item(start: str) -> str:
    """The marker of a list item, as text."""
    return f"\\{start}" if start in "-+" else f"{start}\\"


def latex_text(text: str, *, longest: int = LONGEST) -> str:
    r"""Text that LaTeX takes as text, in one line.

    >>> print(latex_text(r"50% of $x_1$ & \input{y}"))
    50\% of \$x\_1\$ \& \textbackslash{}input\{y\}
    """
    return "".join(_LATEX.get(char, char) for char in printable(text, longest)).replace("--", "-{}-")


def csv_text(rows: Iterable[Sequence[str | float | None]]) -> str:
    r"""Rows as CSV that is safe to open in a spreadsheet: a text that would be a formula there begins with an
    apostrophe, numbers are numbers, and characters that do not show (but tabs and line breaks) are escapes.

    >>> print(csv_text([["=1+1", -1.5, None]]), end="")
    '=1+1,-1.5,
    """
    target = io.StringIO()
    csv.writer(target, lineterminator="\n").writerows([_csv_cell(cell) for cell in row] for row in rows)
    return target.getvalue()


def _csv_cell(cell: str | float | None) -> str | float | None:
    if not isinstance(cell, str):
        return cell
    lines = ("\t".join(printable_block(part) for part in line.split("\t")) for line in cell.split("\n"))
    safe = "\n".join(lines)
    return f"'{safe}" if _FORMULA.match(safe) else safe
