"""Printing: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from rmbench.evaluation.results import Results

__all__ = ["echo_json", "error_console", "exit_on_failed_rows", "print_rich"]


def echo_json(data: Any) -> None:
    """One JSON document on stdout; NaN is refused, because it is not JSON."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


def print_rich(renderable: RenderableType) -> None:
    """A table on stdout; at least 80 columns wide where stdout is no terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(console.width, 80))
    console.print(renderable)


def error_console() -> Console:
    """The console of notes and progress, on stderr."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False)


def exit_on_failed_rows(results: Results) -> None:
    """Exit code 3, and a line on stderr, where the model failed on rows."""
    if results.failed_rows:
        first = next(row for record in results.records for row in record.failed)
        line = f"rmbench: {results.failed_rows} rows failed (first {first.id}: {first.why})"
        click.echo(f"{line}; `rmbench show` on a record names them.", err=True)
        click.get_current_context().exit(3)
