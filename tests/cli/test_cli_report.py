"""`rmbench report` in the terminal, as a page and as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests._make import exit_code, margins, put_record


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name in ("org/a", "org/b-with-a-name-that-is-longer-than-any-column-of-a-table-could-be-v0.2"):
        put_record(tmp_path / "results", margins(9, 12), name=name)
    return tmp_path / "results"


def test_one_record(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = next(results.glob("org__a@*/pairs@1"))
    assert exit_code("report", str(folder)) == 0
    out = capsys.readouterr().out
    assert "accuracy, a tie is wrong        .750  [.468, .911]     12" in out
    assert "strict half" not in out
    assert exit_code("report", str(folder / "record.json")) == 0
    assert capsys.readouterr().out == out


def test_several_records_end_with_a_table(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("report", str(results)) == 0
    lines = capsys.readouterr().out.split("\n")
    assert max(map(len, lines)) <= 80
    start = next(place for place, line in enumerate(lines) if line.startswith("model "))
    assert lines[start].split() == ["model", "strict", "half", "decided", "ties", "ECE", "log", "loss", "T"]
    assert lines[start + 1].split()[:5] == ["org/a@0123abcd", ".750", ".750", ".750", ".000"]
    names = "".join(line[:28].strip() for line in lines[start + 2 :])
    assert names.startswith("org/b-with-a-name-that-is-longer-than-any-column-of-a-table-could-be-v0.2@0123abcd")
    assert not any(line[:28].strip()[-1:].isalpha() for line in lines[start + 2 : start + 4])  # no break in a word


def test_a_record_named_twice_is_reported_once(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = next(results.glob("org__a@*"))
    assert exit_code("report", str(folder), str(folder / "pairs@1"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["model"] == "org/a@0123abcd"


def test_json_and_page_are_files(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, data = tmp_path / "out.html", tmp_path / "out.json"
    assert exit_code("report", str(results), "--html", str(page), "--json", str(data)) == 0
    assert "Calibration" in capsys.readouterr().out
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert len(json.loads(data.read_text("utf-8"))) == 2
    assert exit_code("report", str(results), "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(data.read_text("utf-8"))


@pytest.mark.parametrize(
    "words, message",
    [
        (["nowhere"], "nowhere: no such folder"),
        (["EMPTY"], "holds no record.json"),
        (["RESULTS", "--html", "a file/a.html"], "a file/a.html: cannot be written"),
        (["RESULTS", "--json", "RESULTS"], "is a directory"),
        ([], "Missing argument 'RECORD...'"),
    ],
)
def test_mistakes(
    words: list[str],
    message: str,
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a file").touch()
    places = {"RESULTS": str(results), "EMPTY": str(tmp_path / "empty")}
    assert exit_code("report", *(places.get(word, word) for word in words)) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_changed_record_is_refused(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = next(results.glob("org__a@*/pairs@1"))
    data = json.loads((folder / "record.json").read_text("utf-8"))
    data["results"][0]["value"] = 0.99
    (folder / "record.json").write_text(json.dumps(data), "utf-8")
    assert exit_code("report", str(folder)) == 2
    assert '"results" was changed after the record was written' in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
@pytest.mark.parametrize("words", [["report"], ["report", "--json"], ["show"]])
def test_names_that_a_terminal_cannot_write(words: list[str], encoding: str, tmp_path: Path) -> None:
    """As where a Windows console of one code page is redirected: what it lacks is escaped, and JSON stays JSON."""
    name = "模型/😀-é"
    folder = put_record(tmp_path, margins(9, 12), changed={"task": {"title": name}})
    command = [sys.executable, "-m", "rmbench", words[0], str(folder), *words[1:]]
    done = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr
    out = done.stdout.decode("utf-8" if encoding == "ascii" else encoding)
    if "--json" in words:
        assert json.loads(out)["title"] == name
    else:
        assert (name if encoding != "cp1252" else r"\u6a21\u578b/\ud83d\ude00-é") in out
    if words == ["report"]:
        assert ("█" in out) == (encoding == "utf-8")
