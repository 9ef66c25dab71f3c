"""`rmbench dissect`: which properties of answers models and people prefer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from rmbench.cli.options import add_options, json_option

__all__ = ["dissect"]


@click.command(short_help="Show which properties of answers models and people prefer.")
@click.argument("records", metavar="RECORD...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--features",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Properties of the candidates, JSON Lines. [default: simple ones, counted in the texts]",
)
@click.option("--by", default="", metavar="GROUP", help="Fit each value of this group by itself too.")
@click.option(
    "--method",
    type=click.Choice(["posterior", "map"]),
    default="posterior",
    show_default=True,
    help="The posterior's mean, with intervals, or its mode.",
)
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True),
    default=0.1,
    show_default=True,
    help="Of the Laplace prior of each weight.",
)
@click.option("--draws", type=click.IntRange(min=4), default=2000, show_default=True, help="Of the posterior.")
@click.option(
    "--folds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Average so many fits, each without a part of the rows.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of draws and folds.")
@add_options("dissect")
@json_option
def dissect(
    records: tuple[Path, ...],
    features: Path | None,
    by: str,
    method: Literal["posterior", "map"],
    scale: float,
    draws: int,
    folds: int,
    seed: int,
    as_json: bool,
    **source: Any,
) -> None:
    """Show which properties of answers a model prefers, and people.

    A logistic fit of which answer is preferred over the signs of the differences of its properties (arXiv 2402.11296).
    Of several records, of one task or of several, how alike the models are. RECORD is a record's folder.
    """
    from dataclasses import asdict

    from rmbench.cli.output import echo, echo_json, print_rich
    from rmbench.cli.texts import texts_of
    from rmbench.reports.dissection import dissect as dissect_record
    from rmbench.reports.dissection.fit import alike
    from rmbench.reports.dissection.terminal import AlikeView, DissectionView

    made = []
    for folder in records:
        examples = None if features is not None else texts_of(folder, source)
        made.append(
            dissect_record(
                folder,
                features=features,
                examples=examples,
                by=by,
                method=method,
                scale=scale,
                draws=draws,
                folds=folds,
                seed=seed,
            )
        )
        if not as_json:
            print_rich(DissectionView(made[-1]))
            if len(records) > 1:
                echo()
    similarities = alike(made)
    if as_json:
        pairs = [{"models": list(pair), "r": value} for pair, value in similarities.items()]
        echo_json({"records": [asdict(each) for each in made], "similarity": pairs})
    elif len(made) > 1:
        print_rich(AlikeView(similarities))
