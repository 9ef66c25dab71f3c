"""`rmbench annotators`: a model between people and AI labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rmbench.cli.options import add_options, json_option

__all__ = ["annotators"]


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _listed(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    return _names(value)


def _shares(_: click.Context, __: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, _names(value)))
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: expected numbers from 0 to 1, such as 0,0.25,1.") from error


@click.command(short_help="Show how a model agrees with people and with AI labels.")
@click.argument("record", metavar="RECORD", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--ai",
    required=True,
    metavar="NAME,...|RECORD",
    help="The AI's labels: annotators of the rows, or a judge's record of the same rows.",
)
@click.option(
    "--people",
    default="",
    callback=_listed,
    metavar="NAME,...",
    help="Annotators whose majority is people's label. [default: all that are not the AI's]",
)
@click.option("--by", default="", callback=_listed, metavar="GROUP,...", help="Groups to set apart. [default: all]")
@click.option(
    "--features",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Properties of the candidates, JSON Lines. [default: simple ones, counted in the texts]",
)
@click.option(
    "--gains",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="JSON: what a label of people's is worth by feature. [default: the chance that the AI's is another]",
)
@click.option(
    "--shares",
    default="0,0.25,0.5,0.75,1",
    show_default=True,
    callback=_shares,
    metavar="N,...",
    help="Shares of the pairs that go to people.",
)
@add_options("annotators")
@json_option
def annotators(
    record: Path,
    ai: str,
    people: tuple[str, ...],
    by: tuple[str, ...],
    features: Path | None,
    gains: Path | None,
    shares: tuple[float, ...],
    as_json: bool,
    **source: Any,
) -> None:
    """Show how a model agrees with people and with AI labels of the same pairs.

    Where the two differ, by feature, which of them the model sides with, and its agreement with mixes in which a share
    of the pairs goes to people (arXiv 2410.19133). RECORD is a record's folder.
    """
    from dataclasses import asdict

    from rmbench.cli.output import echo_json, print_rich
    from rmbench.cli.texts import texts_of
    from rmbench.evaluation.replay import holds_records
    from rmbench.reports.annotators import compare_annotators
    from rmbench.reports.annotators.terminal import ComparisonView

    found = compare_annotators(
        record,
        Path(ai) if holds_records(Path(ai)) else _names(ai),
        people=people,
        by=by,
        features=features,
        examples=None if features is not None else texts_of(record, source),
        gains=gains,
        shares=shares,
    )
    if as_json:
        echo_json(asdict(found))
    else:
        print_rich(ComparisonView(found))
