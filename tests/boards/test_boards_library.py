"""Records are read and audited once, whatever boards are made of them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from rmbench.boards import build
from rmbench.boards.library import Library, spread
from rmbench.engine.interfaces import SilentProgress
from rmbench.errors import RmbenchError
from tests.boards.sites import Put, declared


def test_what_cannot_be_read_is_named_and_the_rest_is_there(tmp_path: Path, put_record: Put) -> None:
    good = put_record(tmp_path, [1.0, -1.0], name="good")
    bad = put_record(tmp_path, [1.0], name="bad")
    (bad / "record.json").write_text("{")
    library = Library(tmp_path)
    assert [folder for folder, _ in library.readable()] == [good]
    ((folder, why),) = library.unreadable()
    assert folder == bad
    assert "not JSON" in why
    with pytest.raises(RmbenchError, match="not JSON"):
        library.record(bad)
    assert library.record(good).model.name == "good"


def test_a_record_is_audited_once(tmp_path: Path, put_record: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [put_record(tmp_path, [1.0], name=name) for name in ("a", "b")]
    asked: list[Path] = []

    def problems(folder: Path) -> list[str]:
        asked.append(folder)
        return [folder.name]

    monkeypatch.setattr(import_module("rmbench.boards.library"), "problems", problems)
    library = Library(tmp_path)
    assert library.problems(folders[:1]) == {folders[0]: [folders[0].name]}
    assert set(library.problems(folders)) == set(folders)
    assert asked == folders


def test_many_items_are_spread_over_processes_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert spread(abs, [-3, 2, -1], many=2) == [3, 2, 1]


def test_no_folder_has_no_records(tmp_path: Path) -> None:
    assert Library(tmp_path / "nothing").folders == ()


class Told(SilentProgress):
    """Keeps the titles and how much of each was announced and done."""

    def __init__(self) -> None:
        self.stages: list[list[object]] = []

    def start(self, task: str, rows: int, tokens: int) -> None:
        self.stages.append([task, rows, 0])

    def advance(self, rows: int, tokens: int) -> None:
        self.stages[-1][2] += rows  # type: ignore[operator]


def test_what_takes_long_is_told(tmp_path: Path, put_record: Put) -> None:
    for name in ("a", "b", "c"):
        put_record(tmp_path / "records", [1.0, -1.0, 0.5], name=name)
    told = Told()
    build(declared(tmp_path, "pairs"), tmp_path / "records", tmp_path / "site", progress=told)
    assert [name for name, *_ in told.stages] == [
        "reading records",
        "auditing records",
        "comparing pairs of models",
        "writing pages",
        "writing records' pages",
    ]
    assert all(announced == done for _, announced, done in told.stages)
    assert [announced for _, announced, _ in told.stages[:3]] == [3, 3, 3]
