"""A report for a terminal of 80 columns, light or dark: no meaning in a colour alone, and untrusted text escaped."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table

from rmbench.check.report import CheckReport, CheckResult
from rmbench.text import line

__all__ = ["result_lines", "summary_lines"]

_STATUS_TEXT = {"pass": ("pass", "green"), "fail": ("FAIL", "bold red"), "not run": ("not run", "yellow")}
_NAME, _STATUS = 12, 8
_LONGEST = 600
_TEXT_LINES = 30


def result_lines(result: CheckResult) -> RenderableType:
    """Name, status and sentence; below it the text to review."""
    word, style = _STATUS_TEXT[result.status]
    grid = Table.grid()
    grid.add_column(width=_NAME)
    grid.add_column(width=_STATUS)
    grid.add_column(overflow="fold")
    grid.add_row(line(result.name), line(word, style), line(result.line, longest=_LONGEST))
    return Group(grid, *_text(result.text))


def summary_lines(report: CheckReport) -> RenderableType:
    """The counts, and the file written."""
    counts = [sum(one.status == status for one in report.checks) for status in ("pass", "fail", "not run")]
    lines = [line(""), line("{} passed, {} failed, {} not run".format(*counts), "bold")]
    name = f"{report.facts.name}@{report.facts.revision}"
    if report.failed:
        lines.append(line(f"{name} did not pass: {', '.join(report.failed)}"))
    elif not report.passed:
        lines.append(line(f"{name} was not opened, so it did not pass"))
    else:
        lines.append(line(f"{name} passed"))
    if report.folder is not None:
        marked = f"; {report.records} records marked" if report.records else ""
        lines.append(line(f"written: {report.folder}/check.json{marked}"))
    lines += [line(f"not marked: {note}", longest=_LONGEST) for note in report.notes]
    return Group(*lines)


def _text(text: str) -> list[RenderableType]:
    """Rendered text, each line after a bar, so that leading white space shows."""
    lines = text.split("\n") if text else []
    rendered = [line(f"| {each}", longest=_LONGEST) for each in lines[:_TEXT_LINES]]
    if len(lines) > _TEXT_LINES:
        rendered.append(line(f"... and {len(lines) - _TEXT_LINES} more lines"))
    return [Padding(each, (0, 0, 0, 2)) for each in rendered]
