"""Reports as HTML: the sections of one, which a board's page of a record shows too, and a page for itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Template
from markupsafe import Markup

from rmbench.html import Scale, bar, environment
from rmbench.html.shell import document
from rmbench.reports.charts import margin_chart, reliability_chart
from rmbench.reports.report import Estimate, Report
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

__all__ = ["page", "sections"]


def sections(report: Report, *, prefix: str = "report", level: int = 2) -> Markup:
    """The parts of a report, a section each: pairs, ties, calibration, margins, length, order, disagreements.

    Args:
        report: of one record.
        prefix: begins the ids of its headings and charts, and is unique in the page.
        level: of the headings.

    Raises:
        RmbenchError: charts cannot be drawn, as altair and vl-convert are not installed.
    """
    return _rendered(
        "sections.html",
        report=report,
        prefix=prefix,
        level=level,
        names=NAMES,
        absent=(ABSENT, absent_lines(report)),
        coverage=coverage_lines(report),
        note=reliability_note,
        calibration_rows=calibration_rows,
        length_note=length_note,
        length_rows=length_rows,
        margin_chart=margin_chart,
        margin_lines=margin_lines,
        position_rows=position_rows,
        reliability_chart=reliability_chart,
        several=has_several_pairs(report),
        tie_rows=tie_rows,
    )


def page(reports: Sequence[Report]) -> str:
    """One self-contained page of reports, which opens from a disk; raises as `sections` does."""
    title = f"{reports[0].model} on {reports[0].title}" if len(reports) == 1 else f"Reports of {len(reports)} records"
    body = _rendered("page.html", reports=reports, sections=sections, heads=SUMMARY, summary=summary)
    return document(title, body, single=True)


def _rendered(name: str, **values: Any) -> Markup:
    return Markup(_template(name).render(**values))  # noqa: S704  (the template escapes)


@cache
def _template(name: str) -> Template:
    made = environment()
    made.filters.update(number=share_or_number, plain=number, limits=limits, bar=_bar)
    return made.from_string(Path(__file__).with_name(name).read_text("utf-8"))


def _bar(one: Estimate) -> Markup:
    """An accuracy, a share or a correlation on its scale; "" for numbers of another kind."""
    if one.value is None or any(abs(each) > 1 for each in (one.value, one.low or 0.0, one.high or 0.0)):
        return Markup("")
    negative = min(one.value, one.value if one.low is None else one.low) < 0
    return bar(Scale(-1.0 if negative else 0.0, 1.0), one.value, one.low, one.high)
