"""A task whose data are nowhere is skipped and said; the others run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import rmbench
from rmbench.errors import RmbenchError
from tests._make import exit_code

SAMPLES = Path(__file__).resolve().parents[2] / "tasks" / "samples"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """RMBENCH_DATA with the files of two tasks, the first and the last of three by their ids; no hub."""
    for name in ("hhh-alignment", "m-rewardbench"):
        shutil.copytree(SAMPLES / name, tmp_path / "data" / name)
    monkeypatch.setenv("RMBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "data"


def words(tmp_path: Path, tasks: str) -> list[str]:
    return ["run", "--model", "fake:oracle", "--tasks", tasks, "--out", str(tmp_path / "out"), "--json"]


@pytest.mark.parametrize("absent", ["llmbar", "rm-bench"], ids=["not on the hub", "the hub is away"])
@pytest.mark.parametrize(("source", "code"), [([], 3), (["--source", "FOLDER"], 3)], ids=["auto", "folder"])
def test_a_named_task_does_not_stop_the_others(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], absent: str, source: list[str], code: int
) -> None:
    given = [str(folder) if word == "FOLDER" else word for word in source]
    tasks = f"hhh-alignment,{absent},m-rewardbench"
    assert exit_code(*words(tmp_path, tasks), *given) == code
    said = capsys.readouterr()
    printed = json.loads(said.out)
    assert {row["task"] for row in printed["results"]} == {"hhh-alignment", "m-rewardbench"}
    assert [each["task"] for each in printed["skipped"]] == [absent]
    assert f"`rmbench fetch {absent}`" in printed["skipped"][0]["why"]
    assert f"rmbench: {absent}: " in said.err


def test_a_task_of_a_glob_is_skipped_alone(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(*words(tmp_path, "hhh*,llmb*")) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [each["task"] for each in printed["skipped"]] == ["llmbar"]


def test_where_nothing_is_left_the_command_fails(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*words(tmp_path, "llmbar")) == 3
    assert "no task could be run:\n  llmbar: its files are not in" in capsys.readouterr().err
    assert exit_code(*words(tmp_path, "llmb*")) == 2


def test_data_that_are_there_and_broken_stop_the_run(folder: Path, tmp_path: Path) -> None:
    file = folder / "hhh-alignment/data/honest/task.json"
    file.write_text("{")
    with pytest.raises(RmbenchError, match="is not JSON"):
        rmbench.run("fake:oracle", "hhh-alignment,m-rewardbench", out=tmp_path / "out")


def test_the_title_says_where_rows_came_from(folder: Path, tmp_path: Path) -> None:
    from rich.console import Console

    results = rmbench.run("fake:oracle", "hhh-alignment,judge-spoofing", out=tmp_path / "out", limit=5)
    console = Console(width=200)
    with console.capture() as printed:
        console.print(results)
    assert "".join(printed.get().split()).startswith(f"fake:oracleon{folder}task")
