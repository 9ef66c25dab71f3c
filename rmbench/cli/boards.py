"""`rmbench board`: records as a ranking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rmbench.cli.options import json_option

FORMATS = ("md", "latex", "csv", "json", "svg", "png", "pdf")
TEXTS = FORMATS[:4]

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
_sort = click.option(
    "--sort", default="place", show_default=True, metavar="COLUMN", help="place, model, parameters, date, or a column."
)


@click.group()
def board() -> None:
    """Rank the models whose records lie in a results folder."""


@board.command("show")
@click.argument("board_id", metavar="[ID]", required=False)
@_results
@_allow
@_sort
@json_option
def show_board(board_id: str | None, results: Path, allow: tuple[str, ...], sort: str, as_json: bool) -> None:
    """Print a board; without ID, list the boards."""
    from rmbench.boards import boards, show
    from rmbench.cli.output import echo, echo_json, error_console, print_rich
    from rmbench.evaluation.progress import progress_for

    if board_id is None:
        declared = boards().values()
        if as_json:
            echo_json([{"id": one.id, "title": one.title} for one in declared])
        for one in declared if not as_json else ():
            echo(f"{one.id}  {one.title}")
        return
    with progress_for(error_console()) as progress:
        shown = show(board_id, results, allow=allow, sort=sort, progress=progress)
    if as_json:
        echo_json(shown.to_dict())
    else:
        print_rich(shown)


@board.command("export")
@click.argument("board_id", metavar="ID")
@_results
@_allow
@_sort
@click.option(
    "--to", type=click.Choice(FORMATS), required=True, help="md, csv and json are text; latex needs booktabs."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A file. [default: stdout, for texts]")
def export_board(board_id: str, results: Path, allow: tuple[str, ...], sort: str, to: Any, out: Path | None) -> None:
    """Write a board's table as Markdown, LaTeX, CSV or JSON, or draw it as SVG, PNG or PDF.

    In Markdown and LaTeX the best of a column is bold, with what a paired test does not tell from it.
    """
    from rmbench.boards import export
    from rmbench.cli.output import echo, echo_block
    from rmbench.errors import RmbenchError
    from rmbench.records.files import write_file

    if out is None and to not in TEXTS:
        raise RmbenchError(f"A {to} is no text to print: name its file by --out.")
    made = export(board_id, results, to, allow=allow, sort=sort)
    if out is None:
        echo_block(made.decode())
        return
    write_file(out, made)
    echo(str(out))


@board.command("build")
@click.argument("board_ids", metavar="[ID]...", nargs=-1)
@_results
@_allow
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("site"), show_default=True)
@click.option("--reports", is_flag=True, help="Put the report of each record on its page; takes seconds for each.")
def build_board(board_ids: tuple[str, ...], results: Path, allow: tuple[str, ...], out: Path, reports: bool) -> None:
    """Write boards (without ID, every board) as a static site: open its index.html, or put the folder on any host."""
    from rmbench.boards import build
    from rmbench.cli.output import echo, error_console
    from rmbench.evaluation.progress import progress_for

    ids = board_ids[0] if len(board_ids) == 1 else board_ids or None
    with progress_for(error_console()) as progress:
        index = build(ids, results, out, allow=allow, reports=reports, progress=progress)
    echo(str(index))
