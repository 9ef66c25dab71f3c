"""`rmbench board`: records as a ranking."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["board"]

_results = click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
)
_allow = click.option(
    "--allow", multiple=True, metavar="FLAG", help="Take records with this flag too (sample, fake, demo, partial ...)."
)


@click.group()
def board() -> None:
    """Rank the models whose records lie in a results folder."""


@board.command("show")
@click.argument("board_id", metavar="[ID]", required=False)
@_results
@_allow
def show_board(board_id: str | None, results: Path, allow: tuple[str, ...]) -> None:
    """Print a board; without ID, list the boards."""
    from rmbench.boards import boards, show
    from rmbench.cli.output import echo, print_rich

    if board_id is None:
        for declared in boards().values():
            echo(f"{declared.id}  {declared.title}")
        return
    print_rich(show(board_id, results, allow=allow))


@board.command("build")
@click.argument("board_ids", metavar="[ID]...", nargs=-1)
@_results
@_allow
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("site"), show_default=True)
@click.option("--reports", is_flag=True, help="Put the report of each record on its page; takes seconds for each.")
def build_board(board_ids: tuple[str, ...], results: Path, allow: tuple[str, ...], out: Path, reports: bool) -> None:
    """Write boards (without ID, every board) as a static site: open its index.html, or put the folder on any host."""
    from rmbench.boards import build
    from rmbench.cli.output import echo

    ids = board_ids[0] if len(board_ids) == 1 else board_ids or None
    echo(str(build(ids, results, out, allow=allow, reports=reports)))
