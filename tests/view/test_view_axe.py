"""Pages of rows, contact sheets and reports as axe-core, the checker of accessibility, finds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rmbench.reports import report_of
from rmbench.reports.page import page as report_page
from rmbench.view.sheet import sheet
from tests._axe import needs_axe, violations
from tests._make import margins, put_record
from tests.view._rows import view_of
from tests.view.test_view_page import chromium, many, written
from tests.view.test_view_sheet import rows

__all__ = ["chromium"]


@needs_axe
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(chromium: Any, tmp_path: Path, scheme: str) -> None:
    pictures: dict[tuple[str, int], float | None] = {(maker, k): float(k) for maker in "ab" for k in range(3)}
    record = put_record(tmp_path, margins(60, 100), name="org/reported")
    files = [
        written(view_of(tmp_path / "rows", many(200)), tmp_path / "rows.html"),
        tmp_path / "sheet.html",
        tmp_path / "report.html",
    ]
    files[1].write_text(sheet([view_of(tmp_path / "sheet", rows(tmp_path, pictures))]), "utf-8")
    files[2].write_text(report_page([report_of(record)]), "utf-8")
    for file in files:
        for width in (1280, 375):
            context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page = context.new_page()
            page.goto(file.as_uri())
            page.wait_for_timeout(200)
            assert violations(page) == [], (file.name, width)
            context.close()


@needs_axe
@pytest.mark.slow
def test_axe_finds_a_picture_without_words(chromium: Any) -> None:
    page = chromium.new_page()
    page.set_content('<html lang="en"><title>t</title><main><h1>h</h1><img src="data:,"></main>')
    assert [rule for rule, _ in violations(page)] == ["image-alt"]
    page.close()
