"""The page on raters, docs/raters.md, does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rmbench
from tests.house.docs_pages import DOCS, blocks, differences, run_shell

PAGE = DOCS / "raters.md"


def written(folder: Path) -> None:
    """The files that the page shows."""
    text = PAGE.read_text("utf-8")
    for name, lines in re.findall(r"^```\w+ title=\"(\S+)\"\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        (folder / name).write_text(lines, "utf-8")


def reads_the_goal(conversations: list[list[dict[str, str]]]) -> list[float]:
    """How near an answer's points are to the goal: 9 for the planet and the figure, 2 for the others."""
    goals = [float(re.findall(r"(\d+) of 10", turns[0]["content"])[0]) for turns in conversations]
    points = [9.0 if re.search("Jupiter|km", turns[-1]["content"]) else 2.0 for turns in conversations]
    return [-abs(goal - point) for goal, point in zip(goals, points, strict=True)]


def test_a_model_that_reads_the_goal_and_one_that_does_not(tmp_path: Path) -> None:
    written(tmp_path)
    for model, expected in ((reads_the_goal, (1.0, 1.0)), ("baseline:length", (0.5, 0.0))):
        record = rmbench.run(model, tmp_path / "goals.toml", source=tmp_path, out=tmp_path / "out").records[0]
        assert tuple(value.value for value in record.results if value.group is None) == expected


def overlap(conversations: list[list[dict[str, str]]]) -> list[float]:
    """How many words of the prompt an answer repeats."""
    words = [[set(re.findall(r"\w+", turn["content"].lower())) for turn in turns] for turns in conversations]
    return [float(len(turns[0] & turns[-1])) for turns in words]


def test_a_reference_flips_a_scorer_of_overlap(tmp_path: Path) -> None:
    """Without it the worse answers repeat more of the prompt; with it the better ones do, which it holds."""
    written(tmp_path)
    record = rmbench.run(overlap, tmp_path / "reference.toml", source=tmp_path, out=tmp_path / "out").records[0]
    found = {(value.metric, value.group): value.value for value in record.results}
    assert found["accuracy", "reference=given"] == 1.0
    assert found["accuracy", "reference=withheld"] == 0.0
    assert found["worth_of_the_reference", None] == 1.0


def test_its_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RMBENCH_DATA", raising=False)
    for name, value in {"COLUMNS": "80", "HF_HUB_OFFLINE": "1", "RMBENCH_CACHE": "off"}.items():
        monkeypatch.setenv(name, value)
    written(tmp_path)
    for block in blocks(PAGE, "sh"):
        if not block.not_run:
            code, printed = run_shell(block, monkeypatch)
            assert code == block.exit_code, f"{block.code}\n{printed}"
            if block.output is not None:
                assert differences(block.output, printed) == [], f"{block.code}\n{printed}"
