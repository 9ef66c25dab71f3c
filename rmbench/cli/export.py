"""`rmbench export`: records in the formats of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rmbench.cli.options import add_options, json_option

__all__ = ["export"]


@click.command()
@click.argument("records", metavar="RESULTS|RECORD...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--to",
    required=True,
    metavar="FORMAT",
    help="every-eval-ever, model-index, eval-results, rewardbench, rewardbench-items or scores.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write into.")
@click.option("--samples", is_flag=True, help="Write the rows too, with their texts: for every-eval-ever.")
@add_options("view")
@json_option
def export(records: tuple[Path, ...], to: str, out: Path, samples: bool, as_json: bool, **source: Any) -> None:
    """Write records for another tool.

    Every number is the record's, to the last digit. What a format cannot say is said once, on stderr.
    """
    from rmbench.cli.output import echo, echo_error, echo_json
    from rmbench.exchange import export as export_to

    exported = export_to(records, to, out, samples=samples, **source)
    if as_json:
        names = [str(file) for file in exported.files]
        echo_json({"format": exported.format, "files": names, "notes": list(exported.notes)})
        return
    for file in exported.files:
        echo(str(file))
    for note in exported.notes:
        echo_error(f"{to}: {note}")
