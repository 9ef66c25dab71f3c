"""`rmbench check`: conformance checks of a model's adapter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rmbench.cli.options import add_options, json_option
from rmbench.cli.sections import SectionedCommand

if TYPE_CHECKING:
    from rmbench.check.report import CheckReport

__all__ = ["check"]


@click.command(cls=SectionedCommand, short_help="Check that a model is read, batched, padded and pooled right.")
@click.argument("model", metavar="MODEL")
@click.option(
    "--published",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="JSONL of scores that others published. [default: card_examples.jsonl in $RMBENCH_DATA]",
)
@click.option("--against", metavar="BACKEND", help="Compare with: vllm, served (--base-url), or another MODEL.")
@add_options("check")
@json_option
def check(model: str, as_json: bool, **options: Any) -> None:
    """Check that a model is read, batched, padded and pooled as it should be.

    MODEL scores a fixed set of conversations, and each check is a line: pass, FAIL, or not run with the reason. The
    outcome is written to OUT as the model's check.json, and into its records, which boards read.

    Exit code 0: no check failed; 1: one did; 2: bad input; 3: the model does not fit into memory, so that it was not
    checked. A checkpoint that is there and cannot be opened is a failed check, `load`.

    \b
    MODEL  org/name[@revision] | FOLDER | a bundled model or card | scores:FILE
           baseline:length|shorter|overlap|type-token|relevance
           fake:oracle|anti|coin|constant|broken
    """
    from rmbench.check import check as check_model
    from rmbench.check.render import result_lines, summary_lines
    from rmbench.cli.output import echo_json, print_rich

    report: CheckReport = check_model(
        model, progress=None if as_json else lambda result: print_rich(result_lines(result)), **options
    )
    if as_json:
        echo_json(report.to_dict())
    else:
        print_rich(summary_lines(report))
    click.get_current_context().exit(0 if report.passed else 1 if report.failed else 3)
