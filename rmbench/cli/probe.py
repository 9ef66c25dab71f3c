"""`rmbench probe`: which dimension a model's hidden states lie nearest to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rmbench.cli.options import add_options, command_line, json_option, model_option, tasks_option
from rmbench.cli.sections import SectionedCommand
from rmbench.text import ColumnLayout, figure, text_table

if TYPE_CHECKING:
    from rich.table import Table

    from rmbench.evaluation.results import Results

__all__ = ["probe"]


@click.command(cls=SectionedCommand, short_help="Find the dimension that hidden states lie closest to.")
@model_option
@tasks_option
@click.option("--probes", default="mrmbench-easy", show_default=True, metavar="ID", help="The probing task to fit on.")
@add_options("probe")
@json_option
def probe(as_json: bool, **options: Any) -> None:
    """Find the probing task's dimension that a model's hidden states lie nearest to.

    Centroids of the probing task's classes are fitted on its fit split. The selected tasks are then judged as by
    `rmbench run`, and their records also hold the share of candidates nearest to each dimension, and the share far
    from all of them (low confidence). The definition is rmbench's own.

    MODEL is one with a hidden state: org/name[@revision] | FOLDER | a bundled model or card
    """
    from rmbench.cli.output import echo, echo_json, error_console, exit_on_failed_rows, print_rich
    from rmbench.errors import RmbenchError
    from rmbench.evaluation.probe import probe as probe_tasks
    from rmbench.evaluation.progress import progress_for

    if not options["tasks"]:
        raise RmbenchError("name tasks by --tasks; `rmbench tasks` lists them.")
    with progress_for(error_console()) as progress:
        results = probe_tasks(progress=progress, command=command_line(), **options)
    if as_json:
        echo_json(_plain(results))
    else:
        print_rich(_table(results))
        for item in results.skipped:
            echo(f"skipped {item.task}: {item.why}")
        echo(f"records: {results.out}")
    exit_on_failed_rows(results)


def _plain(results: Results) -> dict[str, Any]:
    """The object of --json; docs/json.md explains it."""
    return {
        "model": results.model,
        "source": results.source,
        "tasks": [
            {"task": record.task.id, "version": record.task.version, "probing": record.probing.model_dump(mode="json")}
            for record in results.records
            if record.probing is not None
        ],
        "skipped": [{"task": item.task, "why": item.why} for item in results.skipped],
        "failed_rows": results.failed_rows,
        "out": results.out,
    }


def _table(results: Results) -> Table:
    """A line per task and dimension: the share of its candidates, the largest first."""
    columns: list[tuple[str, ColumnLayout]] = [("task", "left"), ("relies on", "fold")]
    columns += [(name, "right") for name in ("share", "low confidence", "candidates")]
    rows = []
    for record in results.records:
        probing = record.probing
        if probing is None:
            continue
        shares = sorted(probing.shares.items(), key=lambda item: -item[1])
        for place, (dimension, share) in enumerate(shares or [("-", None)]):
            task, *rest = ("", "", "") if place else (record.task.id, figure(probing.low_share), f"{probing.n:,}")
            rows.append((task, dimension, figure(share), *rest))
    return text_table(columns, rows, gap=2)
