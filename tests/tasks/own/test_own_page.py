"""The page on rows of one's own, docs/own-data.md, does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rmbench.tasks.own.readings import ROLES
from tests.house.docs_pages import DOCS, blocks, differences, run_shell

PAGE = DOCS / "own-data.md"


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A folder with the page's rows, offline, 80 columns wide."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RMBENCH_DATA", raising=False)
    for name, value in {"COLUMNS": "80", "HF_HUB_OFFLINE": "1", "RMBENCH_CACHE": "off"}.items():
        monkeypatch.setenv(name, value)
    found = re.search(r"^```json title=\"pairs\.jsonl\"\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "pairs.jsonl").write_text(found[1])
    return monkeypatch


def test_its_commands(terminal: pytest.MonkeyPatch) -> None:
    for block in blocks(PAGE, "sh"):
        if not block.not_run:
            code, printed = run_shell(block, terminal)
            assert code == block.exit_code, f"{block.code}\n{printed}"
            if block.output is not None:
                assert differences(block.output, printed) == [], f"{block.code}\n{printed}"


def test_its_table_has_every_key_of_columns() -> None:
    table = PAGE.read_text("utf-8").split("| `--columns` |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) | {"from"} >= set(ROLES)
