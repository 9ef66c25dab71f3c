"""`rmbench fetch`: bring the files of benchmarks into a folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rmbench.cli.options import add_options, json_option

if TYPE_CHECKING:
    from rich.table import Table

    from rmbench.tasks.fetch.fetch import Fetched
    from rmbench.text import ColumnLayout

__all__ = ["fetch"]

_WORDS = {
    "fetched": "fetched",
    "here": "there already",
    "planned": "to be fetched",
    "bundled": "part of rmbench",
    "private": "your own",
    "absent": "not to be had",
    "failed": "failed",
}


@click.command(short_help="Bring the files of benchmarks into a folder, verified.")
@click.argument("selector", metavar="SEL")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the files go. [default: $RMBENCH_DATA, else the user's data folder]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be fetched, and fetch nothing.")
@add_options("fetch")
@json_option
def fetch(selector: str, to: Path | None, dry_run: bool, include_path: tuple[str, ...], as_json: bool) -> None:
    """Bring the files of benchmarks into a folder, verified, for runs with and without network.

    SEL is as in `rmbench run --tasks`. Files come from the hub at the pinned revision, or by git at the pinned commit.
    What is there already is verified and stays; the same command goes on where a stopped one ended. Exit code 0: every
    benchmark is there; 2: bad input; 3: some could not be fetched.

    \b
    rmbench fetch rm-bench,llmbar --to data
    rmbench run --model tiny-bt --tasks rm-bench,llmbar --source data
    """
    from rmbench.cli.output import echo, echo_error, echo_json, error_console, print_rich
    from rmbench.cli.transfer import transfer_for
    from rmbench.tasks.fetch.fetch import fetch as fetch_tasks
    from rmbench.tasks.fetch.fetch import incomplete
    from rmbench.tasks.fetch.manifest import data_folder

    folder = data_folder() if to is None else to
    with transfer_for(error_console()) as progress:
        outcomes = fetch_tasks(selector, folder, include_path=include_path, dry_run=dry_run, progress=progress)
    if as_json:
        echo_json({"folder": str(folder), "tasks": [_facts(each) for each in outcomes]})
    else:
        print_rich(_table(outcomes))
        counts = Counter(str(each.outcome) for each in outcomes)
        said = ", ".join(f"{counts[outcome]} {words}" for outcome, words in _WORDS.items() if counts[outcome])
        echo(f"{len(outcomes)} benchmark{'s' * (len(outcomes) != 1)}: {said}")
        echo(f"folder: {folder}")
    for each in outcomes:
        for line in (*each.notes, each.why):
            if line:
                echo_error(f"rmbench: {line if line.startswith(f'{each.task}: ') else f'{each.task}: {line}'}")
    if incomplete(outcomes, selector, include_path):
        click.get_current_context().exit(3)


def _facts(each: Fetched) -> dict[str, Any]:
    return {
        "task": each.task,
        "outcome": each.outcome,
        "from": each.origin,
        "files": each.files,
        "bytes": each.size,
        "license": each.license,
        "notes": list(each.notes),
        "why": each.why,
    }


def _table(outcomes: list[Fetched]) -> Table:
    from rmbench.text import file_size, text_table

    columns: list[tuple[str, ColumnLayout]] = [("benchmark", "left"), ("", "left"), ("files", "right")]
    columns += [("size", "right"), ("license", "fold"), ("from", "fold")]
    rows = [
        (
            each.task,
            _WORDS[each.outcome],
            f"{each.files:,}" if each.files else "",
            file_size(each.size) if each.size else "",
            each.license or "not stated",
            each.origin,
        )
        for each in outcomes
    ]
    return text_table(columns, rows)
