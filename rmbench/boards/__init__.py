"""Rankings of records: `boards()` lists the declared boards, `show` prints one, `build` writes them as a site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmbench.boards.declaration import Board
    from rmbench.boards.library import Library
    from rmbench.boards.output import Format
    from rmbench.boards.table import BoardTable
    from rmbench.boards.terminal import BoardView
    from rmbench.engine.interfaces import Progress

__all__ = ["boards", "build", "export", "load_board", "show", "tabulate"]


def boards(folder: Path | str | None = None) -> Mapping[str, Board]:
    """Id -> declared board, sorted by id; from the package's `leaderboards/`, or from another folder."""
    from rmbench.boards.declaration import boards as load_boards

    return load_boards(None if folder is None else Path(folder))


def load_board(path: Path | str) -> Board:
    """The board that one TOML declares; an RmbenchError names the file and key of a mistake."""
    from rmbench.boards.declaration import load_board as load

    return load(Path(path))


def tabulate(
    board_id: str | Path, root: Path | str, *, allow: Sequence[str] = (), progress: Progress | None = None
) -> BoardTable:
    """The records under `root` as one board's table, as plain data.

    Args:
        board_id: the id of a declared board, or the path of a board's TOML.
        root: folder of records, searched recursively.
        allow: flags to admit besides the board's own (`sample`, `fake`, `demo`, `baseline`, `partial`, `limited`).
        progress: is told of what takes long.

    Raises:
        RmbenchError: no such board, unknown flag, no folder, or no record in it.
    """
    (table,), _ = _tables([board_id], Path(root), allow, progress)
    return table


def _tables(
    board_ids: Sequence[str | Path], root: Path, allow: Sequence[str], progress: Progress | None
) -> tuple[list[BoardTable], Library]:
    """The boards' tables, and the records, which are read once for all of them."""
    from rmbench.boards.declaration import check_flags
    from rmbench.boards.library import Library
    from rmbench.boards.table import tabulate as fill_table

    found = [_declared(board_id) for board_id in board_ids]
    flags, library = check_flags(tuple(allow)), Library(root, progress)
    return [fill_table(board, root, allow=flags, library=library) for board in found], library


def _declared(board_id: str | Path) -> Board:
    """A board by its id, or by the path of its TOML."""
    from rmbench.errors import RmbenchError, did_you_mean

    if isinstance(board_id, Path) or board_id.endswith(".toml"):
        return load_board(Path(board_id))
    declared = boards()
    if board_id not in declared:
        near = did_you_mean(board_id, declared)
        raise RmbenchError(f'There is no board "{board_id}". Known: {", ".join(declared)}.{near}')
    return declared[board_id]


def show(
    board_id: str | Path,
    root: Path | str,
    *,
    allow: Sequence[str] = (),
    sort: str = "place",
    progress: Progress | None = None,
) -> BoardView:
    """A board for `rich.print`; `to_dict()` gives plain data. Arguments and errors as in `tabulate`.

    Args:
        board_id: as there.
        root: as there.
        allow: as there.
        sort: "place", "model", "parameters", "date", or the name of a column, the best first.
        progress: as there.
    """
    from rmbench.boards.sorting import sorted_rows
    from rmbench.boards.terminal import BoardView

    table = tabulate(board_id, root, allow=allow, progress=progress)
    sorted_rows(table, sort)  # refuses what it cannot sort by
    return BoardView(table, sort)


def export(
    board_id: str | Path, root: Path | str, to: Format, *, allow: Sequence[str] = (), sort: str = "place"
) -> bytes:
    """A board as a file: Markdown ("md"), LaTeX for booktabs ("latex"), "csv", "json", or a figure as "svg", "png" or
    "pdf".

    Markdown and LaTeX hold values with half the width of their intervals, and in bold the best of each column with what
    a paired test does not tell from it. Other arguments as in `show`.

    Raises:
        RmbenchError: as `show`; there is nothing to draw, or the extra `board` is not installed.
    """
    from rmbench.boards.output import exported
    from rmbench.boards.sorting import sorted_rows

    table = tabulate(board_id, root, allow=allow)
    return exported(table, sorted_rows(table, sort), to)


def build(
    board_ids: str | Path | Sequence[str | Path] | None,
    root: Path | str,
    out: Path | str,
    *,
    allow: Sequence[str] = (),
    reports: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write boards as a static site that needs no server: an index, and a page per board, model, task, record and pair
    of models that stand near each other.

    Args:
        board_ids: ids of declared boards or paths of TOMLs, one or several; None: every declared board.
        root: folder of records, searched recursively.
        out: folder of the site; what is in it already stays, unless a page of the site has its name.
        allow: as in `tabulate`.
        reports: put each measured record's report (`rmbench.reports`) on its page, which takes seconds for each.
        progress: as in `tabulate`.

    Returns:
        The page to open first: the board's where there is one, else the site's index.

    Raises:
        RmbenchError: as `tabulate`; the folder cannot be written, or the extra `board` is not installed.
    """
    from rmbench.boards.site.build import build_site

    one = isinstance(board_ids, str | Path)
    ids = [board_ids] if isinstance(board_ids, str | Path) else list(boards()) if board_ids is None else list(board_ids)
    tables, library = _tables(ids, Path(root), allow, progress)
    index = build_site(tables, Path(out), library, reports=reports)
    return Path(out) / tables[0].board.id / index.name if one else index
