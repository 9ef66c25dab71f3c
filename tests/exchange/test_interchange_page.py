"""docs/interchange.md and leaderboards/README.md as they are printed: their commands run on samples and print what is
shown; the workflow of pull requests calls commands of rmbench alone."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from rmbench.cli import cli
from rmbench.exchange.formats import FORMATS
from tests._make import exit_code, margins, put_record
from tests.house.docs_pages import DOCS, Block, blocks, differences, run_shell

ROOT = DOCS.parent
PAGE = DOCS / "interchange.md"
GUIDE = ROOT / "leaderboards" / "README.md"
RECORDS = """
rmbench run --model tiny-bt --tasks rm-bench,rmb-bon,judgebench --source sample --out out
rmbench run --model baseline:length --tasks rm-bench,rmb-bon,judgebench --source sample --out out
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RMBENCH_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return monkeypatch


def play(page: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the commands of a page in order; how many blocks were run."""
    run = [block for block in blocks(page, "sh") if not block.not_run]
    for block in run:
        code, printed = run_shell(block, monkeypatch)
        assert code == block.exit_code, f"{block.code}\n{printed}"
        if block.output is not None:
            names = re.sub(r"tiny-bt@\w+", "tiny-bt@...", printed)
            assert differences(block.output, names) == [], f"{block.code}\n{printed}"
    return len(run)


def test_the_page(shell: pytest.MonkeyPatch) -> None:
    assert run_shell(Block(RECORDS), shell)[0] == 0
    (table,) = blocks(PAGE, "markdown")
    Path("table.md").write_text(table.code)
    assert play(PAGE, shell) == 3
    listed = re.findall(r"^\| `([\w-]+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert listed[1:] == list(FORMATS)  # after the heading


def test_the_guide(shell: pytest.MonkeyPatch) -> None:
    assert play(GUIDE, shell) == 2
    assert sorted(path.name for path in Path("handed-in").rglob("*") if path.is_file()) == [
        *["judgments.parquet"] * 2,
        *["record.json"] * 2,
    ]
    for target in re.findall(r"\]\(([^)#:]+)", GUIDE.read_text("utf-8")):
        assert (GUIDE.parent / target).exists(), target


def commands() -> list[str]:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "results.yml").read_text("utf-8"))
    (job,) = workflow["jobs"].values()
    return [step["run"] for step in job["steps"] if "run" in step]


def test_the_workflow_calls_commands_alone() -> None:
    install, *others = commands()
    assert install == "make install"
    listed = re.findall(r"^\| `(rmbench [^`]+)` \|", GUIDE.read_text("utf-8"), re.MULTILINE)
    assert [command.removeprefix(".venv/bin/") for command in others] == listed
    assert all(command.split()[1] in cli.commands for command in listed)


def test_the_workflow_has_no_secret_and_writes_nothing() -> None:
    text = (ROOT / ".github" / "workflows" / "results.yml").read_text("utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert set(workflow[True]) == {"pull_request"}  # YAML reads "on" as true
    assert "secrets" not in text.split("permissions:")[1]
    expressions = set(re.findall(r"\$\{\{ *(.*?) *\}\}", text))
    assert expressions == {"github.event.pull_request.base.sha"}  # no text of the pull request reaches a shell


@pytest.mark.parametrize(("fault", "code"), [("", 0), ("unchecked", 1), ("changed", 2), ("gone", 1)])
def test_the_workflow_on_a_pull_request(fault: str, code: int, shell: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_record(tmp_path / "results", margins(3, 4), name="org/old")
    shutil.copytree("results", "base/results")
    checked = {"model": {"check": {"passed": True, "failed": [], "date": "2026-01-01T00:00:00+00:00"}}}
    place = put_record(
        tmp_path / "results", margins(3, 4), name="org/new", changed={} if fault == "unchecked" else checked
    )
    if fault == "changed":
        (place / "judgments.parquet").write_bytes(b"")
    if fault == "gone":
        shutil.rmtree(next(Path("results").glob("org__old*")))
    validate, verify, submit, build = (command.split()[1:] for command in commands()[1:])
    assert validate == ["validate"]
    codes = [exit_code(*verify), exit_code(*submit)]
    assert max(codes) == code
    assert exit_code(*build) == 0
    assert list(Path("site").rglob("*.html"))
