"""`rmbench verify`: a record's numbers against its rows, and some of its rows against the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rmbench.cli.options import add_options

__all__ = ["verify"]


@click.command()
@click.argument("folder", metavar="RECORD_FOLDER", type=click.Path(path_type=Path, exists=True))
@click.option("--rerun", type=click.IntRange(min=1), metavar="N", help="Judge N rows again, drawn at random.")
@click.option("--model", "-m", metavar="MODEL", help="The model to judge them with. [default: as in the record]")
@add_options("verify")
def verify(folder: Path, rerun: int | None, model: str | None, **options: Any) -> None:
    """Hold a record against its rows, and rows against the model.

    Exit code 0: the record holds; 2: it does not, and what differs is named.
    """
    from rmbench.cli.output import echo, error_console
    from rmbench.cli.validate import validate_file
    from rmbench.errors import RmbenchError
    from rmbench.evaluation.progress import progress_for
    from rmbench.evaluation.rerun import rerun as judge_again
    from rmbench.records.store import find

    if rerun is not None and len(find(folder)) > 1:
        raise RmbenchError(f"{folder}: --rerun takes the folder of one record, and here are {len(find(folder))}.")
    echo(validate_file(folder))
    if rerun is None:
        return
    with progress_for(error_console()) as progress:
        outcome = judge_again(folder, rerun, model=model, progress=progress, **options)
    if outcome.other:
        raise RmbenchError(f"{folder}: {outcome}")
    echo(str(outcome))
