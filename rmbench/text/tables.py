"""Lines and tables for terminals: text of others is printable, and never markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rmbench.text.printable import LONGEST, LONGEST_LINE, guarded, printable, printable_block

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

__all__ = ["ColumnLayout", "block", "line", "paragraph", "text_table", "wrapped"]

ColumnLayout = Literal["left", "right", "fold"] | int
"""One line flushed left or right, which is never cut; several lines where the text is long; or several lines of so many
characters."""


def line(text: str, style: str = "", longest: int = LONGEST_LINE) -> Text:
    """One line of a terminal: `text` as `printable` gives it, in a style of rich, and never markup."""
    from rich.text import Text

    return Text(printable(text, longest), style=style)


def block(text: str, style: str = "") -> Text:
    """Several lines of a terminal: `text` as `printable_block` gives it, in a style of rich, and never markup. Tabs are
    spaces, and lines may end as on Windows."""
    from rich.text import Text

    return Text(printable_block(text.replace("\r\n", "\n").expandtabs(4)), style=style)


def wrapped(text: str, width: int, style: str = "", indent: int = 0) -> Text:
    """`text` as `printable` gives it, on lines of at most `width` characters, those after the first indented.

    A line ends after a word; where a word is longer than a line, after a "/" in it, or else after another of its
    joints; and inside a part of a word only where that part alone is too long.

    >>> wrapped("org/model-name by org/other", 12).plain.split(chr(10))
    ['org/', 'model-name', 'by org/other']
    """
    from rich.cells import cell_len
    from rich.text import Text

    lines, now, width = [], "", max(width, _NARROWEST)
    for word in printable(text, LONGEST_LINE).split(" "):
        for place, piece in enumerate(_pieces(word, width - indent)):
            joined = f"{now} {piece}" if now.strip() and place == 0 else now + piece
            if now.strip() and cell_len(joined) > width:
                lines.append(now)
                joined = " " * indent + piece
            while cell_len(joined) > width:
                lines.append(joined[:width])
                joined = " " * indent + joined[width:]
            now = joined
    return Text(guarded("\n".join([*lines, now])), style=style)


_JOINTS = (re.compile(r"(?<=/)"), re.compile(r"(?<=[-_@=:,+|&])"))
_NARROWEST = 8
"""Characters of a line, however narrow the terminal."""
_UNBROKEN = 40
"""A part of a word that is longer may be broken inside."""


def _pieces(word: str, width: int, joints: Sequence[re.Pattern[str]] = _JOINTS) -> list[str]:
    if len(word) <= width or not joints:
        return [word]
    return [piece for part in joints[0].split(word) if part for piece in _pieces(part, width, joints[1:])]


def _narrowest(text: Text) -> int:
    """The width that its longest part needs."""
    pieces = (piece for word in text.plain.split() for piece in _pieces(word, 0))
    return min(_UNBROKEN, max(map(len, pieces), default=1))


@dataclass(frozen=True, slots=True)
class _Wrapped:
    """A text that is wrapped to the width there is."""

    text: Text
    indent: int = 0

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement

        return Measurement(_narrowest(self.text), max(1, self.text.cell_len))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if "\n" in self.text.plain:
            yield self.text  # it has lines already
        else:
            yield wrapped(self.text.plain, options.max_width, str(self.text.style), self.indent)


def paragraph(text: str, style: str = "") -> RenderableType:
    """As `line`, broken between words where it is longer than the terminal is wide, and indented from there on."""
    return _Wrapped(line(text, style), indent=2)


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
        title=line(title, longest=LONGEST) if title else None,
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, gap, 0, 0),
    )
    shown = [[line(cell, longest=LONGEST) if isinstance(cell, str) else cell for cell in row] for row in rows]
    for place, (header, layout) in enumerate(columns):
        whole = layout in ("left", "right")
        lines = [line(part, longest=LONGEST) for part in header.split("\n")]
        texts = [*lines, *(row[place] for row in shown)]
        table.add_column(
            Text("\n").join(lines),
            justify="right" if layout == "right" else "left",
            no_wrap=whole,
            overflow="fold",
            width=max(layout, _widest(texts)) if isinstance(layout, int) else None,
            min_width=max(part.cell_len for text in texts for part in text.split("\n")) if whole else _widest(texts),
        )
    for row in shown:
        cells = zip(row, columns, strict=True)
        table.add_row(*(cell if layout in ("left", "right") else _Wrapped(cell) for cell, (_, layout) in cells))
    return table


def _widest(texts: Iterable[Text]) -> int:
    return max(map(_narrowest, texts))
