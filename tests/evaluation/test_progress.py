"""The progress bar of the Python API: where it is shown, what it shows of others' text, and that it ends."""

from __future__ import annotations

import io
import sys
import threading
from contextlib import redirect_stderr
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import rmbench
from rmbench.engine.interfaces import SilentProgress
from rmbench.errors import RmbenchError
from rmbench.evaluation.probe import probe
from rmbench.evaluation.progress import NotebookProgress
from tests._hostile import PAYLOADS, check_message
from tests.boards.sites import Seen

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
"""What a terminal is told before and after a bar that moves."""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


def run(out: Path, **options: Any) -> None:
    rmbench.run("fake:oracle", "rm-bench", source="sample", out=out, **options)


def ended(printed: str) -> bool:
    """A bar was shown, and the terminal is as it was."""
    for thread in threading.enumerate():
        if type(thread).__module__ == "rich.live":  # told to stop, and may be in the middle of its last wait
            thread.join(30)
            assert not thread.is_alive()
    return HIDE in printed and printed.rindex(SHOW) > printed.rindex(HIDE)


def test_a_terminal_shows_a_bar(tmp_path: Path) -> None:
    with redirect_stderr(Terminal()) as stderr:
        run(tmp_path)
    assert ended(stderr.getvalue())
    assert "rm-bench" in stderr.getvalue()
    assert "10/10" in stderr.getvalue()


def test_workers_share_one_bar(tmp_path: Path) -> None:
    with redirect_stderr(Terminal()) as stderr:
        rmbench.run("tiny-bt", "rm-bench", source="sample", out=tmp_path, workers=2)
    assert ended(stderr.getvalue())
    assert "60/60" in stderr.getvalue()


def test_probing_shows_it_too(tmp_path: Path) -> None:
    with redirect_stderr(Terminal()) as stderr:
        probe("tiny-bt", "rm-bench", source="sample", out=tmp_path)
    assert ended(stderr.getvalue())


def test_a_log_has_no_bar_and_lines_where_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes any file for a terminal
    with redirect_stderr(io.StringIO()) as stderr:
        run(tmp_path)
        assert stderr.getvalue() == ""
        run(tmp_path, progress=True)
    assert "fake:oracle" in stderr.getvalue()
    assert HIDE not in stderr.getvalue()


def test_false_shows_nothing(tmp_path: Path) -> None:
    with redirect_stderr(Terminal()) as stderr:
        run(tmp_path, progress=False)
    assert stderr.getvalue() == ""


def test_an_object_reports_by_itself(tmp_path: Path) -> None:
    class Notes(SilentProgress):
        lines: list[str] = []

        def note(self, text: str) -> None:
            self.lines.append(text)

    with redirect_stderr(Terminal()) as stderr:
        run(tmp_path, progress=Notes())
    assert any("fake:oracle" in text for text in Notes.lines)
    assert stderr.getvalue() == ""


def test_an_error_ends_the_bar(tmp_path: Path) -> None:
    def wrong(conversations: list[Any]) -> list[float]:
        return [1.0] * (len(conversations) + 1)

    with redirect_stderr(Terminal()) as stderr, pytest.raises(RmbenchError, match="one reward per conversation"):
        rmbench.run(wrong, "rm-bench", source="sample", out=tmp_path)
    assert ended(stderr.getvalue())


class Cell:
    """What a notebook shows of `display(..., display_id=True)`."""

    def __init__(self, shown: Any) -> None:
        self.html = [shown._repr_mimebundle_()["text/html"]]

    def update(self, shown: Any) -> None:
        self.html.append(shown._repr_mimebundle_()["text/html"])


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """The cells that a notebook shows; rich and rmbench find themselves in one."""
    made: list[Cell] = []

    def display(shown: Any, *, display_id: bool) -> Cell:
        made.append(Cell(shown))
        return made[-1]

    package, module = ModuleType("IPython"), ModuleType("IPython.display")
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    return made


def test_a_notebook_draws_the_bar_in_its_cell(
    tmp_path: Path, cells: list[Cell], capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    assert len(cells) == 1
    assert "10/10" in cells[0].html[-1]
    assert "fake:oracle" in cells[0].html[-1]
    assert capsys.readouterr() == ("", "")
    run(tmp_path, progress=False)
    assert len(cells) == 1


@pytest.mark.parametrize("kind", PAYLOADS)
def test_text_of_others_is_text_in_the_cell(kind: str, cells: list[Cell]) -> None:
    def shape(text: str) -> set[Any]:
        with NotebookProgress() as bar:
            bar.note(text)
            bar.start(text, 3, 5)
            bar.advance(3, 5)
        page = Seen(cells[-1].html[-1])
        check_message("".join(page.texts))
        return {element for element in page.shape if element[0] != "span"}

    assert shape(PAYLOADS[kind]) == shape("word")
