"""Reports as pages: self-contained, escaped, and what a board's page shows of a record."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rmbench.reports import report_of
from rmbench.reports.page import page, sections
from rmbench.reports.report import Report
from rmbench.reports.terminal import ReportView, SummaryView
from tests._hostile import check_terminal
from tests._make import make_row, printed, put_record
from tests.boards.sites import Seen

PAYLOADS: list[str] = json.loads((Path(__file__).parent.parent / "boards" / "payloads.json").read_text("utf-8"))


@pytest.fixture
def whole(put_rows: Callable[..., Path]) -> Report:
    """A report with every part but that of order."""
    rng = np.random.default_rng(5)
    rows = [
        make_row(
            f"r{k}", (rng.normal(0.5), 0.0), lengths=(int(rng.integers(9, 90)), 40), groups={"domain": f"d{k % 3}"}
        )
        for k in range(60)
    ]
    return report_of(put_rows(rows))


def test_the_page_holds_all_it_needs(whole: Report) -> None:
    text = page([whole])
    seen = Seen(text)
    for tag, attributes in seen.elements:
        for name in ("src", "href", "xlink:href", "style", "onclick"):
            value = attributes.get(name) or ""
            assert name in ("href",) or not value, (tag, attributes)
            assert value.startswith(("#", "data:image", "https://github.com/rmbench")) or not value
    assert "Content-Security-Policy" in text
    ids = [attributes["id"] for _, attributes in seen.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_figures_charts_and_headings_are_there(whole: Report) -> None:
    seen = Seen(page([whole]))
    words = " ".join(" ".join(seen.texts).split())
    for heading in ("Ties", "Calibration", "Margins", "Length", "Furthest from people", "What the record cannot tell"):
        assert heading in seen.texts
    assert f"{whole.calibration.ece.value:.3f}".lstrip("0") in words
    charts = [attributes for tag, attributes in seen.elements if tag == "svg" and attributes.get("role") == "img"]
    assert [chart["aria-labelledby"].split()[0] for chart in charts] == ["r1-reliability-title", "r1-margins-title"]
    levels = [int(tag[1]) for tag, _ in seen.elements if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_several_records_share_a_page(whole: Report) -> None:
    seen = Seen(page([whole, replace(whole, model="other@1")]))
    ids = [attributes["id"] for _, attributes in seen.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"r1-ties", "r2-ties"} <= set(ids)
    assert [attributes["href"] for tag, attributes in seen.elements if tag == "a"][1:3] == ["#r1", "#r2"]


def test_sections_for_a_page_of_others(whole: Report) -> None:
    seen = Seen(f"<main>{sections(whole, prefix='own', level=3)}</main>")
    assert {tag for tag, _ in seen.elements if tag[0] == "h" and tag[1:].isdigit()} == {"h3"}
    assert all(str(a["id"]).startswith("own-") for _, a in seen.elements if "id" in a)


def hostile(report: Report, text: str) -> Report:
    """A report whose every name is `text`."""
    groups = tuple(replace(one, group=text) for one in report.groups)
    worst = tuple(replace(one, id=text) for one in report.disagreements or ())
    facts = replace(report.coverage, unanswered=3, reasons={text: 3})
    changed: dict[str, Any] = dict.fromkeys(("model", "task", "title", "finished", "source_of_scores", "metric"), text)
    return replace(report, groups=groups, disagreements=worst, coverage=facts, flags=(text,), **changed)


@pytest.mark.parametrize("text", PAYLOADS, ids=range(len(PAYLOADS)))
def test_no_name_changes_the_page_or_the_terminal(text: str, whole: Report) -> None:
    reports = [hostile(whole, text)] * 2
    plain = [hostile(whole, "name")] * 2
    assert Seen(page(reports)).shape == Seen(page(plain)).shape
    for view in (ReportView(reports[0]), SummaryView(reports)):
        shown = printed(view)
        check_terminal(shown)
        assert max(map(len, shown.split("\n"))) <= 80


def test_a_report_without_parts_is_a_page(tmp_path: Path) -> None:
    report = report_of(put_record(tmp_path, [0.0]))
    assert "What the record cannot tell" in page([report])
