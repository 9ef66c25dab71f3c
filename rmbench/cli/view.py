"""`rmbench view`: the rows of a record, to look at."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from rmbench.cli.options import add_options

__all__ = ["view"]

_File = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Look at a record's rows with their texts.")
@click.argument("record", metavar="RECORD", type=click.Path(path_type=Path, exists=True))
@click.option("--wrong", is_flag=True, help="Only rows without full credit: wrong, tied, unparsed or failed.")
@click.option(
    "--flipped",
    metavar="OTHER",
    type=click.Path(path_type=Path, exists=True),
    help="Only rows on which another model's record has other credit, with both models' scores.",
)
@click.option("--group", metavar="NAME=VALUE", help="Only rows of these groups or tags; a glob such as domain=*.")
@click.option("--worst", metavar="N", type=click.IntRange(min=1), help="Only the N rows furthest from what people say.")
@click.option("--id", "ids", multiple=True, metavar="ID", help="Only this row, whole; may be repeated.")
@add_options("view")
@click.option("--text", is_flag=True, help="Print the rows in place of opening a page.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Rows that --text prints.")
@click.option("--csv", "csv_file", type=_File, help="Write a CSV in place of opening a page.")
@click.option("--jsonl", "jsonl_file", type=_File, help="Write JSON Lines in place of opening a page.")
@click.option("--sheet", type=_File, help="Write a contact sheet of images or clips in place of opening a page.")
@click.option("--out", type=_File, help="Where to write the page. [default: a temporary folder]")
@click.option("--no-open", is_flag=True, help="Write the page and print its path, without opening a browser.")
def view(
    record: Path,
    text: bool,
    limit: int,
    csv_file: Path | None,
    jsonl_file: Path | None,
    sheet: Path | None,
    out: Path | None,
    no_open: bool,
    **selection: Any,
) -> None:
    """Look at the rows of a record: texts, labels, scores, margins, verdicts and rationales side by side.

    Opens a page in the browser, a file that makes no request. Texts come from the task's source, for records hold none.
    """
    from rmbench.cli.output import echo, echo_error, print_rich
    from rmbench.records.files import write_file
    from rmbench.view import view as view_rows
    from rmbench.view.terminal import Lines

    shown = view_rows(record, **selection)
    if text:
        print_rich(Lines(shown, limit))
    elif shown.note:
        echo_error(shown.note)
    files = [(csv_file, shown.to_csv), (jsonl_file, shown.to_jsonl), (sheet, shown.to_sheet)]
    if out is not None or not (text or csv_file or jsonl_file or sheet):
        out = out or _temporary(shown.file_name)
        files.append((out, shown.to_html))
    for path, made in files:
        if path is not None:
            write_file(path, made())
            echo(str(path))
    if out is not None and not no_open and _has_browser():
        import webbrowser

        webbrowser.open(out.resolve().as_uri())


def _temporary(name: str) -> Path:
    """A file in a new folder that only this user can read; the page has to outlive the command."""
    import tempfile

    return Path(tempfile.mkdtemp(prefix="rmbench-view-")) / name


def _has_browser() -> bool:
    """Whether a person sits in front of a screen: elsewhere `webbrowser` would start a browser in the terminal."""
    variables = ("DISPLAY", "WAYLAND_DISPLAY") if sys.platform.startswith("linux") else ()
    return sys.stdout.isatty() and (not variables or any(map(os.environ.get, variables)))
