"""Boards as TOML: what is declared, and what a mistake says."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from rmbench import resources
from rmbench.boards import boards, load_board, tabulate
from rmbench.boards.declaration import Board
from rmbench.errors import RmbenchError

RIGHT = 'id = "mine"\ntitle = "Mine"\ntasks = ["rm-bench", "rmb-*"]\n'


def written(folder: Path, text: str, name: str = "mine") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, "utf-8")
    return path


def test_the_boards_of_the_package() -> None:
    declared = boards()
    assert list(declared) == sorted(declared)
    assert {"text", "demo"} <= set(declared)
    guarded = {"sample", "fake", "demo", "partial"}
    assert not guarded & set(declared["text"].allow)
    assert guarded <= set(declared["demo"].allow)


def test_every_task_that_a_board_names_is_declared() -> None:
    known = {path.stem for path in resources.tasks().rglob("*.toml")}
    for board in boards().values():
        for entry in board.tasks:
            name = entry.partition("@")[0]
            assert any(fnmatchcase(task, name) for task in known), f"{board.id} names {entry}, which is no task"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RIGHT + 'aggregat = "mean"', 'aggregat: unknown key.*Did you mean "aggregate"'),
        (RIGHT + "min_coverge = 1", 'Did you mean "min_coverage"'),
        (RIGHT + 'aggregate = "median"', "aggregate: expected one of mean, win_share, none; found 'median'"),
        (RIGHT + 'allow = ["samples"]', r'allow\[0\]: expected one of .* Did you mean "sample"'),
        (RIGHT + "min_coverage = 2", "min_coverage: input should be less than or equal to 1"),
        (RIGHT + '[weights]\n"rm-bensh" = 2', 'weights.rm-bensh: not one of `tasks`. Did you mean "rm-bench"'),
        (RIGHT + '[weights]\n"rm-bench" = 0', "expected a positive number"),
        (RIGHT + 'aggregate = "none"\n[weights]\n"rm-bench" = 1', "not allowed with aggregate"),
        ('id = "mine"\ntasks = ["a"]', "title: this key is missing"),
        ('id = "mine"\ntitle = "M"\ntasks = []', "tasks: tuple should have at least 1 item"),
        ('id = "mine"\ntitle = "M"\ntasks = ["a", "a"]', "'a' is listed twice"),
        ('id = "mine"\ntitle = "M"\ntasks = ["a/../b"]', "'a/../b' is not a task id"),
        ('id = "Mine!"\ntitle = "M"\ntasks = ["a"]', "id: expected lower-case letters"),
        ('id = "other"\ntitle = "M"\ntasks = ["a"]', 'id: "other" is not the name of the file, "mine"'),
        ("id = ", "is not TOML"),
    ],
)
def test_a_mistake_names_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(RmbenchError, match=said) as error:
        load_board(path)
    assert str(error.value).startswith(f"{path}: ")


def test_an_entry_stands_for_ids_versions_and_globs() -> None:
    board = Board(id="b", title="B", tasks=("rm-bench@2", "rmb-*", "rm-bench"))
    assert board.entry_for("rm-bench", 2) == "rm-bench@2"
    assert board.entry_for("rm-bench", 1) == "rm-bench"
    assert board.entry_for("rmb-bon", 7) == "rmb-*"
    assert board.entry_for("judgebench", 1) is None


def test_unknown_boards_and_flags_name_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RmbenchError, match=r'There is no board "tekst".*Did you mean "text"'):
        tabulate("tekst", tmp_path)
    with pytest.raises(RmbenchError, match=r'"partail" is not a flag.*Did you mean "partial"'):
        tabulate("text", tmp_path, allow=["partail"])


def test_a_folder_without_records_says_how_to_make_them(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(RmbenchError, match=r"holds no record.json; `rmbench run"):
            tabulate("text", root)
