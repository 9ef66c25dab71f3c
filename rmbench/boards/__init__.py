"""Rankings of records: `boards()` lists the declared boards, `show` prints one, `build` writes it as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmbench.boards.declaration import Board
    from rmbench.boards.table import BoardTable
    from rmbench.boards.terminal import BoardView

__all__ = ["boards", "build", "load_board", "show", "tabulate"]


def boards(folder: Path | str | None = None) -> Mapping[str, Board]:
    """Id -> declared board, sorted by id; from the package's `leaderboards/`, or from another folder."""
    from rmbench.boards.declaration import boards as load_boards

    return load_boards(None if folder is None else Path(folder))


def load_board(path: Path | str) -> Board:
    """The board that one TOML declares; an RmbenchError names the file and key of a mistake."""
    from rmbench.boards.declaration import load_board as load

    return load(Path(path))


def tabulate(board_id: str | Path, root: Path | str, *, allow: Sequence[str] = ()) -> BoardTable:
    """The records under `root` as one board's table, as plain data.

    Args:
        board_id: the id of a declared board, or the path of a board's TOML.
        root: folder of records, searched recursively.
        allow: flags to admit besides the board's own (`sample`, `fake`, `demo`, `baseline`, `partial`, `limited`).

    Raises:
        RmbenchError: no such board, unknown flag, no folder, or no record in it.
    """
    from rmbench.boards.declaration import check_flags
    from rmbench.boards.table import tabulate as fill_table
    from rmbench.errors import RmbenchError, did_you_mean

    if isinstance(board_id, Path) or board_id.endswith(".toml"):
        board = load_board(Path(board_id))
    else:
        declared = boards()
        if board_id not in declared:
            near = did_you_mean(board_id, declared)
            raise RmbenchError(f'There is no board "{board_id}". Known: {", ".join(declared)}.{near}')
        board = declared[board_id]
    return fill_table(board, Path(root), allow=check_flags(tuple(allow)))


def show(board_id: str | Path, root: Path | str, *, allow: Sequence[str] = ()) -> BoardView:
    """A board for `rich.print`; arguments and errors as in `tabulate`."""
    from rmbench.boards.terminal import BoardView

    return BoardView(tabulate(board_id, root, allow=allow))


def build(board_id: str | Path, root: Path | str, out: Path | str, *, allow: Sequence[str] = ()) -> Path:
    """Write a board as one self-contained page, `<out>/<board>/index.html`, and copies of the records it links to.

    Returns the page's path; arguments and errors as in `tabulate`.
    """
    from rmbench.boards.site.page import write

    return write(tabulate(board_id, root, allow=allow), Path(out))
