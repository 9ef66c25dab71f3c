"""`rmbench run`: judge benchmarks and write records."""

from __future__ import annotations

from typing import Any

import click

from rmbench.cli.options import add_options, command_line, json_option, model_option, tasks_option
from rmbench.cli.sections import SectionedCommand

__all__ = ["run"]


@click.command(cls=SectionedCommand)
@model_option
@tasks_option
@add_options("run")
@click.option(
    "--budgets",
    metavar="[SETTING=]N,...",
    help="Run a judge at each of these thinking budgets, by default its max_tokens; print what each buys and costs.",
)
@click.option(
    "--frames",
    metavar="N,...",
    help="Show the model each of these numbers of frames of a video, evenly spaced; print what each buys.",
)
@json_option
def run(as_json: bool, budgets: str | None, frames: str | None, **options: Any) -> None:
    """Judge preference benchmarks with a reward model.

    Writes a record per task to OUT; the same command resumes a stopped run. Exit code 0: every row was judged; 2: bad
    input; 3: some rows failed.

    \b
    MODEL  org/name[@revision] | FOLDER | a bundled model or card | scores:FILE
           baseline:length|shorter|overlap|type-token|relevance
           fake:oracle|anti|coin|constant|broken
           ensemble:A,B,... of these, or of folders of records
           openai:NAME, served:MODEL (--base-url) | vllm:MODEL | judge-file:FILE
    DATA   a JSONL, JSON, CSV, Parquet or Arrow file, compressed or not, a folder
           of datasets' save_to_disk, or org/name[@revision][:config][:split]
    """
    from rmbench.cli.output import echo, echo_json, error_console, exit_on_failed_rows, print_rich
    from rmbench.errors import RmbenchError
    from rmbench.evaluation.progress import progress_for
    from rmbench.evaluation.run import run as run_tasks

    if not options["tasks"] and not options["data"]:
        raise RmbenchError("name tasks by --tasks (`rmbench tasks` lists them), or rows of your own by --data.")
    if budgets is not None or frames is not None:
        _run_budgets(budgets, frames, options, as_json=as_json)
        return
    with progress_for(error_console()) as progress:
        results = run_tasks(progress=progress, command=command_line(), **options)
    if as_json:
        echo_json(results.to_dict())
    else:
        print_rich(results)
        what = "shards" if results.shard else "records" if options["requests_out"] is None else "questions"
        echo(f"{what}: {results.out}")
    exit_on_failed_rows(results)


def _run_budgets(budgets: str | None, frames: str | None, options: dict[str, Any], *, as_json: bool) -> None:
    from rmbench.cli.output import echo_error, echo_json, error_console, exit_on_failed_rows, print_rich
    from rmbench.errors import RmbenchError
    from rmbench.evaluation.budgets import Budgets, run_budgets
    from rmbench.evaluation.progress import progress_for
    from rmbench.text import printable

    option = "--frames" if budgets is None else "--budgets"
    if budgets is not None and frames is not None:
        raise RmbenchError("--budgets and --frames each run the model several times; give one of them.")
    if options["requests_out"] is not None or options["responses_in"] is not None:
        raise RmbenchError(f"{option} asks a server; it goes with neither --requests-out nor --responses-in.")
    if options["shard"] is not None:
        raise RmbenchError(f"{option} compares whole records, so it does not go with --shard.")
    named = Budgets.of(str(budgets)) if frames is None else Budgets.of_frames(frames)
    with progress_for(error_console()) as progress:
        curve = run_budgets(
            options.pop("model"), options.pop("tasks"), named, progress=progress, command=command_line(), **options
        )
    if as_json:
        echo_json(curve.to_dict())
    else:
        print_rich(curve)
    for value, why in curve.refused:
        echo_error(f"rmbench: {curve.setting} {value}: {printable(why, 1_000)}")
    for _, results in curve.points:
        exit_on_failed_rows(results)
    if curve.refused:
        click.get_current_context().exit(3)
