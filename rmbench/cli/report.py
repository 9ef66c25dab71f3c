"""`rmbench report`: what records say of a model in depth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rmbench.reports.report import Report

__all__ = ["report"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_STDOUT = Path("-")


@click.command()
@click.argument("records", metavar="RECORD...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--html", type=_FILE, metavar="FILE", help="Write one self-contained page here.")
@click.option(
    "--json",
    "json_to",
    type=_FILE,
    is_flag=False,
    flag_value="-",
    metavar="[FILE]",
    help="Write JSON here; without a file, as the last word, on stdout.",
)
def report(records: tuple[Path, ...], html: Path | None, json_to: Path | None) -> None:
    """Show what records say of a model in depth.

    Margins, calibration of sigmoid(margin), ties, length, order of the answers, and the pairs on which the model is
    furthest from people. RECORD is a record's folder, or one that holds records.
    """
    from rmbench.cli.output import echo, echo_json, print_rich
    from rmbench.records.files import write_file
    from rmbench.reports import report_of
    from rmbench.reports.terminal import ReportView, SummaryView

    made: list[Report] = []
    for folder in _folders(records):
        if made and json_to != _STDOUT:
            echo()
        made.append(report_of(folder))
        if json_to != _STDOUT:
            print_rich(ReportView(made[-1]))
    if len(made) > 1 and json_to != _STDOUT:
        echo()
        print_rich(SummaryView(made))
    if json_to == _STDOUT:
        echo_json(_plain(made))
    elif json_to is not None:
        from rmbench.text import json_text

        write_file(json_to, json_text(_plain(made)) + "\n")
    if html is not None:
        from rmbench.reports.page import page

        write_file(html, page(made))


def _folders(records: tuple[Path, ...]) -> list[Path]:
    """The records' folders, each once."""
    from rmbench.records.store import RECORD_NAME, find, no_record_in

    folders: list[Path] = []
    for place in records:
        found = find(place.parent if place.name == RECORD_NAME else place)
        if not found:
            raise no_record_in(place)
        folders += found
    return list(dict.fromkeys(folders))


def _plain(reports: list[Report]) -> object:
    """One report as an object, several as a list."""
    from dataclasses import asdict

    plain = [asdict(each) for each in reports]
    return plain[0] if len(plain) == 1 else plain
