"""Text for terminals, pages and files: numbers, footnote letters, plain tables, and text of others made printable, with
the secrets hidden that this process knows."""

from __future__ import annotations

import csv
import io
import json
import re
import string
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rmbench.untrusted.masking import mask, masked

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

__all__ = [
    "ColumnLayout",
    "block",
    "csv_text",
    "figure",
    "file_size",
    "guarded",
    "is_unicode",
    "json_text",
    "letters_of",
    "line",
    "printable",
    "printable_block",
    "printable_message",
    "share",
    "text_table",
    "wrapped",
]

ColumnLayout = Literal["left", "right", "fold"] | int
"""One line flushed left or right, which is never cut; several lines where the text is long; or several lines of so many
characters."""

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_LONGEST = 200
_LONGEST_LINE = 2_000
_MOST_LINES = 100
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\n\r]")
_NARROWEST = 8
"""Characters of a line, however narrow the terminal."""
_COMMAND_LINE = re.compile(r"^(\s*)(?=::)", re.MULTILINE)
_COMMAND_WORD = re.compile(r"##(?=\w*\[)")
"""How commands to the runners of GitHub and Azure begin: a line with "::", and "##[" or "##vso[" anywhere."""


def share(value: float | None) -> str:
    """A fraction in whole percent, 100% only where it is all; a hyphen where it is unknown.

    >>> share(0.5), share(0.9996), share(1.0), share(None)
    ('50%', '99%', '100%', '-')
    """
    if value is None:
        return "-"
    return f"{value if value >= 1 else min(value, 0.99):.0%}"


def printable(text: str, longest: int = _LONGEST) -> str:
    """`text` without control characters, bidi overrides, zero-width characters and lone surrogates; white space of any
    kind is one space. At most `longest` characters, and no command to a runner of workflows.

    >>> printable("org/name" + chr(27) + "[31m" + chr(10) + "x")
    'org/name[31m x'
    """
    spaced = re.sub(r"\s+", " ", mask(text))
    seen = "".join(char for char in spaced if unicodedata.category(char) not in _UNSEEN).strip()
    return guarded(seen if len(seen) <= longest else seen[: longest - 1] + "…")


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8: it holds no lone surrogate, of which JSON may spell one.

    >>> is_unicode("é"), is_unicode(chr(0xD800))
    (True, False)
    """
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def guarded(text: str) -> str:
    r"""Lines that the runners of GitHub's and Azure's workflows, which read what a step prints, take as text.

    >>> print(guarded("::error::x"), guarded("  ::add-mask::x"), guarded("a ##[error]x ##vso[x]"), guarded("std::x"))
    \::error::x   \::add-mask::x a #\#[error]x #\#vso[x] std::x
    """
    return _COMMAND_WORD.sub(r"#\\#", _COMMAND_LINE.sub(r"\1\\", text))


def json_text(data: Any) -> str:
    r"""Plain data as indented JSON that is safe to print: what `printable` leaves out is escaped, as are commands to
    the runners of workflows. NaN is refused, because it is not JSON.

    >>> print(json_text({"é": chr(0x202E) + chr(0x9B)}))
    {
      "é": "\u202e\u009b"
    }
    """
    text = json.dumps(masked(data), indent=2, ensure_ascii=False, allow_nan=False)
    seen = "".join(
        char if char == "\n" or unicodedata.category(char) not in _UNSEEN else json.dumps(char)[1:-1] for char in text
    )
    return _COMMAND_WORD.sub(r"#\\u0023", seen)


def printable_block(text: str) -> str:
    r"""`text` of several lines, its white space as it is; control characters, bidi overrides, zero-width characters and
    lone surrogates as escapes.

    >>> printable_block("a" + chr(27) + "[31m" + chr(10) + "  b")
    'a\\x1b[31m\n  b'
    """
    return "".join(
        char if char == "\n" or unicodedata.category(char) not in _UNSEEN else _escape(char) for char in mask(text)
    )


def printable_message(text: str) -> str:
    r"""A message of one or several lines, each of them printable. Lines after the first are indented, so that a line
    break in a name of others begins no line that looks like ours. At most 100 lines of 2,000 characters.

    >>> printable_message("no task could be run:\n  a: absent" + chr(13) + chr(27) + "[2J")
    'no task could be run:\n  a: absent [2J'
    """
    first, *others = mask(text).strip("\n").split("\n")
    left_out = len(others) - _MOST_LINES
    shown = [first, *others[:_MOST_LINES], *([f"and {left_out:,} more lines"] if left_out > 0 else [])]
    return "\n  ".join(printable(each, _LONGEST_LINE) for each in shown)


def _escape(char: str) -> str:
    return {"\t": "\\t", "\r": "\\r"}.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}")


def figure(value: float | None, digits: int = 3) -> str:
    """A fraction or correlation without its leading zero; a hyphen where there is none.

    >>> figure(0.6124), figure(-0.03), figure(1.0), figure(None)
    ('.612', '-.030', '1.000', '-')
    """
    if value is None:
        return "-"
    text = f"{value:.{digits}f}"
    sign, plain = ("-", text[1:]) if text.startswith("-") else ("", text)
    if not plain.strip("0."):
        sign = ""
    return sign + (plain[1:] if plain.startswith("0.") else plain)


def line(text: str, style: str = "", longest: int = _LONGEST_LINE) -> Text:
    """One line of a terminal: `text` as `printable` gives it, in a style of rich, and never markup."""
    from rich.text import Text

    return Text(printable(text, longest), style=style)


def block(text: str, style: str = "") -> Text:
    """Several lines of a terminal: `text` as `printable_block` gives it, in a style of rich, and never markup. Tabs are
    spaces, and lines may end as on Windows."""
    from rich.text import Text

    return Text(printable_block(text.replace("\r\n", "\n").expandtabs(4)), style=style)


def wrapped(text: str, width: int, style: str = "") -> Text:
    """`text` as `printable` gives it, on lines of at most `width` characters, in a style of rich. Where it can, a line
    ends after a space or one of "/@_-,=".

    >>> wrapped("org/model-name@0123abcd", 12).plain.split(chr(10))
    ['org/model-', 'name@', '0123abcd']
    """
    lines, width = [""], max(width, _NARROWEST)
    for piece in re.findall(r"[^\s/@_,=-]*[\s/@_,=-]?", printable(text, _LONGEST_LINE)):
        while len(piece.rstrip()) > width:
            room = width - len(lines[-1])
            lines[-1] += piece[:room]
            lines.append("")
            piece = piece[room:]
        if len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    whole = line(lines[0])
    for each in lines[1:]:
        whole.append("\n").append_text(line(each))
    whole.stylize(style)
    return whole


def file_size(size: float) -> str:
    """A number of bytes with its unit.

    >>> file_size(512), file_size(3 * 2**20)
    ('512 B', '3.0 MiB')
    """
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"


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


def letters_of(names: Iterable[str]) -> dict[str, str]:
    """Name -> letter, in their order: a to z, then z1, z2 ...

    >>> letters_of(["failed_rows", "sample"])
    {'failed_rows': 'a', 'sample': 'b'}
    """
    names = list(names)
    letters = [*string.ascii_lowercase, *(f"z{k}" for k in range(1, len(names)))]
    return dict(zip(names, letters, strict=False))


def text_table(
    columns: Sequence[tuple[str, ColumnLayout]],
    rows: Iterable[Sequence[str | Text]],
    *,
    title: str = "",
    gap: int = 1,
) -> Table:
    """A table without lines, for `rich.print`. Headers and cells are printable text, never markup.

    Args:
        columns: header and layout of each; a header may have several lines.
        rows: a cell per column; a `line` where it has a style.
        title: a line above.
        gap: spaces between columns.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=line(title, longest=_LONGEST) if title else None,
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, gap, 0, 0),
    )
    shown = [[line(cell, longest=_LONGEST) if isinstance(cell, str) else cell for cell in row] for row in rows]
    for place, (header, layout) in enumerate(columns):
        whole = layout in ("left", "right")
        lines = [line(part, longest=_LONGEST) for part in header.split("\n")]
        texts = [*lines, *(row[place] for row in shown)]
        table.add_column(
            Text("\n").join(lines),
            justify="right" if layout == "right" else "left",
            no_wrap=whole,
            overflow="fold",
            width=layout if isinstance(layout, int) else None,
            min_width=max(part.cell_len for text in texts for part in text.split("\n")) if whole else None,
        )
    for row in shown:
        table.add_row(*row)
    return table
