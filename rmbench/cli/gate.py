"""`rmbench compare` and `rmbench gate`: two sets of records side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from rmbench.cli.options import json_option

__all__ = ["compare", "gate"]

_folder = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("a", type=_folder)
@click.argument("b", type=_folder)
@json_option
@click.option("--markdown", is_flag=True, help="Markdown on stdout.")
def compare(a: Path, b: Path, as_json: bool, markdown: bool) -> None:
    """Compare two models' records, row by row.

    Prints B minus A with a 95% interval. A and B are folders of records: a model's folder, or one task's.
    """
    from rmbench.cli.output import echo_block, echo_json, print_rich
    from rmbench.gate import compare as compare_records

    result = compare_records(a, b)
    if as_json:
        echo_json(result.to_dict())
    elif markdown:
        echo_block(result.to_markdown())
    else:
        print_rich(result.render())


@click.command()
@click.option("--baseline", type=_folder, required=True, help="Folder of the records to hold against.")
@click.option("--candidate", type=_folder, required=True, help="Folder of the new records.")
@click.option("--margin-points", type=float, default=1.0, show_default=True, help="Loss allowed, in percentage points.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="One-sided error rate.")
@click.option(
    "--inconclusive",
    type=click.Choice(["fail", "pass"]),
    default="fail",
    show_default=True,
    help="What too few rows to decide count as: code 2, or 0.",
)
@json_option
@click.option("--summary", type=click.Path(path_type=Path, dir_okay=False), help="Append a Markdown summary here.")
def gate(
    baseline: Path,
    candidate: Path,
    margin_points: float,
    alpha: float,
    inconclusive: Literal["fail", "pass"],
    as_json: bool,
    summary: Path | None,
) -> None:
    """Decide whether a candidate got worse.

    Exit codes: 0 pass, 1 regression, 2 inconclusive, 3 broken.
    """
    from rmbench.cli.output import echo_json, print_rich
    from rmbench.gate import gate as decide

    result = decide(baseline, candidate, margin_points=margin_points, alpha=alpha, inconclusive=inconclusive)
    if summary is not None:
        _append(summary, result.to_markdown() + "\n")
    if as_json:
        echo_json(result.to_dict())
    else:
        print_rich(result.render())
    click.get_current_context().exit(result.exit_code)


def _append(summary: Path, text: str) -> None:
    from rmbench.gate.policy import GateError

    try:
        with summary.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise GateError(f"--summary {summary}: cannot be written ({error.strerror or error}).") from error
