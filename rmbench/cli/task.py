"""`rmbench task init`: a declaration for rows of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rmbench.cli.options import add_options

__all__ = ["task"]


@click.group()
def task() -> None:
    """Make tasks of your own."""


@task.command()
@click.argument("data", metavar="FILE|FOLDER|org/name")
@add_options("task init")
def init(data: str, **options: Any) -> None:
    """Print a task declaration for rows of your own.

    Its columns are recognised by names and values, or as --columns says. Keep the output as a TOML beside the rows:

    rmbench task init pairs.jsonl > mine.toml && rmbench run --model MODEL --tasks mine.toml
    """
    from rmbench.cli.output import echo_block, error_console
    from rmbench.tasks.own.declare import own_task
    from rmbench.text import printable_message

    here = Path()
    own = own_task(data, options["columns"], beside=here, include=options["include_path"])
    error_console().print(printable_message(own.line), markup=False, soft_wrap=True)
    place = own.task.path.parent.resolve()
    if own.task.declaration.source.private and not place.is_relative_to(here.resolve()):
        error_console().print(printable_message(f"keep the declaration in {place}"), markup=False, soft_wrap=True)
    echo_block(own.toml.rstrip("\n"))
