"""Reports for a terminal of 80 columns, light or dark: default colours, and names as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmbench.reports.report import Calibration, Disagreement, Estimate, Margins, Report
from rmbench.reports.words import (
    ABSENT,
    NAMES,
    SUMMARY,
    absent_lines,
    calibration_rows,
    coverage_lines,
    has_several_pairs,
    length_note,
    length_rows,
    limits,
    margin_lines,
    number,
    position_rows,
    reliability_note,
    share_or_number,
    summary,
    tie_rows,
)
from rmbench.text import ColumnLayout, figure, line, text_table, wrapped

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table
    from rich.text import Text

__all__ = ["ReportView", "SummaryView"]

_GROUPS = 20
_BAR = 20
_HEIGHTS = "▁▂▃▄▅▆▇█"
_PLAIN = str.maketrans(dict(zip("▁▂▃▄▅▆▇█·", "_-:=+*%#.", strict=True)))
"""The same where a terminal has no such characters."""


@dataclass(frozen=True, slots=True)
class ReportView:
    """A report, ready for `rich.print`."""

    report: Report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        report, width = self.report, options.max_width
        head, chance = report.headline, "" if report.chance is None else f"; chance {figure(report.chance)}"
        value = f"{share_or_number(head.value)} {limits(head)}".strip()
        yield wrapped(report.model, width, "bold")
        yield wrapped(f"on {report.title} ({report.task})", width)
        rows = f", {head.n:,} rows" if head.n else ""  # a printed figure says of how many rows only in its table
        yield wrapped(f"{report.metric} {value}{rows}{chance}", width)
        if report.flags:
            yield wrapped(f"flags: {', '.join(report.flags)}", width)
        if report.source_of_scores:
            yield wrapped(f"scores: {report.source_of_scores}", width)
        yield from (wrapped(each, width) for each in coverage_lines(report))
        if report.groups:
            yield line("")
            yield _groups(report, width)
        for name in NAMES:
            if name not in report.missing:
                yield line("")
                yield line(NAMES[name], "bold")
                yield from _part(report, name, options)
        if report.missing:
            yield line("")
            yield line(ABSENT, "bold")
            yield from (wrapped(f"{parts}: {why}", width) for parts, why in absent_lines(report))


def _part(report: Report, name: str, options: ConsoleOptions) -> Iterator[RenderableType]:
    if name == "ties" and report.ties is not None:
        yield _table(tie_rows(report.ties))
    elif name == "calibration" and report.calibration is not None:
        yield _table(calibration_rows(report.calibration))
        yield line(reliability_note(report.calibration))
        yield from _reliability(report.calibration, plain=options.ascii_only)
    elif name == "margins" and report.margins is not None:
        yield from map(line, margin_lines(report.margins))
        yield from _histogram(report.margins, plain=options.ascii_only)
    elif name == "length" and report.length is not None:
        yield _table(length_rows(report.length))
        yield line(length_note(report.length))
    elif name == "position" and report.position is not None:
        yield _table(position_rows(report.position))
    elif name == "disagreements" and report.disagreements is not None:
        yield _disagreements(report.disagreements, options.max_width, several=has_several_pairs(report))


def _groups(report: Report, width: int) -> Table:
    shown = report.groups[:_GROUPS]
    rows: list[list[str | Text]] = []
    for each in shown:
        one = each.estimate
        count = f"{one.n:,}" if one.n else "-"
        rows.append([wrapped(each.group, width - 40), figure(one.value), limits(one), count])
    more = len(report.groups) - len(shown)
    rows += [[f"and {more} more groups in --json", "", "", ""]] * bool(more)
    return text_table([("group", "left"), (report.metric, "right"), ("95%", "left"), ("rows", "right")], rows, gap=2)


def _table(rows: Sequence[tuple[str, Estimate]]) -> Table:
    cells = [(name, share_or_number(one.value), limits(one), f"{one.n:,}") for name, one in rows]
    return text_table([("", "left"), ("value", "right"), ("95%", "left"), ("pairs", "right")], cells, gap=2)


def _reliability(part: Calibration, *, plain: bool) -> Iterator[RenderableType]:
    rows = [
        (
            figure(one.confidence, 2),
            figure(one.accuracy.value, 2),
            limits(one.accuracy, 2),
            f"{one.pairs:,.0f}",
            _drawn(_bar(one.accuracy.value or 0.0, one.confidence), plain=plain),
        )
        for one in part.bins
    ]
    columns: list[tuple[str, ColumnLayout]] = [("confidence", "right"), ("accuracy", "right"), ("95%", "left")]
    yield text_table([*columns, ("pairs", "right"), ("accuracy; | is the confidence", "left")], rows, gap=2)


def _drawn(text: str, *, plain: bool) -> str:
    """What is drawn, in ASCII where a terminal has no more."""
    return text.translate(_PLAIN) if plain else text


def _bar(accuracy: float, confidence: float) -> str:
    """Accuracy as a bar from 0 to 1, with a mark where the confidence is."""
    filled, mark = round(accuracy * _BAR), min(round(confidence * _BAR), _BAR - 1)
    return "".join("|" if k == mark else "█" if k < filled else "·" for k in range(_BAR))


def _histogram(part: Margins, *, plain: bool) -> Iterator[RenderableType]:
    if not part.bins:
        return
    most, half = max(one.pairs for one in part.bins), len(part.bins) // 2
    drawn = _drawn("".join(_height(one.pairs, most) for one in part.bins), plain=plain)
    yield line(f"{number(part.bins[0].low)} {drawn[:half]}|{drawn[half:]} {number(part.bins[-1].high)}")
    yield line("wrong pairs left of 0, right pairs right of it; the ends hold what is beyond")


def _height(pairs: int, most: int) -> str:
    return "·" if not pairs else _HEIGHTS[min(len(_HEIGHTS) * pairs // most, len(_HEIGHTS) - 1)]


def _disagreements(worst: Sequence[Disagreement], width: int, *, several: bool) -> Table:
    rows: list[list[str | Text]] = []
    for one in worst:
        pair = [f"{one.other} over {one.preferred}"] * several
        rows.append([wrapped(one.id, width - 24 - 16 * several), *pair, number(one.margin), f"{number(one.sds)} SD"])
    columns: list[tuple[str, ColumnLayout]] = [("row", "left")]
    columns += [("model prefers", "left")] if several else []
    return text_table([*columns, ("margin", "right"), ("of all", "right")], rows, gap=2)


@dataclass(frozen=True, slots=True)
class SummaryView:
    """Several reports side by side, ready for `rich.print`."""

    reports: Sequence[Report]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        tasks = {report.task for report in self.reports}
        if len(tasks) == 1:
            yield line(f"All on {self.reports[0].task}.")
        head = "model" if len(tasks) == 1 else "model and task"
        names = [report.model if len(tasks) == 1 else f"{report.model} {report.task}" for report in self.reports]
        width = max(20, options.max_width - 50)
        rows: list[list[str | Text]] = [
            [wrapped(name, width), *summary(report)] for name, report in zip(names, self.reports, strict=True)
        ]
        yield text_table([(head, "left"), *((name, "right") for name in SUMMARY)], rows)
