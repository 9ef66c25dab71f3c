"""`--data` through a whole run, against a count by hand; folders of own tasks beside the bundled ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

import rmbench
from rmbench.cli import cli
from rmbench.errors import RmbenchError
from rmbench.tasks.own.declare import own_task
from rmbench.tasks.registry import known, select

ROWS = [
    {"question": "a", "answer_a": "four", "answer_b": "no", "winner": "A", "domain": "x"},
    {"question": "b", "answer_a": "four", "answer_b": "no", "winner": "B", "domain": "y"},
    {"question": "c", "answer_a": "one", "answer_b": "two", "winner": "A", "domain": "x"},
    {"question": "d", "answer_a": "one", "answer_b": "three", "winner": "tie", "domain": "y"},
    {"question": "e", "answer_a": "one", "answer_b": "three", "winner": "B", "domain": "y"},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def right(row: dict[str, str]) -> float | None:
    """Whether the longer answer won; equal lengths are wrong, and where people tied nothing is right."""
    first, second = len(row["answer_a"]), len(row["answer_b"])
    return None if row["winner"] == "tie" else float(first != second and (first > second) == (row["winner"] == "A"))


def test_a_run_of_own_rows_alone(data: Path, tmp_path: Path) -> None:
    results = rmbench.run("baseline:length", data=data, out=tmp_path / "out")
    (record,) = results.records
    credits_ = [credit for row in ROWS if (credit := right(row)) is not None]
    values = {value.group: (value.value, value.n) for value in record.results if value.metric == "accuracy"}
    assert values[None] == (pytest.approx(sum(credits_) / len(credits_)), 4)
    assert values["domain=y"] == (pytest.approx(0.5), 2)
    assert (record.task.id, record.task.n, record.data.source) == ("pairs", 5, "folder")


def test_own_rows_beside_benchmarks(data: Path, tmp_path: Path) -> None:
    results = rmbench.run("fake:oracle", "rm-bench", data=[str(data)], source="sample", out=tmp_path / "out")
    assert [record.task.id for record in results.records] == ["pairs", "rm-bench"]


def test_what_was_recognised_is_printed(data: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["run", "-m", "fake:oracle", "--data", str(data), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert (
        "5 rows, pairs: prompt=question, a=answer_a, b=answer_b, winner=winner (A: a, B: b, tie: a tie)" in done.output
    )


def test_a_declaration_gives_the_record_of_the_data(data: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(own_task(str(data)).toml)
    first = rmbench.run("baseline:length", data=str(data), out=tmp_path / "a").records[0]
    second = rmbench.run("baseline:length", str(mine), out=tmp_path / "b").records[0]
    assert (first.results, first.data.digest, first.task.id) == (second.results, second.data.digest, second.task.id)


def test_own_rows_are_judged_again(data: Path, tmp_path: Path) -> None:
    folder = rmbench.run("tiny-bt", data=str(data), out=tmp_path / "out").folder("pairs")
    words = ["verify", str(folder), "--rerun", "3", "--data", str(data)]
    done = CliRunner().invoke(cli, words)
    assert "holds no command that names the model: give it by --model" in str(done.exception)
    words += ["--model", "tiny-bt"]
    assert "3 of 3 rows judged again agree" in CliRunner().invoke(cli, words).output
    other = tmp_path / "other.jsonl"
    other.write_bytes(data.read_bytes())
    done = CliRunner().invoke(cli, [*words[:4], "--data", str(other), "--model", "tiny-bt"])
    assert "it is of the task pairs, and --data is other" in str(done.exception or done.output)


def test_changed_rows_are_another_result(data: Path, tmp_path: Path) -> None:
    rmbench.run("baseline:length", data=str(data), out=tmp_path / "out")
    data.write_text(data.read_text().replace("three", "fourteen"))
    with pytest.raises(RmbenchError, match="pairs: "):
        rmbench.run("baseline:length", data=str(data), out=tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"prompt": "question"}, "tasks": "rm-bench"}, "--columns says what the columns of --data hold"),
        ({"data": ["pairs.jsonl", "./pairs.jsonl"]}, 'another file is called "pairs" too'),
    ],
)
def test_data_and_columns_that_do_not_fit(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RmbenchError, match=message):
        rmbench.run("fake:oracle", out="out", **options)


@pytest.fixture
def folder(data: Path) -> Path:
    """A folder of own tasks, one in a folder within."""
    for name in ("first", "second"):
        inner = data.parent / "own" / name
        inner.mkdir(parents=True)
        (inner / f"{name}.jsonl").write_bytes(data.read_bytes())
        (inner / f"{name}.toml").write_text(own_task(str(inner / f"{name}.jsonl")).toml)
    return data.parent / "own"


def test_folders_of_own_tasks(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [task.id for task in select("first,rm-bench,sec*", [folder])] == ["first", "rm-bench", "second"]
    with pytest.raises(RmbenchError, match='no task and no suite is called "first"'):
        select("first")
    listed = CliRunner().invoke(cli, ["tasks", "second", "--json", "--include-path", str(folder)])
    assert [task["id"] for task in json.loads(listed.output)] == ["second"]
    monkeypatch.setenv("RMBENCH_TASKS", os.pathsep.join([str(folder / "first"), str(folder / "second")]))
    assert {"first", "second"} < set(known())
    results = rmbench.run("fake:oracle", "first", out=tmp_path / "out")
    assert [record.task.id for record in results.records] == ["first"]
    shown = CliRunner().invoke(cli, ["show", "first"])
    assert "#   candidate 0: four" in shown.output


def test_mistakes_of_folders(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match="nowhere: --include-path and RMBENCH_TASKS name folders of tasks"):
        select("rm-bench", [tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(RmbenchError, match="empty: holds no task declaration"):
        select("rm-bench", [tmp_path / "empty"])
    taken = (folder / "first" / "first.toml").read_text().replace('id = "first"', 'id = "rm-bench"')
    (tmp_path / "empty" / "taken.toml").write_text(taken)
    with pytest.raises(RmbenchError, match=r'taken\.toml: id: "rm-bench" is that of a bundled task'):
        select("rm-bench", [tmp_path / "empty"])


def test_ids_and_validation_of_a_toml(folder: Path) -> None:
    toml = str(folder / "first" / "first.toml")
    assert CliRunner().invoke(cli, ["tasks", "--ids", toml]).output.split() == [f"first/{k}" for k in range(5)]
    assert CliRunner().invoke(cli, ["validate", toml]).output == f"{toml}: task first, 5 rows read\n"
