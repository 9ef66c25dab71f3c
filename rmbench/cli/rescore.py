"""`rmbench rescore`: other weights for a multi-objective model's records, without running it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from rmbench.cli.options import add_options, command_line, json_option

__all__ = ["rescore"]


@click.command()
@click.argument("folder", metavar="RECORD_FOLDER", type=click.Path(path_type=Path, exists=True))
@add_options("rescore", required="objective_weights")
@click.option(
    "--neighbourhood",
    is_flag=True,
    help="Of two objectives: also how the choices along directions near this one compare with its own.",
)
@json_option
def rescore(folder: Path, neighbourhood: bool, as_json: bool, **options: Any) -> None:
    """Weigh the objectives that stored records hold.

    Writes new records whose reward is the weighted sum of the model's objectives; nothing is judged again. The metrics
    are the records' own.
    """
    from rmbench.cli.output import echo, echo_json, print_rich
    from rmbench.evaluation.neighbourhood import NeighbourhoodView, neighbourhoods
    from rmbench.evaluation.rescore import rescore as rescore_records

    near = neighbourhoods(folder, options["objective_weights"]) if neighbourhood else []
    results = rescore_records(folder, command=command_line(), **options)
    if as_json:
        echo_json(results.to_dict() | ({"neighbourhood": [asdict(each) for each in near]} if near else {}))
    else:
        print_rich(results)
        if near:
            print_rich(NeighbourhoodView(near))
        echo(f"records: {results.out}")
