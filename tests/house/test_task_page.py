"""docs/tasks.md says what the declarations say, and docs/papers.md promises nothing that is not there."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType

import pytest

from rmbench import cards
from rmbench.metric_spec import RULES, MetricSpec
from rmbench.tasks.registry import declared, select

ROOT = Path(__file__).resolve().parents[2]
PAPERS = (ROOT / "docs" / "papers.md").read_text("utf-8")
TODAY = ("works", "partly", "not yet")


@pytest.fixture(scope="module")
def writer() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "examples"))
    yield import_module("write_task_page")
    sys.path.remove(str(ROOT / "examples"))


@pytest.fixture
def lines() -> list[list[str]]:
    """The cells of every task's line."""
    page = (ROOT / "docs" / "tasks.md").read_text("utf-8")
    return [line.strip("|").split(" | ") for line in page.splitlines() if line.startswith("| `")]


def test_the_page_is_current(writer: ModuleType) -> None:
    assert writer.PAGE.read_text("utf-8") == writer.page(), "run python examples/write_task_page.py"


def test_every_task_has_a_whole_line(lines: list[list[str]]) -> None:
    found = {cells[0].split("`")[1]: cells for cells in lines}
    assert set(found) == set(declared())
    assert {len(cells) for cells in lines} == {9}
    for task in declared().values():
        _, shape, n, metric, ties, chance, license_, source, seen = (cell.strip() for cell in found[task.id])
        assert (shape, int(n.replace(",", ""))) == (task.shape, task.n)
        assert f"`{task.metrics[0].name}`" in metric
        assert ("(ours)" in metric) == (not task.official)
        assert ties
        assert chance
        assert license_ == (task.license or "none stated")
        assert (task.hub or task.git or "-") in source
        assert seen == ("yes" if task.verified else "no")


def test_lines_that_were_checked_by_hand(lines: list[list[str]]) -> None:
    found = {cells[0].split("`")[1]: [cell.strip() for cell in cells[4:6]] for cells in lines}
    assert found["llmbar"] == ["half right", ".5"]
    assert found["judgebench"] == ["undecided, so wrong", "reward .5, verdict .25"]
    assert found["rmb-bon"] == ["wrong", "1 / K"]
    assert found["fetv"] == ["as the coefficient has it", "0"]
    assert found["reward-bench-2"][0] == "share the credit; counted as closeness"
    assert found["pick-a-pic"][0] == "half right; people's tie against a choice: half right"


def test_an_odd_credit_is_spelt_out(writer: ModuleType) -> None:
    assert writer.ties(MetricSpec("accuracy", "pair", tie=0.25), {}) == "credit 0.25"


def papers() -> list[list[str]]:
    rows = [line.strip("| ").split(" | ") for line in PAPERS.splitlines() if re.match(r"\| \d", line)]
    return [[cell.strip() for cell in row] for row in rows]


def test_papers_are_numbered_and_say_what_works_today() -> None:
    rows = papers()
    assert [row[0] for row in rows] == [str(k) for k in range(1, len(rows) + 1)]
    assert len(rows) >= 57
    assert {len(row) for row in rows} == {4}
    assert set(Counter(row[2] for row in rows)) <= set(TODAY)
    for _, name, today, what in rows:
        runs = "`rmbench " in what or "`rmbench." in what
        assert runs or today == "not yet", name
        assert ("Not yet:" in what or "not yet" in what) or today != "partly", name


def test_every_command_of_the_papers_names_tasks_that_there_are() -> None:
    commands = re.findall(r"`rmbench run --model (\S+) --tasks ([^\s`]+)([^`]*)`", PAPERS)
    assert len(commands) > 12
    named = {model for model, _, _ in commands if re.fullmatch(r"[a-z][a-z0-9.-]+", model)}
    assert named <= set(cards())
    for _, tasks, rest in commands:
        if tasks == "mine.toml":
            assert rest == " --source FOLDER"
        else:
            assert select(tasks)
            assert tasks.startswith(("all", "suite=")) or {task.id for task in select(tasks)} == set(tasks.split(","))
    for rule in re.findall(r'`rule = "([^"]+)"`', PAPERS):
        assert rule in RULES
    for name in re.findall(r"`(rmbench\.[a-z_.]+)`", PAPERS):
        resolve_name(name)


def test_numbers_of_papers_are_those_of_the_tasks() -> None:
    """A paper's line that runs a task gives the number which the task's declaration has, if any."""
    for _, name, _, what in papers():
        number = re.search(r"\((\d{4}\.\d{5})\)", name)
        tasks = re.findall(r"--tasks ([a-z0-9,-]+)", what)
        known = {declared()[task].paper for one in tasks for task in one.split(",") if task in declared()}
        if number and len(known) == 1:
            assert known == {f"arXiv:{number[1]}"}, name
