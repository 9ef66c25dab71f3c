"""`rmbench generators`: generators of images or clips under reward models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rmbench.cli.options import add_options, json_option

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


@click.command()
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
@add_options("run", without=_OF_ROWS)
@json_option
def generators(
    pattern: str, prompts: Path, models: tuple[str, ...], first: int | None, as_json: bool, **options: Any
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
        ranking = rank_generators(pattern, prompts, models, first=first, progress=progress, **options)
    if as_json:
        echo_json(ranking.to_dict())
    else:
        print_rich(ranking)
