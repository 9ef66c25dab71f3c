"""`rmbench run`: the main job."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from rmbench.cli.options import model_option, model_options, parse_pairs, weights_option

__all__ = ["run"]


@click.command()
@model_option
@click.option(
    "--tasks", "-t", required=True, metavar="SEL", help="`all`, ids, globs, family=..., modality=..., a TOML."
)
@click.option("--source", metavar="hub|sample|FOLDER", help="Where rows come from. [default: $RMBENCH_DATA, else hub]")
@click.option("--images", type=click.Path(path_type=Path), metavar="DIR", help="Images or videos to judge, by name.")
@click.option("--allow-changed-data", is_flag=True, help="Read files that differ from what the task declares.")
@click.option("--limit", type=click.IntRange(min=1), help="Judge this many rows a task, drawn by --seed.")
@click.option("--seed", type=int, default=0, show_default=True, help="For limits, bootstraps and fakes.")
@click.option("--batch-tokens", type=click.IntRange(min=1), help="Tokens a batch may hold, padding included.")
@weights_option
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that compute.")
@click.option("--no-cache", "cache", flag_value=False, default=True, help="Neither read nor fill the score cache.")
@click.option("--no-share", "share", flag_value=False, default=True, help="Compute common beginnings with every row.")
@click.option("--window", type=click.IntRange(min=1), help="Rows a judge is asked about at once. [default: 16]")
@click.option("--requests-out", type=click.Path(path_type=Path), help="Write a judge's questions there; judge nothing.")
@click.option(
    "--responses-in",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Read the answers to such questions.",
)
@click.option("--out", "--output-path", type=click.Path(path_type=Path), default=Path("results"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, all else on stderr.")
@model_options
def run(as_json: bool, out: Path, tasks: str, **given: Any) -> None:
    """Judge preference benchmarks with a reward model.

    A record per task lands in OUT; a stopped run goes on when the same command is given again. Exit code 0: every row
    judged; 2: bad input; 3: some rows failed.

    \b
    MODEL  org/name[@revision] | FOLDER | a bundled model or card | scores:FILE
           baseline:length|shorter|overlap|type-token|relevance
           fake:oracle|anti|coin|constant|broken | ensemble:A,B,... (or folders of records)
           openai:NAME, served:MODEL (--base-url) | vllm:MODEL | judge-file:FILE
    """
    from rmbench.cli.output import echo_json, error_console, print_rich
    from rmbench.cli.progress import progress_for
    from rmbench.evaluation.run import run as run_tasks

    given["model_args"] = parse_pairs(given["model_args"])
    command = shlex.join(["rmbench", *sys.argv[1:]])
    with progress_for(error_console()) as progress:
        results = run_tasks(tasks=tasks, out=out, progress=progress, command=command, **given)
    if as_json:
        echo_json(results.to_dict())
    else:
        print_rich(results)
        click.echo(f"{'records' if given['requests_out'] is None else 'questions'}: {results.out}")
    if results.failed_rows:
        click.echo(f"rmbench: {results.failed_rows} rows failed; `rmbench show` on a record names them.", err=True)
        click.get_current_context().exit(3)
