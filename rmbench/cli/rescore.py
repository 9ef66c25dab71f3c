"""`rmbench rescore`: other weights for a multi-objective model's records, without running it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from rmbench.cli.options import add_options, command_line, json_option

__all__ = ["rescore"]


@click.command(short_help="Weigh the objectives of stored records otherwise.")
@click.argument("folder", metavar="RECORD_FOLDER", type=click.Path(path_type=Path, exists=True))
@add_options("rescore")
@click.option(
    "--fit-weights",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Fit a user's weights to these choices, JSON Lines of a row's id each, and write nothing.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the subsets of --fit-weights.")
@click.option(
    "--neighbourhood",
    is_flag=True,
    help="Of two objectives: also how the choices along directions near this one compare with its own.",
)
@json_option
def rescore(
    folder: Path, fit_weights: Path | None, seed: int, neighbourhood: bool, as_json: bool, **options: Any
) -> None:
    """Weigh the objectives that stored records hold, by --objective-weights, or fit a user's weights.

    Writes new records whose reward is the weighted sum of the model's objectives; nothing is judged again. The metrics
    are the records' own.
    """
    from rmbench.cli.output import echo, echo_json, print_rich
    from rmbench.errors import RmbenchError
    from rmbench.evaluation.fitted_weights import FittedView
    from rmbench.evaluation.fitted_weights import fit_weights as fitted_weights
    from rmbench.evaluation.neighbourhood import NeighbourhoodView, neighbourhoods
    from rmbench.evaluation.rescore import rescore as rescore_records

    if (fit_weights is None) == (options["objective_weights"] is None) or (fit_weights and neighbourhood):
        raise RmbenchError("give --objective-weights, with or without --neighbourhood, or --fit-weights.")
    if fit_weights is not None:
        found = fitted_weights(folder, fit_weights, seed=seed)
        if as_json:
            echo_json(asdict(found) | {"objective_weights": str(found)})
        else:
            print_rich(FittedView(found))
        return
    near = neighbourhoods(folder, options["objective_weights"]) if neighbourhood else []
    results = rescore_records(folder, command=command_line(), **options)
    if as_json:
        echo_json(results.to_dict() | ({"neighbourhood": [asdict(each) for each in near]} if near else {}))
    else:
        print_rich(results)
        if near:
            print_rich(NeighbourhoodView(near))
        echo(f"records: {results.out}")
