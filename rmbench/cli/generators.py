"""`rmbench generators`: generators of images or clips under reward models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rmbench.cli.options import add_options, json_option
from rmbench.cli.sections import SectionedCommand

if TYPE_CHECKING:
    from rmbench.evaluation.generators.ranking import Ranking

__all__ = ["generators"]

_OF_ROWS = (
    *(
        "data",
        "columns",
        "include_path",
        "source",
        "images",
        "allow_url_fetch",
        "allow_changed_data",
        "objective_weights",
        "shard",
    ),
    *("limit", "retry_failed", "save_prompts", "requests_out", "responses_in", "shots", "shots_layout", "reference"),
)
"""Options of a run that have no meaning here."""


@click.command(cls=SectionedCommand, short_help="Rank generators of images or clips under reward models.")
@click.argument("pattern")
@click.option(
    "--prompts",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Prompts: .txt, a line each; .json, .jsonl, .csv ... with a column prompt, id where files are named by it.",
)
@click.option("--model", "-m", "models", required=True, multiple=True, metavar="MODEL", help="A reward model; repeat.")
@click.option("--first", type=click.IntRange(0, 1), help="The number of the first prompt in names of files.")
@click.option(
    "--rewritten",
    multiple=True,
    metavar="GENERATOR=COLUMN",
    help="The column of FILE with the prompts that GENERATOR was given; scores are of the original ones. Repeat.",
)
@click.option(
    "--sheet", type=click.Path(path_type=Path, dir_okay=False), help="Write a page of the best and the worst images."
)
@add_options("run", without=_OF_ROWS)
@json_option
def generators(
    pattern: str,
    prompts: Path,
    models: tuple[str, ...],
    first: int | None,
    rewritten: tuple[str, ...],
    sheet: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Rank generators by the images or clips they made, under one or several reward models.

    \b
    rmbench generators 'out/{generator}/{prompt}.png' --prompts prompts.txt -m hpsv2.1 -m pickscore

    In PATTERN, {generator} and {prompt} stand for a part of a path's name each: a prompt's id, or its number. Means are
    over the prompts for which every generator has a score; each model's scores are a record in OUT.
    """
    from rmbench.cli.output import echo_json, error_console, print_rich
    from rmbench.evaluation.generators import rank_generators
    from rmbench.evaluation.progress import progress_for

    with progress_for(error_console()) as progress:
        ranking = rank_generators(
            pattern, prompts, models, first=first, rewritten=_columns(rewritten), progress=progress, **options
        )
    if sheet is not None:
        _write_sheet(sheet, ranking, Path(options["out"]))
    if as_json:
        echo_json(ranking.to_dict())
    else:
        print_rich(ranking)


def _columns(pairs: Sequence[str]) -> dict[str, str]:
    """`GENERATOR=COLUMN`; names may hold anything but an equals sign."""
    columns = {}
    for pair in pairs:
        generator, equals, column = pair.partition("=")
        if not (generator and equals and column):
            raise click.BadParameter(f"{pair!r} is not of the form GENERATOR=COLUMN.", param_hint="--rewritten")
        columns[generator] = column
    return columns


def _write_sheet(file: Path, ranking: Ranking, out: Path) -> None:
    """A contact sheet of all models' scores."""
    from rmbench.cli.output import echo_error
    from rmbench.records.files import write_file
    from rmbench.view import view
    from rmbench.view.sheet import sheet

    views = [view(record, include_path=[str(out / "generators")]) for record in ranking.records.values()]
    write_file(file, sheet(views))
    echo_error(f"{file}: a contact sheet of the best and the worst")
