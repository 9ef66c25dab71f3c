"""Printing: results on stdout, everything else on stderr."""

from __future__ import annotations

import codecs
import json
import re
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from rmbench.cli.words import usage_hint
from rmbench.text import guarded, json_text, printable, printable_block, printable_message

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from rmbench.evaluation.results import Results

__all__ = [
    "echo",
    "echo_block",
    "echo_error",
    "echo_json",
    "echo_usage_error",
    "error_console",
    "exit_on_failed_rows",
    "print_rich",
]

_LONGEST = 10_000
"""Characters of a printed line."""


def echo_json(data: Any) -> None:
    """One JSON document on stdout; NaN is refused, because it is not JSON."""
    click.echo(_encodable(json_text(data)))


def echo(text: str = "") -> None:
    """A line on stdout, of which no name of others makes two."""
    echo_block(re.sub(r"[^\S ]", " ", text))


def echo_block(text: str) -> None:
    """The text of a file or a report on stdout, with its own lines."""
    lines = printable_block(text.removesuffix("\n")).split("\n")
    text = guarded("\n".join(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…" for line in lines))
    click.echo(_encodable(text))


def _encodable(text: str) -> str:
    r"""What stdout cannot write, as on a Windows console of one code page, as JSON's escapes: `\u6a21`."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    if codecs.lookup(encoding).name in ("ascii", "utf-8"):  # click writes UTF-8 where ASCII is declared
        return text
    return "".join(char if _has(encoding, char) else json.dumps(char)[1:-1] for char in text)


@cache
def _has(encoding: str, char: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def echo_error(message: str) -> None:
    """A message of one or several lines on stderr."""
    click.echo(printable_message(message), err=True)


def echo_usage_error(error: click.ClickException) -> None:
    """How the command is used, and what is wrong with this use of it."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    if isinstance(error, click.UsageError) and error.ctx is not None:
        echo_error(f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} -h' for help.")
    echo_error(f"Error: {usage_hint(error)}")


def print_rich(renderable: RenderableType, *, soft_wrap: bool = False) -> None:
    """A table or text on stdout; at least 80 columns wide where stdout is no terminal. What is wider is not cut.

    `soft_wrap`: no line break that the text has not.
    """
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(console.width, 80))
    with console.capture() as captured:
        console.print(renderable, crop=False, soft_wrap=soft_wrap)
    click.echo(_encodable(guarded(captured.get())), nl=False, color=True)


def error_console() -> Console:
    """The console of notes and progress, on stderr."""
    from rich.console import Console

    class ErrorConsole(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would end the process with code 1

    return ErrorConsole(file=sys.stderr, highlight=False)


def exit_on_failed_rows(results: Results) -> None:
    """Exit code 3, and a line on stderr, where the model failed on rows; another one for each task without a record,
    because all its rows failed or because it was named and its data are not there."""
    failed = [row for record in results.records for row in record.failed]
    if failed:
        line = f"rmbench: {len(failed)} rows failed (first {failed[0].id}: {failed[0].why})"
        echo_error(f"{printable(line, 1_000)}; `rmbench show` on a record names them.")
    for item in results.skipped:
        if item.failed_rows or item.missed:
            echo_error(f"rmbench: {item.task}: {item.why}")
    if results.failed_rows or any(item.missed for item in results.skipped):
        click.get_current_context().exit(3)
