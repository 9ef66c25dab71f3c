"""`rmbench tasks`: every id and number is whole, however wide the terminal is; and tasks that are selected twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmbench.cli.output import print_rich
from rmbench.tasks.registry import declared
from rmbench.text import text_table
from tests._make import exit_code


@pytest.mark.parametrize("columns", ["20", "80", "200"])
def test_ids_and_numbers_are_whole(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert exit_code("tasks") == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in lines[:-1]) <= 80  # the last one is a sentence
    words = {line.split()[0]: line.split() for line in lines if line.strip()}
    for task in declared().values():
        assert words[task.id][1:3] == [task.shape, task.metrics[0].name]
        assert words[task.id][3] == f"{task.n:,}"
        assert words[task.id][-1] == ("yes" if task.verified else "no")


def test_print_rich_cuts_no_name_and_no_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name, number = "a-name-" * 10, "1,234" * 5
    print_rich(text_table([("the name", "left"), ("n", "right"), ("notes", "fold")], [[name, number, "some notes"]]))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if name in line]
    assert number in line


def test_repeated_tasks_add_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = ["--tasks", "rm-bench", "-t", "judgebench,rmb-bon", "--tasks=rm-bench"]
    assert (
        exit_code("run", "-m", "baseline:length", *tasks, "--source", "sample", "--out", str(tmp_path), "--json") == 0
    )
    results = json.loads(capsys.readouterr().out)["results"]
    assert {row["task"] for row in results} == {"rm-bench", "judgebench", "rmb-bon"}


@pytest.mark.parametrize("folder", ["./nope", "../nope", "/nope/nope", "~/nope", "nope/", "a/b/c", "./no/pe@main"])
def test_a_folder_that_is_not_there_is_called_so(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("score", "-m", folder, "-p", "a", "-r", "b", "-r", "c") == 2
    assert capsys.readouterr().err == f"rmbench: {folder}: there is no such folder.\n"


def test_a_model_that_is_a_file_is_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "model.bin"
    file.touch()
    assert exit_code("score", "-m", str(file), "-p", "a", "-r", "b", "-r", "c") == 2
    assert capsys.readouterr().err == f"rmbench: {file}: is a file, not a folder.\n"


def test_a_name_that_the_hub_does_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("score", "-m", "x--y/z", "-p", "a", "-r", "b", "-r", "c") == 2
    assert capsys.readouterr().err.startswith("rmbench: x--y/z is no hub id: ")
