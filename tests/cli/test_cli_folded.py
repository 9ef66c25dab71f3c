"""Many tasks alike are said in one line, and many records in a line each."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from rmbench.cli import cli
from rmbench.errors import RmbenchError
from rmbench.evaluation.results import Results, Skipped
from rmbench.gate import compare
from rmbench.records.store import find
from tests._make import margins, printed, put_record


def test_show_of_several_records_is_a_line_each(tmp_path: Path) -> None:
    places = [put_record(tmp_path, margins(6, 8), task=task) for task in ("one", "two")]
    shown = CliRunner().invoke(cli, ["show", str(tmp_path)], env={"COLUMNS": "120"})
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    for place in places:
        (line,) = (line for line in lines if place.relative_to(tmp_path).as_posix() in line)
        assert f" {6 / 8:.3f}".replace(" 0", " ") in line
    assert lines[-1].startswith("2 records; of all, digests hold")
    assert len(lines) == 4
    in_full = CliRunner().invoke(cli, ["show", str(places[0])], env={"COLUMNS": "120"}).output
    assert "settings " in in_full
    assert "settings " not in shown.output


def test_show_of_several_says_which_does_not_hold(tmp_path: Path) -> None:
    put_record(tmp_path, margins(6, 8), task="one")
    broken = put_record(tmp_path, margins(6, 8), task="two")
    (broken / "judgments.parquet").write_bytes((broken / "judgments.parquet").read_bytes()[:-1] + b"x")
    shown = CliRunner().invoke(cli, ["show", str(tmp_path)])
    assert "NOT ALL HOLD" in shown.output
    assert isinstance(shown.exception, RmbenchError)
    assert "two" in str(shown.exception)


def test_tasks_skipped_for_one_reason_are_one_line() -> None:
    skipped = (Skipped("a", "no"), Skipped("b", "never"), Skipped("c", "no"))
    lines = printed(Results("org/one", "sample", (), skipped, "out"), 120).splitlines()
    assert [line.rstrip() for line in lines if line.startswith("skipped")] == [
        "skipped 2 tasks: no: a, c",
        "skipped b: never",
    ]


def test_tasks_that_one_model_lacks_are_one_line(tmp_path: Path) -> None:
    for task in ("shared", "only-a", "only-a-too"):
        put_record(tmp_path, margins(5, 8), name="org/a", task=task)
    put_record(tmp_path, margins(6, 8), name="org/b", task="shared")
    a, b = (next(tmp_path.glob(f"org__{name}@*")) for name in "ab")
    result = compare(a, b)
    said = "2 tasks not compared: B has no record of this task: only-a@1, only-a-too@1"
    assert f"{said}." in printed(result, 120)
    assert said in result.to_markdown()
    assert printed(result, 120).count("not compared") == 1


@pytest.mark.parametrize(("typed", "near"), [("tiny", "tiny-bt@8e3901bb"), ("tiny-tb@8e3901bb", "tiny-bt@8e3901bb")])
def test_a_folder_that_is_not_there_names_the_nearest(typed: str, near: str, tmp_path: Path) -> None:
    (tmp_path / near).mkdir()
    with pytest.raises(RmbenchError) as raised:
        find(tmp_path / typed)
    assert str(raised.value) == f'{tmp_path / typed}: no such folder. Did you mean "{tmp_path / near}"?'


def test_in_the_results_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results" / "tiny-bt@8e3901bb").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RmbenchError, match=r'tiny-bt: no such folder\. Did you mean "results/tiny-bt@8e3901bb"\?'):
        find("tiny-bt")
