"""`rmbench submit`: records made ready for a pull request."""

from __future__ import annotations

from pathlib import Path

import click

from rmbench.cli.options import json_option

__all__ = ["submit"]

_folder = click.Path(path_type=Path, file_okay=False)


@click.command(short_help="Prepare records for a pull request.")
@click.argument("results", metavar="RESULTS", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--out", type=_folder, help="Write the folder for the pull request here; without it, only say what is missing."
)
@click.option(
    "--new-to",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Leave alone the records that this folder holds unchanged.",
)
@click.option("--with-rationale", is_flag=True, help="Keep what a judge wrote.")
@json_option
def submit(results: Path, out: Path | None, new_to: Path | None, with_rationale: bool, as_json: bool) -> int:
    """Prepare records for a pull request, and say what each lacks and what to do about it.

    \b
    Exit code 0: nothing is missing; 1: something is.
    """
    from rmbench.cli.output import echo, echo_json
    from rmbench.exchange import submit as prepare

    submission = prepare(results, out, new_to=new_to, with_rationale=with_rationale)
    if as_json:
        echo_json(submission.as_dict())
        return 0 if submission.ready else 1
    for entry in submission.entries:
        echo(f"{entry.model or entry.folder} on {entry.task or '?'}: {'ready' if entry.ready else 'NOT READY'}")
        for lack in entry.lacks:
            echo(f"  {lack.kind}: {lack.what}")
            echo(f"    {lack.do}")
    for folder in submission.removed:
        echo(f"{folder}: NOT READY")
        echo("  missing: the record is gone, and was there before")
        echo("    put it back; a record that is wrong is replaced in a pull request of its own.")
    ready = sum(entry.ready for entry in submission.entries)
    echo(f"{ready} of {len(submission.entries)} records are ready{f'; they are in {out}' if out else ''}")
    return 0 if submission.ready else 1
