"""`rmbench retrieval`: what a model's own embeddings find, beside its preference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rmbench.cli.options import add_options, json_option, model_option, tasks_option
from rmbench.cli.sections import SectionedCommand
from rmbench.text import ColumnLayout, figure, text_table

if TYPE_CHECKING:
    from rich.table import Table

    from rmbench.evaluation.retrieval import Retrieval

__all__ = ["retrieval"]

_OF_RECORDS = (
    *("objective_weights", "shard", "retry_failed", "save_prompts", "requests_out", "responses_in", "shots"),
    *("shots_layout", "overwrite", "out", "workers", "executor", "window", "cache", "share", "ray_address"),
    *("cpus_per_worker", "gpus_per_worker", "ref_model", "base_model", "template", "max_length", "special_tokens"),
    "tensor_parallel",
    *("base_url", "api_key_env", "query", "header_env", "max_cost", "vllm_bin", "trust_remote_code"),
)
"""Options of a run that have no meaning here."""


@click.command(cls=SectionedCommand, short_help="Show what a model's embeddings find beside its preference.")
@model_option
@tasks_option
@click.option(
    "--by", metavar="GROUP", help="The group whose values are the classes of images; else each prompt is one."
)
@click.option("--k", "ks", type=click.IntRange(min=1), multiple=True, default=(1, 5, 10), show_default=True)
@click.option("--neighbours", type=click.IntRange(min=1), default=5, show_default=True, help="How many vote.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Write a line for each figure to this file.")
@add_options("run", without=_OF_RECORDS)
@json_option
def retrieval(as_json: bool, csv_file: Path | None, **options: Any) -> None:
    """Find images for prompts, prompts for images, and images of one class, by a model's own embeddings.

    \b
    rmbench retrieval --model clipscore --tasks mj-bench-quality --by subset

    Beside the value of each task's metric: recall@k both ways, the mean average precision of a prompt's images, and the
    accuracy of the nearest neighbours. Models of the family clip can be asked, and BLIP and BLIP-2 with score=itc; of
    BLIP-2, whose image has several embeddings, no neighbours. No record is written; --csv has all figures with the
    model and its revision.
    """
    from rmbench.cli.output import echo, echo_json, error_console, print_rich
    from rmbench.evaluation.progress import progress_for
    from rmbench.evaluation.retrieval import retrieve
    from rmbench.records.files import write_file

    with progress_for(error_console()) as progress:
        found = retrieve(progress=progress, **options)
    if csv_file is not None:
        write_file(csv_file, found.to_csv())
    if as_json:
        echo_json(found.to_dict())
        return
    print_rich(_table(found))
    for one in found.tasks:
        if one.neighbours is None:
            echo(f"{one.task}: an image has several embeddings, and no two images are compared")
        if one.failed or one.several_classes:
            echo(
                f"{one.task}: {one.failed:,} of {one.failed + one.rows:,} rows failed; images of several classes, "
                f"which do not vote: {one.several_classes:,}"
            )
    for each in found.skipped:
        echo(f"skipped {each.task}: {each.why}")


def _table(found: Retrieval) -> Table:
    """A line per task and figure."""
    columns: list[tuple[str, ColumnLayout]] = [("task", "left"), ("figure", "fold"), ("value", "right"), ("n", "right")]
    rows = []
    for one in found.tasks:
        lines = enumerate(one.figures)
        rows += [("" if at else one.task, name, figure(value), f"{n:,}") for at, (name, value, n) in lines]
    return text_table(columns, rows, title=found.model, gap=2)
