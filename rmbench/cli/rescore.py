"""`rmbench rescore`: another direction for a multi-objective model, without running it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

__all__ = ["rescore"]


@click.command()
@click.argument("folder", metavar="RECORD_FOLDER", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--objective-weights",
    "weights",
    required=True,
    metavar="NAME=W,...",
    help="A weight by objective, 0 for those left out, or one number for each in the model's order.",
)
@click.option("--out", "--output-path", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def rescore(folder: Path, weights: str, out: Path, as_json: bool) -> None:
    """Weigh the objectives that stored records hold.

    Writes new records whose reward is the weighted sum of the model's objectives; nothing is judged again. The metrics
    are the records' own.
    """
    from rmbench.cli.output import echo_json, print_rich
    from rmbench.evaluation.rescore import rescore as rescore_records

    results = rescore_records(folder, weights, out=out, command=shlex.join(["rmbench", *sys.argv[1:]]))
    if as_json:
        echo_json(results.to_dict())
    else:
        print_rich(results)
        click.echo(f"records: {results.out}")
