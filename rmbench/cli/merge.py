"""`rmbench merge`: the records of runs that shared the rows of their tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rmbench.cli.options import add_options, json_option

__all__ = ["merge"]


@click.command(short_help="Make one record per task from the shards of runs.")
@click.argument("shards", metavar="SHARDS...", type=click.Path(path_type=Path), nargs=-1, required=True)
@add_options("merge")
@json_option
def merge(shards: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Make one record per task from the shards of `rmbench run --shard I/N`.

    SHARDS are the folders that the runs wrote to. The records are those of one run over all rows. A shard that is
    missing, there twice, or of another model, version, data or settings is refused by name.
    """
    from rmbench.cli.output import echo, echo_json, exit_on_failed_rows, print_rich
    from rmbench.evaluation.merge import merge as merge_shards

    results = merge_shards(shards, **options)
    if as_json:
        echo_json(results.to_dict())
    else:
        print_rich(results)
        echo(f"records: {results.out}")
    exit_on_failed_rows(results)
