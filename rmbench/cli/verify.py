"""`rmbench verify`: a record's numbers against its rows, some of its rows against the model, and a table's numbers
against records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from rmbench.cli.options import add_options, json_option
from rmbench.cli.sections import SectionedCommand

__all__ = ["verify"]


@click.command(cls=SectionedCommand, short_help="Hold a record against its rows, or a table against records.")
@click.argument("what", metavar="RECORD_FOLDER|TABLE", type=click.Path(path_type=Path, exists=True))
@click.option("--rerun", type=click.IntRange(min=1), metavar="N", help="Judge N rows again, drawn at random.")
@click.option("--model", "-m", metavar="MODEL", help="The model to judge them with. [default: as in the record]")
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The records that a table is held against. [default: results]",
)
@click.option(
    "--heading",
    "headings",
    multiple=True,
    metavar="HEADING=TASK[:GROUP]",
    help="What a heading of the table means; TASK+TASK: their mean; -: not checked.",
)
@click.option("--name", "names", multiple=True, metavar="NAME=MODEL", help="Which model a row of the table means.")
@click.option("--task", metavar="ID", help="The benchmark whose groups and metrics the headings name.")
@json_option
@add_options("verify")
def verify(
    what: Path,
    rerun: int | None,
    model: str | None,
    results: Path | None,
    headings: tuple[str, ...],
    names: tuple[str, ...],
    task: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Hold a record against its rows, and rows against the model; or a table of a paper against records.

    \b
    A record's folder: exit code 0: the record holds; 2: it does not, and what differs is named.
    A table (.csv, .tsv, .md, .tex): every number is right (correctly rounded), rounded (cut off, or
    rounded twice), different, or has no record. Exit code 0: right or rounded, all of them;
    1: one is different; 3: none is, and one has no record.
    """
    from rmbench.errors import RmbenchError
    from rmbench.exchange.claims.grid import SUFFIXES

    if what.suffix.lower() in SUFFIXES and what.is_file():
        if rerun is not None or model is not None:
            raise RmbenchError(f"{what} is a table: --rerun and --model are for a record's folder.")
        return _table(what, results or Path("results"), headings, names, task, as_json)
    for option, given in (("--results", results), ("--heading", headings), ("--name", names), ("--task", task)):
        if given:
            raise RmbenchError(f"{what}: {option} is for a table, a file that ends in {', '.join(SUFFIXES)}.")
    return _record(what, rerun, model, as_json, options)


def _record(folder: Path, rerun: int | None, model: str | None, as_json: bool, options: dict[str, Any]) -> int:
    from rmbench.cli.output import echo, echo_json, error_console
    from rmbench.cli.validate import validate_file
    from rmbench.errors import RmbenchError
    from rmbench.evaluation.progress import progress_for
    from rmbench.evaluation.rerun import rerun as judge_again
    from rmbench.records.store import find

    if rerun is not None and len(find(folder)) > 1:
        raise RmbenchError(f"{folder}: --rerun takes the folder of one record, and here are {len(find(folder))}.")
    said = [validate_file(folder)]
    if not as_json:
        echo(said[0])
    if rerun is not None:
        with progress_for(error_console()) as progress:
            outcome = judge_again(folder, rerun, model=model, progress=progress, **options)
        if outcome.other:
            raise RmbenchError(f"{folder}: {outcome}")
        said.append(str(outcome))
        if not as_json:
            echo(said[1])
    if as_json:
        echo_json({"folder": str(folder), "holds": True, "found": said})
    return 0


def _table(
    table: Path, results: Path, headings: Sequence[str], names: Sequence[str], task: str | None, as_json: bool
) -> int:
    from rmbench.cli.output import echo, echo_error, echo_json
    from rmbench.exchange import verify_table

    checked = verify_table(
        table, results, headings=_pairs("--heading", headings), models=_pairs("--name", names), task=task
    )
    if as_json:
        echo_json(checked.as_dict())
        return checked.exit_code
    for note in checked.notes:
        echo_error(note)
    for claim in checked.claims:
        if claim.status != "right":
            echo(str(claim))
    counts = checked.counts
    echo(
        f"{table}: {sum(counts.values())} numbers: {counts['right']} right, {counts['rounded']} rounded, "
        f"{counts['different']} different, {counts['no record']} without a record"
    )
    return checked.exit_code


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """Every `left=right`; the first = parts them, for groups hold one."""
    pairs = {}
    for each in given:
        left, equals, right = each.partition("=")
        if not equals or not left.strip() or not right.strip():
            raise click.BadParameter(f"{each!r} is not of the form NAME=MEANING.", param_hint=option)
        pairs[left.strip()] = right.strip()
    return pairs
