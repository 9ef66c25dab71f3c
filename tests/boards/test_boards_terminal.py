"""A board in a terminal: what fits, what is said, and what a name cannot do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rmbench.boards import show
from rmbench.text import figure, printable
from tests._make import margins
from tests._make import printed as terminal

Put = Callable[..., Path]


def printed(root: Path, board: str | Path = "text", *allow: str, width: int = 80, colour: bool = False) -> str:
    return terminal(show(board, root, allow=allow), width, colour=colour)


def declare(folder: Path, tasks: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(f'id = "mine"\ntitle = "Mine"\ntasks = [{tasks}]\n', "utf-8")
    return path


@pytest.fixture
def root(tmp_path: Path, put_record: Put) -> Path:
    from rmbench.boards import boards

    for task in boards()["text"].tasks:
        put_record(tmp_path / "results", margins(81, 100), name="org/one", task=task)
        put_record(tmp_path / "results", margins(60, 100), name="baseline:length", task=task, flags=["baseline"])
    put_record(tmp_path / "results", margins(81, 100), name="org/half", task="rm-bench", flags=["contaminated"])
    put_record(tmp_path / "results", margins(81, 100), name="fake:coin", task="rm-bench", flags=["fake"])
    return tmp_path / "results"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_it_fits_and_shows_every_task(root: Path, width: int) -> None:
    text = printed(root, width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    for task in ("reward-bench", "rm-bench", "rmb-pairwise", "rmb-bon", "judgebench", "llmbar", "hh-harmless"):
        assert f"{task}@1" in text
    assert text.count(".810 [.72, .87]") >= 8  # seven tasks of one model, and the mean


def test_it_says_chance_marks_ranks_and_refusals(root: Path) -> None:
    text = " ".join(printed(root).split())
    assert "baseline:length (baseline)" in text
    assert ".810 [.72, .87] a" in text
    assert "Marks: a contaminated." in text
    assert "chance .500" in text
    assert "Holm's correction over all pairs" in text
    assert "Refused (1): fake:coin@0123abcd on rm-bench@1: it is marked fake" in text


def test_a_missing_task_leaves_no_aggregate(root: Path) -> None:
    line = next(line for line in printed(root, width=200).splitlines() if line.startswith("org/half"))
    assert line.split()[1:4] == ["-", "-", "-"]


def test_nothing_admitted_is_said(tmp_path: Path, put_record: Put) -> None:
    put_record(tmp_path, margins(5, 8), task="rm-bench", flags=["sample"])
    text = printed(tmp_path)
    assert "No record is admitted." in text
    assert "marked sample" in text


@pytest.mark.parametrize("colour", [False, True])
def test_a_name_is_text_and_nothing_else(tmp_path: Path, put_record: Put, colour: bool) -> None:
    hostile = "org/[red]x[/red]\x1b[31m\r\x07\u202egnp.exe\u200b[link=http://x]y"
    put_record(tmp_path / "results", margins(5, 8), name=hostile, task="a")
    text = printed(tmp_path / "results", declare(tmp_path, '"a"'), width=200, colour=colour)
    assert "[red]x[/red][31m gnp.exe[link=http://x]y" in text
    assert not {"\r", "\x07", "\u202e", "\u200b"} & set(text)
    # Rich's own bold and italic are the only escape sequences there.
    rest = text
    for own in ("\x1b[1m", "\x1b[3m", "\x1b[0m"):
        rest = rest.replace(own, "")
    assert "\x1b" not in rest


def test_only_default_colours_are_used(root: Path) -> None:
    text = printed(root, colour=True)
    codes = {part.split("m")[0] for part in text.split("\x1b[")[1:]}
    assert codes <= {"0", "1", "3"}


def test_printable_keeps_letters_of_all_scripts() -> None:
    assert printable("模型/Модель é 👍") == "模型/Модель é 👍"
    assert printable("a\tb\n\nc\u2028d\ud800") == "a b c d"
    assert len(printable("x" * 1000)) == 200


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, ".500"), (-0.5, "-.500"), (-0.0001, ".000"), (1, "1.000"), (0, ".000"), (None, "-")]
)
def test_figures(value: float | None, text: str) -> None:
    assert figure(value) == text
