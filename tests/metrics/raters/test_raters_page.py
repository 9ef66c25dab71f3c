"""The page on raters, docs/raters.md, does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.docs_pages import DOCS, blocks, differences, run_shell

PAGE = DOCS / "raters.md"


def test_its_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RMBENCH_DATA", raising=False)
    for name, value in {"COLUMNS": "80", "HF_HUB_OFFLINE": "1", "RMBENCH_CACHE": "off"}.items():
        monkeypatch.setenv(name, value)
    text = PAGE.read_text("utf-8")
    for name, lines in re.findall(r"^```json title=\"(\S+)\"\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(lines, "utf-8")
    for block in blocks(PAGE, "sh"):
        if not block.not_run:
            code, printed = run_shell(block, monkeypatch)
            assert code == block.exit_code, f"{block.code}\n{printed}"
            if block.output is not None:
                assert differences(block.output, printed) == [], f"{block.code}\n{printed}"
